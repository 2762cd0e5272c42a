//! Changes with what follows from them: bindings go with what they lead from and to, and exchanges
//! with their last binding where they are made so.

use std::sync::Arc;

use weir_model::{NodeId, fields::ShortString};

use super::{
    index::Exchange,
    record::{
        Binding, ByContent, ByTarget, ExchangeId, ExchangeRecord, QueueId, QueueRecord, Target,
        VhostId,
    },
    state::Routing,
};
use crate::queue::SessionKey;

impl Routing {
    pub(super) fn add_exchange(&mut self, record: ExchangeRecord) -> Arc<ExchangeRecord> {
        let record = Arc::new(record);
        let key = (record.vhost, record.name.clone());
        self.exchanges.insert(key, record.id);
        if !record.is_durable {
            self.transient_exchanges.insert(record.id, ());
        }
        let exchange = Exchange::new(Arc::clone(&record));
        self.by_exchange.insert(record.id, exchange);
        record
    }

    pub(super) fn add_queue(&mut self, record: QueueRecord) -> Arc<QueueRecord> {
        let record = Arc::new(record);
        let key = (record.vhost, record.name.clone());
        self.queues.insert(key, Arc::clone(&record));
        self.by_queue.insert(record.id, Arc::clone(&record));
        if record.is_exclusive || !record.is_durable {
            self.by_session.insert((record.session, record.id), ());
        }
        if self.expires_ms(&record).is_some() {
            self.expiring.insert(record.id, ());
        }
        record
    }

    /// Whether it was not there before.
    pub(super) fn add_binding(&mut self, binding: Arc<Binding>) -> bool {
        let by_content = ByContent(binding);
        if self.bindings.get(&by_content).is_some() {
            return false;
        }
        let ByContent(binding) = &by_content;
        let source = self.by_exchange.get_mut(&binding.source);
        let source = source.expect("a binding's source is there");
        source.bind(binding);
        self.by_target.insert(ByTarget(Arc::clone(binding)), ());
        self.bindings.insert(by_content, ());
        true
    }

    /// Takes the binding away that is like this one, but for its number.
    pub(super) fn remove_binding(&mut self, like: Arc<Binding>) {
        let known = self.bindings.find_key(&ByContent(like)).cloned();
        if let Some(ByContent(known)) = known {
            let source = known.source;
            self.take_binding(known);
            self.exchange_lost_a_binding(source);
        }
    }

    fn take_binding(&mut self, binding: Arc<Binding>) {
        if let Some(source) = self.by_exchange.get_mut(&binding.source) {
            source.unbind(&binding);
        }
        self.by_target.remove(&ByTarget(Arc::clone(&binding)));
        self.bindings.remove(&ByContent(binding));
    }

    fn exchange_lost_a_binding(&mut self, id: ExchangeId) {
        let is_done = self
            .by_exchange
            .get(&id)
            .is_some_and(|exchange| exchange.record.is_auto_delete && exchange.binding_count == 0);
        if is_done {
            self.remove_exchange(id);
        }
    }

    /// Takes an exchange away, and those that lose their last binding by it.
    pub(super) fn remove_exchange(&mut self, id: ExchangeId) {
        let mut leaving = vec![id];
        while let Some(id) = leaving.pop() {
            let Some(exchange) = self.by_exchange.remove(&id) else {
                continue;
            };
            let record = exchange.record;
            self.exchanges.remove(&(record.vhost, record.name.clone()));
            self.transient_exchanges.remove(&id);
            let from: Vec<Arc<Binding>> = self.bindings_from(id).cloned().collect();
            for binding in from {
                self.take_binding(binding);
            }
            leaving.extend(self.unbind_target(Target::Exchange(id)));
        }
    }

    /// Takes a queue away. Its topic is the caller's business.
    pub(crate) fn remove_queue(&mut self, id: QueueId) -> Option<Arc<QueueRecord>> {
        let record = self.by_queue.remove(&id)?;
        self.queues.remove(&(record.vhost, record.name.clone()));
        self.by_session.remove(&(record.session, id));
        self.expiring.remove(&id);
        for exchange in self.unbind_target(Target::Queue(id)) {
            self.remove_exchange(exchange);
        }
        Some(record)
    }

    /// Takes bindings away that lead there. Exchanges that go with their last binding, and have
    /// lost it.
    fn unbind_target(&mut self, target: Target) -> Vec<ExchangeId> {
        let to: Vec<Arc<Binding>> = self.bindings_to(target).cloned().collect();
        let mut empty = Vec::new();
        for binding in to {
            let source_id = binding.source;
            self.take_binding(binding);
            let source = self.by_exchange.get(&source_id);
            let is_done = source.is_some_and(|exchange| {
                exchange.record.is_auto_delete && exchange.binding_count == 0
            });
            if is_done {
                empty.push(source_id);
            }
        }
        empty
    }

    /// Queues that are a session's own.
    pub(crate) fn exclusive_queues(&self, session: SessionKey) -> impl Iterator<Item = QueueId> {
        let found = self.by_session.range_from(&(session, QueueId(0)));
        let found = found.take_while(move |((known, _), ())| *known == session);
        let found = found.map(|((_, id), ())| *id);
        found.filter(|id| {
            let queue = self.by_queue.get(id);
            queue.is_some_and(|queue| queue.is_exclusive)
        })
    }

    /// Policies have changed: which queues go when nobody uses them?
    pub(super) fn find_expiring(&mut self, vhost: VhostId) {
        let queues = self.queues_of(vhost);
        let queues = queues.map(|queue| (queue.id, self.expires_ms(queue).is_some()));
        for (id, expires) in queues.collect::<Vec<_>>() {
            match expires {
                true => self.expiring.insert(id, ()),
                false => drop(self.expiring.remove(&id)),
            }
        }
    }

    /// Nodes with queues that end with their runs.
    pub(crate) fn nodes_with_transient_queues(&self) -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = Vec::new();
        loop {
            let from = SessionKey {
                node: nodes.last().map_or(NodeId(0), |last| NodeId(last.0 + 1)),
                boot: 0,
                number: 0,
            };
            let next = self.by_session.range_from(&(from, QueueId(0))).next();
            match next {
                Some(((session, _), ())) => nodes.push(session.node),
                None => return nodes,
            }
        }
    }

    /// Whether queues are there that end with runs of the node.
    pub(crate) fn has_queues_of_runs(&self, node: NodeId) -> bool {
        let first = SessionKey {
            node,
            boot: 0,
            number: 0,
        };
        let next = self.by_session.range_from(&(first, QueueId(0))).next();
        next.is_some_and(|((session, _), ())| session.node == node)
    }

    /// Queues that ended with the runs of a node before this one.
    pub(super) fn queues_of_earlier_runs(&self, node: NodeId, boot: u64) -> Vec<QueueId> {
        let first = SessionKey {
            node,
            boot: 0,
            number: 0,
        };
        let found = self.by_session.range_from(&(first, QueueId(0)));
        let found = found.take_while(|((session, _), ())| session.node == node);
        let found = found.filter(|((session, _), ())| session.boot != boot);
        found.map(|((_, id), ())| *id).collect()
    }

    /// A node has begun another run. Transient exchanges go once every node that was there when
    /// they were declared has done so: before that, part of the cluster has gone on all the time. A
    /// run that declares some before its start is known here keeps them.
    pub(super) fn node_started(&mut self, node: NodeId, boot: u64) {
        let known = self.starts.get(&node);
        if known.is_some_and(|(_, known)| *known == boot) {
            return;
        }
        self.start_count += 1;
        Arc::make_mut(&mut self.starts).insert(node, (self.start_count, boot));
        self.drop_transient_exchanges();
    }

    /// A node is no member any more: exchanges do not wait for its next start.
    pub(crate) fn node_removed(&mut self, node: NodeId) {
        if Arc::make_mut(&mut self.starts).remove(&node).is_some() {
            self.drop_transient_exchanges();
        }
    }

    fn drop_transient_exchanges(&mut self) {
        let earliest = self.starts.values().map(|(start, _)| *start).min();
        let earliest = earliest.unwrap_or_default();
        let gone: Vec<ExchangeId> = self
            .transient_exchanges
            .keys()
            .filter(|id| {
                let exchange = self.by_exchange.get(id);
                exchange.is_some_and(|Exchange { record, .. }| {
                    let (node, boot) = record.declared_by;
                    let run = self.starts.get(&node).map(|(_, run)| *run);
                    record.after_start < earliest && run != Some(boot)
                })
            })
            .copied()
            .collect();
        for id in gone {
            self.remove_exchange(id);
        }
    }

    /// Whether names of that form are the broker's own.
    pub(crate) fn is_reserved(name: &ShortString) -> bool {
        name.as_str().starts_with("amq.")
    }
}
