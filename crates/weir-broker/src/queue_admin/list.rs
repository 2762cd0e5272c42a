//! Pages of what is there.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use weir_model::fields::ShortString;

use super::{
    json,
    serve::Done,
    words::{
        BindingRow, ExchangeRow, PAGE_ROW_COUNT, PolicyRow, QueueAdminAnswer, QueueAdminRequest,
        QueueFiguresRow, QueueRow, VhostRow,
    },
};
use crate::{
    Node,
    api::queues::Refused,
    node::queues::FoundQueue,
    routing::{
        Routing, equivalence,
        index::Exchange,
        record::{Target, VhostRecord},
    },
};

fn vhost_of<'a>(routing: &'a Routing, name: &str) -> Result<&'a Arc<VhostRecord>, Refused> {
    let found = routing.vhost(name);
    found.ok_or_else(|| Refused::NoVhost(name.to_owned()))
}

/// Which rows are wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// Those whose name is later.
    pub(super) after: Option<String>,
    /// The one of this name.
    pub(super) only: Option<String>,
}

impl Wanted {
    fn has(&self, name: &str) -> bool {
        self.after.as_deref().is_none_or(|after| name > after)
            && self.only.as_deref().is_none_or(|only| name == only)
    }
}

pub(super) fn vhosts(node: &Node, wanted: &Wanted) -> QueueAdminAnswer {
    let topology = node.topology.load_full();
    let rows = topology.routing().vhosts();
    let rows = rows.filter(|vhost| wanted.has(&vhost.name));
    let rows = rows.take(PAGE_ROW_COUNT).map(|vhost| VhostRow {
        name: vhost.name.clone(),
        description: vhost.description.clone(),
        default_queue_type: vhost.default_queue_type.map(|kind| kind.name().to_owned()),
        max_connections: vhost.limits.max_connections,
        max_queues: vhost.limits.max_queues,
    });
    QueueAdminAnswer::Vhosts {
        rows: rows.collect(),
    }
}

pub(super) fn exchanges(
    node: &Node,
    vhost: &str,
    wanted: &Wanted,
) -> Result<QueueAdminAnswer, Refused> {
    let topology = node.topology.load_full();
    let routing = topology.routing();
    let rows = routing.exchanges_of(vhost_of(routing, vhost)?.id);
    let rows = rows.filter(|exchange| wanted.has(exchange.record.name.as_str()));
    let rows = rows.take(PAGE_ROW_COUNT);
    Ok(QueueAdminAnswer::Exchanges {
        rows: rows
            .map(|exchange| exchange_row(routing, exchange))
            .collect(),
    })
}

fn exchange_row(routing: &Routing, exchange: &Exchange) -> ExchangeRow {
    let record = &exchange.record;
    ExchangeRow {
        name: record.name.as_str().to_owned(),
        kind: equivalence::kind_name(record).to_owned(),
        durable: record.is_durable,
        auto_delete: record.is_auto_delete,
        internal: record.is_internal,
        arguments: json::map(&record.arguments),
        bindings: exchange.binding_count as u64,
        policy: routing
            .exchange_policy(record)
            .map(|policy| policy.record.name.clone()),
    }
}

/// Bindings in the order in which they were made.
pub(super) fn bindings(
    node: &Node,
    vhost: &str,
    after: Option<u64>,
) -> Result<QueueAdminAnswer, Refused> {
    let topology = node.topology.load_full();
    let routing = topology.routing();
    let vhost = vhost_of(routing, vhost)?;
    let after = after.unwrap_or_default();
    let exchanges = routing.exchanges_of(vhost.id);
    let of_vhost = exchanges.flat_map(|exchange| {
        let bindings = routing.bindings_from(exchange.record.id);
        bindings.map(|binding| (&exchange.record.name, binding))
    });
    let mut later: Vec<_> = of_vhost
        .filter(|(_, binding)| binding.serial > after)
        .collect();
    later.sort_unstable_by_key(|(_, binding)| binding.serial);
    later.truncate(PAGE_ROW_COUNT);
    let rows = later.into_iter().filter_map(|(source, binding)| {
        let (destination, to_exchange) = match binding.target {
            Target::Queue(id) => (&routing.queue_by_id(id)?.name, false),
            Target::Exchange(id) => (&routing.exchange_by_id(id)?.record.name, true),
        };
        Some(BindingRow {
            serial: binding.serial,
            source: source.as_str().to_owned(),
            destination: destination.as_str().to_owned(),
            to_exchange,
            routing_key: binding.routing_key.as_str().to_owned(),
            arguments: json::map(&binding.arguments),
        })
    });
    Ok(QueueAdminAnswer::Bindings {
        rows: rows.collect(),
    })
}

pub(super) fn policies(
    node: &Node,
    vhost: &str,
    is_operator: bool,
    wanted: &Wanted,
) -> Result<QueueAdminAnswer, Refused> {
    let topology = node.topology.load_full();
    let routing = topology.routing();
    let vhost = vhost_of(routing, vhost)?;
    let policies = routing.policies_of(vhost.id).map(|policy| &policy.record);
    let rows =
        policies.filter(|policy| policy.is_operator == is_operator && wanted.has(&policy.name));
    let rows = rows.take(PAGE_ROW_COUNT).map(|policy| PolicyRow {
        name: policy.name.clone(),
        pattern: policy.pattern.clone(),
        apply_to: policy.apply_to.name().to_owned(),
        priority: policy.priority,
        definition: json::map(&policy.definition),
    });
    Ok(QueueAdminAnswer::Policies {
        rows: rows.collect(),
    })
}

/// Queues whose leaders are still asked.
struct Page {
    open_count: AtomicUsize,
    /// A mutex: taken once for each queue of a page.
    rows: Mutex<(Vec<QueueRow>, Option<Done>)>,
}

impl Page {
    fn settle(&self, at: usize, figures: Option<QueueFiguresRow>) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.0[at].figures = figures;
        if self.open_count.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let (rows, done) = (std::mem::take(&mut rows.0), rows.1.take());
        if let Some(done) = done {
            done(QueueAdminAnswer::Queues { rows });
        }
    }
}

/// A page of queues, with what their leaders say of them.
pub(super) fn queues(node: &Arc<Node>, vhost: &str, wanted: &Wanted, done: Done) {
    let topology = node.topology.load_full();
    let routing = topology.routing();
    let vhost = match vhost_of(routing, vhost) {
        Ok(vhost) => vhost,
        Err(why) => return done(QueueAdminAnswer::refused(why)),
    };
    let short = |name: &Option<String>| name.as_deref().and_then(ShortString::new);
    let after = short(&wanted.after).unwrap_or_default();
    let queues: Box<dyn Iterator<Item = _>> = match &wanted.only {
        None => Box::new(routing.queues_after(vhost.id, after)),
        Some(_) => {
            let only = short(&wanted.only).and_then(|name| routing.queue(vhost.id, &name));
            Box::new(only.into_iter())
        }
    };
    let found = queues.take(PAGE_ROW_COUNT).filter_map(|queue| {
        Some(FoundQueue {
            queue: Arc::clone(queue),
            topic: Arc::clone(topology.by_serial(queue.id.0)?),
        })
    });
    let found: Vec<FoundQueue> = found.collect();
    if found.is_empty() {
        return done(QueueAdminAnswer::Queues { rows: Vec::new() });
    }
    let rows = found.iter().map(|found| queue_row(routing, found));
    let page = Arc::new(Page {
        open_count: AtomicUsize::new(found.len()),
        rows: Mutex::new((rows.collect(), Some(done))),
    });
    for (at, found) in found.iter().enumerate() {
        let page = Arc::clone(&page);
        node.figures_of(found, false, move |figures| {
            let figures = figures.ok().map(Option::unwrap_or_default);
            let figures = figures.map(|figures| QueueFiguresRow {
                ready: figures.ready_count,
                unacked: figures.unacked_count,
                delayed: figures.delayed_count,
                consumers: figures.consumer_count,
            });
            page.settle(at, figures);
        });
    }
}

fn queue_row(routing: &Routing, FoundQueue { queue, topic }: &FoundQueue) -> QueueRow {
    let policy = |is_operator| {
        let policy = routing.queue_policy(queue, is_operator);
        policy.map(|policy| policy.record.name.clone())
    };
    QueueRow {
        name: queue.name.as_str().to_owned(),
        kind: queue.kind.name().to_owned(),
        durable: queue.is_durable,
        exclusive: queue.is_exclusive,
        auto_delete: queue.is_auto_delete,
        arguments: json::map(&queue.arguments),
        policy: policy(false),
        operator_policy: policy(true),
        topic: topic.name.as_str().to_owned(),
        partitions: u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX),
        figures: None,
    }
}

impl Node {
    /// Whether what the request would make is there already, as far as this node knows.
    pub fn is_declared(&self, request: &QueueAdminRequest) -> bool {
        use QueueAdminRequest as Request;
        let topology = self.topology.load();
        let routing = topology.routing();
        match request {
            Request::DeclareVhost { name, .. } => routing.vhost(name).is_some(),
            Request::DeclareExchange { vhost, name, .. } => {
                let found = routing.vhost(vhost).and_then(|vhost| {
                    let name = ShortString::new(name)?;
                    routing.exchange(vhost.id, &name)
                });
                found.is_some()
            }
            Request::DeclareQueue { vhost, name, .. } => {
                let found = routing.vhost(vhost).and_then(|vhost| {
                    let name = ShortString::new(name)?;
                    routing.queue(vhost.id, &name)
                });
                found.is_some()
            }
            Request::DeclarePolicy {
                vhost,
                operator,
                name,
                ..
            } => routing.vhost(vhost).is_some_and(|vhost| {
                let mut policies = routing.policies_of(vhost.id);
                policies.any(|policy| {
                    policy.record.is_operator == *operator && policy.record.name == *name
                })
            }),
            _ => false,
        }
    }
}
