//! What replicas of a group are compared by. For tests and the simulator: no client asks this.

use std::sync::Arc;

use bytes::BytesMut;
use weir_log::partition::{PartitionLog, PartitionStore, Read, ReadError};
use weir_model::{GroupId, NodeId, Offset, PartitionId, Term, TopicName};
use weir_raft::{Context, GroupView, Input, Members};

use crate::{Node, machine::Machine, outcome::AppliedOutcome};

/// Bytes of one read while a partition is gone through.
const READ_BYTES: usize = 64 << 10;

/// A replica at one index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaState {
    /// Last entry applied.
    pub applied: u64,
    /// Who takes part in the group.
    pub members: Members,
    /// Checksum of the replicated state, apart from what partitions hold.
    pub state: u32,
    /// What each partition holds, in ascending order of id.
    pub partitions: Vec<PartitionState>,
}

/// A partition of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// Which.
    pub id: PartitionId,
    /// First offset.
    pub start: Offset,
    /// Offset after the last record.
    pub end: Offset,
    /// Checksum of all batches from the start on, where it was asked for; an error where they
    /// cannot be read.
    pub data: Option<Result<u32, String>>,
}

/// Called once, on the group's worker.
pub type ReplicaStateDone = Box<dyn FnOnce(ReplicaState) + Send>;

impl Node {
    /// Term, known leader and last applied entry of a group, as of its worker's last turn.
    pub fn observed(&self, group: GroupId) -> (Term, Option<NodeId>, u64) {
        let status = self.status(group);
        (status.term(), status.leader(), status.applied())
    }

    /// The last term of the group's replica that is on this node's disk, and the vote in it.
    pub fn promised(&self, group: GroupId) -> (Term, Option<NodeId>) {
        self.status(group).promised()
    }

    /// The last entry of the group's replica that is on this node's disk.
    pub fn persisted(&self, group: GroupId) -> u64 {
        self.status(group).persisted()
    }

    /// The group as the replica on this node knows it.
    pub fn own_view(&self, group: GroupId) -> Arc<GroupView> {
        self.status(group).view()
    }

    /// The group that carries a partition of a topic that this node knows.
    pub fn group_with(&self, partition: PartitionId) -> Option<GroupId> {
        self.group_of(partition)
    }

    /// The group that carries a partition of a topic by name, where this node knows it.
    pub fn group_at(&self, topic: &TopicName, index: i32) -> Option<GroupId> {
        let topology = self.topology.load();
        let topic = topology.by_name(topic)?;
        topic.partition(index).map(|(_, group)| group)
    }

    /// All nodes of the cluster, as far as this one knows.
    pub fn known_nodes(&self) -> Vec<NodeId> {
        self.topology.load().nodes().keys().copied().collect()
    }

    /// Looks at a group's replica on this node, at the next turn. With `with_data` all batches
    /// are read, on the worker's thread: not for a node that serves anybody.
    pub fn inspect(&self, group: GroupId, with_data: bool, done: ReplicaStateDone) {
        let (store, offers) = (Arc::clone(&self.env.store), Arc::clone(&self.offers));
        let visit = move |machine: &mut Machine, context: &mut Context<'_, AppliedOutcome>| {
            let mut encoded = BytesMut::new();
            let logs = match machine {
                Machine::Metadata(metadata) => {
                    encoded.extend_from_slice(&metadata.encode());
                    Vec::new()
                }
                Machine::Shard(shard) => shard.inspect(&mut encoded),
            };
            let state_of = |log: Arc<PartitionLog>| PartitionState {
                id: log.id(),
                start: log.start_offset(),
                end: log.end_offset(),
                data: with_data.then(|| {
                    checksum(&log, &store).map_err(|error| {
                        if let ReadError::Corrupt { path, .. } = &error {
                            offers.found_damage(&log, path);
                        }
                        error.to_string()
                    })
                }),
            };
            done(ReplicaState {
                applied: context.applied,
                members: context.members.clone(),
                state: crc32c::crc32c(&encoded),
                partitions: logs.into_iter().map(state_of).collect(),
            });
        };
        self.handle_of(group).send(Input::Visit {
            group,
            visit: Box::new(visit),
        });
    }
}

fn checksum(log: &Arc<PartitionLog>, store: &PartitionStore) -> Result<u32, ReadError> {
    let mut sum = 0;
    let mut from = log.start_offset();
    loop {
        let batches = match log.read(from, READ_BYTES, true) {
            Read::Batches(batches) => batches,
            Read::Cold(cold) => store.run_cold(&cold)?,
            Read::AtEnd => return Ok(sum),
            Read::OutOfRange { start, end } => return Err(ReadError::OutOfRange { start, end }),
        };
        for chunk in &batches.chunks {
            sum = crc32c::crc32c_append(sum, chunk);
        }
        assert!(batches.next_offset > from, "a read goes on");
        from = batches.next_offset;
    }
}
