//! Publishers that wait while there is no room. They are told as RabbitMQ tells them: who publishes
//! nothing hears nothing, and is not held up.

use weir_model::fields::ShortString;

use super::channel::Link;
use crate::codec::method;

/// Bytes of requests that a blocked connection may have under way: past it nothing is read of it. A
/// client that stops publishing when it is told can still settle and close on the same connection.
pub(super) const MAX_BLOCKED_BYTES: usize = 16 << 10;

/// Whether the connection's messages wait for room.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    /// Why publishers wait; `None`: they need not.
    reason: Option<&'static str>,
    /// The connection has published in spite of it, or its messages were under way.
    is_blocked: bool,
}

impl Alarm {
    /// Whether the connection is one of those that wait.
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
                if was_blocked && self.client.connection_blocked {
                    self.outbox
                        .method(0, &method::ConnectionUnblocked {}.into());
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
        if !was_blocked && self.client.connection_blocked {
            let blocked = method::ConnectionBlocked {
                reason: ShortString::new(reason).unwrap_or_default(),
            };
            self.outbox.method(0, &blocked.into());
        }
    }
}
