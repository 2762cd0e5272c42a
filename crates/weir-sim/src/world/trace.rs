//! What happened, in order: a running hash always, lines of text on request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most lines that are kept: a run that goes on longer keeps its beginning.
const MAX_TRACE_LINE_COUNT: usize = 2_000_000;

/// The trace of one run. Clones share it: disk and runner write to one sequence.
#[derive(Clone, Debug, Default)]
pub struct Trace(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    hash: u64,
    event_count: u64,
    step: usize,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// An empty trace; with `with_text` it keeps lines.
    pub fn new(with_text: bool) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            lines: with_text.then(Vec::new),
            ..Inner::default()
        })))
    }

    /// Adds one event: `tag` and `words` to the hash, `text` to the lines.
    pub fn event(&self, tag: &'static str, words: &[u64], text: impl FnOnce() -> String) {
        let mut inner = self.inner();
        let mut hash = mix(inner.hash, tag.len() as u64);
        for byte in tag.bytes() {
            hash = mix(hash, u64::from(byte));
        }
        for word in words {
            hash = mix(hash, *word);
        }
        inner.hash = hash;
        inner.event_count += 1;
        let number = inner.event_count;
        if let Some(lines) = &mut inner.lines
            && lines.len() < MAX_TRACE_LINE_COUNT
        {
            lines.push(format!("{number:>7} {tag:<12} {}", text()));
        }
    }

    /// Begins step `number` of the plan.
    pub fn begin_step(&self, number: usize, text: impl FnOnce() -> String) {
        self.inner().step = number;
        self.event("step", &[number as u64], || format!("{number} {}", text()));
    }

    /// The step that was begun last.
    pub fn step(&self) -> usize {
        self.inner().step
    }

    /// As [`Trace::event`] for a fact that is text in the first place.
    pub fn note(&self, tag: &'static str, text: &str) {
        let word = u64::from(crc32c::crc32c(text.as_bytes()));
        self.event(tag, &[word, text.len() as u64], || text.to_owned());
    }

    /// The hash of all events so far.
    pub fn hash(&self) -> u64 {
        self.inner().hash
    }

    /// The lines so far, with a newline behind each.
    pub fn text(&self) -> String {
        let inner = self.inner();
        let mut text = inner.lines.as_deref().unwrap_or_default().join("\n");
        text.push('\n');
        text
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn mix(hash: u64, word: u64) -> u64 {
    (hash ^ word)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .rotate_left(29)
        .wrapping_add(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_words_change_the_hash() {
        let hash_of = |events: &[(&'static str, u64)]| {
            let trace = Trace::new(false);
            for (tag, word) in events {
                trace.event(tag, &[*word], String::new);
            }
            trace.hash()
        };
        let base = hash_of(&[("a", 1), ("b", 2)]);
        assert_eq!(base, hash_of(&[("a", 1), ("b", 2)]));
        assert_ne!(base, hash_of(&[("b", 2), ("a", 1)]));
        assert_ne!(base, hash_of(&[("a", 1), ("b", 3)]));
    }
}
