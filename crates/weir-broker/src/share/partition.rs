//! What one share group has of one partition.

use std::collections::BTreeMap;

use weir_ledger::{Ledger, Lock, OwnerId, Release};
use weir_log::Millis;

use super::{Acks, DeadReason, Stretch, Take, Terms};
use crate::api::share::AcquiredRange;

// Kinds of acknowledgements, see [`Acks::kinds`].
const GAP: u8 = 0;
const RELEASE: u8 = 2;
const REJECT: u8 = 3;
const RENEW: u8 = 4;

/// Has what waits until it is tried again; members' numbers never get there.
pub(super) const WAITING: OwnerId = OwnerId(u64::MAX);

/// The states of a partition's records for one group, and which member has which.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SharePartition {
    pub(super) ledger: Ledger,
    /// Members that hold something.
    pub(super) owners: BTreeMap<String, OwnerId>,
    pub(super) next_owner: u64,
    /// As of the last step.
    pub(super) comes_back: ComesBack,
}

/// How records come back that are given back, or whose locks are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ComesBack {
    /// A record is put away when it is given back after so many deliveries.
    pub(crate) delivery_limit: u16,
    /// How long it waits after its first delivery; twice as long after each further one.
    pub(crate) retry_ms: u32,
    /// How long it waits at most, where that is more.
    pub(crate) retry_max_ms: u32,
    /// What is put away or rejected waits for a copy in the group's dead-letter topic.
    pub(crate) keeps_dead: bool,
}

impl ComesBack {
    /// How long a record waits that was delivered so often.
    fn wait_ms(self, delivery_count: u32) -> u32 {
        let doublings = delivery_count.saturating_sub(1);
        let wait_ms = self
            .retry_ms
            .saturating_mul(2_u32.saturating_pow(doublings));
        wait_ms.min(self.retry_max_ms.max(self.retry_ms))
    }
}

/// An acknowledged record is not the member's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotHeld;

impl SharePartition {
    pub(super) fn new(start: u64) -> Self {
        Self {
            ledger: Ledger::new(start),
            owners: BTreeMap::new(),
            next_owner: 0,
            comes_back: ComesBack {
                delivery_limit: u16::MAX,
                retry_ms: 0,
                retry_max_ms: 0,
                keeps_dead: false,
            },
        }
    }

    /// Where the group stands: everything before it is done with.
    pub(crate) fn start(&self) -> u64 {
        self.ledger.floor()
    }

    /// Where a reader had better begin to find what is ready.
    pub(crate) fn next_fetch(&self) -> u64 {
        let first = self.ledger.first_ready();
        first.unwrap_or_else(|| self.ledger.fresh_from())
    }

    /// Whether a member may take the record, in a log that goes further than is known here.
    pub(crate) fn is_ready(&self, offset: u64) -> bool {
        offset >= self.ledger.end() || self.ledger.is_ready(offset)
    }

    /// How many records are locked: members hold them, or they are dead.
    pub(crate) fn held_count(&self) -> u64 {
        let waiting_count = self.ledger.count_of(WAITING) as u64;
        self.ledger.counts().acquired - waiting_count
    }

    /// Of records in a log that ends at `end`, how many are not done with.
    pub(crate) fn lag(&self, end: u64) -> u64 {
        let counts = self.ledger.counts();
        counts.ready + counts.acquired + end.saturating_sub(self.ledger.end())
    }

    pub(super) fn next_end_ms(&self) -> Option<i64> {
        self.ledger.next_end_ms()
    }

    /// The log begins at `start`.
    pub(super) fn trim(&mut self, start: u64) {
        self.ledger.trim(start);
        self.forget_idle();
    }

    fn owner(&mut self, member: &str) -> OwnerId {
        if let Some(owner) = self.owners.get(member) {
            return *owner;
        }
        let owner = OwnerId(self.next_owner);
        self.next_owner += 1;
        self.owners.insert(member.to_owned(), owner);
        owner
    }

    /// Members that hold nothing are nobody here.
    fn forget_idle(&mut self) {
        let ledger = &self.ledger;
        self.owners.retain(|_, owner| ledger.count_of(*owner) > 0);
    }

    fn forget_if_idle(&mut self, member: &str) {
        let owner = self.owners.get(member);
        if owner.is_some_and(|owner| self.ledger.count_of(*owner) == 0) {
            self.owners.remove(member);
        }
    }

    /// What a member has done with records: all of it, or nothing where one of them is not its own.
    /// What is gone from the log meanwhile is nobody's, and no reason to refuse.
    pub(super) fn acknowledge(
        &mut self,
        now: Millis,
        member: &str,
        acks: &[Acks],
        log_start: u64,
        terms: Terms,
    ) -> Result<(), NotHeld> {
        self.comes_back = terms.comes_back;
        let Some(owner) = self.owners.get(member).copied() else {
            let is_gone = acks.iter().all(|each| each.last < log_start);
            return if is_gone { Ok(()) } else { Err(NotHeld) };
        };
        let held_count = self.ledger.count_of(owner) as u64;
        if !acks.is_sorted_by(|one, next| one.last < next.first) {
            return Err(NotHeld);
        }
        for each in acks {
            let first = each.first.max(log_start);
            let is_long = each.last.saturating_sub(first) >= held_count && first <= each.last;
            let is_own = |offset| {
                let held = self.ledger.held(offset);
                held.is_some_and(|held| held.lock.owner == owner)
            };
            if is_long || !(first..=each.last).all(is_own) {
                return Err(NotHeld);
            }
        }
        let until_ms = now.after(terms.lock_ms.into()).0;
        for each in acks {
            for offset in each.first.max(log_start)..=each.last {
                self.settle(now, owner, offset, each.kind_of(offset), until_ms);
            }
        }
        self.forget_if_idle(member);
        Ok(())
    }

    fn settle(&mut self, now: Millis, owner: OwnerId, offset: u64, kind: u8, until_ms: i64) {
        let ledger = &mut self.ledger;
        let held = match kind {
            RELEASE => return self.give_back(now, owner, offset),
            REJECT => return self.bury(owner, offset, DeadReason::Rejected),
            RENEW => ledger.renew(
                offset,
                Lock {
                    owner,
                    until_ms: Some(until_ms),
                },
            ),
            // Accepted, or no record.
            _ => ledger.settle(offset, owner).map(drop),
        };
        debug_assert!(held.is_ok(), "what is acknowledged was seen to be held");
    }

    /// The record is ready again, at once or after its wait, or put away where it was delivered
    /// often enough.
    fn give_back(&mut self, now: Millis, owner: OwnerId, offset: u64) {
        let held = self.ledger.held(offset);
        let count = held.map_or(0, |held| held.tries.delivery_count);
        let wait_ms = self.comes_back.wait_ms(count);
        let how = Release::Returned;
        if count >= self.comes_back.delivery_limit.into() {
            return self.bury(owner, offset, DeadReason::Exceeded);
        }
        let done = if wait_ms > 0 {
            let lock = Lock {
                owner: WAITING,
                until_ms: Some(now.after(wait_ms.into()).0),
            };
            self.ledger.hand_over(offset, owner, how, lock).map(drop)
        } else {
            self.ledger.release(offset, owner, how).map(drop)
        };
        debug_assert!(done.is_ok(), "what is given back was seen to be held");
    }

    /// Gives the member what is ready of what it wants, as far as locks go.
    pub(super) fn take(
        &mut self,
        now: Millis,
        member: &str,
        take: &Take,
        terms: Terms,
    ) -> Vec<AcquiredRange> {
        self.comes_back = terms.comes_back;
        self.ledger.extend(take.end);
        for void in &take.void {
            self.ledger
                .drop_range(void.first..void.last.saturating_add(1));
        }
        let mut room = u64::from(terms.max_locks).saturating_sub(self.held_count());
        let lock = Lock {
            owner: self.owner(member),
            until_ms: Some(now.after(terms.lock_ms.into()).0),
        };
        let mut acquired: Vec<AcquiredRange> = Vec::new();
        for Stretch { first, last } in &take.wanted {
            for offset in *first..=*last {
                if room == 0 || offset >= take.end {
                    break;
                }
                let Some(delivery) = self.ledger.acquire_at(offset, lock) else {
                    continue;
                };
                room -= 1;
                let count = i16::try_from(delivery.tries.delivery_count).unwrap_or(i16::MAX);
                match acquired.last_mut() {
                    Some(range) if range.last + 1 == offset && range.delivery_count == count => {
                        range.last = offset;
                    }
                    Some(_) | None => acquired.push(AcquiredRange {
                        first: offset,
                        last: offset,
                        delivery_count: count,
                    }),
                }
            }
        }
        self.forget_if_idle(member);
        acquired
    }

    /// Lets go of all that the member has, as if it had never had it. Says whether that was
    /// something.
    pub(super) fn release(&mut self, member: &str) -> bool {
        let Some(owner) = self.owners.remove(member) else {
            return false;
        };
        let offsets: Vec<u64> = self
            .ledger
            .held_by(owner)
            .map(|(offset, _)| offset)
            .collect();
        for offset in &offsets {
            let released = self.ledger.release(*offset, owner, Release::Untouched);
            debug_assert!(released.is_ok(), "an owner holds what is listed as its own");
        }
        !offsets.is_empty()
    }

    /// Locks and waits that are over at `now` end.
    pub(super) fn expire(&mut self, now: Millis) {
        let ended = self.ledger.ended(now.0);
        let ended: Vec<_> = ended
            .map(|(offset, held)| (offset, held.lock.owner))
            .collect();
        for (offset, owner) in ended {
            if owner == WAITING {
                let released = self.ledger.release(offset, WAITING, Release::Untouched);
                debug_assert!(released.is_ok(), "what waits is listed as waiting");
            } else {
                self.give_back(now, owner, offset);
            }
        }
        self.forget_idle();
    }
}

impl Acks {
    fn kind_of(&self, offset: u64) -> u8 {
        let at = usize::try_from(offset - self.first).unwrap_or(usize::MAX);
        let each = self.kinds.get(at).or_else(|| self.kinds.first());
        each.copied().unwrap_or(GAP)
    }
}
