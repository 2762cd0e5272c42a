//! Where a message goes: from exchange to exchange, each of them once, to queues, each of them once.

use std::{borrow::Cow, collections::BTreeSet};

use weir_model::fields::{BasicProperties, FieldTable, FieldValue, ShortString};

use super::{
    consistent,
    fields::table_bytes,
    index::{Exchange, Index, bound_by},
    record::{ExchangeId, QueueId, Target, VhostRecord, text},
    state::Routing,
};
use crate::api::queues::{ExchangeKind, Refused};

/// Headers that name more routing keys.
const MORE_KEYS: [&str; 2] = ["CC", "BCC"];

/// What routing needs besides: chance, and what this node is.
pub(crate) trait Surroundings {
    /// A number by chance.
    fn random(&self) -> u64;
    /// Whether this node leads the queue.
    fn is_local(&self, queue: QueueId) -> bool;
}

/// A message as exchanges see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addressed<'a> {
    pub(crate) exchange: &'a ShortString,
    pub(crate) routing_key: &'a ShortString,
    pub(crate) properties: &'a BasicProperties,
}

/// Where a message goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RoutedTo {
    /// Ascending; empty where no queue takes it.
    pub(crate) queues: Vec<QueueId>,
    /// How long it waits before, in ms: of `x-delayed-message`.
    pub(crate) delay_ms: u64,
}

impl Routing {
    /// Where a client's message goes.
    pub(crate) fn route(
        &self,
        vhost: &VhostRecord,
        message: &Addressed<'_>,
        around: &dyn Surroundings,
    ) -> Result<RoutedTo, Refused> {
        let found = self.exchange(vhost.id, message.exchange);
        let start = found.ok_or_else(|| Refused::NoExchange {
            name: message.exchange.clone(),
            vhost: vhost.name.clone(),
        })?;
        if start.record.is_internal {
            return Err(Refused::Access(format!(
                "cannot publish to internal exchange '{}' in vhost '{}'",
                message.exchange, vhost.name
            )));
        }
        Ok(RoutedTo {
            queues: self.queues_from(start, message, around),
            delay_ms: delay_ms(start, message.properties.headers.as_ref()),
        })
    }

    /// Where a dead letter goes, of whose exchange nobody is told that it is not there.
    pub(crate) fn route_letter(
        &self,
        vhost: &VhostRecord,
        message: &Addressed<'_>,
        around: &dyn Surroundings,
    ) -> RoutedTo {
        let Some(start) = self.exchange(vhost.id, message.exchange) else {
            return RoutedTo::default();
        };
        RoutedTo {
            queues: self.queues_from(start, message, around),
            delay_ms: delay_ms(start, message.properties.headers.as_ref()),
        }
    }

    fn queues_from(
        &self,
        start: &Exchange,
        message: &Addressed<'_>,
        around: &dyn Surroundings,
    ) -> Vec<QueueId> {
        let keys = routing_keys(message);
        let mut queues = Vec::new();
        let mut seen = BTreeSet::new();
        let (mut at, mut open) = (Some(start), Vec::new());
        while let Some(exchange) = at {
            let mut is_routed = false;
            let mut next = |id: ExchangeId| {
                if id != start.record.id && seen.insert(id) {
                    open.extend(self.exchange_by_id(id));
                }
            };
            let mut found = |target| {
                is_routed = true;
                match target {
                    Target::Queue(queue) => queues.push(queue),
                    Target::Exchange(id) => next(id),
                }
            };
            self.targets_of(exchange, &keys, message.properties, around, &mut found);
            if !is_routed && let Some(other) = self.alternate(exchange) {
                next(other);
            }
            at = open.pop();
        }
        queues.sort_unstable();
        queues.dedup();
        queues
    }

    /// Calls `found` for what a message goes to directly from an exchange, some of it more than
    /// once.
    fn targets_of(
        &self,
        exchange: &Exchange,
        keys: &[ShortString],
        properties: &BasicProperties,
        around: &dyn Surroundings,
        found: &mut dyn FnMut(Target),
    ) {
        let record = &exchange.record;
        match &exchange.index {
            Index::Direct(_) if record.name.is_empty() => {
                let queues = keys.iter().filter_map(|key| self.queue(record.vhost, key));
                queues.for_each(|queue| found(Target::Queue(queue.id)));
            }
            Index::Direct(by_key) => {
                let bound = keys.iter().filter_map(|key| bound_by(by_key, key));
                bound.for_each(|keyed| keyed.targets.iter().for_each(&mut *found));
            }
            Index::All(targets) => match record.kind {
                ExchangeKind::ModulusHash => {
                    let hash = consistent::hash(keys[0].as_bytes());
                    targets.pick(hash).into_iter().for_each(found);
                }
                ExchangeKind::Random => {
                    targets.pick(around.random()).into_iter().for_each(found);
                }
                ExchangeKind::LocalRandom => {
                    let is_local = |target: &Target| match target {
                        Target::Queue(queue) => around.is_local(*queue),
                        Target::Exchange(_) => false,
                    };
                    let local: Vec<Target> = targets.iter().filter(is_local).collect();
                    let count = u64::try_from(local.len()).unwrap_or(u64::MAX);
                    let at = around.random().checked_rem(count);
                    let at = at.and_then(|at| usize::try_from(at).ok());
                    at.and_then(|at| local.get(at).copied())
                        .into_iter()
                        .for_each(found);
                }
                ExchangeKind::Fanout
                | ExchangeKind::Direct
                | ExchangeKind::Topic
                | ExchangeKind::Headers
                | ExchangeKind::ConsistentHash => targets.iter().for_each(found),
            },
            Index::Topic(trie) => {
                for key in keys {
                    trie.route(key.as_str(), &mut *found);
                }
            }
            Index::Headers(bindings) => {
                let headers = properties.headers.as_ref();
                let bound = bindings.values();
                let bound = bound.filter(|binding| binding.matches(headers));
                bound.for_each(|binding| found(binding.target));
            }
            Index::Weighted(weighted) => {
                let hashed = hashed(&record.arguments, &keys[0], properties);
                let target = weighted.target(consistent::hash(&hashed));
                target.into_iter().for_each(found);
            }
        }
    }

    /// Where messages go that an exchange has nothing for.
    pub(crate) fn alternate(&self, exchange: &Exchange) -> Option<ExchangeId> {
        let record = &exchange.record;
        let own = record.arguments.get("alternate-exchange");
        let of_policy = || {
            let policy = self.exchange_policy(record)?;
            policy.record.definition.get("alternate-exchange")
        };
        let name = text(own.or_else(of_policy)?)?;
        let other = self.exchange(record.vhost, &ShortString::new(name)?)?;
        Some(other.record.id)
    }
}

/// The routing key, and those in `CC` and `BCC`.
fn routing_keys<'a>(message: &Addressed<'a>) -> Cow<'a, [ShortString]> {
    let first = std::slice::from_ref(message.routing_key);
    let Some(headers) = &message.properties.headers else {
        return Cow::Borrowed(first);
    };
    let more = MORE_KEYS.into_iter().filter_map(|name| headers.get(name));
    let mut keys = Cow::Borrowed(first);
    for value in more {
        let FieldValue::Array(values) = value else {
            continue;
        };
        let texts = values.iter().filter_map(text);
        let short = texts.filter_map(ShortString::new);
        keys.to_mut().extend(short);
    }
    keys
}

/// What a consistent hash exchange hashes: a header, a property or the routing key.
fn hashed<'a>(
    arguments: &FieldTable,
    routing_key: &'a ShortString,
    properties: &'a BasicProperties,
) -> Cow<'a, [u8]> {
    if let Some(name) = arguments.get("hash-header").and_then(text) {
        let headers = properties.headers.as_ref();
        return match headers.and_then(|headers| headers.get(name)) {
            Some(FieldValue::LongString(bytes) | FieldValue::Bytes(bytes)) => Cow::Borrowed(bytes),
            Some(value) => {
                let alone = FieldTable(vec![(ShortString::default(), value.clone())]);
                Cow::Owned(table_bytes(&alone).into())
            }
            None => Cow::Borrowed(&[]),
        };
    }
    let of_text = |text: &'a Option<ShortString>| -> Cow<'a, [u8]> {
        Cow::Borrowed(text.as_ref().map_or(&[], ShortString::as_bytes))
    };
    match arguments.get("hash-property").and_then(text) {
        Some("message_id") => of_text(&properties.message_id),
        Some("correlation_id") => of_text(&properties.correlation_id),
        Some("timestamp") => {
            let timestamp = properties.timestamp.map(|at| at.to_string());
            Cow::Owned(timestamp.unwrap_or_default().into())
        }
        Some(_) | None => Cow::Borrowed(routing_key.as_bytes()),
    }
}

fn delay_ms(exchange: &Exchange, headers: Option<&FieldTable>) -> u64 {
    if !exchange.record.is_delayed {
        return 0;
    }
    let delay = headers.and_then(|headers| headers.get("x-delay"));
    let delay = delay.and_then(FieldValue::as_int);
    delay.map_or(0, |delay| u64::try_from(delay).unwrap_or(0))
}
