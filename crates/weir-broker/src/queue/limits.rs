//! How many messages, and how many bytes of them, a queue holds.

use std::collections::BTreeMap;

use super::{Overflow, Queue, dead::Reason, state::until_settled};

/// Most dead letters of a queue that wait for a place elsewhere: while there are as many, a queue is
/// longer than its limit rather than more of them are made.
pub(super) const MAX_DEAD_COUNT: usize = 100_000;

/// Sizes of bodies, of a queue that has a limit in bytes: of messages that came since it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) by_offset: BTreeMap<u64, u32>,
    pub(super) ready_bytes: u64,
}

impl Sizes {
    fn of(&self, offset: u64) -> u64 {
        self.by_offset.get(&offset).copied().map_or(0, u64::from)
    }

    /// A message is there and ready.
    pub(super) fn arrived(&mut self, offset: u64, body_bytes: u32) {
        self.by_offset.insert(offset, body_bytes);
        self.ready_bytes += u64::from(body_bytes);
    }

    /// It was ready and is somebody's.
    pub(super) fn taken(&mut self, offset: u64) {
        self.ready_bytes -= self.of(offset);
    }

    /// It was somebody's, or withheld, and is ready.
    pub(super) fn returned(&mut self, offset: u64) {
        self.ready_bytes += self.of(offset);
    }

    /// It was somebody's and is nobody's any more.
    pub(super) fn gone_held(&mut self, offset: u64) {
        self.by_offset.remove(&offset);
    }

    /// It was ready and is nobody's any more.
    pub(super) fn gone_ready(&mut self, offset: u64) {
        self.taken(offset);
        self.by_offset.remove(&offset);
    }

    /// All that was ready is gone.
    pub(super) fn purge(&mut self, is_held: impl Fn(u64) -> bool) {
        self.by_offset.retain(|offset, _| is_held(*offset));
        self.ready_bytes = 0;
    }

    /// All that was before `start` is gone.
    pub(super) fn trim(&mut self, start: u64, is_held: impl Fn(u64) -> bool) {
        self.by_offset = self.by_offset.split_off(&start);
        let ready = self
            .by_offset
            .iter()
            .filter(|(offset, _)| !is_held(**offset));
        self.ready_bytes = ready.map(|(_, bytes)| u64::from(*bytes)).sum();
    }
}

impl Queue {
    fn is_beyond(&self, count: u64, bytes: u64) -> bool {
        let settings = &self.settings;
        settings.max_length_count.is_some_and(|limit| count > limit)
            || settings.max_length_bytes.is_some_and(|limit| bytes > limit)
    }

    /// Whether one more message would be one too many, and is refused for it.
    pub(super) fn refuses_more(&self) -> bool {
        match self.settings.overflow {
            Overflow::DropHead => false,
            Overflow::RejectPublish | Overflow::RejectPublishDeadLetter => {
                self.is_beyond(self.ledger.counts().ready + 1, self.sizes.ready_bytes + 1)
            }
        }
    }

    /// Drops what is too much.
    pub(super) fn shrink(&mut self) {
        if self.settings.overflow != Overflow::DropHead {
            return;
        }
        while let Some(first) = self.ledger.first_ready() {
            let is_beyond = self.is_beyond(self.ledger.counts().ready, self.sizes.ready_bytes);
            if !is_beyond || self.is_full_of_dead() {
                return;
            }
            self.bury_ready(first, Reason::MaxLength);
        }
    }

    /// All that is ready has expired.
    pub(super) fn expire_ready(&mut self) {
        while let Some(first) = self.ledger.first_ready() {
            if self.is_full_of_dead() {
                return;
            }
            self.bury_ready(first, Reason::Expired);
        }
    }

    /// Whether dead letters wait that keep further ones from being made.
    pub(crate) fn is_full_of_dead(&self) -> bool {
        self.settings.dead_letter.is_some() && self.dead.len() >= MAX_DEAD_COUNT
    }

    /// Whether messages that die for this reason go elsewhere rather than away.
    fn keeps_dead(&self, reason: Reason) -> bool {
        self.settings.dead_letter.is_some() || reason == Reason::DeliveryLimit
    }

    /// A ready message is dead.
    pub(super) fn bury_ready(&mut self, offset: u64, reason: Reason) {
        if self.keeps_dead(reason) {
            let lock = until_settled(reason.owner());
            if let Some(letter) = self.ledger.acquire_at(offset, lock) {
                self.sizes.taken(offset);
                self.dead.insert(letter.serial, offset);
            }
        } else if self.ledger.drop_at(offset) {
            self.sizes.gone_ready(offset);
        }
    }

    /// A message that somebody holds is dead.
    pub(super) fn bury_held(&mut self, offset: u64, reason: Reason) {
        if !self.keeps_dead(reason) {
            return self.drop_held(offset);
        }
        let Some(owner) = self.ledger.held(offset).map(|held| held.lock.owner) else {
            return;
        };
        let how = match reason {
            // Nobody has seen it.
            Reason::Expired | Reason::MaxLength => weir_ledger::Release::Untouched,
            Reason::Rejected | Reason::DeliveryLimit => weir_ledger::Release::Failed,
        };
        let lock = until_settled(reason.owner());
        if let Ok(letter) = self.ledger.hand_over(offset, owner, how, lock) {
            self.dead.insert(letter.serial, offset);
            self.let_be(owner);
        }
    }

    /// Dead letters lie where they belong.
    pub(super) fn hopped(&mut self, letters: &[(u64, u64)]) {
        for (offset, serial) in letters {
            if self.dead.get(serial) == Some(offset) {
                self.dead.remove(serial);
                self.drop_held(*offset);
            }
        }
    }
}
