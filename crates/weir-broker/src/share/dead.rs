//! Dead letters of share groups (KIP-1191): records that a member rejected, or that came back too often. Where
//! the group keeps them, they are held until a copy lies in its dead-letter topic, as locked as any other.

use weir_ledger::{Lock, OwnerId, Release};

use super::{SharePartition, partition::WAITING};

/// Hold dead letters; members' numbers never get there.
const REJECTED: OwnerId = OwnerId(WAITING.0 - 1);
const EXCEEDED: OwnerId = OwnerId(WAITING.0 - 2);

/// Why a record is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeadReason {
    /// A member rejected it.
    Rejected,
    /// It was delivered as often as it may be.
    Exceeded,
}

impl DeadReason {
    pub(super) const ALL: [Self; 2] = [Self::Rejected, Self::Exceeded];

    pub(super) fn owner(self) -> OwnerId {
        match self {
            Self::Rejected => REJECTED,
            Self::Exceeded => EXCEEDED,
        }
    }

    /// As Kafka puts it in the header `__dlq.errors.message`.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Rejected => "Offset rejected by client.",
            Self::Exceeded => "Offset delivery count exceeded the threshold.",
        }
    }
}

/// A record that waits for its copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeadRecord {
    pub(crate) offset: u64,
    pub(crate) serial: u64,
    /// How often members had it.
    pub(crate) delivery_count: u32,
    pub(crate) reason: DeadReason,
}

impl SharePartition {
    /// The record is done with, or dead.
    pub(super) fn bury(&mut self, owner: OwnerId, offset: u64, reason: DeadReason) {
        let ledger = &mut self.ledger;
        let done = match self.comes_back.keeps_dead {
            true => {
                let lock = Lock {
                    owner: reason.owner(),
                    until_ms: None,
                };
                ledger
                    .hand_over(offset, owner, Release::Returned, lock)
                    .map(drop)
            }
            false => ledger.settle(offset, owner).map(drop),
        };
        debug_assert!(done.is_ok(), "what is buried was seen to be held");
    }

    /// How many records wait for their copies.
    pub(crate) fn dead_count(&self) -> usize {
        let owners = DeadReason::ALL.map(DeadReason::owner);
        owners
            .iter()
            .map(|owner| self.ledger.count_of(*owner))
            .sum()
    }

    /// The first records that wait for their copies, at most so many of each kind.
    pub(crate) fn dead(&self, limit: usize) -> Vec<DeadRecord> {
        let all = DeadReason::ALL.into_iter().flat_map(|reason| {
            let held = self.ledger.held_by(reason.owner()).take(limit);
            held.map(move |(offset, held)| DeadRecord {
                offset,
                serial: held.serial,
                // Holding it has counted as another one.
                delivery_count: held.tries.delivery_count.saturating_sub(1),
                reason,
            })
        });
        all.collect()
    }

    /// Copies of these lie where they belong: offset and serial.
    pub(super) fn copied(&mut self, records: &[(u64, u64)]) {
        for (offset, serial) in records {
            let held = self.ledger.held(*offset);
            let owner = held
                .filter(|held| held.serial == *serial)
                .map(|held| held.lock.owner);
            let is_dead = |owner: &OwnerId| DeadReason::ALL.iter().any(|it| it.owner() == *owner);
            if let Some(owner) = owner.filter(is_dead) {
                let settled = self.ledger.settle(*offset, owner);
                debug_assert!(settled.is_ok(), "what is dead was seen to be held");
            }
        }
    }
}
