//! Patterns of words, as a trie: what a message costs depends on its words, not on the bindings.

use std::sync::Arc;

use super::{index::Targets, record::Target};
use crate::hashed::{self, Hashed};

/// Stands for one word.
const ONE: &str = "*";
/// Stands for any words, or none.
const ANY: &str = "#";

/// What is bound by patterns that begin alike. Copies share what did not change. There are several
/// of them per binding, so what most have none of is apart.
#[derive(Clone, Debug, Default)]
pub(super) struct TopicTrie {
    /// The last of the words that they begin with, where that is one.
    word: Option<Arc<str>>,
    words: Option<Box<Hashed<Arc<Self>>>>,
    one: Option<Arc<Self>>,
    any: Option<Arc<Self>>,
    targets: Targets,
}

impl TopicTrie {
    pub(super) fn add(&mut self, pattern: &str, target: Target) {
        let mut at = self;
        for word in words(pattern) {
            at = Arc::make_mut(at.child_or_new(word));
        }
        at.targets.add(target);
    }

    pub(super) fn remove(&mut self, pattern: &str, target: Target) {
        self.remove_words(&mut words(pattern), target);
    }

    fn remove_words<'a>(&mut self, words: &mut impl Iterator<Item = &'a str>, target: Target) {
        let Some(word) = words.next() else {
            return self.targets.remove(target);
        };
        match word {
            ONE => remove_below(&mut self.one, words, target),
            ANY => remove_below(&mut self.any, words, target),
            _ => self.remove_below_word(word, words, target),
        }
    }

    fn remove_below_word<'a>(
        &mut self,
        word: &str,
        words: &mut impl Iterator<Item = &'a str>,
        target: Target,
    ) {
        let Some(children) = &mut self.words else {
            return;
        };
        let hash = hashed::hash(word.as_bytes());
        let is_it = |child: &Arc<Self>| child.is_behind(word);
        let Some(child) = children.find_mut(hash, is_it) else {
            return;
        };
        let child = Arc::make_mut(child);
        child.remove_words(words, target);
        if child.is_empty() {
            children.remove(hash, is_it);
        }
        if children.is_empty() {
            self.words = None;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.is_none() && self.one.is_none() && self.any.is_none() && self.targets.is_empty()
    }

    fn is_behind(&self, word: &str) -> bool {
        self.word.as_deref() == Some(word)
    }

    fn child(&self, word: &str) -> Option<&Self> {
        let children = self.words.as_ref()?;
        let hash = hashed::hash(word.as_bytes());
        let child = children.find(hash, |child| child.is_behind(word));
        child.map(Arc::as_ref)
    }

    fn child_or_new(&mut self, word: &str) -> &mut Arc<Self> {
        match word {
            ONE => self.one.get_or_insert_default(),
            ANY => self.any.get_or_insert_default(),
            _ => {
                let children = self.words.get_or_insert_default();
                let hash = hashed::hash(word.as_bytes());
                let is_it = |child: &Arc<Self>| child.is_behind(word);
                if children.find(hash, is_it).is_none() {
                    let child = Self {
                        word: Some(word.into()),
                        ..Self::default()
                    };
                    children.insert(hash, Arc::new(child));
                }
                let child = children.find_mut(hash, is_it);
                child.expect("it was just put there")
            }
        }
    }

    /// Calls `found` for each target of each pattern that matches. All patterns are followed side
    /// by side, so that no pattern makes a key cost more than its words times the trie's nodes.
    pub(super) fn route(&self, routing_key: &str, mut found: impl FnMut(Target)) {
        let mut active = Active::new(self);
        let mut next = active.clone();
        self.enter(&mut active);
        for word in words(routing_key) {
            next.clear();
            for (node, may_stay) in active.nodes() {
                if *may_stay {
                    next.push((*node, true));
                }
                if let Some(child) = node.child(word) {
                    child.enter(&mut next);
                }
                if let Some(child) = &node.one {
                    child.enter(&mut next);
                }
            }
            std::mem::swap(&mut active, &mut next);
            active.keep_each_once();
            if active.nodes().is_empty() {
                return;
            }
        }
        for (node, _) in active.nodes() {
            node.targets.iter().for_each(&mut found);
        }
    }

    /// The node, and what is reached from it without a word. A node behind `#` may stay where it is
    /// for any word.
    fn enter<'a>(&'a self, active: &mut Active<'a>) {
        active.push((self, false));
        let mut at = self;
        while let Some(any) = &at.any {
            active.push((any, true));
            at = any;
        }
    }
}

/// So many nodes are followed side by side without memory of their own: as many as patterns mean
/// that lie no more than a few words apart.
const FEW_COUNT: usize = 8;

/// A node, and whether it stays for any word.
type ActiveNode<'a> = (&'a TopicTrie, bool);

/// Nodes that are followed side by side.
#[derive(Clone)]
struct Active<'a> {
    few: [ActiveNode<'a>; FEW_COUNT],
    few_count: usize,
    /// All of them, where they are more than a few.
    many: Vec<ActiveNode<'a>>,
}

impl<'a> Active<'a> {
    /// None; `root` only stands where none is.
    fn new(root: &'a TopicTrie) -> Self {
        Self {
            few: [(root, false); FEW_COUNT],
            few_count: 0,
            many: Vec::new(),
        }
    }

    fn nodes(&self) -> &[ActiveNode<'a>] {
        match self.many.is_empty() {
            true => &self.few[..self.few_count],
            false => &self.many,
        }
    }

    fn push(&mut self, node: ActiveNode<'a>) {
        if self.many.is_empty() {
            if let Some(free) = self.few.get_mut(self.few_count) {
                *free = node;
                self.few_count += 1;
                return;
            }
            self.many.extend(self.few);
        }
        self.many.push(node);
    }

    fn clear(&mut self) {
        self.few_count = 0;
        self.many.clear();
    }

    fn keep_each_once(&mut self) {
        let address = |(node, _): &ActiveNode<'_>| std::ptr::from_ref(*node).addr();
        if !self.many.is_empty() {
            self.many.sort_unstable_by_key(address);
            self.many.dedup_by_key(|node| address(node));
            return;
        }
        let mut kept_count = 0;
        for at in 0..self.few_count {
            let node = self.few[at];
            let kept = &self.few[..kept_count];
            if kept.iter().all(|known| address(known) != address(&node)) {
                self.few[kept_count] = node;
                kept_count += 1;
            }
        }
        self.few_count = kept_count;
    }
}

/// The words of a pattern or key. An empty one has none, though it has one between two dots.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let all = (!text.is_empty()).then(|| text.split('.'));
    all.into_iter().flatten()
}

fn remove_below<'a>(
    child: &mut Option<Arc<TopicTrie>>,
    words: &mut impl Iterator<Item = &'a str>,
    target: Target,
) {
    let Some(node) = child else {
        return;
    };
    Arc::make_mut(node).remove_words(words, target);
    if node.is_empty() {
        *child = None;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::routing::record::QueueId;

    fn queue(id: u64) -> Target {
        Target::Queue(QueueId(id))
    }

    fn route(trie: &TopicTrie, key: &str) -> BTreeSet<Target> {
        let mut found = BTreeSet::new();
        trie.route(key, |target| {
            found.insert(target);
        });
        found
    }

    /// What a pattern means, word by word.
    fn matches(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern.split_first(), key.split_first()) {
            (None, None) => true,
            (Some((&ANY, rest)), None) => matches(rest, key),
            (Some((&ANY, rest)), Some((_, fewer))) => matches(rest, key) || matches(pattern, fewer),
            (Some((word, rest)), Some((first, fewer))) => {
                (*word == ONE || word == first) && matches(rest, fewer)
            }
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    #[test]
    fn an_empty_key_has_no_word() {
        let mut trie = TopicTrie::default();
        for (pattern, id) in ["*", "#", "", "*.#", "#.*", "#.#"].into_iter().zip(0..) {
            trie.add(pattern, queue(id));
        }
        assert_eq!(route(&trie, ""), [1, 2, 5].map(queue).into());
    }

    #[test]
    fn any_patterns_match_as_they_mean_and_leave_nothing_when_they_go() {
        let mut seed = 7_u64;
        let mut chance = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        let words = ["a", "b", "", ONE, ANY];
        for _ in 0..200 {
            let patterns: Vec<String> = (0..12)
                .map(|_| {
                    let count = chance(5) + 1;
                    let pattern: Vec<&str> = (0..count)
                        .map(|_| words[usize::try_from(chance(5)).unwrap()])
                        .collect();
                    pattern.join(".")
                })
                .collect();
            let mut trie = TopicTrie::default();
            for (pattern, id) in patterns.iter().zip(0..) {
                trie.add(pattern, queue(id));
            }
            for _ in 0..20 {
                let count = chance(5) + 1;
                let key: Vec<&str> = (0..count)
                    .map(|_| words[usize::try_from(chance(3)).unwrap()])
                    .collect();
                let expected = patterns.iter().zip(0..).filter(|(pattern, _)| {
                    let pattern: Vec<&str> = super::words(pattern).collect();
                    let key = key.join(".");
                    let key: Vec<&str> = super::words(&key).collect();
                    matches(&pattern, &key)
                });
                let expected: BTreeSet<Target> = expected.map(|(_, id)| queue(id)).collect();
                assert_eq!(
                    route(&trie, &key.join(".")),
                    expected,
                    "{patterns:?} {key:?}"
                );
            }
            for (pattern, id) in patterns.iter().zip(0..) {
                trie.remove(pattern, queue(id));
            }
            assert!(trie.is_empty());
        }
    }

    #[test]
    fn patterns_full_of_wildcards_cost_no_more_than_their_nodes() {
        let mut trie = TopicTrie::default();
        let pattern = ["#.a"; 60].join(".");
        trie.add(&pattern, queue(1));
        let key = ["a"; 120].join(".");
        assert_eq!(route(&trie, &key), BTreeSet::from([queue(1)]));
        assert_eq!(route(&trie, &format!("{key}.b")), BTreeSet::new());
    }

    #[test]
    fn many_patterns_that_match_at_once_are_all_found() {
        let mut trie = TopicTrie::default();
        let patterns = [
            "a.#", "#.c", "*.b.*", "a.*.c", "#", "*.#", "#.*", "a.b.c", "#.b.#",
        ];
        for (pattern, id) in patterns.into_iter().zip(0..) {
            trie.add(pattern, queue(id));
        }
        assert_eq!(route(&trie, "a.b.c"), (0..9).map(queue).collect());
    }

    #[test]
    fn one_target_by_two_equal_patterns_stays_until_both_are_gone() {
        let mut trie = TopicTrie::default();
        trie.add("a.*", queue(1));
        trie.add("a.*", queue(1));
        trie.remove("a.*", queue(1));
        assert_eq!(route(&trie, "a.b"), BTreeSet::from([queue(1)]));
        trie.remove("a.*", queue(1));
        trie.remove("a.*", queue(1));
        assert!(trie.is_empty());
    }
}
