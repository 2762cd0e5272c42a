//! Batches of messages to the leaders of partitions, wherever they are.

use std::sync::Arc;

use bytes::Bytes;
use weir_model::{ErrorKind, GroupId, PartitionId, batch::BatchHeader};
use weir_raft::NotCommitted;

use super::wire::{self, Appended, Call, Landed};
use crate::{
    Node,
    outcome::AppliedOutcome,
    queue::QueueCall,
    routing::record::{QueueId, QueueType},
    shard::{NO_QUEUE_YET, ShardCommand},
};

/// Hears once what became of a batch.
pub(super) type AppendDone = Box<dyn FnOnce(Appended) + Send>;

/// What became of a batch that a lane has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// On stable storage.
    Stored(Landed),
    /// It was never written down.
    NotSent,
    /// It may be stored or not.
    Unknown,
    /// Not stored: batches before it are not, or their numbers are not known.
    Gap,
    /// Not stored, and never will be.
    Refused,
    /// Not stored: its numbers are another producer's.
    Fenced,
    /// Not stored: a body that it refers to is gone.
    Bodiless,
}

impl Fate {
    pub(super) fn of(appended: Appended) -> Self {
        match appended {
            Ok(landed) => Self::Stored(landed),
            // Stored too long ago for the partition to know which of its messages the queue refused:
            // none is confirmed.
            Err(ErrorKind::DuplicateSequence) => Self::Stored(Landed {
                base_offset: None,
                refused_from: Some(0),
            }),
            Err(ErrorKind::OffsetOutOfRange) => Self::Bodiless,
            // A full disk keeps publishers waiting.
            Err(
                ErrorKind::NotLeader
                | ErrorKind::Overloaded
                | ErrorKind::ShuttingDown
                | ErrorKind::StorageFull,
            ) => Self::NotSent,
            Err(ErrorKind::TimedOut | ErrorKind::StorageFailed) => Self::Unknown,
            Err(ErrorKind::SequenceGap | ErrorKind::OutOfOrderSequence) => Self::Gap,
            Err(ErrorKind::InvalidProducerEpoch | ErrorKind::UnknownProducer) => Self::Fenced,
            // Any other error says that this batch cannot be stored as it is.
            Err(error) => {
                tracing::debug!(?error, "a batch of messages is refused");
                Self::Refused
            }
        }
    }
}

impl Node {
    /// Sends a batch to whoever leads its partition, once.
    pub(super) fn append_anywhere(
        self: &Arc<Self>,
        group: GroupId,
        partition: PartitionId,
        batch: Bytes,
        done: AppendDone,
    ) {
        let to = match self.leader_of(group) {
            Some((leader, _)) if leader == self.id() => {
                return self.append_here(group, partition, batch, done);
            }
            Some((leader, _)) => leader,
            None => return done(Err(ErrorKind::NotLeader)),
        };
        let call = Call::Append {
            group,
            partition,
            batch,
        };
        let answered = move |answer: Result<Bytes, _>| {
            // Without an answer it may have arrived.
            let answer = answer.map_err(|_| ErrorKind::TimedOut);
            done(answer.and_then(|answer| {
                wire::read_appended(&answer).unwrap_or(Err(ErrorKind::TimedOut))
            }));
        };
        self.peers.call(to, call.encode(), Box::new(answered));
    }

    /// Sends a batch of records that the cluster itself writes to whoever leads the partition, once.
    pub(crate) fn append_records(
        self: &Arc<Self>,
        route: (GroupId, PartitionId),
        batch: Bytes,
        done: impl FnOnce(Result<(), ErrorKind>) + Send + 'static,
    ) {
        let done = move |appended: Appended| done(appended.map(|_| ()));
        self.append_anywhere(route.0, route.1, batch, Box::new(done));
    }

    /// Appends a batch where this node leads its partition.
    ///
    /// One that is to be a queue and is none yet is made one first: a queue that nobody has declared by a door,
    /// such as those that dead letters are parked in, is otherwise laid over what it should have looked at.
    pub(super) fn append_here(
        self: &Arc<Self>,
        group: GroupId,
        partition: PartitionId,
        batch: Bytes,
        done: AppendDone,
    ) {
        match self.group_of(partition) {
            Some(found) if found != group => return done(Err(ErrorKind::InvalidRequest)),
            Some(_) if !self.leads(group) => return done(Err(ErrorKind::NotLeader)),
            Some(_) => {}
            // Not known here yet, or not any more.
            None => return done(Err(ErrorKind::NotLeader)),
        }
        if BatchHeader::parse(&batch).is_err() {
            return done(Err(ErrorKind::CorruptBatch));
        }
        let node = Arc::clone(self);
        let done = Box::new(move |outcome| match appended(outcome) {
            Err(NO_QUEUE_YET) => node.lay_queue(group, partition, done),
            appended => done(appended),
        });
        let is_declared = self.is_to_be_queue(partition);
        self.propose(
            group,
            ShardCommand::enqueue(partition, is_declared, batch),
            done,
        );
    }

    /// Whether the partition is, or is to be, a queue and no stream.
    fn is_to_be_queue(&self, partition: PartitionId) -> bool {
        let topology = self.topology.load();
        let queue = topology
            .routing()
            .queue_by_id(QueueId(partition.topic_serial()));
        queue.is_some_and(|queue| queue.kind != QueueType::Stream)
    }

    /// Makes a queue of the partition; nothing is appended, but may be then.
    fn lay_queue(self: &Arc<Self>, group: GroupId, partition: PartitionId, done: AppendDone) {
        let configure = QueueCall::Configure(Box::new(self.settings_of(partition)));
        let made = move |_| done(Err(ErrorKind::NotLeader));
        self.lead_queue_call(group, partition, configure, Box::new(made));
    }
}

fn appended(outcome: Result<AppliedOutcome, NotCommitted>) -> Appended {
    match outcome {
        Ok(AppliedOutcome::Appended(produced)) => produced.base_offset.map(|base_offset| Landed {
            base_offset: Some(base_offset),
            refused_from: produced.refused_from,
        }),
        Err(NotCommitted::LeadershipLost) => Err(ErrorKind::TimedOut),
        Err(error) => Err(error.kind()),
        Ok(_) => Err(ErrorKind::InvalidRequest),
    }
}
