//! What a wire request becomes, and what is kept of it until its outcome is there.

use bytes::Bytes;
use kafka_protocol::{messages::metadata_response::MetadataResponseTopic, protocol::StrBytes};
use weir_broker::api::Request;

use super::{grouped::Grouped, transaction_admin::AskedMarker, transactions::AskedTransaction};
use crate::codec::{response::EncodeError, shape::DecodeError, versions::Api};

/// What a wire request becomes. Lives for a moment on the stack, so that a box for the larger
/// variant would cost more than it saves.
#[allow(
    clippy::large_enum_variant,
    reason = "one per request, moved once: a box would cost more than the bytes"
)]
#[derive(Debug)]
pub enum Mapped {
    /// A request for the node, and what its answer needs.
    Ask(Request, Plan),
    /// An answer that needs no node.
    Answered(Answer),
}

/// What goes back to the client.
#[derive(Debug)]
pub enum Answer {
    /// One frame in chunks.
    Frame(Vec<Bytes>),
    /// Nothing: the client waits for nothing.
    Silent,
    /// The connection's end, the only way to tell a client that waits for nothing of an error.
    Close {
        /// The code it would have been told.
        code: i16,
    },
}

/// Why a request gets no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// The request is malformed.
    #[error("{api:?} version {version}: {source}")]
    Malformed {
        /// The request.
        api: Api,
        /// Its version.
        version: i16,
        /// What is wrong.
        source: DecodeError,
    },
    /// The answer does not fit its schema.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The node answered with another request's outcome.
    #[error("{0:?} got another request's outcome")]
    Mismatch(Api),
}

/// What is kept of a request until its outcome is there.
#[derive(Debug)]
pub enum Plan {
    /// Produce.
    Produce {
        /// Topics and partitions of the request.
        grouped: Grouped,
        /// acks=0.
        silent: bool,
    },
    /// Fetch.
    Fetch {
        /// Topics and partitions of the request.
        grouped: Grouped,
        /// Isolation level read_committed.
        lists_aborted: bool,
    },
    /// ListOffsets.
    ListOffsets(Grouped),
    /// Metadata.
    Metadata {
        /// Answers for topics that the node was not asked for, with their places in order.
        refused: Vec<(usize, MetadataResponseTopic)>,
    },
    /// CreateTopics: names with the code of those that the node was not asked for.
    CreateTopics(Vec<(StrBytes, Option<i16>)>),
    /// InitProducerId.
    ProducerId {
        /// With a transactional id.
        transactional: bool,
    },
    /// FindCoordinator: the keys.
    Coordinators(Vec<StrBytes>),
    /// JoinGroup.
    Join,
    /// SyncGroup.
    Sync,
    /// Heartbeat.
    Heartbeat,
    /// LeaveGroup: members with their instance ids.
    Leave(Vec<(StrBytes, Option<StrBytes>)>),
    /// OffsetCommit.
    OffsetCommit(Grouped),
    /// AddPartitionsToTxn: ids with their partitions.
    AddPartitions(Vec<AskedTransaction>),
    /// AddOffsetsToTxn.
    AddOffsets,
    /// EndTxn.
    EndTransaction,
    /// TxnOffsetCommit.
    TransactionOffsetCommit(Grouped),
    /// WriteTxnMarkers.
    WriteMarkers(Vec<AskedMarker>),
    /// DescribeProducers.
    DescribeProducers(Grouped),
    /// DescribeTransactions: the ids.
    DescribeTransactions(Vec<StrBytes>),
    /// ListTransactions: names of states that do not exist.
    ListTransactions(Vec<StrBytes>),
    /// OffsetFetch: groups with what they were asked for; `None`: everything.
    OffsetFetch(Vec<(StrBytes, Option<Grouped>)>),
}

/// The client at the other end.
#[derive(Clone, Debug)]
pub struct Client {
    /// As Kafka prints it: `/` and the address.
    pub host: String,
    /// What it called itself in the request at hand.
    pub id: StrBytes,
    /// [`crate::KafkaConfig::max_fetch_bytes`].
    pub max_fetch_bytes: usize,
}
