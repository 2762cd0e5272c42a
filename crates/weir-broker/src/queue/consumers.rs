//! Who takes from a queue, and whose turn it is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weir_ledger::OwnerId;

use super::{Attach, ConsumerKey, Gone, SessionKey};
use crate::api::queues::ConsumerTag;

/// Most consumers of one partition's queue.
pub(super) const MAX_CONSUMERS_COUNT: usize = 16_384;
/// Most messages that a consumer without a limit of its own holds.
pub(super) const MAX_HELD_COUNT: usize = 20_000;
/// Owners below are the queue's own.
pub(super) const FIRST_OWNER: u64 = 16;

/// Somebody who holds messages, or may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) session: SessionKey,
    /// `None`: it gets messages one by one, on demand.
    pub(super) tag: Option<ConsumerTag>,
    /// `None`: no more messages for it.
    pub(super) terms: Option<Terms>,
}

/// On what terms a consumer is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) priority: i32,
    pub(super) max_held_count: usize,
    pub(super) is_exclusive: bool,
}

/// All holders; and the line of those that may have more. A holder's id rises with the time at
/// which it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Consumers {
    pub(super) holders: BTreeMap<OwnerId, Holder>,
    by_key: BTreeMap<ConsumerKey, OwnerId>,
    by_session: BTreeSet<(SessionKey, OwnerId)>,
    /// By priority: whose turn is first stands first. None is empty.
    pub(super) waiting: BTreeMap<i32, VecDeque<OwnerId>>,
    /// Who stands in a line.
    in_line: BTreeSet<OwnerId>,
    /// The one that is served, where only one is.
    pub(super) active: Option<OwnerId>,
    pub(super) is_single_active: bool,
    pub(super) next_owner: u64,
    /// There has been one.
    pub(super) was_consumed: bool,
}

/// Why a consumer may not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAttached {
    InExclusiveUse,
    TooMany,
}

impl Attach {
    fn terms(&self) -> Terms {
        let own = usize::try_from(self.prefetch_count).unwrap_or(usize::MAX);
        let is_limited = own > 0 && !self.no_ack;
        Terms {
            priority: self.priority,
            max_held_count: if is_limited {
                own.min(MAX_HELD_COUNT)
            } else {
                MAX_HELD_COUNT
            },
            is_exclusive: self.is_exclusive,
        }
    }
}

impl Consumers {
    pub(super) fn new() -> Self {
        Self {
            next_owner: FIRST_OWNER,
            ..Self::default()
        }
    }

    /// Consumers that are attached.
    pub(super) fn count(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn owner(&self, key: &ConsumerKey) -> Option<OwnerId> {
        self.by_key.get(key).copied()
    }

    /// The consumer that is attached as that owner.
    pub(super) fn key(&self, owner: OwnerId) -> Option<ConsumerKey> {
        let holder = self.holders.get(&owner)?;
        holder.terms?;
        Some(ConsumerKey {
            session: holder.session,
            tag: holder.tag?,
        })
    }

    pub(super) fn holder(&self, owner: OwnerId) -> Option<&Holder> {
        self.holders.get(&owner)
    }

    /// A consumer that is there already has new terms.
    pub(super) fn attach(&mut self, attach: &Attach) -> Result<OwnerId, NotAttached> {
        let terms = attach.terms();
        if let Some(owner) = self.owner(&attach.consumer) {
            self.leave_line(owner);
            if let Some(holder) = self.holders.get_mut(&owner) {
                holder.terms = Some(terms);
            }
            return Ok(owner);
        }
        let mut all = self.by_key.values();
        let is_exclusive = |owner: &OwnerId| {
            let terms = self.holders.get(owner).and_then(|holder| holder.terms);
            terms.is_some_and(|terms| terms.is_exclusive)
        };
        if (attach.is_exclusive && !self.by_key.is_empty()) || all.any(is_exclusive) {
            return Err(NotAttached::InExclusiveUse);
        }
        if self.by_key.len() >= MAX_CONSUMERS_COUNT {
            return Err(NotAttached::TooMany);
        }
        let ConsumerKey { session, tag } = attach.consumer;
        let owner = self.add(session, Some(tag), Some(terms));
        self.was_consumed = true;
        self.by_key.insert(attach.consumer, owner);
        if self.is_single_active && self.active.is_none() {
            self.active = Some(owner);
        }
        Ok(owner)
    }

    /// Somebody who gets messages one by one.
    pub(super) fn add_getter(&mut self, session: SessionKey) -> OwnerId {
        self.add(session, None, None)
    }

    fn add(
        &mut self,
        session: SessionKey,
        tag: Option<ConsumerTag>,
        terms: Option<Terms>,
    ) -> OwnerId {
        let owner = OwnerId(self.next_owner);
        self.next_owner += 1;
        let holder = Holder {
            session,
            tag,
            terms,
        };
        self.holders.insert(owner, holder);
        self.by_session.insert((session, owner));
        owner
    }

    /// It takes no more. What it holds stays its own.
    pub(super) fn detach(&mut self, key: &ConsumerKey) -> Option<OwnerId> {
        let owner = self.by_key.remove(key)?;
        self.leave_line(owner);
        if let Some(holder) = self.holders.get_mut(&owner) {
            holder.terms = None;
        }
        if self.active == Some(owner) {
            self.active = None;
            self.choose_active();
        }
        Some(owner)
    }

    /// Who takes no more and holds nothing is forgotten.
    pub(super) fn forget(&mut self, owner: OwnerId) {
        let is_over = |holder: &Holder| holder.terms.is_none();
        if self.holders.get(&owner).is_some_and(is_over)
            && let Some(holder) = self.holders.remove(&owner)
        {
            self.by_session.remove(&(holder.session, owner));
        }
    }

    /// All that belongs to such sessions.
    pub(super) fn of_sessions(&self, gone: &Gone) -> Vec<OwnerId> {
        let (first, node) = (gone.first(), gone.first().node);
        let range = self.by_session.range((first, OwnerId(0))..);
        let near = range.take_while(|(session, _)| match gone {
            Gone::Session(only) => session == only,
            Gone::Node(_) | Gone::Boots(..) => session.node == node,
        });
        let meant = near.filter(|(session, _)| gone.means(session));
        meant.map(|(_, owner)| *owner).collect()
    }

    /// The first session from that one on that has something here.
    pub(super) fn next_session(&self, from: SessionKey) -> Option<SessionKey> {
        let mut rest = self.by_session.range((from, OwnerId(0))..);
        rest.next().map(|(session, _)| *session)
    }

    /// One at a time from now on, or all.
    pub(super) fn set_single_active(&mut self, is_single_active: bool) {
        self.is_single_active = is_single_active;
        self.waiting.clear();
        self.in_line.clear();
        self.active = None;
        self.choose_active();
    }

    /// The next one: of the highest priority, who came first.
    fn choose_active(&mut self) {
        if !self.is_single_active {
            return;
        }
        let attached = self.holders.iter().filter_map(|(owner, holder)| {
            let priority = holder.terms?.priority;
            Some((std::cmp::Reverse(priority), *owner))
        });
        self.active = attached.min().map(|(_, owner)| owner);
    }

    /// Puts it at the end of its line, if it may have more than it holds.
    pub(super) fn offer(&mut self, owner: OwnerId, held_count: usize) {
        let Some(terms) = self.holders.get(&owner).and_then(|holder| holder.terms) else {
            return;
        };
        let is_its_turn = !self.is_single_active || self.active == Some(owner);
        if is_its_turn && held_count < terms.max_held_count && self.in_line.insert(owner) {
            let line = self.waiting.entry(terms.priority).or_default();
            line.push_back(owner);
        }
    }

    /// Whose turn it is.
    pub(super) fn first_in_line(&self) -> Option<OwnerId> {
        let (_, line) = self.waiting.last_key_value()?;
        line.front().copied()
    }

    pub(super) fn leave_line(&mut self, owner: OwnerId) {
        if !self.in_line.remove(&owner) {
            return;
        }
        let Some(terms) = self.holders.get(&owner).and_then(|holder| holder.terms) else {
            return;
        };
        if let Some(line) = self.waiting.get_mut(&terms.priority) {
            if line.front() == Some(&owner) {
                line.pop_front();
            } else {
                line.retain(|each| *each != owner);
            }
            if line.is_empty() {
                self.waiting.remove(&terms.priority);
            }
        }
    }

    /// Puts the indexes together again; `None` where a key, or a place in a line, is taken twice.
    pub(super) fn restore(
        holders: BTreeMap<OwnerId, Holder>,
        lines: Vec<OwnerId>,
        active: Option<OwnerId>,
        is_single_active: bool,
        next_owner: u64,
    ) -> Option<Self> {
        let mut all = Self {
            active,
            is_single_active,
            next_owner,
            ..Self::default()
        };
        for (owner, holder) in &holders {
            if owner.0 < FIRST_OWNER || owner.0 >= next_owner {
                return None;
            }
            all.by_session.insert((holder.session, *owner));
            if holder.terms.is_some() {
                let session = holder.session;
                let tag = holder.tag?;
                if all
                    .by_key
                    .insert(ConsumerKey { session, tag }, *owner)
                    .is_some()
                {
                    return None;
                }
            }
        }
        for owner in lines {
            let terms = holders.get(&owner)?.terms?;
            if !all.in_line.insert(owner) {
                return None;
            }
            all.waiting
                .entry(terms.priority)
                .or_default()
                .push_back(owner);
        }
        let is_attached = |owner: &OwnerId| holders.get(owner).is_some_and(|it| it.terms.is_some());
        if !all.active.iter().all(is_attached) || (all.active.is_some() && !is_single_active) {
            return None;
        }
        all.holders = holders;
        Some(all)
    }
}
