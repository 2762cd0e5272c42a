//! Signs of life in both directions.

use weir_door::Millis;

/// A peer that sends nothing for this many of its intervals is gone.
const MAX_MISSED_COUNT: u64 = 2;

/// When the last bytes went and came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heartbeat {
    /// 0: nobody watches.
    interval_ms: u64,
    sent: Millis,
    received: Millis,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    Nothing,
    /// A sign of life.
    Send,
    /// The peer is gone.
    Lost,
}

impl Heartbeat {
    pub(super) fn off() -> Self {
        Self {
            interval_ms: 0,
            sent: Millis(0),
            received: Millis(0),
        }
    }

    pub(super) fn start(now: Millis, interval_s: u16) -> Self {
        Self {
            interval_ms: u64::from(interval_s) * 1000,
            sent: now,
            received: now,
        }
    }

    pub(super) fn note_sent(&mut self, now: Millis) {
        self.sent = now;
    }

    pub(super) fn note_received(&mut self, now: Millis) {
        self.received = now;
    }

    pub(super) fn due(&self) -> Option<Millis> {
        (self.interval_ms > 0).then(|| self.send_due().min(self.lost_due()))
    }

    /// What is due now. `reads`: whether the peer's bytes are taken at all.
    pub(super) fn beat(&mut self, now: Millis, reads: bool) -> Beat {
        if self.interval_ms == 0 {
            return Beat::Nothing;
        }
        if !reads {
            self.received = now;
        }
        if self.lost_due() <= now {
            Beat::Lost
        } else if self.send_due() <= now {
            Beat::Send
        } else {
            Beat::Nothing
        }
    }

    fn send_due(&self) -> Millis {
        self.sent.plus((self.interval_ms / 2).max(1))
    }

    fn lost_due(&self) -> Millis {
        self.received.plus(self.interval_ms * MAX_MISSED_COUNT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_interval_of_silence_is_ended_by_a_beat_and_two_of_the_peers_end_it() {
        let mut heartbeat = Heartbeat::start(Millis(0), 10);
        assert_eq!(heartbeat.due(), Some(Millis(5000)));
        assert_eq!(heartbeat.beat(Millis(4999), true), Beat::Nothing);
        assert_eq!(heartbeat.beat(Millis(5000), true), Beat::Send);
        heartbeat.note_sent(Millis(19_000));
        assert_eq!(heartbeat.due(), Some(Millis(20_000)));
        assert_eq!(heartbeat.beat(Millis(19_999), true), Beat::Nothing);
        assert_eq!(heartbeat.beat(Millis(20_000), true), Beat::Lost);
    }

    #[test]
    fn a_peer_that_is_not_read_is_not_missed() {
        let mut heartbeat = Heartbeat::start(Millis(0), 10);
        assert_eq!(heartbeat.beat(Millis(20_000), false), Beat::Send);
        assert_eq!(Heartbeat::start(Millis(0), 0).due(), None);
    }
}
