//! Bodies that are stored once for many queues: which of a publishing's messages have one, and how
//! far they are.
//!
//! Queues that wait for a body keep the message's place in their lanes, so that nothing that is
//! published later comes before it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use weir_model::{GroupId, Offset, PartitionId, reference::BodyReference};

use super::{
    lane::Lane,
    publish::{Route, RouteTo},
};
use crate::{
    Node,
    api::queues::Message,
    routing::record::{QueueId, QueueType},
};

/// Shorter bodies are stored with each queue's record, in bytes: a reference, its round, and what is
/// looked up for it cost as much.
pub(super) const SHARED_BODY_MIN_BYTES: usize = 1 << 10;
/// Bodies for fewer queues of a group are stored with each queue's record.
pub(super) const SHARED_BODY_MIN_QUEUES: usize = 4;

/// How a message is written for a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// With its body.
    Whole,
    /// Its body alone.
    Body,
    /// Without its body, which lies elsewhere.
    Reference(BodyReference),
}

/// The shared bodies of a publishing's messages. Most have none.
#[derive(Default)]
pub(super) struct Sharing {
    /// Queues that get the messages whole.
    exempt: BTreeSet<PartitionId>,
    /// A mutex: taken for messages with a shared body, by each of their lanes once or twice.
    bodies: Option<Mutex<BTreeMap<(u32, GroupId), SharedBody>>>,
}

enum SharedBody {
    /// It is on its way, and these lanes wait for it.
    Coming(Vec<Arc<Lane>>),
    At(Offset),
    /// It is not known where it lies, or it lies nowhere: it is stored with each queue's record.
    Nowhere,
}

impl Sharing {
    fn add(&mut self, message: u32, group: GroupId, lanes: Vec<Arc<Lane>>) {
        let bodies = self.bodies.get_or_insert_default();
        let bodies = bodies.get_mut().unwrap_or_else(PoisonError::into_inner);
        bodies.insert((message, group), SharedBody::Coming(lanes));
    }

    /// How the message is written for a lane; `None`: that is not known yet.
    pub(super) fn form(
        &self,
        message: u32,
        body: &Bytes,
        (group, partition): (GroupId, PartitionId),
    ) -> Option<Form> {
        let Some(bodies) = &self.bodies else {
            return Some(Form::Whole);
        };
        let bodies = bodies.lock().unwrap_or_else(PoisonError::into_inner);
        match bodies.get(&(message, group)) {
            Some(_) if self.exempt.contains(&partition) => Some(Form::Whole),
            None | Some(SharedBody::Nowhere) => Some(Form::Whole),
            Some(SharedBody::Coming(_)) => None,
            Some(SharedBody::At(offset)) => {
                let length = u32::try_from(body.len());
                let reference = length.map(|length_bytes| BodyReference {
                    offset: *offset,
                    length_bytes,
                });
                Some(reference.map_or(Form::Whole, Form::Reference))
            }
        }
    }

    /// The body is there, or nobody knows where. Gives the lanes that wait for it.
    pub(super) fn settle(
        &self,
        message: u32,
        group: GroupId,
        at: Option<Offset>,
    ) -> Vec<Arc<Lane>> {
        let Some(bodies) = &self.bodies else {
            return Vec::new();
        };
        let mut bodies = bodies.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(body) = bodies.get_mut(&(message, group)) else {
            return Vec::new();
        };
        let settled = at.map_or(SharedBody::Nowhere, SharedBody::At);
        match std::mem::replace(body, settled) {
            SharedBody::Coming(lanes) => lanes,
            SharedBody::At(_) | SharedBody::Nowhere => Vec::new(),
        }
    }

    /// Which messages' bodies are to be stored where.
    pub(super) fn wanted(&self) -> Vec<(u32, GroupId)> {
        let Some(bodies) = &self.bodies else {
            return Vec::new();
        };
        let bodies = bodies.lock().unwrap_or_else(PoisonError::into_inner);
        bodies.keys().copied().collect()
    }
}

impl Node {
    /// Which messages' bodies are stored once for several of the queues that they go to.
    pub(super) fn sharing(&self, messages: &[Message], routes: &[Route]) -> Sharing {
        let mut sharing = Sharing::default();
        for run in routes.chunk_by(|one, next| one.message == next.message) {
            let first = run.first().filter(|_| run.len() >= SHARED_BODY_MIN_QUEUES);
            let message = first.and_then(|first| {
                let at = usize::try_from(first.message).ok()?;
                messages.get(at)
            });
            if message.is_some_and(|message| message.body.len() >= SHARED_BODY_MIN_BYTES) {
                self.share(run, &mut sharing);
            }
        }
        sharing
    }

    fn share(&self, run: &[Route], sharing: &mut Sharing) {
        let topology = self.topology.load();
        let routing = topology.routing();
        let mut by_group: BTreeMap<GroupId, Vec<PartitionId>> = BTreeMap::new();
        for route in run {
            let RouteTo::Lane(group, partition) = route.to else {
                continue;
            };
            let queue = routing.queue_by_id(QueueId(partition.topic_serial()));
            match queue.map(|queue| queue.kind) {
                Some(QueueType::Classic | QueueType::Quorum) => {
                    by_group.entry(group).or_default().push(partition);
                }
                // Streams are read by many, long after.
                Some(QueueType::Stream) | None => {
                    sharing.exempt.insert(partition);
                }
            }
        }
        by_group.retain(|_, partitions| partitions.len() >= SHARED_BODY_MIN_QUEUES);
        for (group, partitions) in by_group {
            let lanes = partitions.into_iter();
            let lanes = lanes.map(|partition| self.lanes.get(group, partition));
            sharing.add(run[0].message, group, lanes.collect());
        }
    }
}

#[cfg(test)]
impl Sharing {
    /// For tests of lanes: the bodies of all messages are on their way to the group.
    pub(super) fn coming(count: u32, group: GroupId, lane: &Arc<Lane>) -> Self {
        let mut sharing = Self::default();
        (0..count).for_each(|at| sharing.add(at, group, vec![Arc::clone(lane)]));
        sharing
    }
}
