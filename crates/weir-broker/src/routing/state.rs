//! Everything that routes, as one value whose copies share what did not change.

use std::{collections::BTreeMap, sync::Arc};

use weir_model::{
    NodeId,
    fields::{FieldTable, ShortString},
};

use super::{
    index::Exchange,
    policy::Policy,
    record::{
        Binding, ByContent, ByTarget, ExchangeId, ExchangeRecord, QueueId, QueueRecord, Target,
        VhostId, VhostRecord,
    },
};
use crate::{api::queues::ExchangeKind, chunked::Chunked, queue::SessionKey};

/// Most virtual hosts of a cluster.
pub(crate) const MAX_VHOSTS: usize = 10_000;
/// Most exchanges of a cluster.
pub(crate) const MAX_EXCHANGES: usize = 1_000_000;
/// Most bindings of a cluster.
pub(crate) const MAX_BINDINGS: usize = 10_000_000;
/// Longest name of a virtual host, in bytes.
pub(crate) const MAX_VHOST_NAME_BYTES: usize = 255;
/// Longest description of a virtual host, in bytes.
pub(crate) const MAX_DESCRIPTION_BYTES: usize = 1_024;
/// Most arguments of an exchange, a queue or a binding together, in bytes.
pub(crate) const MAX_ARGUMENTS_BYTES: usize = 64 * 1024;
/// The virtual host that is there from the start.
pub(crate) const FIRST_VHOST: &str = "/";

/// Exchanges that each virtual host has from its start.
const PREDECLARED: [(&str, ExchangeKind, bool); 7] = [
    ("", ExchangeKind::Direct, false),
    ("amq.direct", ExchangeKind::Direct, false),
    ("amq.fanout", ExchangeKind::Fanout, false),
    ("amq.headers", ExchangeKind::Headers, false),
    ("amq.match", ExchangeKind::Headers, false),
    ("amq.rabbitmq.trace", ExchangeKind::Topic, true),
    ("amq.topic", ExchangeKind::Topic, false),
];

/// Virtual hosts, exchanges, bindings and queues.
#[derive(Clone, Debug)]
pub(crate) struct Routing {
    pub(super) vhosts: Chunked<String, Arc<VhostRecord>>,
    pub(super) exchanges: Chunked<(VhostId, ShortString), ExchangeId>,
    pub(super) by_exchange: Chunked<ExchangeId, Exchange>,
    pub(super) queues: Chunked<(VhostId, ShortString), Arc<QueueRecord>>,
    pub(super) by_queue: Chunked<QueueId, Arc<QueueRecord>>,
    /// Exclusive queues of sessions, and transient queues of runs of nodes.
    pub(super) by_session: Chunked<(SessionKey, QueueId), ()>,
    /// Queues that go when nobody uses them.
    pub(super) expiring: Chunked<QueueId, ()>,
    /// Exchanges that do not outlive the cluster's end.
    pub(super) transient_exchanges: Chunked<ExchangeId, ()>,
    pub(super) bindings: Chunked<ByContent, ()>,
    pub(super) by_target: Chunked<ByTarget, ()>,
    /// By virtual host, whether operators set them, and name.
    pub(super) policies: Chunked<(VhostId, bool, String), Arc<Policy>>,
    /// Counts changes of policies.
    pub(super) policy_revision: u64,
    /// The last start of each node, counted over all nodes, and its run's number.
    pub(super) starts: Arc<BTreeMap<NodeId, (u64, u64)>>,
    pub(super) start_count: u64,
    pub(super) next_vhost: u64,
    pub(super) next_exchange: u64,
    pub(super) next_binding: u64,
}

impl Default for Routing {
    /// With the first virtual host.
    fn default() -> Self {
        let mut routing = Self::empty();
        routing.add_vhost(FIRST_VHOST, "Default virtual host", None);
        routing
    }
}

impl Routing {
    /// Not even a virtual host.
    pub(super) fn empty() -> Self {
        Self {
            vhosts: Chunked::default(),
            exchanges: Chunked::default(),
            by_exchange: Chunked::default(),
            queues: Chunked::default(),
            by_queue: Chunked::default(),
            by_session: Chunked::default(),
            expiring: Chunked::default(),
            transient_exchanges: Chunked::default(),
            bindings: Chunked::default(),
            by_target: Chunked::default(),
            policies: Chunked::default(),
            policy_revision: 0,
            starts: Arc::default(),
            start_count: 0,
            next_vhost: 1,
            next_exchange: 1,
            next_binding: 1,
        }
    }

    /// Adds a virtual host with its exchanges.
    pub(super) fn add_vhost(
        &mut self,
        name: &str,
        description: &str,
        default_queue_type: Option<super::record::QueueType>,
    ) -> Arc<VhostRecord> {
        let vhost = Arc::new(VhostRecord {
            id: VhostId(self.next_vhost),
            name: name.to_owned(),
            description: description.to_owned(),
            default_queue_type,
            limits: super::vhost_limits::VhostLimits::default(),
        });
        self.next_vhost += 1;
        self.vhosts.insert(name.to_owned(), Arc::clone(&vhost));
        for (name, kind, is_internal) in PREDECLARED {
            let id = self.new_exchange_id();
            self.add_exchange(ExchangeRecord {
                id,
                vhost: vhost.id,
                name: ShortString::new(name).expect("the table's names are short"),
                kind,
                is_delayed: false,
                is_durable: true,
                is_auto_delete: false,
                is_internal,
                arguments: FieldTable::default(),
                declared_by: (NodeId(0), 0),
                after_start: 0,
            });
        }
        vhost
    }

    pub(super) fn new_exchange_id(&mut self) -> ExchangeId {
        let id = ExchangeId(self.next_exchange);
        self.next_exchange += 1;
        id
    }

    /// The virtual host of that name.
    pub(crate) fn vhost(&self, name: &str) -> Option<&Arc<VhostRecord>> {
        self.vhosts.find(|known| known.as_str().cmp(name))
    }

    /// The virtual host with that number.
    pub(crate) fn vhost_by_id(&self, id: VhostId) -> Option<&Arc<VhostRecord>> {
        self.vhosts.values().find(|vhost| vhost.id == id)
    }

    /// Queues that go when nobody uses them.
    pub(crate) fn expiring(&self) -> impl Iterator<Item = QueueId> {
        self.expiring.keys().copied()
    }

    /// Whether the queue goes when nobody uses it.
    pub(crate) fn is_expiring(&self, queue: QueueId) -> bool {
        self.expiring.get(&queue).is_some()
    }

    /// Counts changes of policies.
    pub(crate) fn policy_revision(&self) -> u64 {
        self.policy_revision
    }

    /// All virtual hosts in order of their names.
    pub(crate) fn vhosts(&self) -> impl Iterator<Item = &Arc<VhostRecord>> {
        self.vhosts.values()
    }

    /// The exchange of that name.
    pub(crate) fn exchange(&self, vhost: VhostId, name: &ShortString) -> Option<&Exchange> {
        let id = self.exchanges.find(|(known_vhost, known)| {
            let vhosts = known_vhost.cmp(&vhost);
            vhosts.then_with(|| known.cmp(name))
        })?;
        self.by_exchange.get(id)
    }

    /// The exchange with that number.
    pub(crate) fn exchange_by_id(&self, id: ExchangeId) -> Option<&Exchange> {
        self.by_exchange.get(&id)
    }

    /// A virtual host's exchanges in order of their names.
    pub(crate) fn exchanges_of(&self, vhost: VhostId) -> impl Iterator<Item = &Exchange> {
        let from = (vhost, ShortString::default());
        let of_vhost = self.exchanges.range_from(&from);
        let of_vhost = of_vhost.take_while(move |((known, _), _)| *known == vhost);
        of_vhost.filter_map(|(_, id)| self.by_exchange.get(id))
    }

    /// The queue of that name.
    pub(crate) fn queue(&self, vhost: VhostId, name: &ShortString) -> Option<&Arc<QueueRecord>> {
        self.queues.find(|(known_vhost, known)| {
            let vhosts = known_vhost.cmp(&vhost);
            vhosts.then_with(|| known.cmp(name))
        })
    }

    /// The queue with that number.
    pub(crate) fn queue_by_id(&self, id: QueueId) -> Option<&Arc<QueueRecord>> {
        self.by_queue.get(&id)
    }

    /// A virtual host's queues in order of their names.
    pub(crate) fn queues_of(&self, vhost: VhostId) -> impl Iterator<Item = &Arc<QueueRecord>> {
        self.queues_after(vhost, ShortString::default())
    }

    /// Those of them whose names come after `name`.
    pub(crate) fn queues_after(
        &self,
        vhost: VhostId,
        name: ShortString,
    ) -> impl Iterator<Item = &Arc<QueueRecord>> {
        let from = (vhost, name);
        let of_vhost = self.queues.range_from(&from);
        let of_vhost = of_vhost.take_while(move |((known, _), _)| *known == vhost);
        let after = of_vhost.skip_while(move |(known, _)| **known == from);
        after.map(|(_, queue)| queue)
    }

    /// All bindings, by their sources and keys.
    pub(super) fn bindings(&self) -> impl Iterator<Item = &Arc<Binding>> {
        self.bindings.keys().map(|ByContent(binding)| binding)
    }

    /// Bindings that lead out of an exchange, in order of their keys.
    pub(crate) fn bindings_from(&self, source: ExchangeId) -> impl Iterator<Item = &Arc<Binding>> {
        let from = ByContent(first_of(source, Target::Queue(QueueId(0))));
        let found = self.bindings.range_from(&from);
        let found = found.map(|(ByContent(binding), ())| binding);
        found.take_while(move |binding| binding.source == source)
    }

    /// Bindings that lead to a queue or an exchange, in the order in which they were made.
    pub(crate) fn bindings_to(&self, target: Target) -> impl Iterator<Item = &Arc<Binding>> {
        let from = ByTarget(first_of(ExchangeId(0), target));
        let found = self.by_target.range_from(&from);
        let found = found.map(|(ByTarget(binding), ())| binding);
        found.take_while(move |binding| binding.target == target)
    }
}

/// What stands before all bindings of that source, and before all that lead there.
fn first_of(source: ExchangeId, target: Target) -> Arc<Binding> {
    let (key, arguments) = (ShortString::default(), FieldTable::default());
    Binding::new(0, source, target, key, arguments)
}
