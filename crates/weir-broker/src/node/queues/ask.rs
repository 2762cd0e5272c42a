//! Calls to the leaders of partitions, wherever they are.

use std::sync::Arc;

use bytes::Bytes;
use weir_log::Millis;
use weir_model::{ErrorKind, GroupId, NodeId, PartitionId};

use super::{
    QueueCallDone,
    wire::{self, Call},
};
use crate::{
    Node,
    bodies::group_of_bodies,
    queue::{QueueAnswer, QueueCall},
};

/// First pause before another try, in ms; doubles with each.
const MIN_PAUSE_MS: u64 = 20;
/// Longest pause before another try, in ms.
const MAX_PAUSE_MS: u64 = 1_000;
/// How long a call is tried that a client waits for, in ms.
const MAX_TRYING_MS: u64 = 30_000;

/// Of calls to a group rather than to one of its partitions.
pub(super) const ANYWHERE: PartitionId = PartitionId(0);

/// How long a call is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// For as long as a client waits for something.
    OfAClient,
    /// As long as the node runs.
    Endless,
}

/// A call on its way.
struct Asking {
    node: Arc<Node>,
    group: GroupId,
    partition: PartitionId,
    call: QueueCall,
    give_up: Option<Millis>,
    pause_ms: u64,
    done: QueueCallDone,
}

impl Node {
    /// Asks the leader of a partition, and asks again while there is none or it cannot be reached:
    /// calls may come twice. `done` hears an error once patience is over, or the node goes down;
    /// the call may have been carried out even so.
    pub(crate) fn ask_queue(
        self: &Arc<Self>,
        group: GroupId,
        partition: PartitionId,
        call: QueueCall,
        patience: Patience,
        done: QueueCallDone,
    ) {
        let give_up = match patience {
            Patience::OfAClient => Some(self.elapsed().plus(MAX_TRYING_MS)),
            Patience::Endless => None,
        };
        let asking = Asking {
            node: Arc::clone(self),
            group,
            partition,
            call,
            give_up,
            pause_ms: MIN_PAUSE_MS,
            done,
        };
        asking.attempt();
    }

    /// Makes a queue of a partition that is none, and asks its leader again.
    pub(super) fn ask_anew(
        self: &Arc<Self>,
        group: GroupId,
        partition: PartitionId,
        call: QueueCall,
        patience: Patience,
        done: QueueCallDone,
    ) {
        let node = Arc::clone(self);
        let configure = QueueCall::Configure(Box::new(self.settings_of(partition)));
        let configured = move |answer| match answer {
            Ok(_) => node.ask_queue(group, partition, call, patience, done),
            Err(error) => done(Err(error)),
        };
        self.ask_queue(group, partition, configure, patience, Box::new(configured));
    }

    /// Whether the group is a transient one whose node is away and has no queues any more.
    pub(super) fn is_transient_over(&self, group: GroupId) -> bool {
        let away = group.transient_node().filter(|node| *node != self.id());
        away.is_some_and(|node| {
            let has_queues = || {
                let topology = self.topology.load();
                topology.routing().has_queues_of_runs(node)
            };
            self.leader_of(group).is_none() && !has_queues()
        })
    }

    /// The group that carries a partition of a topic that is there, or its bodies.
    pub(crate) fn group_of(&self, partition: PartitionId) -> Option<GroupId> {
        if let Some(group) = group_of_bodies(partition) {
            return Some(group);
        }
        let topology = self.topology.load();
        let topic = topology.by_serial(partition.topic_serial())?;
        let index = i32::try_from(partition.index()).ok()?;
        Some(topic.partition(index)?.1)
    }
}

impl Asking {
    fn attempt(self) {
        let node = Arc::clone(&self.node);
        match node.leader_of(self.group) {
            Some((leader, _)) if leader == node.id() => {
                let (group, partition, call) = (self.group, self.partition, self.call.clone());
                let done = Box::new(move |answer| self.tried(answer));
                node.lead_queue_call(group, partition, call, done);
            }
            Some((leader, _)) => self.forward(leader),
            None if self.is_over() => (self.done)(Ok(QueueAnswer::NotAQueue)),
            None => self.tried(Err(ErrorKind::NotLeader)),
        }
    }

    /// Whether there is nothing left to ask about, and nobody who would say so: the node of a
    /// transient group may never come back.
    fn is_over(&self) -> bool {
        let serial = self.partition.topic_serial();
        let is_deleted =
            || self.partition != ANYWHERE && self.node.topology.load().is_deleted(serial);
        self.group.is_transient() && (self.node.is_transient_over(self.group) || is_deleted())
    }

    fn forward(self, to: NodeId) {
        let node = Arc::clone(&self.node);
        let call = Call::Ask {
            group: self.group,
            partition: self.partition,
            call: self.call.clone(),
        };
        let done = move |answer: Result<Bytes, _>| {
            let answer = match answer.map(|answer| wire::read_answer(&answer)) {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => {
                    tracing::warn!(%to, %error, "an answer of a queue that is damaged or unknown");
                    Err(ErrorKind::NotLeader)
                }
                Err(_) => Err(ErrorKind::NotLeader),
            };
            self.tried(answer);
        };
        node.peers.call(to, call.encode(), Box::new(done));
    }

    fn tried(self, answer: Result<QueueAnswer, ErrorKind>) {
        let Err(error) = answer else {
            return (self.done)(answer);
        };
        let node = Arc::clone(&self.node);
        let now = node.elapsed();
        // A client had better hear at once that there is no room; what ends things waits for it.
        let is_final = error != ErrorKind::NotLeader && self.give_up.is_some();
        let is_over = self.give_up.is_some_and(|give_up| now >= give_up);
        if is_final || is_over || node.is_closing() {
            return (self.done)(Err(error));
        }
        let pause_ms = self.pause_ms;
        let again = Self {
            pause_ms: (pause_ms * 2).min(MAX_PAUSE_MS),
            ..self
        };
        node.purgatory
            .at(now.plus(pause_ms), Box::new(move || again.attempt()));
    }
}
