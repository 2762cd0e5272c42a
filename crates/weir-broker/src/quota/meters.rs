//! A connection's meters: found once, and again where quotas or who it is have changed.

use std::sync::Arc;

use super::{
    key::QuotaKey,
    meter::{MAX_THROTTLE_MS, Meter},
    table::{QuotaTable, Sharing},
    view::{Finder, MeterName, QuotaView},
};

/// Who a connection is.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// By the name that ACLs know.
    pub user: &'a str,
    /// What it calls itself.
    pub client: &'a str,
}

/// One connection's meters.
#[derive(Debug)]
pub struct ConnectionMeters {
    view: QuotaView,
    /// Of the quotas by which they were found.
    generation: Option<u64>,
    found: [Option<Arc<Meter>>; QuotaKey::COUNT],
}

impl ConnectionMeters {
    /// Of a connection that has used nothing.
    pub fn new(view: QuotaView) -> Self {
        Self {
            view,
            generation: None,
            found: Default::default(),
        }
    }

    /// The connection is another's, or calls itself something else.
    pub fn forget(&mut self) {
        self.generation = None;
    }

    /// Whether quotas have changed since the meters were found.
    pub fn is_stale(&self) -> bool {
        self.generation != Some(self.view.generation())
    }

    fn refresh(&mut self, caller: Caller<'_>) {
        if !self.is_stale() {
            return;
        }
        let found = &mut self.found;
        let generation = self.view.find(|quotas, finder| {
            for key in QuotaKey::ALL {
                found[key.at()] = found_in(quotas, finder, key, caller);
            }
        });
        self.generation = Some(generation);
    }

    /// Counts so much of something, and tells for how long that is too much, in ms.
    pub fn count(&mut self, key: QuotaKey, caller: Caller<'_>, amount: usize) -> u64 {
        self.refresh(caller);
        let Some(meter) = &self.found[key.at()] else {
            return 0;
        };
        let Some(now_us) = self.view.now_us() else {
            return 0;
        };
        let held_ms = meter.count(now_us, amount as f64).min(MAX_THROTTLE_MS);
        if held_ms > 0 {
            self.view.note(key, held_ms);
        }
        held_ms
    }

    /// For how long there was too much of something already, in ms.
    pub fn debt_ms(&mut self, key: QuotaKey, caller: Caller<'_>) -> u64 {
        self.refresh(caller);
        let meter = self.found[key.at()].as_ref();
        let debt = meter.zip(self.view.now_us());
        debt.map_or(0, |(meter, now_us)| {
            meter.debt_ms(now_us).min(MAX_THROTTLE_MS)
        })
    }

    /// Most of something that is not always too much; `None`: there is no limit.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and the number is above 0"
    )]
    pub fn window(&mut self, key: QuotaKey, caller: Caller<'_>) -> Option<usize> {
        self.refresh(caller);
        let meter = self.found[key.at()].as_ref()?;
        Some((meter.window() as usize).max(1))
    }
}

fn found_in(
    quotas: &QuotaTable,
    finder: &mut Finder<'_>,
    key: QuotaKey,
    caller: Caller<'_>,
) -> Option<Arc<Meter>> {
    let (rate, sharing) = quotas.binding(key, caller.user, caller.client)?;
    let (user, client) = match sharing {
        Sharing::UserClient => (Some(caller.user), Some(caller.client)),
        Sharing::User => (Some(caller.user), None),
        Sharing::Client => (None, Some(caller.client)),
    };
    let name = MeterName {
        key,
        user: user.map(Into::into),
        client: client.map(Into::into),
    };
    Some(finder.meter(name, rate))
}
