//! Sessions: what they are given on demand, and their end.

use weir_ledger::{OwnerId, Release};
use weir_log::Millis;

use super::{Assignment, Gone, Queue, QueueApplied, SessionKey};
use crate::seeded::Seeded;

/// What a session was given last on demand: asked again, it is given the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastGet {
    pub(super) request: u64,
    /// Whose the messages are.
    pub(super) owner: OwnerId,
    /// Offset and serial.
    pub(super) given: Option<(u64, u64)>,
}

impl Queue {
    /// Requests of a session come in order: an earlier one than the last is a late repeat.
    pub(super) fn get(&mut self, now: Millis, session: SessionKey, request: u64) -> QueueApplied {
        let last = self.gets.get(&session).copied();
        if let Some(last) = last
            && request <= last.request
        {
            let again = self.given_again(session, request, &last);
            // What it was given has turned out to be nothing that anybody is to have.
            let is_over = again.is_none() && request == last.request && last.given.is_some();
            if !is_over {
                return QueueApplied::Got(again, self.ledger.counts().ready);
            }
        }
        let owner = last
            .map(|last| last.owner)
            .filter(|owner| self.consumers.holder(*owner).is_some());
        let owner = owner.unwrap_or_else(|| self.consumers.add_getter(session));
        let given = self.acquire(now, owner);
        let last = LastGet {
            request,
            owner,
            given: given.map(|it| (it.offset, it.serial)),
        };
        self.gets.insert(session, last);
        self.let_be(owner);
        QueueApplied::Got(given, self.ledger.counts().ready)
    }

    fn given_again(&self, session: SessionKey, request: u64, last: &LastGet) -> Option<Assignment> {
        let (offset, serial) = last.given.filter(|_| request == last.request)?;
        let held = self.ledger.held(offset)?;
        (held.serial == serial && held.lock.owner == last.owner).then_some(Assignment {
            session,
            tag: None,
            offset,
            serial,
            is_redelivered: held.tries.delivery_count > 1,
            failed_count: held.tries.failed_count,
            at: Millis(i64::MIN),
        })
    }

    /// Sessions have ended: what they held is ready again, where it was, and their consumers are no
    /// more.
    pub(crate) fn end_sessions(
        &mut self,
        now: Millis,
        gone: &Gone,
        seeded: Seeded,
        out: &mut Vec<Assignment>,
    ) {
        let owners = self.consumers.of_sessions(gone);
        match gone {
            Gone::Session(session) => {
                self.lost.remove(session);
            }
            Gone::Boots(..) => self.lost.retain(|session| !gone.means(session)),
            Gone::Node(_) => {
                let holders = owners.iter().filter_map(|it| self.consumers.holder(*it));
                let sessions: Vec<_> = holders.map(|holder| holder.session).collect();
                self.lost.extend(sessions);
            }
        }
        for owner in &owners {
            let key = self.consumers.key(*owner);
            key.and_then(|key| self.consumers.detach(&key));
        }
        for owner in owners {
            if !seeded.keeps_locks() {
                self.end_owner(owner, gone);
            }
            self.consumers.forget(owner);
        }
        self.gets.retain(|session, _| !gone.means(session));
        self.offer_active();
        self.serve(now, out);
    }

    fn end_owner(&mut self, owner: OwnerId, gone: &Gone) {
        let held: Vec<(u64, bool)> = self
            .ledger
            .held_by(owner)
            .map(|(offset, held)| (offset, self.is_over_limit(held)))
            .collect();
        for (offset, is_over_limit) in held {
            match gone {
                Gone::Session(_) if is_over_limit => {
                    self.bury_held(offset, super::Reason::DeliveryLimit);
                }
                Gone::Session(_) => self.release(offset, owner, Release::Failed),
                // A node's end is none of its messages' doing.
                Gone::Node(_) | Gone::Boots(..) => self.release(offset, owner, Release::Returned),
            }
        }
    }
}
