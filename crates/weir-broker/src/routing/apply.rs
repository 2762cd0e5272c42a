//! What commands do to what routes. Total: each does what it asks for, or nothing at all.

use std::sync::Arc;

use weir_model::{
    ErrorKind, NodeId,
    fields::{FieldTable, ShortString},
};

use super::{
    command::{BindCommand, DeclareQueueCommand, RoutingCommand},
    consistent::{self, MAX_WEIGHT},
    equivalence::{self, DeclaredAs},
    fields::table_bytes,
    headers,
    outcome::RoutingOutcome,
    policy::{MAX_PATTERN_BYTES, MAX_POLICIES, MAX_POLICY_NAME_BYTES, Policy, PolicyRecord},
    record::{
        Binding, ExchangeId, ExchangeRecord, QueueId, QueueRecord, Target, VhostId, VhostRecord,
    },
    settings::COMPARED_ARGUMENTS,
    state::{
        MAX_ARGUMENTS_BYTES, MAX_BINDINGS, MAX_DESCRIPTION_BYTES, MAX_EXCHANGES,
        MAX_VHOST_NAME_BYTES, MAX_VHOSTS, Routing,
    },
    vhost_limits::VhostLimits,
};
use crate::{
    Applied,
    api::queues::{Destination, ExchangeKind, Refused},
    metadata::MetadataState,
    queue::SessionKey,
};

/// Most queues, exchanges or bindings that one command takes away: a command keeps the others
/// waiting.
const MAX_REMOVED_AT_ONCE: usize = 1_000;

type Decided = Result<RoutingOutcome, Refused>;

impl MetadataState {
    pub(crate) fn change_routing(
        &mut self,
        at: &Applied,
        command: RoutingCommand,
    ) -> RoutingOutcome {
        let decided = match command {
            RoutingCommand::DeclareExchange { vhost, exchange } => {
                self.routing_mut().declare_exchange(&vhost, exchange)
            }
            RoutingCommand::DeleteExchange {
                vhost,
                name,
                id,
                if_unused,
            } => self
                .routing_mut()
                .delete_exchange(&vhost, &name, id, if_unused),
            RoutingCommand::Bind(bind) => self.routing_mut().bind(bind),
            RoutingCommand::Unbind(bind) => self.routing_mut().unbind(&bind),
            RoutingCommand::DeclareQueue(declare) => self.declare_queue(at, *declare),
            RoutingCommand::DeleteQueue {
                vhost,
                name,
                id,
                session,
            } => self.delete_queue(&vhost, &name, id, session),
            RoutingCommand::EndSession(session) => {
                let queues = self.routing().exclusive_queues(session);
                let queues = queues.take(MAX_REMOVED_AT_ONCE + 1).collect();
                Ok(self.remove_some(queues))
            }
            RoutingCommand::NodeStarted { node, boot } => Ok(self.node_started(node, boot)),
            RoutingCommand::CreateVhost {
                name,
                description,
                default_queue_type,
            } => {
                let vhost = VhostRecord {
                    id: VhostId(0),
                    name,
                    description,
                    default_queue_type,
                    limits: VhostLimits::default(),
                };
                self.routing_mut().create_vhost(vhost)
            }
            RoutingCommand::DeleteVhost { name } => Ok(self.delete_vhost(&name)),
            RoutingCommand::SetVhostLimits { name, limits } => {
                self.routing_mut().set_vhost_limits(&name, limits)
            }
            RoutingCommand::PutPolicy { vhost, policy } => {
                self.routing_mut().put_policy(&vhost, policy)
            }
            RoutingCommand::DeletePolicy {
                vhost,
                is_operator,
                name,
            } => self.routing_mut().delete_policy(&vhost, is_operator, name),
            RoutingCommand::Nothing => Ok(RoutingOutcome::Done),
        };
        decided.unwrap_or_else(RoutingOutcome::Refused)
    }

    fn declare_queue(&mut self, at: &Applied, declare: DeclareQueueCommand) -> Decided {
        let vhost = Arc::clone(self.routing().vhost_of(&declare.vhost)?);
        if let Some(queue) = self.routing().queue(vhost.id, &declare.name) {
            declare.check(&vhost, queue)?;
            return Ok(RoutingOutcome::QueueDeclared(Arc::clone(queue)));
        }
        check_arguments(&declare.arguments)?;
        self.routing().check_queue_limit(&vhost, &declare.name)?;
        let over = self.known().by_name(&declare.topic.name).cloned();
        let is_over_topic = over.is_some();
        let topic = match over {
            Some(topic) if self.routing().queue_by_id(QueueId(topic.serial)).is_some() => {
                return Err(Refused::Failed(ErrorKind::TopicExists));
            }
            Some(topic) => topic,
            None => self
                .create_queue_topic(declare.topic)
                .map_err(Refused::Failed)?,
        };
        let queue = self.routing_mut().add_queue(QueueRecord {
            id: QueueId(topic.serial),
            vhost: vhost.id,
            name: declare.name,
            kind: declare.kind,
            is_durable: declare.is_durable,
            is_auto_delete: declare.is_auto_delete,
            session: declare.session,
            is_exclusive: declare.is_exclusive,
            arguments: declare.arguments,
            is_over_topic,
            created: at.now,
        });
        Ok(RoutingOutcome::QueueDeclared(queue))
    }

    fn delete_queue(
        &mut self,
        vhost: &str,
        name: &ShortString,
        id: QueueId,
        session: Option<SessionKey>,
    ) -> Decided {
        let vhost = self.routing().vhost_of(vhost)?;
        let queue = self.routing().queue(vhost.id, name);
        let queue = queue.filter(|queue| id.0 == 0 || queue.id == id);
        let Some(queue) = queue else {
            return Ok(removed(Vec::new(), false));
        };
        if let Some(session) = session {
            check_access(queue, vhost, session)?;
        }
        let id = queue.id;
        self.remove_queue_and_topic(id);
        Ok(removed(vec![id], false))
    }

    fn remove_some(&mut self, mut queues: Vec<QueueId>) -> RoutingOutcome {
        let has_more = queues.len() > MAX_REMOVED_AT_ONCE;
        queues.truncate(MAX_REMOVED_AT_ONCE);
        for queue in &queues {
            self.remove_queue_and_topic(*queue);
        }
        removed(queues, has_more)
    }

    /// Takes a queue away, and its topic where that was made for it.
    fn remove_queue_and_topic(&mut self, id: QueueId) {
        let Some(queue) = self.routing_mut().remove_queue(id) else {
            return;
        };
        if !queue.is_over_topic {
            self.remove_topic_of_queue(id.0);
        }
    }

    fn node_started(&mut self, node: NodeId, boot: u64) -> RoutingOutcome {
        let mut queues = self.routing().queues_of_earlier_runs(node, boot);
        queues.truncate(MAX_REMOVED_AT_ONCE + 1);
        if queues.is_empty() && boot != 0 {
            self.routing_mut().node_started(node, boot);
        }
        let has_more = !queues.is_empty();
        let RoutingOutcome::Removed { queues, .. } = self.remove_some(queues) else {
            return RoutingOutcome::Done;
        };
        // Exchanges go with the last step.
        removed(queues, has_more)
    }

    fn delete_vhost(&mut self, name: &str) -> RoutingOutcome {
        let Some(vhost) = self.routing().vhost(name) else {
            return removed(Vec::new(), false);
        };
        let vhost = vhost.id;
        let queues = self.routing().queues_of(vhost).map(|queue| queue.id);
        let queues: Vec<QueueId> = queues.take(MAX_REMOVED_AT_ONCE).collect();
        if !queues.is_empty() {
            let RoutingOutcome::Removed { queues, .. } = self.remove_some(queues) else {
                return RoutingOutcome::Done;
            };
            return removed(queues, true);
        }
        let has_more = self.routing_mut().remove_from_vhost(vhost, name);
        if !has_more {
            self.access_mut().forget_vhost(name);
        }
        removed(Vec::new(), has_more)
    }
}

impl Routing {
    fn vhost_of(&self, name: &str) -> Result<&Arc<VhostRecord>, Refused> {
        let found = self.vhost(name);
        found.ok_or_else(|| Refused::NoVhost(name.to_owned()))
    }

    fn declare_exchange(&mut self, vhost: &str, mut exchange: ExchangeRecord) -> Decided {
        let vhost = self.vhost_of(vhost)?;
        if let Some(known) = self.exchange(vhost.id, &exchange.name) {
            equivalence::exchange(&known.record, &vhost.name, &exchange)?;
            return Ok(RoutingOutcome::Done);
        }
        check_arguments(&exchange.arguments)?;
        if self.by_exchange.len() >= MAX_EXCHANGES {
            return Err(Refused::Failed(ErrorKind::Overloaded));
        }
        exchange.vhost = vhost.id;
        exchange.id = self.new_exchange_id();
        exchange.after_start = self.start_count;
        self.add_exchange(exchange);
        Ok(RoutingOutcome::Done)
    }

    fn delete_exchange(
        &mut self,
        vhost: &str,
        name: &ShortString,
        id: ExchangeId,
        if_unused: bool,
    ) -> Decided {
        let vhost = self.vhost_of(vhost)?;
        let exchange = self.exchange(vhost.id, name);
        let exchange = exchange.filter(|known| id.0 == 0 || known.record.id == id);
        let Some(exchange) = exchange else {
            return Ok(RoutingOutcome::Done);
        };
        if if_unused && exchange.binding_count > 0 {
            return Err(Refused::InUse {
                what: "exchange",
                name: name.clone(),
                vhost: vhost.name.clone(),
            });
        }
        let id = exchange.record.id;
        self.remove_exchange(id);
        Ok(RoutingOutcome::Done)
    }

    fn bind(&mut self, bind: BindCommand) -> Decided {
        let vhost = self.vhost_of(&bind.vhost)?;
        let source = self.exchange_of(vhost, &bind.source)?;
        let target = self.target(vhost, &bind.destination, bind.session)?;
        check_arguments(&bind.arguments)?;
        check_binding(source, &bind)?;
        if self.bindings.len() >= MAX_BINDINGS {
            return Err(Refused::Failed(ErrorKind::Overloaded));
        }
        let source = source.id;
        let serial = self.next_binding;
        let binding = Binding::new(serial, source, target, bind.routing_key, bind.arguments);
        if self.add_binding(binding) {
            self.next_binding += 1;
        }
        Ok(RoutingOutcome::Done)
    }

    fn unbind(&mut self, bind: &BindCommand) -> Decided {
        let vhost = self.vhost_of(&bind.vhost)?;
        let Ok(source) = self.exchange_of(vhost, &bind.source) else {
            return Ok(RoutingOutcome::Done);
        };
        let source = source.id;
        let target = match self.target(vhost, &bind.destination, bind.session) {
            Ok(target) => target,
            Err(Refused::NoQueue { .. } | Refused::NoExchange { .. }) => {
                return Ok(RoutingOutcome::Done);
            }
            Err(refused) => return Err(refused),
        };
        let key = bind.routing_key.clone();
        let binding = Binding::new(0, source, target, key, bind.arguments.clone());
        self.remove_binding(binding);
        Ok(RoutingOutcome::Done)
    }

    fn target(
        &self,
        vhost: &VhostRecord,
        destination: &Destination,
        session: SessionKey,
    ) -> Result<Target, Refused> {
        match destination {
            Destination::Queue(name) => {
                let queue = self.queue(vhost.id, name);
                let queue = queue.ok_or_else(|| Refused::NoQueue {
                    name: name.clone(),
                    vhost: vhost.name.clone(),
                })?;
                check_access(queue, vhost, session)?;
                Ok(Target::Queue(queue.id))
            }
            Destination::Exchange(name) => {
                let exchange = self.exchange_of(vhost, name)?;
                Ok(Target::Exchange(exchange.id))
            }
        }
    }

    fn exchange_of(
        &self,
        vhost: &VhostRecord,
        name: &ShortString,
    ) -> Result<&ExchangeRecord, Refused> {
        let found = self.exchange(vhost.id, name);
        let found = found.ok_or_else(|| Refused::NoExchange {
            name: name.clone(),
            vhost: vhost.name.clone(),
        })?;
        Ok(&found.record)
    }

    fn create_vhost(&mut self, vhost: VhostRecord) -> Decided {
        let is_fit = (1..=MAX_VHOST_NAME_BYTES).contains(&vhost.name.len())
            && vhost.description.len() <= MAX_DESCRIPTION_BYTES;
        if !is_fit {
            return Err(Refused::Failed(ErrorKind::InvalidRequest));
        }
        if let Some(known) = self.vhost(&vhost.name) {
            let changed = Arc::new(VhostRecord {
                id: known.id,
                limits: known.limits,
                ..vhost
            });
            self.vhosts.insert(changed.name.clone(), changed);
            return Ok(RoutingOutcome::Done);
        }
        if self.vhosts.len() >= MAX_VHOSTS {
            return Err(Refused::Failed(ErrorKind::Overloaded));
        }
        self.add_vhost(&vhost.name, &vhost.description, vhost.default_queue_type);
        Ok(RoutingOutcome::Done)
    }

    fn set_vhost_limits(&mut self, name: &str, limits: VhostLimits) -> Decided {
        let known = VhostRecord::clone(self.vhost_of(name)?);
        let changed = Arc::new(VhostRecord { limits, ..known });
        self.vhosts.insert(name.to_owned(), changed);
        Ok(RoutingOutcome::Done)
    }

    /// Whether there may be one more queue. Looks at no more than there may be.
    fn check_queue_limit(&self, vhost: &VhostRecord, name: &ShortString) -> Result<(), Refused> {
        let Some(limit) = vhost.limits.max_queues else {
            return Ok(());
        };
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        if self.queues_of(vhost.id).take(most).count() < most {
            return Ok(());
        }
        Err(Refused::Precondition(format!(
            "cannot declare queue '{name}': queue limit in vhost '{}' ({limit}) is reached",
            vhost.name
        )))
    }

    fn put_policy(&mut self, vhost: &str, mut policy: PolicyRecord) -> Decided {
        policy.vhost = self.vhost_of(vhost)?.id;
        check_arguments(&policy.definition)?;
        let is_fit = policy.pattern.len() <= MAX_PATTERN_BYTES
            && (1..=MAX_POLICY_NAME_BYTES).contains(&policy.name.len());
        if !is_fit {
            return Err(Refused::Failed(ErrorKind::InvalidRequest));
        }
        let key = (policy.vhost, policy.is_operator, policy.name.clone());
        if self.policies.get(&key).is_none() && self.policies.len() >= MAX_POLICIES {
            return Err(Refused::Failed(ErrorKind::Overloaded));
        }
        let vhost = policy.vhost;
        self.policies.insert(key, Policy::new(policy));
        self.policy_revision += 1;
        self.find_expiring(vhost);
        Ok(RoutingOutcome::Done)
    }

    fn delete_policy(&mut self, vhost: &str, is_operator: bool, name: String) -> Decided {
        let vhost = self.vhost_of(vhost)?.id;
        if self.policies.remove(&(vhost, is_operator, name)).is_some() {
            self.policy_revision += 1;
            self.find_expiring(vhost);
        }
        Ok(RoutingOutcome::Done)
    }

    /// Takes what is left of a virtual host away, or some of it: then there is more.
    fn remove_from_vhost(&mut self, vhost: VhostId, name: &str) -> bool {
        let exchanges = self.exchanges_of(vhost).map(|exchange| exchange.record.id);
        let mut exchanges: Vec<ExchangeId> = exchanges.take(MAX_REMOVED_AT_ONCE + 1).collect();
        let has_more = exchanges.len() > MAX_REMOVED_AT_ONCE;
        exchanges.truncate(MAX_REMOVED_AT_ONCE);
        for exchange in exchanges {
            self.remove_exchange(exchange);
        }
        if !has_more {
            let policies: Vec<_> = self.policies_of(vhost).map(|policy| policy.key()).collect();
            for policy in policies {
                self.policies.remove(&policy);
            }
            self.vhosts.remove(&name.to_owned());
        }
        has_more
    }
}

impl DeclareQueueCommand {
    /// Whether the queue that is there is the one that is declared.
    pub(crate) fn check(&self, vhost: &VhostRecord, queue: &QueueRecord) -> Result<(), Refused> {
        if queue.owner() != self.is_exclusive.then_some(self.session) {
            return Err(locked(queue, vhost));
        }
        let declared = DeclaredAs {
            is_durable: self.is_durable,
            is_auto_delete: self.is_auto_delete,
            kind: self.kind,
            arguments: &self.arguments,
        };
        equivalence::queue(queue, &vhost.name, &declared, COMPARED_ARGUMENTS)
    }
}

fn removed(queues: Vec<QueueId>, has_more: bool) -> RoutingOutcome {
    RoutingOutcome::Removed { queues, has_more }
}

fn locked(queue: &QueueRecord, vhost: &VhostRecord) -> Refused {
    Refused::Locked {
        name: queue.name.clone(),
        vhost: vhost.name.clone(),
    }
}

/// Whether a session may use a queue at all.
pub(crate) fn check_access(
    queue: &QueueRecord,
    vhost: &VhostRecord,
    session: SessionKey,
) -> Result<(), Refused> {
    match queue.owner() {
        Some(owner) if owner != session => Err(locked(queue, vhost)),
        Some(_) | None => Ok(()),
    }
}

fn check_arguments(arguments: &FieldTable) -> Result<(), Refused> {
    if table_bytes(arguments).len() > MAX_ARGUMENTS_BYTES {
        return Err(Refused::Precondition(format!(
            "arguments of more than {MAX_ARGUMENTS_BYTES} bytes"
        )));
    }
    Ok(())
}

/// Whether an exchange of that type can have such a binding.
fn check_binding(source: &ExchangeRecord, bind: &BindCommand) -> Result<(), Refused> {
    match source.kind {
        ExchangeKind::Headers => match headers::fault(&bind.arguments) {
            Some(fault) => Err(Refused::Precondition(fault)),
            None => Ok(()),
        },
        ExchangeKind::ConsistentHash => {
            let weight = consistent::weight(bind.routing_key.as_str());
            weight.map(|_| ()).ok_or_else(|| {
                Refused::Precondition(format!(
                    "The binding key must be an integer of 1 to {MAX_WEIGHT}: '{}'",
                    bind.routing_key
                ))
            })
        }
        ExchangeKind::Direct
        | ExchangeKind::Fanout
        | ExchangeKind::Topic
        | ExchangeKind::ModulusHash
        | ExchangeKind::Random
        | ExchangeKind::LocalRandom => Ok(()),
    }
}
