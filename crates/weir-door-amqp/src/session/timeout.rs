//! Deliveries that a client has had for too long without settling them: their channel ends, as it
//! does in RabbitMQ, and they are ready again.

use std::sync::Arc;

use weir_door::Millis;
use weir_model::fields::{FieldTable, FieldValue, ShortString};

use super::{
    channel::{Channel, Link},
    connection::{AmqpSession, Stage},
};
use crate::wire_code::{Failure, ReplyCode};

/// Longest time between two looks at what is not settled, in ms: policies may have changed.
const LOOK_MS: u64 = 60_000;
/// The consumer's argument.
const ARGUMENT: &str = "x-consumer-timeout";

/// Where deliveries come from, which says how long a client may have them.
#[derive(Debug, Default)]
pub(super) struct Origin {
    queue: ShortString,
    /// What the consumer asked for, in ms.
    own_ms: Option<u64>,
    /// Time from a delivery until it has to be looked at, in ms.
    look_ms: u64,
}

impl Link {
    /// Where deliveries of this queue come from, to a consumer with these arguments.
    pub(super) fn origin(&self, queue: &ShortString, arguments: &FieldTable) -> Arc<Origin> {
        let own_ms = arguments.get(ARGUMENT).and_then(FieldValue::as_int);
        let mut origin = Origin {
            queue: queue.clone(),
            own_ms: own_ms.and_then(|own_ms| u64::try_from(own_ms).ok()),
            look_ms: LOOK_MS,
        };
        if let Some(timeout_ms) = self.timeout_ms(&origin) {
            origin.look_ms = timeout_ms.min(LOOK_MS);
        }
        Arc::new(origin)
    }

    /// The consumer's argument counts, else what the queue and its policies say, else the setting.
    fn timeout_ms(&self, origin: &Origin) -> Option<u64> {
        let of_queue = || {
            let session = self.asks.session.as_ref()?;
            session.consumer_timeout_ms(&origin.queue)
        };
        origin.own_ms.or_else(of_queue).or(self.consumer_timeout_ms)
    }

    /// Something was delivered that has to be settled.
    pub(super) fn note_delivered(&mut self, origin: &Origin) {
        self.look_by(self.now.plus(origin.look_ms));
    }

    fn look_by(&mut self, at: Millis) {
        self.look_at = Some(self.look_at.map_or(at, |before| before.min(at)));
    }
}

impl Channel {
    /// Fails where something was due to be settled.
    fn look_for_timeouts(&mut self, link: &mut Link) -> Result<(), Failure> {
        let mut known: Option<(&Arc<Origin>, Option<u64>)> = None;
        let mut next = None;
        for delivery in self.unacked.all() {
            let timeout_ms = match known {
                Some((origin, timeout_ms)) if Arc::ptr_eq(origin, &delivery.origin) => timeout_ms,
                Some(_) | None => link.timeout_ms(&delivery.origin),
            };
            known = Some((&delivery.origin, timeout_ms));
            let due = delivery.since.plus(timeout_ms.unwrap_or(u64::MAX));
            if let Some(timeout_ms) = timeout_ms
                && due <= link.now
            {
                return Err(timed_out(self.number, timeout_ms));
            }
            next = Some(next.map_or(due, |next: Millis| next.min(due)));
        }
        if let Some(next) = next {
            link.look_by(next.min(link.now.plus(LOOK_MS)));
        }
        Ok(())
    }
}

impl AmqpSession {
    /// When deliveries have to be looked at.
    pub(super) fn look_due(&self) -> Option<Millis> {
        self.link.look_at.filter(|_| self.stage == Stage::Running)
    }

    pub(super) fn look_for_timeouts(&mut self) {
        if self.look_due().is_none_or(|at| at > self.link.now) {
            return;
        }
        self.link.look_at = None;
        let numbers: Vec<u16> = self.channels.keys().copied().collect();
        for number in numbers {
            self.on_channel(number, Channel::look_for_timeouts);
        }
    }
}

/// In RabbitMQ's words.
fn timed_out(channel: u16, timeout_ms: u64) -> Failure {
    let text = format!(
        "delivery acknowledgement on channel {channel} timed out. Timeout value used: {timeout_ms} ms. \
         This timeout value can be configured, see consumers doc guide to learn more"
    );
    Failure::new(ReplyCode::PreconditionFailed, text)
}
