// Long: the one list of what doors may ask.
//! What a door may ask of the node, and what it gets back: the messaging model's own words.
//!
//! A door turns wire requests into [`Request`]s and [`Outcome`]s into wire responses. All lists
//! of an outcome stand in the order of the request's lists.

pub mod access;
pub mod admin;
mod answer_room;
mod data;
mod groups;
pub mod queues;
pub mod share;
mod transactions;

use std::sync::Arc;

use bytes::Bytes;
use weir_model::{ErrorKind, Offset, ProducerId, TopicId, TopicName};

pub use self::answer_room::AnswerRoom;
pub(crate) use self::answer_room::TakenRoom;
pub use self::data::{
    EndOfEpoch, EpochEnd, Leader, ListOffset, ListOffsets, ListedOffset, MAX_REFUSED_RECORDS,
    OffsetSpec, ReadFrom, Refusal, RefusedRecord,
};
pub use self::groups::{
    ConsumerBeat, ConsumerHeartbeat, DeleteOffsets, DescribedConsumer, DescribedConsumerGroup,
    DescribedGroup, DescribedMember, GroupKind, GroupPhase, ListGroups, ListedGroup, Refused,
    ShareHeartbeat, TopicPartitions,
};
pub use self::transactions::*;

/// A topic as a client names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicRef {
    /// By name.
    Name(TopicName),
    /// By id.
    Id(TopicId),
}

/// What is asked of the node.
#[derive(Debug)]
pub enum Request {
    /// Answered by [`Outcome::Produce`].
    Produce(Produce),
    /// Answered by [`Outcome::Fetch`].
    Fetch(Fetch),
    /// Answered by [`Outcome::ListOffsets`].
    ListOffsets(ListOffsets),
    /// Where leader epochs end. Answered by [`Outcome::EndOfEpoch`].
    EndOfEpoch(Vec<EndOfEpoch>),
    /// Answered by [`Outcome::Metadata`].
    Metadata(Metadata),
    /// Answered by [`Outcome::CreateTopics`].
    CreateTopics(CreateTopics),
    /// Answered by [`Outcome::ProducerId`].
    InitProducerId(InitProducer),
    /// Which node coordinates these groups. Answered by [`Outcome::Coordinators`].
    FindCoordinator(Vec<String>),
    /// Answered by [`Outcome::Join`], possibly after the rebalance timeout.
    JoinGroup(Join),
    /// Answered by [`Outcome::Sync`] once the leader's assignment is there.
    SyncGroup(Sync),
    /// Answered by [`Outcome::Heartbeat`].
    Heartbeat(Heartbeat),
    /// Answered by [`Outcome::Leave`].
    LeaveGroup(Leave),
    /// Answered by [`Outcome::ConsumerBeat`].
    ConsumerHeartbeat(ConsumerHeartbeat),
    /// Answered by [`Outcome::ConsumerBeat`].
    ShareHeartbeat(ShareHeartbeat),
    /// Answered by [`Outcome::OffsetCommit`].
    OffsetCommit(OffsetCommit),
    /// Answered by [`Outcome::OffsetFetch`].
    OffsetFetch(Vec<OffsetFetch>),
    /// The groups of this node. Answered by [`Outcome::ListGroups`].
    ListGroups(ListGroups),
    /// Classic groups by id. Answered by [`Outcome::DescribeGroups`].
    DescribeGroups(Vec<String>),
    /// Consumer groups by id. Answered by [`Outcome::DescribeConsumerGroups`].
    DescribeConsumerGroups(Vec<String>),
    /// Share groups by id. Answered by [`Outcome::DescribeConsumerGroups`].
    DescribeShareGroups(Vec<String>),
    /// Answered by [`Outcome::DeleteGroups`].
    DeleteGroups(Vec<String>),
    /// Answered by [`Outcome::DeleteOffsets`].
    DeleteOffsets(DeleteOffsets),
    /// Answered by [`Outcome::Managed`].
    Manage(admin::Manage),
    /// Answered by [`Outcome::AddPartitions`].
    AddPartitions(Vec<AddPartitions>),
    /// Answered by [`Outcome::AddOffsets`].
    AddOffsets(AddOffsets),
    /// Answered by [`Outcome::EndTransaction`].
    EndTransaction(EndTransaction),
    /// Answered by [`Outcome::OffsetCommit`].
    TransactionOffsetCommit(TransactionOffsetCommit),
    /// Answered by [`Outcome::WriteMarkers`].
    WriteMarkers(Vec<WriteMarkers>),
    /// Answered by [`Outcome::DescribeProducers`].
    DescribeProducers(Vec<(TopicRef, i32)>),
    /// Answered by [`Outcome::DescribeTransactions`].
    DescribeTransactions(Vec<String>),
    /// Answered by [`Outcome::ListTransactions`].
    ListTransactions(ListTransactions),
    /// Records for members of share groups. Answered by [`Outcome::Share`].
    Share(share::ShareRequest),
    /// Where share groups stand. Answered by [`Outcome::ShareAdmin`].
    ShareAdmin(share::ShareAdmin),
    /// Users and rules, in turn. Answered by [`Outcome::AccessChanged`].
    ChangeAccess(Vec<access::ChangeAccess>),
    /// Exchanges and queues. Answered by [`Outcome::Queue`].
    Queue(queues::QueueRequest),
}

/// What comes back.
#[derive(Debug)]
pub enum Outcome {
    /// To [`Request::Produce`].
    Produce(Vec<Produced>),
    /// To [`Request::Fetch`].
    Fetch(Vec<Fetched>),
    /// To [`Request::ListOffsets`].
    ListOffsets(Vec<Result<ListedOffset, ErrorKind>>),
    /// To [`Request::EndOfEpoch`]; `None`: the epoch is not known.
    EndOfEpoch(Vec<Result<Option<EpochEnd>, ErrorKind>>),
    /// To [`Request::Metadata`].
    Metadata(ClusterMetadata),
    /// To [`Request::CreateTopics`].
    CreateTopics(Vec<Result<CreatedTopic, admin::Refusal>>),
    /// To [`Request::InitProducerId`].
    ProducerId(Result<(ProducerId, i16), ErrorKind>),
    /// To [`Request::FindCoordinator`]. `NotCoordinator`: others know better, as where
    /// [`ClusterMetadata::is_cut_off`].
    Coordinators(Vec<Result<Broker, ErrorKind>>),
    /// To [`Request::JoinGroup`].
    Join(Result<Joined, JoinRefused>),
    /// To [`Request::SyncGroup`].
    Sync(Result<Synced, ErrorKind>),
    /// To [`Request::Heartbeat`].
    Heartbeat(Result<(), ErrorKind>),
    /// To [`Request::LeaveGroup`]: one answer a member.
    Leave(Result<Vec<Result<(), ErrorKind>>, ErrorKind>),
    /// To [`Request::ConsumerHeartbeat`] and [`Request::ShareHeartbeat`].
    ConsumerBeat(Result<ConsumerBeat, Refused>),
    /// To [`Request::OffsetCommit`]: one answer a partition.
    OffsetCommit(Vec<Result<(), ErrorKind>>),
    /// To [`Request::OffsetFetch`]: one answer a group.
    OffsetFetch(Vec<Result<Vec<FetchedOffset>, ErrorKind>>),
    /// To [`Request::ListGroups`], in no order. `CoordinatorLoading` where some are not known yet.
    ListGroups(Result<Vec<ListedGroup>, ErrorKind>),
    /// To [`Request::DescribeGroups`].
    DescribeGroups(Vec<Result<DescribedGroup, Refused>>),
    /// To [`Request::DescribeConsumerGroups`] and [`Request::DescribeShareGroups`].
    DescribeConsumerGroups(Vec<Result<DescribedConsumerGroup, Refused>>),
    /// To [`Request::DeleteGroups`].
    DeleteGroups(Vec<Result<(), ErrorKind>>),
    /// To [`Request::DeleteOffsets`]: one answer a partition.
    DeleteOffsets(Result<Vec<Result<(), ErrorKind>>, ErrorKind>),
    /// To [`Request::Manage`].
    Managed(admin::Managed),
    /// To [`Request::AddPartitions`]: for each transaction one answer a partition.
    AddPartitions(Vec<PartitionAnswers>),
    /// To [`Request::AddOffsets`].
    AddOffsets(Result<(), ErrorKind>),
    /// To [`Request::EndTransaction`]: the producer as it goes on.
    EndTransaction(Result<ProducerEpoch, ErrorKind>),
    /// To [`Request::WriteMarkers`]: one answer a partition, over all of them.
    WriteMarkers(PartitionAnswers),
    /// To [`Request::DescribeProducers`]: one answer a partition.
    DescribeProducers(Vec<Result<Vec<DescribedProducer>, ErrorKind>>),
    /// To [`Request::DescribeTransactions`]: one answer an id.
    DescribeTransactions(Vec<Result<DescribedTransaction, ErrorKind>>),
    /// To [`Request::ListTransactions`]: those that this node coordinates.
    ListTransactions(Vec<ListedTransaction>),
    /// To [`Request::Share`].
    Share(Result<share::ShareAnswer, share::ShareRefused>),
    /// To [`Request::ShareAdmin`].
    ShareAdmin(share::ShareAdminAnswer),
    /// To [`Request::ChangeAccess`].
    AccessChanged(Vec<access::AccessChanged>),
    /// To [`Request::Queue`].
    Queue(queues::QueueOutcome),
}

/// Appends to partitions.
#[derive(Debug)]
pub struct Produce {
    /// What the client waits for. Batches with [`AckLevel::None`] are stored all the same.
    pub ack: AckLevel,
    /// Where the client waits, partitions without an outcome are answered with
    /// [`ErrorKind::TimedOut`] after this long, in ms; their batches may be stored nevertheless.
    /// Above an hour there is no limit.
    pub timeout_ms: u64,
    /// The transaction that batches may belong to.
    pub transaction: Option<ProduceTransaction>,
    /// One batch a partition.
    pub partitions: Vec<ProducePartition>,
}

/// What an acknowledgement of an append means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckLevel {
    /// On a majority's stable storage.
    Majority,
    /// As [`Self::Majority`], and refused where fewer replicas keep up than the topic's
    /// `min.insync.replicas`.
    InSync,
    /// The client does not wait.
    None,
}

/// One batch for one partition.
#[derive(Debug)]
pub struct ProducePartition {
    /// The topic.
    pub topic: TopicRef,
    /// The partition's index.
    pub index: i32,
    /// Exactly one record batch v2, as received. Its structure and checksum are checked by the
    /// node.
    pub batch: Bytes,
}

/// Answer for one appended batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Produced {
    /// Offset of the batch's first record, or why it was not stored.
    pub base_offset: Result<Offset, ErrorKind>,
    /// The partition's first offset.
    pub log_start: Offset,
    /// The broker's time that all records have, in ms, where the topic wants that.
    pub append_time_ms: Option<i64>,
    /// More about why it was not stored.
    pub refusal: Option<Box<Refusal>>,
    /// Where to go instead.
    pub leader: Option<Box<Leader>>,
    /// The partition's queue does not take the batch's records from this one on (`reject-publish`):
    /// stored, as far as the producer's sequence goes, but nobody's. Of what doors of queueing
    /// protocols put there alone: any other batch is taken or refused as a whole.
    pub refused_from: Option<u32>,
}

/// Reads partitions, waiting until there is enough.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Wait until this much is there, in bytes.
    pub min_bytes: usize,
    /// Stop after this much, in bytes. The first batch is returned even if larger.
    pub max_bytes: usize,
    /// Answer at the latest after this long.
    pub max_wait_ms: u64,
    /// Who may answer.
    pub from: ReadFrom,
    /// Nothing of transactions that are open, and a list of those that were aborted.
    pub committed_only: bool,
    /// What to read.
    pub partitions: Vec<FetchPartition>,
    /// Who says how much of `max_bytes` there is room for; `None`: for all of it.
    pub room: Option<Arc<dyn AnswerRoom>>,
}

/// What to read of one partition.
#[derive(Clone, Debug)]
pub struct FetchPartition {
    /// The topic.
    pub topic: TopicRef,
    /// The partition's index.
    pub index: i32,
    /// First offset wanted.
    pub offset: i64,
    /// Stop after this much of this partition, in bytes.
    pub max_bytes: usize,
    /// The leader epoch that the client knows; -1: it does not say.
    pub leader_epoch: i32,
    /// The leader epoch of the last batch that the client has; -1: it does not say. Where the log
    /// is another one since, the answer says from where on.
    pub last_epoch: i32,
}

/// Answer for one partition of a fetch.
#[derive(Debug)]
pub struct Fetched {
    /// The batches, or why there are none.
    pub batches: Result<FetchedBatches, ErrorKind>,
    /// Offset after the last committed record. 0 where it is not known.
    pub high_watermark: Offset,
    /// Everything before this offset belongs to no transaction that is open. The high watermark
    /// where only committed records were not asked for.
    pub last_stable: Offset,
    /// Where only committed records were asked for: transactions with records in the answer that
    /// were aborted, ascending by first offset.
    pub aborted: Vec<AbortedTransaction>,
    /// The partition's first offset.
    pub log_start: Offset,
    /// What the client has is not this log: its last epoch ends here.
    pub diverging: Option<EpochEnd>,
    /// A replica that the client had better ask; there are no batches then.
    pub preferred: Option<i32>,
    /// Where to go instead.
    pub leader: Option<Box<Leader>>,
}

/// Whole batches, ready for the wire: their bytes are the chunks one after the other. The first
/// batch may start before the offset asked for.
#[derive(Clone, Debug, Default)]
pub struct FetchedBatches {
    /// The bytes.
    pub chunks: Vec<Bytes>,
    /// Sum of the chunks' lengths.
    pub size_bytes: usize,
}

/// Describes topics and brokers.
#[derive(Debug)]
pub struct Metadata {
    /// Which topics. `None`: all of them.
    pub topics: Option<Vec<TopicRef>>,
    /// Create those that are named and absent.
    pub auto_create: bool,
}

/// The cluster as its clients see it.
#[derive(Clone, Debug)]
pub struct ClusterMetadata {
    /// The node hears of less than half of all nodes: others know better who leads, and a client that
    /// asks this one alone would not find them.
    pub is_cut_off: bool,
    /// The cluster's id, as Kafka prints it (22 characters of base64).
    pub cluster_id: String,
    /// The node that leads the metadata group.
    pub controller: Option<i32>,
    /// All nodes.
    pub brokers: Vec<Broker>,
    /// The topics asked for: those of the request in its order, or all sorted by name.
    pub topics: Vec<TopicMetadata>,
}

/// One node as a client reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// The node's id.
    pub node: i32,
    /// Advertised host of the Kafka door.
    pub host: String,
    /// Advertised port of the Kafka door.
    pub port: u16,
    /// Advertised address of the Kafka door for clients that speak TLS; `None`: it has none, or has
    /// not told this node.
    pub tls: Option<Endpoint>,
    /// Where the node stands, as an operator calls it.
    pub rack: Option<String>,
    /// Whether it is down: clients are not sent there.
    pub is_fenced: bool,
}

/// Where something is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// One topic, or why it cannot be described.
#[derive(Clone, Debug)]
pub struct TopicMetadata {
    /// As asked for.
    pub topic: TopicRef,
    /// The description.
    pub result: Result<TopicDescription, ErrorKind>,
}

/// A topic that is there.
#[derive(Clone, Debug)]
pub struct TopicDescription {
    /// Its name.
    pub name: TopicName,
    /// Its id.
    pub id: TopicId,
    /// Its partitions by index, without gaps.
    pub partitions: Vec<PartitionMetadata>,
}

/// One partition.
#[derive(Clone, Debug)]
pub struct PartitionMetadata {
    /// The leader, where there is one.
    pub leader: Option<i32>,
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// Nodes that hold a copy.
    pub replicas: Vec<i32>,
    /// Those of them that keep up.
    pub in_sync: Vec<i32>,
    /// Those of the replicas whose nodes are down.
    pub offline: Vec<i32>,
}

/// Creates topics.
#[derive(Debug)]
pub struct CreateTopics {
    /// The topics.
    pub topics: Vec<NewTopic>,
    /// Only check whether it would work.
    pub validate_only: bool,
}

/// A topic to create. The name is a text here: the node answers what is wrong with it.
#[derive(Clone, Debug)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Partition count; `None`: the node's default.
    pub partition_count: Option<u32>,
    /// Copies; `None`: the node's default.
    pub replication_factor: Option<u16>,
    /// Settings by Kafka's names, such as `retention.ms`.
    pub configs: Vec<(String, Option<String>)>,
    /// Nodes for each partition, by index without gaps, where the client chooses them; then count
    /// and copies are `None`.
    pub assignments: Option<Vec<Vec<i32>>>,
}

/// A topic that was created, or would be.
#[derive(Clone, Debug)]
pub struct CreatedTopic {
    /// Its id; `None` where it was only checked.
    pub id: Option<TopicId>,
    /// Its partition count.
    pub partition_count: u32,
    /// Its copies.
    pub replication_factor: u16,
    /// Its settings.
    pub configs: Vec<admin::ConfigEntry>,
}

/// A member joins a classic consumer group.
#[derive(Clone, Debug)]
pub struct Join {
    /// The group.
    pub group: String,
    /// The member's id; empty on its first join.
    pub member: String,
    /// The static member's instance id.
    pub instance: Option<String>,
    /// What the client calls itself, for new member ids.
    pub client_id: String,
    /// Where the client connects from.
    pub client_host: String,
    /// Declared dead after this long without a heartbeat.
    pub session_timeout_ms: u64,
    /// How long the group waits for members to join again.
    pub rebalance_timeout_ms: u64,
    /// Such as `consumer` or `connect`.
    pub protocol_type: String,
    /// The member's protocols with their metadata, best first.
    pub protocols: Vec<(String, Bytes)>,
    /// Whether a first join is refused with an id to come back with (KIP-394).
    pub require_known_member: bool,
    /// Whether a leader that comes back can be told that there is nothing to assign (KIP-814).
    pub can_skip_assignment: bool,
}

/// A member's place in a new generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The generation.
    pub generation: i32,
    /// The group's protocol type.
    pub protocol_type: String,
    /// The protocol that all members share.
    pub protocol: String,
    /// The member that assigns.
    pub leader: String,
    /// This member's id.
    pub member: String,
    /// All members, for the leader; empty for the others.
    pub members: Vec<JoinedMember>,
    /// Whether the leader shall not assign: the assignments stay as they are.
    pub skip_assignment: bool,
}

/// One member as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member: String,
    /// Its instance id.
    pub instance: Option<String>,
    /// Its metadata for the chosen protocol.
    pub metadata: Bytes,
}

/// Why a join failed, and the id to come back with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRefused {
    /// Why.
    pub error: ErrorKind,
    /// The member id: given with [`ErrorKind::MemberIdRequired`], else as it came.
    pub member: String,
}

/// A member asks for its assignment; the leader brings all of them.
#[derive(Clone, Debug)]
pub struct Sync {
    /// The group.
    pub group: String,
    /// The generation the member joined.
    pub generation: i32,
    /// The member.
    pub member: String,
    /// Its instance id.
    pub instance: Option<String>,
    /// What the member believes the protocol type to be.
    pub protocol_type: Option<String>,
    /// What the member believes the protocol to be.
    pub protocol: Option<String>,
    /// Assignments by member, from the leader.
    pub assignments: Vec<(String, Bytes)>,
}

/// A member's assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// The group's protocol type.
    pub protocol_type: String,
    /// The group's protocol.
    pub protocol: String,
    /// The assignment, opaque.
    pub assignment: Bytes,
}

/// A member says that it lives.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// The group.
    pub group: String,
    /// The generation.
    pub generation: i32,
    /// The member.
    pub member: String,
    /// Its instance id.
    pub instance: Option<String>,
}

/// Members leave.
#[derive(Clone, Debug)]
pub struct Leave {
    /// The group.
    pub group: String,
    /// Member ids with instance ids.
    pub members: Vec<(String, Option<String>)>,
}

/// A consumer's place in a partition, to be kept.
#[derive(Clone, Debug)]
pub struct OffsetCommit {
    /// The group.
    pub group: String,
    /// The generation, or the member's epoch; negative: a consumer that manages its own
    /// partitions.
    pub generation: i32,
    /// The member; empty with a negative generation.
    pub member: String,
    /// Its instance id.
    pub instance: Option<String>,
    /// Whether the client can know of epochs of members (KIP-848).
    pub knows_epochs: bool,
    /// What to keep.
    pub offsets: Vec<CommittedOffset>,
}

/// One kept place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The topic.
    pub topic: TopicRef,
    /// The partition's index.
    pub index: i32,
    /// The next offset to read.
    pub offset: i64,
    /// The leader epoch of the last record read; -1: not known.
    pub leader_epoch: i32,
    /// The client's own note.
    pub metadata: String,
}

/// Asks for kept places.
#[derive(Clone, Debug)]
pub struct OffsetFetch {
    /// The group.
    pub group: String,
    /// The member that asks, with its epoch; `None`: it does not matter who.
    pub member: Option<(String, i32)>,
    /// Topics of all that the group has are told by id.
    pub tells_ids: bool,
    /// Which partitions; `None`: all that the group has.
    pub partitions: Option<Vec<(TopicRef, i32)>>,
    /// Places that a transaction which is open has brought anew are not told (KIP-447).
    pub require_stable: bool,
}

/// A kept place, or that there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedOffset {
    /// The topic.
    pub topic: TopicRef,
    /// The partition's index.
    pub index: i32,
    /// The next offset to read; `None`: nothing was kept.
    pub offset: Option<i64>,
    /// As committed; -1: not known.
    pub leader_epoch: i32,
    /// As committed.
    pub metadata: String,
    /// Why it is not told: `UnknownTopicId` where no topic has that id, `UnstableOffsetCommit` where a
    /// stable place was asked for and there is none yet.
    pub error: Option<ErrorKind>,
}

/// What answers requests: the node, or a scripted stand-in in a door's tests.
pub trait Backend: Send + std::marker::Sync + 'static {
    /// Takes a request and answers through `reply`, at once or later, from any thread. Does not
    /// block.
    fn submit(&self, request: Request, reply: crate::mailbox::Reply);
}
