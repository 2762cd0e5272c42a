//! A client that has had too much: it is answered, and then nothing more is read of it for a while (KIP-13, KIP-219).

use weir_broker::{
    api::{Outcome, Request},
    quota::{Caller, ConnectionMeters, QuotaKey, QuotaView},
};
use weir_door::Millis;

/// Time between two looks at whether quotas have changed, while the client is held, in ms.
const LOOK_MS: u64 = 1_000;

/// What a connection has had, and for how long it is held.
#[derive(Debug)]
pub(super) struct Throttle {
    meters: ConnectionMeters,
    /// Until when nothing is read, and when that is looked at again.
    held: Option<(Millis, Millis)>,
}

impl Throttle {
    pub(super) fn new(view: &QuotaView) -> Self {
        Self {
            meters: ConnectionMeters::new(view.clone()),
            held: None,
        }
    }

    /// It is another's, or calls itself something else.
    pub(super) fn forget(&mut self) {
        self.meters.forget();
    }

    /// Nothing more is read.
    pub(super) fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// For how long still, as answers tell it.
    pub(super) fn left_ms(&self, now: Millis) -> i32 {
        let left_ms = self.held.map_or(0, |(until, _)| until.since(now));
        i32::try_from(left_ms).unwrap_or(i32::MAX)
    }

    /// Holds it for so long, or longer where that was so.
    fn hold(&mut self, now: Millis, held_ms: u64) {
        if held_ms > 0 {
            let until = now.plus(held_ms);
            let until = self.held.map_or(until, |(before, _)| before.max(until));
            self.held = Some((until, until.min(now.plus(LOOK_MS))));
        }
    }

    /// Counts what it has sent or was given.
    pub(super) fn count(&mut self, now: Millis, key: QuotaKey, caller: Caller<'_>, bytes: usize) {
        let held_ms = self.meters.count(key, caller, bytes);
        self.hold(now, held_ms);
    }

    /// Lets a request of records ask for no more than what can be given. `false`: too much was given already, and
    /// there is nothing for it now.
    pub(super) fn admits(&mut self, now: Millis, caller: Caller<'_>, asked: &mut Request) -> bool {
        let Request::Fetch(fetch) = asked else {
            return true;
        };
        let key = QuotaKey::ConsumerByteRate;
        if let Some(window_bytes) = self.meters.window(key, caller) {
            fetch.max_bytes = fetch.max_bytes.min(window_bytes);
            fetch.min_bytes = fetch.min_bytes.min(window_bytes);
            self.count(now, key, caller, 0);
        }
        !self.is_holding()
    }

    /// Counts the records of an answer.
    pub(super) fn given(&mut self, now: Millis, caller: Caller<'_>, outcome: &Outcome) {
        let bytes = match outcome {
            Outcome::Fetch(all) => {
                let all = all.iter().filter_map(|one| one.batches.as_ref().ok());
                all.map(|batches| batches.size_bytes).sum()
            }
            Outcome::Share(Ok(answer)) => {
                let all = answer.partitions.iter();
                let all = all.filter_map(|one| one.batches.as_ref().ok());
                all.map(|batches| batches.size_bytes).sum()
            }
            _ => 0,
        };
        if bytes > 0 {
            self.count(now, QuotaKey::ConsumerByteRate, caller, bytes);
        }
    }

    /// When [`Self::look`] is due.
    pub(super) fn due(&self) -> Option<Millis> {
        self.held.map(|(_, look)| look)
    }

    /// Lets the client go on where it has waited, or where quotas have changed so that it need not.
    pub(super) fn look(&mut self, now: Millis, caller: Caller<'_>) {
        let Some((until, _)) = self.held.take_if(|(_, look)| *look <= now) else {
            return;
        };
        let mut left_ms = until.since(now);
        if left_ms > 0 && self.meters.is_stale() {
            let debts = QuotaKey::ALL.map(|key| self.meters.debt_ms(key, caller));
            left_ms = debts.into_iter().max().unwrap_or(0);
        }
        self.hold(now, left_ms);
    }
}
