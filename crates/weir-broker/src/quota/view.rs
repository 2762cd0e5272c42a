//! What doors see: all quotas, replaced as a whole, and the meters of this node.

use core::net::IpAddr;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use weir_log::Clock;

use super::{
    check::address_of,
    entity::QuotaEntity,
    key::{MAX_CONNECTION_WAIT_MS, QuotaKey},
    meter::Meter,
    table::QuotaTable,
};

/// Most meters of a node, some 200 bytes each. Past it those that are new share one for each key.
const MAX_METERS_COUNT: usize = 100_000;

/// Quotas as this node knows them, and what they have come to here. A copy costs a reference count.
#[derive(Clone, Default)]
pub struct QuotaView {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    current: ArcSwap<QuotaTable>,
    clock: OnceLock<Arc<dyn Clock>>,
    /// A mutex: taken when a connection finds its meters, and not while it uses them.
    meters: Mutex<Meters>,
    throttled: [Throttled; QuotaKey::COUNT],
}

#[derive(Default)]
struct Meters {
    all: BTreeMap<MeterName, Arc<Meter>>,
    /// Past so many those are looked for that nobody needs.
    sweep_count: usize,
}

/// What a meter counts, and who share it.
pub(super) type MeterName = (QuotaKey, QuotaEntity);

#[derive(Debug, Default)]
struct Throttled {
    count: AtomicU64,
    total_ms: AtomicU64,
}

/// How often something was too much, and for how long connections were held for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaFigures {
    /// What was too much.
    pub key: QuotaKey,
    /// How often.
    pub count: u64,
    /// In ms, all connections together.
    pub total_ms: u64,
}

impl fmt::Debug for QuotaView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QuotaView({})", self.generation())
    }
}

impl QuotaView {
    /// Goes by this clock from now on; without one nothing is ever too much.
    pub(crate) fn begin(&self, clock: &Arc<dyn Clock>) {
        self.shared.clock.get_or_init(|| Arc::clone(clock));
    }

    /// As they are now, for as long as the caller keeps them.
    pub fn load(&self) -> Arc<QuotaTable> {
        self.shared.current.load_full()
    }

    /// Counts the changes.
    pub(super) fn generation(&self) -> u64 {
        self.shared.current.load().generation()
    }

    /// Shows what is new, where anything is.
    pub(crate) fn show(&self, quotas: &QuotaTable) {
        if self.generation() != quotas.generation() {
            self.shared.current.store(Arc::new(quotas.clone()));
        }
    }

    /// Shows something else from now on, by a clock: for tests of doors.
    #[doc(hidden)]
    pub fn replace(&self, quotas: &QuotaTable, clock: &Arc<dyn Clock>) {
        self.begin(clock);
        self.shared.current.store(Arc::new(quotas.clone()));
    }

    /// µs of a clock that never goes back.
    pub(super) fn now_us(&self) -> Option<i64> {
        let clock = self.shared.clock.get()?;
        i64::try_from(clock.monotonic_ns() / 1_000).ok()
    }

    fn lock(&self) -> MutexGuard<'_, Meters> {
        let meters = self.shared.meters.lock();
        meters.unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds meters by quotas of which there are no newer ones, and tells which these are.
    pub(super) fn find(&self, mut look: impl FnMut(&QuotaTable, &mut Finder<'_>)) -> u64 {
        let mut meters = self.lock();
        // Behind the lock: nobody sets an older rate later.
        let quotas = self.shared.current.load();
        let now_us = self.now_us().unwrap_or(0);
        look(
            &quotas,
            &mut Finder {
                meters: &mut meters,
                now_us,
            },
        );
        quotas.generation()
    }

    #[cfg(test)]
    pub(super) fn meter_count(&self) -> usize {
        self.lock().all.len()
    }

    /// For how long a connection from there has to wait, in ms; `None`: for too long.
    pub fn connect(&self, address: IpAddr) -> Option<u64> {
        let key = QuotaKey::ConnectionCreationRate;
        let Some(now_us) = self.now_us() else {
            return Some(0);
        };
        let entity = QuotaEntity::Ip(address_of(address));
        if self
            .shared
            .current
            .load()
            .binding_of(key, &entity)
            .is_none()
        {
            return Some(0);
        }
        let mut found = None;
        self.find(|quotas, finder| {
            let rate = quotas.binding_of(key, &entity);
            found = rate.map(|rate| finder.meter((key, entity.clone()), key.rate(rate)));
        });
        let Some(meter) = found else {
            return Some(0);
        };
        if meter.debt_ms(now_us) > MAX_CONNECTION_WAIT_MS {
            self.note(key, 0);
            return None;
        }
        let wait_ms = meter.count(now_us, 1.0);
        if wait_ms > 0 {
            self.note(key, wait_ms);
        }
        Some(wait_ms)
    }

    /// A connection is held for this, for so long.
    pub(super) fn note(&self, key: QuotaKey, held_ms: u64) {
        let throttled = &self.shared.throttled[key.at()];
        throttled.count.fetch_add(1, Relaxed);
        throttled.total_ms.fetch_add(held_ms, Relaxed);
    }

    /// What was too much so far.
    pub fn figures(&self) -> Vec<QuotaFigures> {
        let all = QuotaKey::ALL.into_iter().zip(&self.shared.throttled);
        let all = all.filter(|(key, _)| key.max_held_ms() > 0);
        let all = all.map(|(key, throttled)| QuotaFigures {
            key,
            count: throttled.count.load(Relaxed),
            total_ms: throttled.total_ms.load(Relaxed),
        });
        all.collect()
    }
}

/// Finds meters, and makes those that are not there.
pub(super) struct Finder<'a> {
    meters: &'a mut Meters,
    now_us: i64,
}

impl Finder<'_> {
    /// The meter of this name, which goes by this rate.
    pub(super) fn meter(&mut self, mut name: MeterName, rate: f64) -> Arc<Meter> {
        if !self.meters.all.contains_key(&name) && self.meters.all.len() >= self.meters.sweep_count
        {
            self.sweep();
            if self.meters.all.len() >= MAX_METERS_COUNT {
                name.1 = name.1.any();
            }
        }
        let meter = self.meters.all.entry(name);
        let meter = meter.or_insert_with(|| Arc::new(Meter::new(rate)));
        meter.set_rate(self.now_us, rate);
        Arc::clone(meter)
    }

    /// Forgets those that nobody has and that a new one would be no different from.
    fn sweep(&mut self) {
        let now_us = self.now_us;
        let all = &mut self.meters.all;
        all.retain(|_, meter| Arc::strong_count(meter) > 1 || !meter.is_rested(now_us));
        self.meters.sweep_count = (2 * all.len()).clamp(16, MAX_METERS_COUNT);
    }
}
