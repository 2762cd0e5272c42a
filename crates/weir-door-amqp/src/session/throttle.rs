//! Connections over their quotas. Of one that publishes too much nothing is read for a while; where that takes longer
//! than a moment, a client that understands it hears `connection.blocked`. One that is given too much is given the
//! next messages later.

use weir_broker::quota::{Caller, ConnectionMeters, QuotaKey, QuotaView};
use weir_door::Millis;

use super::channel::Link;

/// A client that is held for this long is told so, in ms.
const TELL_AFTER_MS: u64 = 500;
/// It hears that it may go on after this long in which it was not held, in ms: not with every message.
const QUIET_MS: u64 = 200;
/// Time between two looks at whether quotas have changed, in ms.
const LOOK_MS: u64 = 1_000;
/// Longest name of a client that is looked at, in bytes.
const MAX_CLIENT_BYTES: usize = 255;

/// What a connection has had, and what it waits for.
#[derive(Debug)]
pub(super) struct Throttle {
    meters: ConnectionMeters,
    client: String,
    vhost: String,
    /// Until when what it has sent is too much.
    until: Option<Millis>,
    /// Since when, short pauses aside.
    since: Option<Millis>,
    /// The pause that there is now.
    paused: Option<Millis>,
    /// It has sent more meanwhile: nothing is read.
    is_holding: bool,
    /// It was told.
    is_told: bool,
    /// When more may follow what it was given, and how many bytes.
    owed: Option<(Millis, usize)>,
    /// When to look at all that.
    look_at: Option<Millis>,
}

impl Throttle {
    pub(super) fn new(view: &QuotaView) -> Self {
        Self {
            meters: ConnectionMeters::new(view.clone()),
            client: String::new(),
            vhost: String::new(),
            until: None,
            since: None,
            paused: None,
            is_holding: false,
            is_told: false,
            owed: None,
            look_at: None,
        }
    }

    /// What the client calls itself.
    pub(super) fn name_client(&mut self, name: &[u8]) {
        let name = String::from_utf8_lossy(name);
        self.client = name[..name.floor_char_boundary(MAX_CLIENT_BYTES)].to_owned();
        self.meters.forget();
    }

    /// It is a user's, in a virtual host.
    pub(super) fn enter(&mut self, vhost: &str) {
        vhost.clone_into(&mut self.vhost);
        self.meters.forget();
    }

    /// Nothing is read.
    pub(super) fn is_holding(&self) -> bool {
        self.is_holding
    }

    /// Whether the time that it keeps a core busy is limited.
    pub(super) fn is_timed(&self) -> bool {
        self.meters.is_limited(QuotaKey::RequestPercentage)
    }

    /// When [`Link::look_at_quotas`] is due.
    pub(super) fn due(&self) -> Option<Millis> {
        self.look_at
    }

    fn is_over(&self, now: Millis) -> bool {
        self.until.is_some_and(|until| until > now)
    }

    fn ask<T>(
        &mut self,
        user: &str,
        ask: impl FnOnce(&mut ConnectionMeters, Caller<'_>) -> T,
    ) -> T {
        let caller = Caller {
            user,
            client: &self.client,
            vhost: Some(&*self.vhost).filter(|vhost| !vhost.is_empty()),
        };
        ask(&mut self.meters, caller)
    }

    /// What it has sent is too much for so long.
    fn exceed(&mut self, now: Millis, held_ms: u64) {
        if held_ms > 0 {
            let until = now.plus(held_ms);
            self.until = Some(self.until.map_or(until, |before| before.max(until)));
            self.since.get_or_insert(now);
            self.paused = None;
        }
    }

    fn is_to_be_told(&self, now: Millis) -> bool {
        let is_long = |until: Millis| {
            let since = self.since.unwrap_or(now);
            until.since(since) >= TELL_AFTER_MS && until > now
        };
        !self.is_told && self.until.is_some_and(is_long)
    }

    fn plan(&mut self, now: Millis) {
        let soon = now.plus(LOOK_MS);
        let until = self.until.map(|until| until.min(soon));
        let paused = self.paused.map(|since| since.plus(QUIET_MS));
        let owed = self.owed.map(|(at, _)| at.min(soon));
        self.look_at = [until, paused, owed].into_iter().flatten().min();
    }
}

impl Link {
    /// A message has come, or one was asked for.
    pub(super) fn count_sent(&mut self, key: QuotaKey, bytes: usize) {
        let now = self.now;
        let was_over = self.throttle.is_over(now);
        let held_ms = self.throttle.ask(self.user.as_str(), |meters, caller| {
            meters.count(key, caller, bytes)
        });
        if held_ms == 0 {
            return;
        }
        self.throttle.exceed(now, held_ms);
        // One that stops when it is told can still settle and close.
        self.throttle.is_holding |= was_over;
        self.tell_held();
    }

    /// The client is bound by the quotas that there are now.
    pub(super) fn know_quotas(&mut self) {
        self.throttle
            .ask(self.user.as_str(), |meters, caller| meters.refresh(caller));
    }

    /// The connection has kept a core busy for so long.
    pub(super) fn count_busy(&mut self, busy_us: u64) {
        let busy_us = usize::try_from(busy_us).unwrap_or(usize::MAX);
        let key = QuotaKey::RequestPercentage;
        let held_ms = self.throttle.ask(self.user.as_str(), |meters, caller| {
            meters.count(key, caller, busy_us)
        });
        if held_ms > 0 {
            self.throttle.exceed(self.now, held_ms);
            self.throttle.is_holding = true;
            self.throttle.plan(self.now);
        }
    }

    /// Records have left. Gives the bytes for which others may follow now.
    pub(super) fn count_delivered(&mut self, bytes: usize) -> usize {
        let key = QuotaKey::ConsumerByteRate;
        let held_ms = self.throttle.ask(self.user.as_str(), |meters, caller| {
            meters.count(key, caller, bytes)
        });
        let (_, owed_bytes) = self.throttle.owed.take().unwrap_or_default();
        let owed_bytes = owed_bytes + bytes;
        if held_ms == 0 {
            return owed_bytes;
        }
        self.throttle.owed = Some((self.now.plus(held_ms), owed_bytes));
        self.throttle.plan(self.now);
        0
    }

    fn tell_held(&mut self) {
        if self.throttle.is_to_be_told(self.now) {
            self.throttle.is_told = true;
            self.set_held(true);
        }
        self.throttle.plan(self.now);
    }

    /// Lets the connection go on where it has waited, or where quotas have changed so that it need not.
    pub(super) fn look_at_quotas(&mut self) {
        let now = self.now;
        if self.throttle.look_at.is_none_or(|at| at > now) {
            return;
        }
        if self.throttle.meters.is_stale() {
            self.weigh_anew();
        }
        let throttle = &mut self.throttle;
        if throttle.until.take_if(|until| *until <= now).is_some() {
            throttle.is_holding = false;
            throttle.paused = Some(now);
        }
        let is_over = |since: &mut Millis| since.plus(QUIET_MS) <= now;
        if throttle.paused.take_if(is_over).is_some() {
            throttle.since = None;
            if std::mem::take(&mut throttle.is_told) {
                self.set_held(false);
            }
        }
        if let Some((_, bytes)) = self.throttle.owed.take_if(|(at, _)| *at <= now)
            && let Some(session) = &self.asks.session
        {
            session.note_sent(bytes);
        }
        self.tell_held();
    }

    /// By the quotas that there are now.
    fn weigh_anew(&mut self) {
        let debt = |throttle: &mut Throttle, key| {
            throttle.ask(self.user.as_str(), |meters, caller| {
                meters.debt_ms(key, caller)
            })
        };
        let published_ms = debt(&mut self.throttle, QuotaKey::ProducerByteRate);
        let busy_ms = debt(&mut self.throttle, QuotaKey::RequestPercentage);
        let given_ms = debt(&mut self.throttle, QuotaKey::ConsumerByteRate);
        if let Some(until) = &mut self.throttle.until {
            *until = self.now.plus(published_ms.max(busy_ms));
        }
        if let Some((at, _)) = &mut self.throttle.owed {
            *at = self.now.plus(given_ms);
        }
    }
}
