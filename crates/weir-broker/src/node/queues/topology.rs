//! Exchanges, bindings and queues as sessions declare and delete them.

use std::sync::Arc;

use weir_model::fields::{FieldTable, FieldValue, ShortString};

use super::QueueSession;
use crate::{
    Node,
    api::{
        Outcome,
        queues::{Bind, DeclareExchange, Destination, ExchangeKind, QueueOutcome, Refused},
    },
    mailbox::Reply,
    metadata::{MetadataCommand, MetadataOutcome},
    routing::{
        Routing, RoutingCommand, RoutingOutcome,
        command::BindCommand,
        equivalence,
        record::{ExchangeId, ExchangeRecord, VhostId, text},
    },
};

/// The type of exchanges whose messages may wait.
const DELAYED: &str = "x-delayed-message";

pub(super) fn answer(reply: Reply, outcome: QueueOutcome) {
    reply.send(Outcome::Queue(outcome));
}

fn settle(reply: Reply, result: Result<(), Refused>) {
    answer(
        reply,
        match result {
            Ok(()) => QueueOutcome::Done,
            Err(refused) => QueueOutcome::Refused(refused),
        },
    );
}

impl Node {
    /// Lets group 0 decide on a change of what routes.
    pub(crate) fn propose_routing(
        self: &Arc<Self>,
        command: RoutingCommand,
        done: impl FnOnce(Result<RoutingOutcome, Refused>) + Send + 'static,
    ) {
        self.propose_metadata(MetadataCommand::Routing(command), move |outcome| {
            done(match outcome {
                Ok(MetadataOutcome::Routing(RoutingOutcome::Refused(refused))) => Err(refused),
                Ok(MetadataOutcome::Routing(outcome)) => Ok(outcome),
                outcome => Err(Refused::Failed(
                    super::super::manage::refused(&outcome).kind,
                )),
            });
        });
    }

    pub(super) fn declare_exchange(self: &Arc<Self>, declare: DeclareExchange, reply: Reply) {
        let session = Arc::clone(&declare.session);
        match self.plan_exchange(declare) {
            Ok(None) => settle(reply, Ok(())),
            Ok(Some(exchange)) => {
                let command = RoutingCommand::DeclareExchange {
                    vhost: session.vhost.clone(),
                    exchange,
                };
                self.propose_routing(command, move |done| settle(reply, done.map(drop)));
            }
            Err(refused) => settle(reply, Err(refused)),
        }
    }

    /// What group 0 is to make; `None`: it is there already.
    fn plan_exchange(&self, declare: DeclareExchange) -> Result<Option<ExchangeRecord>, Refused> {
        let topology = self.topology.load();
        let vhost = &declare.session.vhost;
        let found = topology.routing().vhost(vhost);
        let vhost = found.ok_or_else(|| Refused::NoVhost(vhost.clone()))?;
        refuse_default(&declare.name)?;
        let known = topology.routing().exchange(vhost.id, &declare.name);
        if declare.is_passive {
            let absent = || Refused::NoExchange {
                name: declare.name.clone(),
                vhost: vhost.name.clone(),
            };
            return known.map(|_| None).ok_or_else(absent);
        }
        let (kind, is_delayed) = kind_of(&declare)?;
        check_exchange_arguments(&declare, kind, &vhost.name)?;
        let exchange = ExchangeRecord {
            id: ExchangeId(0),
            vhost: VhostId(0),
            name: declare.name,
            kind,
            is_delayed,
            is_durable: declare.is_durable,
            is_auto_delete: declare.is_auto_delete,
            is_internal: declare.is_internal,
            arguments: declare.arguments,
            declared_by: (declare.session.key.node, declare.session.key.boot),
            after_start: 0,
        };
        match known {
            Some(known) => {
                equivalence::exchange(&known.record, &vhost.name, &exchange)?;
                Ok(None)
            }
            None => {
                refuse_reserved("exchange", &exchange.name)?;
                Ok(Some(exchange))
            }
        }
    }

    pub(super) fn delete_exchange(
        self: &Arc<Self>,
        session: &QueueSession,
        name: ShortString,
        if_unused: bool,
        reply: Reply,
    ) {
        if let Err(refused) = refuse_default(&name) {
            return settle(reply, Err(refused));
        }
        if Routing::is_reserved(&name) {
            let vhost = &session.vhost;
            let text =
                format!("deletion of system exchange '{name}' in vhost '{vhost}' not allowed");
            return settle(reply, Err(Refused::Access(text)));
        }
        let topology = self.topology.load();
        let routing = topology.routing();
        let vhost = routing.vhost(&session.vhost);
        let known = vhost.and_then(|vhost| routing.exchange(vhost.id, &name));
        let command = RoutingCommand::DeleteExchange {
            vhost: session.vhost.clone(),
            name,
            id: known.map_or(ExchangeId(0), |known| known.record.id),
            if_unused,
        };
        self.propose_routing(command, move |done| settle(reply, done.map(drop)));
    }

    pub(super) fn bind(self: &Arc<Self>, bind: Bind, reply: Reply) {
        match bind_command(bind) {
            Ok(bind) => self.propose_routing(RoutingCommand::Bind(bind), move |done| {
                settle(reply, done.map(drop));
            }),
            Err(refused) => settle(reply, Err(refused)),
        }
    }

    pub(super) fn unbind(self: &Arc<Self>, bind: Bind, reply: Reply) {
        match bind_command(bind) {
            Ok(bind) => self.propose_routing(RoutingCommand::Unbind(bind), move |done| {
                settle(reply, done.map(drop));
            }),
            Err(refused) => settle(reply, Err(refused)),
        }
    }
}

fn bind_command(bind: Bind) -> Result<BindCommand, Refused> {
    refuse_default(&bind.source)?;
    if let Destination::Exchange(name) = &bind.destination {
        refuse_default(name)?;
    }
    Ok(BindCommand {
        vhost: bind.session.vhost.clone(),
        source: bind.source,
        destination: bind.destination,
        routing_key: bind.routing_key,
        arguments: bind.arguments,
        session: bind.session.key,
    })
}

fn refuse_default(exchange: &ShortString) -> Result<(), Refused> {
    match exchange.is_empty() {
        true => Err(Refused::Access(
            "operation not permitted on the default exchange".to_owned(),
        )),
        false => Ok(()),
    }
}

/// Names that begin with `amq.` are the broker's.
pub(super) fn refuse_reserved(what: &str, name: &ShortString) -> Result<(), Refused> {
    match Routing::is_reserved(name) {
        true => Err(Refused::Access(format!(
            "{what} name '{name}' contains reserved prefix 'amq.*'"
        ))),
        false => Ok(()),
    }
}

/// The type, and whether messages may wait.
fn kind_of(declare: &DeclareExchange) -> Result<(ExchangeKind, bool), Refused> {
    let named = |name: &str| ExchangeKind::named(name);
    if declare.kind.as_str() != DELAYED {
        let kind = named(declare.kind.as_str());
        let kind = kind.ok_or_else(|| Refused::UnknownKind(declare.kind.clone()))?;
        return Ok((kind, false));
    }
    let inner = declare.arguments.get("x-delayed-type");
    let kind = inner.and_then(text).and_then(named);
    let kind = kind.ok_or_else(|| {
        let fault = "Invalid argument, 'x-delayed-type' must be an existing exchange type";
        Refused::Precondition(fault.to_owned())
    })?;
    Ok((kind, true))
}

fn check_exchange_arguments(
    declare: &DeclareExchange,
    kind: ExchangeKind,
    vhost: &str,
) -> Result<(), Refused> {
    let arguments = &declare.arguments;
    if let Some(value) = arguments.get("alternate-exchange")
        && text(value).is_none()
    {
        return Err(Refused::Precondition(format!(
            "invalid type '{}' for arg 'alternate-exchange' in exchange '{}' in vhost '{vhost}'",
            equivalence::type_name(value),
            declare.name
        )));
    }
    if kind == ExchangeKind::ConsistentHash {
        return check_hash_arguments(arguments);
    }
    Ok(())
}

fn check_hash_arguments(arguments: &FieldTable) -> Result<(), Refused> {
    let refused = |reason: String| Err(Refused::Precondition(reason));
    let property = arguments.get("hash-property");
    if property.is_some() && arguments.get("hash-header").is_some() {
        return refused(
            "hash-header and hash-property are mutually exclusive: only one can be set".to_owned(),
        );
    }
    let known = ["message_id", "correlation_id", "timestamp"];
    match property {
        Some(FieldValue::LongString(name)) if known.iter().any(|one| one.as_bytes() == name) => {
            Ok(())
        }
        Some(value) => refused(format!(
            "Unsupported property: {}. Supported properties: {}",
            equivalence::plain(value),
            known.join(", ")
        )),
        None => Ok(()),
    }
}
