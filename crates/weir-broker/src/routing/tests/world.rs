//! Group 0's state with commands in short words.

use std::{cell::Cell, collections::BTreeMap};

use bytes::Bytes;
use uuid::Uuid;
use weir_log::Millis;
use weir_model::{
    GroupId, NodeId, Term, TopicId, TopicName,
    fields::{BasicProperties, FieldTable, FieldValue, ShortString},
};

use crate::{
    Applied,
    api::queues::{Destination, ExchangeKind, Refused},
    metadata::{
        CreateTopic, MetadataCommand, MetadataOutcome, MetadataState, NodeRecord, NodeState,
    },
    queue::SessionKey,
    routing::{
        RoutingCommand, RoutingOutcome,
        command::{BindCommand, DeclareQueueCommand},
        record::{ExchangeId, ExchangeRecord, QueueId, QueueType, VhostId},
        route::{Addressed, RoutedTo, Surroundings},
    },
};

pub(super) const AT: Applied = Applied {
    group: GroupId::METADATA,
    index: 1,
    term: Term(1),
    now: Millis(5),
    elapsed: Millis(5),
};

pub(super) type Decided = Result<RoutingOutcome, Refused>;

pub(super) fn short(text: &str) -> ShortString {
    ShortString::new(text).unwrap()
}

pub(super) fn string(text: &str) -> FieldValue {
    FieldValue::LongString(Bytes::copy_from_slice(text.as_bytes()))
}

pub(super) fn table(fields: &[(&str, FieldValue)]) -> FieldTable {
    let fields = fields.iter();
    FieldTable(
        fields
            .map(|(name, value)| (short(name), value.clone()))
            .collect(),
    )
}

pub(super) fn session(number: u64) -> SessionKey {
    SessionKey {
        node: NodeId(1),
        boot: 7,
        number,
    }
}

/// Group 0.
pub(super) struct World {
    pub(super) state: MetadataState,
    next_topic: u128,
    /// What chance says next.
    pub(super) chance: Cell<u64>,
    /// The queue that this node leads; others are led elsewhere.
    pub(super) local: Option<QueueId>,
}

impl Surroundings for World {
    fn random(&self) -> u64 {
        self.chance.get()
    }

    fn is_local(&self, queue: QueueId) -> bool {
        self.local == Some(queue)
    }
}

impl World {
    pub(super) fn new() -> Self {
        let mut state = MetadataState::new();
        let node = NodeRecord {
            id: NodeId(1),
            incarnation: 0,
            peer_address: String::new(),
            kafka_host: "localhost".to_owned(),
            kafka_port: 9092,
            rack: None,
            state: NodeState::Active,
        };
        state.apply(&AT, MetadataCommand::RegisterNode(node));
        Self {
            state,
            next_topic: 1,
            chance: Cell::new(0),
            local: None,
        }
    }

    /// Makes a node a member; its id is the next one.
    pub(super) fn admit(&mut self, id: u64) {
        let admit = MetadataCommand::AdmitNode {
            incarnation: 9,
            peer_address: "10.0.0.9:9192".to_owned(),
            kafka_host: "localhost".to_owned(),
            kafka_port: 9093,
        };
        let outcome = self.state.apply(&AT, admit);
        assert_eq!(outcome, MetadataOutcome::NodeAdmitted(NodeId(id)));
    }

    pub(super) fn apply(&mut self, command: RoutingCommand) -> Decided {
        let command = MetadataCommand::Routing(command);
        let bytes = command.encode();
        assert_eq!(MetadataCommand::decode(&bytes), Ok(command.clone()));
        match self.state.apply(&AT, command) {
            MetadataOutcome::Routing(RoutingOutcome::Refused(refused)) => Err(refused),
            MetadataOutcome::Routing(outcome) => Ok(outcome),
            outcome => panic!("another outcome: {outcome:?}"),
        }
    }

    pub(super) fn exchange(&mut self, name: &str, kind: ExchangeKind) -> Decided {
        self.exchange_as(name, kind, |_| {})
    }

    pub(super) fn exchange_as(
        &mut self,
        name: &str,
        kind: ExchangeKind,
        change: impl FnOnce(&mut ExchangeRecord),
    ) -> Decided {
        let mut exchange = ExchangeRecord {
            id: ExchangeId(0),
            vhost: VhostId(0),
            name: short(name),
            kind,
            is_delayed: false,
            is_durable: true,
            is_auto_delete: false,
            is_internal: false,
            arguments: FieldTable::default(),
            declared_by: (NodeId(1), 7),
            after_start: 0,
        };
        change(&mut exchange);
        self.apply(RoutingCommand::DeclareExchange {
            vhost: "/".to_owned(),
            exchange,
        })
    }

    pub(super) fn delete_exchange(&mut self, name: &str, if_unused: bool) -> Decided {
        self.apply(RoutingCommand::DeleteExchange {
            vhost: "/".to_owned(),
            name: short(name),
            id: ExchangeId(0),
            if_unused,
        })
    }

    pub(super) fn topic(&mut self, name: &str) -> CreateTopic {
        self.next_topic += 1;
        CreateTopic {
            name: TopicName::new(name).unwrap(),
            id: TopicId(Uuid::from_u128(self.next_topic)),
            partitions: vec![GroupId(1)],
            replication_factor: 1,
            configs: BTreeMap::new(),
            created: Millis(4),
        }
    }

    pub(super) fn queue(&mut self, name: &str) -> QueueId {
        let outcome = self.queue_as(name, |_| {}).unwrap();
        let RoutingOutcome::QueueDeclared(queue) = outcome else {
            panic!("another outcome: {outcome:?}");
        };
        queue.id
    }

    pub(super) fn queue_as(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut DeclareQueueCommand),
    ) -> Decided {
        let mut declare = DeclareQueueCommand {
            vhost: "/".to_owned(),
            name: short(name),
            kind: QueueType::Classic,
            is_durable: true,
            is_auto_delete: false,
            is_exclusive: false,
            session: session(1),
            arguments: FieldTable::default(),
            topic: self.topic(name),
        };
        change(&mut declare);
        self.apply(RoutingCommand::DeclareQueue(Box::new(declare)))
    }

    pub(super) fn delete_queue(&mut self, name: &str, who: SessionKey) -> Decided {
        self.apply(RoutingCommand::DeleteQueue {
            vhost: "/".to_owned(),
            name: short(name),
            id: QueueId(0),
            session: Some(who),
        })
    }

    pub(super) fn bind_command(
        source: &str,
        destination: Destination,
        key: &str,
        arguments: FieldTable,
    ) -> BindCommand {
        BindCommand {
            vhost: "/".to_owned(),
            source: short(source),
            destination,
            routing_key: short(key),
            arguments,
            session: session(1),
        }
    }

    pub(super) fn bind(&mut self, source: &str, queue: &str, key: &str) -> Decided {
        self.bind_with(source, queue, key, FieldTable::default())
    }

    pub(super) fn bind_with(
        &mut self,
        source: &str,
        queue: &str,
        key: &str,
        arguments: FieldTable,
    ) -> Decided {
        let queue = Destination::Queue(short(queue));
        self.apply(RoutingCommand::Bind(Self::bind_command(
            source, queue, key, arguments,
        )))
    }

    pub(super) fn bind_exchange(&mut self, source: &str, to: &str, key: &str) -> Decided {
        let to = Destination::Exchange(short(to));
        let bind = Self::bind_command(source, to, key, FieldTable::default());
        self.apply(RoutingCommand::Bind(bind))
    }

    pub(super) fn unbind(&mut self, source: &str, queue: &str, key: &str) -> Decided {
        let queue = Destination::Queue(short(queue));
        let bind = Self::bind_command(source, queue, key, FieldTable::default());
        self.apply(RoutingCommand::Unbind(bind))
    }

    pub(super) fn route(&self, exchange: &str, key: &str) -> Vec<QueueId> {
        self.route_with(exchange, key, &BasicProperties::default())
            .unwrap()
            .queues
    }

    pub(super) fn route_with(
        &self,
        exchange: &str,
        key: &str,
        properties: &BasicProperties,
    ) -> Result<RoutedTo, Refused> {
        let topology = self.state.topology();
        let routing = topology.routing();
        let addressed = Addressed {
            exchange: &short(exchange),
            routing_key: &short(key),
            properties,
        };
        routing.route(routing.vhost("/").unwrap(), &addressed, self)
    }

    pub(super) fn has_exchange(&self, name: &str) -> bool {
        let topology = self.state.topology();
        let routing = topology.routing();
        let vhost = routing.vhost("/").unwrap().id;
        routing.exchange(vhost, &short(name)).is_some()
    }

    pub(super) fn has_topic(&self, name: &str) -> bool {
        let name = TopicName::new(name).unwrap();
        self.state.topology().by_name(&name).is_some()
    }
}
