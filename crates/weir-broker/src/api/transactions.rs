//! Producers with an id of their own, and transactions.
//!
//! Source: KIP-98, KIP-360, KIP-664, KIP-890.

use weir_model::{ErrorKind, Offset, ProducerId};

use super::{OffsetCommit, TopicRef};

/// Asks for a producer id and its epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitProducer {
    /// The transactional id, and what comes with it; `None`: the producer is only idempotent, and
    /// gets a new id in any case, as from Kafka.
    pub transactional: Option<InitTransactional>,
    /// The id and epoch that the producer has.
    pub known: Option<ProducerEpoch>,
}

/// What a transactional producer says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitTransactional {
    /// Its transactional id.
    pub id: String,
    /// Its transactions are aborted after this long, in ms; 0 or less is refused.
    pub timeout_ms: i32,
}

impl InitProducer {
    /// A producer without transactions that has no id yet.
    pub fn idempotent() -> Self {
        Self {
            transactional: None,
            known: None,
        }
    }
}

/// A producer id with its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProducerEpoch {
    /// The id.
    pub id: ProducerId,
    /// The epoch.
    pub epoch: i16,
}

/// The transaction that batches belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProduceTransaction {
    /// The transactional id.
    pub id: String,
    /// Partitions become part of it by being produced to (KIP-890).
    pub adds: bool,
}

/// Partitions for one transaction, or the question whether they are part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddPartitions {
    /// The transactional id.
    pub transaction: String,
    /// Its producer.
    pub producer: ProducerEpoch,
    /// Nothing is added.
    pub verify_only: bool,
    /// Which.
    pub partitions: Vec<(TopicRef, i32)>,
}

/// A group whose offsets will be committed by a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddOffsets {
    /// The transactional id.
    pub transaction: String,
    /// Its producer.
    pub producer: ProducerEpoch,
    /// The group.
    pub group: String,
}

/// Commits or aborts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndTransaction {
    /// The transactional id.
    pub transaction: String,
    /// Its producer.
    pub producer: ProducerEpoch,
    /// Commit; else abort.
    pub commit: bool,
    /// The producer goes on with another epoch (KIP-890).
    pub bumps_epoch: bool,
    /// Number of the client's connection among those that this node has taken. What comes on an
    /// earlier one than was heard last for this is late, and refused where no epoch tells.
    pub connection: u64,
}

/// Offsets that count once the transaction is committed.
#[derive(Clone, Debug)]
pub struct TransactionOffsetCommit {
    /// The transactional id.
    pub transaction: String,
    /// Its producer.
    pub producer: ProducerEpoch,
    /// The group becomes part of the transaction, where it is not yet (KIP-890).
    pub adds: bool,
    /// As [`EndTransaction::connection`].
    pub connection: u64,
    /// The group, its member and the offsets.
    pub commit: OffsetCommit,
}

/// Ends a producer's transactions in some partitions, past the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteMarkers {
    /// The producer.
    pub producer: ProducerEpoch,
    /// Commit; else abort.
    pub commit: bool,
    /// Epoch of who says so. Lower ones than the partition has seen are refused.
    pub coordinator_epoch: i32,
    /// Where.
    pub partitions: Vec<(TopicRef, i32)>,
}

/// A producer as a partition knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescribedProducer {
    /// Its id and epoch.
    pub producer: ProducerEpoch,
    /// Its last sequence; -1: none of this epoch.
    pub last_sequence: i32,
    /// When it last stored something, in ms since 1970.
    pub last_used_ms: i64,
    /// Epoch of the coordinator that ended its last transaction there; -1: none did.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction.
    pub open: Option<Offset>,
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransactionState {
    /// None was begun since the producer got its epoch.
    Empty,
    /// Open.
    Ongoing,
    /// Committed; not all partitions have heard of it.
    PrepareCommit,
    /// Aborted; not all partitions have heard of it.
    PrepareAbort,
    /// Committed.
    CompleteCommit,
    /// Aborted.
    CompleteAbort,
}

/// One transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedTransaction {
    /// Where it stands.
    pub state: TransactionState,
    /// Its producer.
    pub producer: ProducerEpoch,
    /// Aborted after this long, in ms.
    pub timeout_ms: i32,
    /// When it was begun, in ms since 1970; -1: none was.
    pub started_ms: i64,
    /// What is part of it, by topic name and index; offsets of groups stand under Kafka's name
    /// `__consumer_offsets`.
    pub partitions: Vec<(String, i32)>,
}

/// Which transactional ids. Empty lists: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListTransactions {
    /// Only these states.
    pub states: Vec<TransactionState>,
    /// Only these producers.
    pub producers: Vec<ProducerId>,
    /// Only those that have been open for longer than this, in ms.
    pub older_than_ms: Option<u64>,
}

/// A transactional id of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTransaction {
    /// The id.
    pub transaction: String,
    /// Its producer.
    pub producer: ProducerId,
    /// Where it stands.
    pub state: TransactionState,
}

/// A transaction whose records a reader of committed ones must leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Its producer.
    pub producer: ProducerId,
    /// Its first offset in the partition.
    pub first: Offset,
}

/// One answer a partition.
pub type PartitionAnswers = Vec<Result<(), ErrorKind>>;
