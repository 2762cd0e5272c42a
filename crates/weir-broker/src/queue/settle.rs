//! What becomes of deliveries.

use weir_ledger::{Acquired, OwnerId, Release};
use weir_raft::Stamp;

use super::{Queue, SessionKey, dead::Reason, delays::Until};
use crate::api::queues::Settlement;

/// Part of a wait by which messages that failed together come back apart: one out of so many.
const JITTER_PARTS: u64 = 10;

impl Queue {
    /// Deliveries that are not the session's any more are passed over.
    pub(super) fn settle(
        &mut self,
        at: Stamp,
        session: &SessionKey,
        deliveries: &[(u64, u64, Settlement)],
    ) {
        for (offset, serial, settlement) in deliveries {
            let Some(held) = self.held_by_session(*offset, *serial, session) else {
                continue;
            };
            let owner = held.lock.owner;
            match settlement {
                Settlement::Ack => self.drop_held(*offset),
                Settlement::Reject => self.bury_held(*offset, Reason::Rejected),
                Settlement::Requeue => self.release(*offset, owner, Release::Returned),
                Settlement::RequeueFailed => self.fail(at, *offset, &held),
            }
        }
    }

    fn held_by_session(&self, offset: u64, serial: u64, session: &SessionKey) -> Option<Acquired> {
        let held = *self.ledger.held(offset)?;
        let holder = self.consumers.holder(held.lock.owner)?;
        (held.serial == serial && holder.session == *session).then_some(held)
    }

    pub(super) fn release(&mut self, offset: u64, owner: OwnerId, how: Release) {
        if self.ledger.release(offset, owner, how).is_ok() {
            self.sizes.returned(offset);
            self.let_be(owner);
        }
    }

    /// It has failed once more: it comes back, now or later, or it is dead.
    pub(super) fn fail(&mut self, at: Stamp, offset: u64, held: &Acquired) {
        let owner = held.lock.owner;
        if self.is_over_limit(held) {
            return self.bury_held(offset, Reason::DeliveryLimit);
        }
        let Some(wait_ms) = self.retry_wait_ms(held) else {
            return self.release(offset, owner, Release::Failed);
        };
        let until = Until::Group(at.elapsed.after(wait_ms));
        if self
            .ledger
            .hand_over(offset, owner, Release::Failed, until.lock())
            .is_ok()
        {
            self.delays.note(offset, until);
            self.let_be(owner);
        }
    }

    /// Whether the message, which fails once more, has failed more often than it may.
    pub(super) fn is_over_limit(&self, held: &Acquired) -> bool {
        let limit = self.settings.delivery_limit_count;
        limit.is_some_and(|limit| held.tries.failed_count >= limit)
    }

    /// Doubled with each failure, within bounds; a little more for some than for others, by a
    /// number that is the same on every replica.
    fn retry_wait_ms(&self, held: &Acquired) -> Option<u64> {
        let (min_ms, max_ms) = self.settings.retry_delay_ms?;
        let doublings = held.tries.failed_count.min(u64::BITS - 1);
        let wait_ms = min_ms
            .saturating_mul(1 << doublings)
            .min(max_ms.max(min_ms));
        let scattered = held.serial.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> u32::BITS;
        Some(wait_ms.saturating_add(scattered % (wait_ms / JITTER_PARTS + 1)))
    }
}
