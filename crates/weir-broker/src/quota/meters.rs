//! A connection's meters: found once, and again where quotas or who it is have changed.

use std::{collections::BTreeMap, sync::Arc};

use weir_model::TopicName;

use super::{
    entity::{Named, QuotaEntity},
    key::QuotaKey,
    meter::Meter,
    table::QuotaTable,
    view::{Finder, QuotaView},
};

/// Most topics whose meters a connection keeps; past it it finds them anew.
const MAX_TOPICS_COUNT: usize = 1_000;

/// Who a connection is.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// By the name that ACLs know.
    pub user: &'a str,
    /// What it calls itself.
    pub client: &'a str,
    /// The virtual host that it is in.
    pub vhost: Option<&'a str>,
}

/// What a connection's use of one thing is counted in.
#[derive(Debug, Default)]
struct Found {
    /// Of the user or the client.
    own: Option<Arc<Meter>>,
    /// Of the virtual host.
    vhost: Option<Arc<Meter>>,
}

/// One connection's meters.
#[derive(Debug)]
pub struct ConnectionMeters {
    view: QuotaView,
    /// Of the quotas by which they were found.
    generation: Option<u64>,
    found: [Found; QuotaKey::COUNT],
    /// Some topic is bound.
    has_topics: bool,
    /// Those of topics that it has used.
    topics: BTreeMap<(QuotaKey, TopicName), Option<Arc<Meter>>>,
}

impl Found {
    fn all(&self) -> impl Iterator<Item = &Meter> {
        let all = self.own.iter().chain(&self.vhost);
        all.map(|meter| &**meter)
    }

    fn is_empty(&self) -> bool {
        self.own.is_none() && self.vhost.is_none()
    }
}

impl ConnectionMeters {
    /// Of a connection that has used nothing.
    pub fn new(view: QuotaView) -> Self {
        Self {
            view,
            generation: None,
            found: Default::default(),
            has_topics: false,
            topics: BTreeMap::new(),
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

    /// Finds them, where they are not found yet.
    pub fn refresh(&mut self, caller: Caller<'_>) {
        if !self.is_stale() {
            return;
        }
        self.topics.clear();
        let (found, has_topics) = (&mut self.found, &mut self.has_topics);
        let generation = self.view.find(|quotas, finder| {
            for key in QuotaKey::ALL {
                let vhost = caller.vhost.map(|vhost| Named::of(Some(vhost)));
                let vhost =
                    vhost.and_then(|vhost| single(quotas, finder, key, QuotaEntity::Vhost(vhost)));
                let own = own(quotas, finder, key, caller);
                found[key.at()] = Found { own, vhost };
            }
            *has_topics = quotas.has_topics();
        });
        self.generation = Some(generation);
    }

    /// Counts so much of something, and tells for how long that is too much, in ms: the connection is held for it.
    pub fn count(&mut self, key: QuotaKey, caller: Caller<'_>, amount: usize) -> u64 {
        let held_ms = self.add(key, caller, amount);
        if held_ms > 0 {
            self.view.note(key, held_ms);
        }
        held_ms
    }

    /// As [`Self::count`], of what the connection is not held for.
    pub fn add(&mut self, key: QuotaKey, caller: Caller<'_>, amount: usize) -> u64 {
        self.longest(key, caller, |meter, now_us| {
            meter.count(now_us, amount as f64)
        })
    }

    /// For how long there was too much of something already, in ms.
    pub fn debt_ms(&mut self, key: QuotaKey, caller: Caller<'_>) -> u64 {
        self.longest(key, caller, Meter::debt_ms)
    }

    /// Whether any topic is bound.
    pub fn has_topics(&mut self, caller: Caller<'_>) -> bool {
        self.refresh(caller);
        self.has_topics
    }

    /// Counts what was written to a topic or read from it, and tells for how long that is too much, in ms.
    pub fn count_of_topic(&mut self, key: QuotaKey, topic: &TopicName, amount: usize) -> u64 {
        let Some(now_us) = self.view.now_us() else {
            return 0;
        };
        let meter = self.meter_of_topic(key, topic);
        let held_ms = meter.map_or(0, |meter| meter.count(now_us, amount as f64));
        let held_ms = held_ms.min(key.max_held_ms());
        if held_ms > 0 {
            self.view.note(key, held_ms);
        }
        held_ms
    }

    fn meter_of_topic(&mut self, key: QuotaKey, topic: &TopicName) -> Option<&Arc<Meter>> {
        if self.topics.len() >= MAX_TOPICS_COUNT {
            self.topics.clear();
        }
        let view = &self.view;
        let found = self.topics.entry((key, topic.clone()));
        let found = found.or_insert_with(|| {
            let entity = QuotaEntity::Topic(Named::of(Some(topic.as_str())));
            let mut found = None;
            view.find(|quotas, finder| found = single(quotas, finder, key, entity.clone()));
            found
        });
        found.as_ref()
    }

    fn longest(
        &mut self,
        key: QuotaKey,
        caller: Caller<'_>,
        ask: impl Fn(&Meter, i64) -> u64,
    ) -> u64 {
        self.refresh(caller);
        let found = &self.found[key.at()];
        if found.is_empty() {
            return 0;
        }
        let Some(now_us) = self.view.now_us() else {
            return 0;
        };
        let longest = found.all().map(|meter| ask(meter, now_us)).max();
        longest.unwrap_or(0).min(key.max_held_ms())
    }

    /// Whether there is a limit, as far as was found.
    pub fn is_limited(&self, key: QuotaKey) -> bool {
        !self.found[key.at()].is_empty()
    }

    /// Most of something that is not always too much; `None`: there is no limit.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and the number is above 0"
    )]
    pub fn window(&mut self, key: QuotaKey, caller: Caller<'_>) -> Option<usize> {
        self.refresh(caller);
        let all = self.found[key.at()].all();
        let least = all.map(Meter::window).reduce(f64::min)?;
        Some((least as usize).max(1))
    }
}

fn own(
    quotas: &QuotaTable,
    finder: &mut Finder<'_>,
    key: QuotaKey,
    caller: Caller<'_>,
) -> Option<Arc<Meter>> {
    let (rate, sharers) = quotas.binding(key, caller.user, caller.client)?;
    Some(finder.meter((key, sharers), key.rate(rate)))
}

/// Of what is bound by itself, such as a virtual host.
fn single(
    quotas: &QuotaTable,
    finder: &mut Finder<'_>,
    key: QuotaKey,
    entity: QuotaEntity,
) -> Option<Arc<Meter>> {
    let rate = quotas.binding_of(key, &entity)?;
    Some(finder.meter((key, entity), key.rate(rate)))
}
