//! Publishers that wait while there is no room, or because they have sent too much. They are told as RabbitMQ tells
//! them: who publishes nothing hears nothing, and is not held up.

use weir_model::fields::ShortString;

use super::channel::Link;
use crate::codec::method;

/// Bytes of requests that a blocked connection may have under way: past it nothing is read of it. A
/// client that stops publishing when it is told can still settle and close on the same connection.
pub(super) const MAX_BLOCKED_BYTES: usize = 16 << 10;
/// Why a connection waits that has sent too much.
const HELD: &str = "over its quota";

/// Whether the connection's messages wait for room.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    /// Why publishers wait; `None`: they need not.
    reason: Option<&'static str>,
    /// The connection has published in spite of it, or its messages were under way.
    is_blocked: bool,
    /// It has sent too much, and is to be told so.
    is_held: bool,
}

impl Alarm {
    /// Whether the connection is one of those that wait for room.
    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked
    }
}

impl Link {
    /// Publishing is to pause, for this reason; `None`: it may go on.
    pub(super) fn set_alarm(&mut self, reason: Option<&'static str>) {
        self.alarm.reason = reason;
        match reason {
            Some(_) if self.asks.is_publishing() => self.note_publish(),
            Some(_) => {}
            None => {
                let was_blocked = std::mem::take(&mut self.alarm.is_blocked);
                if was_blocked && !self.alarm.is_held {
                    self.tell_unblocked();
                }
            }
        }
    }

    /// A message has come.
    pub(super) fn note_publish(&mut self) {
        let Some(reason) = self.alarm.reason else {
            return;
        };
        let was_blocked = std::mem::replace(&mut self.alarm.is_blocked, true);
        if !was_blocked && !self.alarm.is_held {
            self.tell_blocked(reason);
        }
    }

    /// The connection has sent too much, or may go on.
    pub(super) fn set_held(&mut self, is_held: bool) {
        self.alarm.is_held = is_held;
        match is_held {
            _ if self.alarm.is_blocked => {}
            true => self.tell_blocked(HELD),
            false => self.tell_unblocked(),
        }
    }

    fn tell_blocked(&mut self, reason: &str) {
        if self.client.connection_blocked {
            let blocked = method::ConnectionBlocked {
                reason: ShortString::new(reason).unwrap_or_default(),
            };
            self.outbox.method(0, &blocked.into());
        }
    }

    fn tell_unblocked(&mut self) {
        if self.client.connection_blocked {
            self.outbox
                .method(0, &method::ConnectionUnblocked {}.into());
        }
    }
}
