//! Words for looking after a cluster: topics, settings, places of partitions.

use std::collections::BTreeMap;

use weir_model::{ErrorKind, Offset, TopicId, TopicName};

use super::TopicRef;
use crate::configs::key::Kind;

/// Why something was refused, for the client's program and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub kind: ErrorKind,
    /// For people; empty where the kind says it all.
    pub message: String,
}

impl From<ErrorKind> for Refusal {
    fn from(kind: ErrorKind) -> Self {
        Self {
            kind,
            message: String::new(),
        }
    }
}

impl Refusal {
    /// A refusal with a reason.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

/// What is asked about the cluster. Lists of an answer stand in the order of the request's.
#[derive(Debug)]
pub enum Manage {
    /// Answered by [`Managed::DeletedTopics`].
    DeleteTopics(Vec<TopicRef>),
    /// Answered by [`Managed::Checked`].
    CreatePartitions(CreatePartitions),
    /// Answered by [`Managed::DeletedRecords`].
    DeleteRecords(Vec<DeleteRecords>),
    /// Answered by [`Managed::Configs`].
    DescribeConfigs(Vec<DescribeConfigs>),
    /// Answered by [`Managed::Checked`].
    AlterConfigs(AlterConfigs),
    /// All resources that have settings, and nodes and topics. Answered by
    /// [`Managed::ConfigResources`].
    ListConfigResources,
    /// Who votes in the metadata group. Answered by [`Managed::Quorum`].
    DescribeQuorum,
    /// What this node stores: of these partitions, or of all. Answered by
    /// [`Managed::LogDirs`].
    DescribeLogDirs(Option<Vec<(TopicName, Vec<i32>)>>),
    /// Answered by [`Managed::Elected`].
    ElectLeaders(ElectLeaders),
    /// Answered by [`Managed::Checked`].
    Reassign(Vec<Reassign>),
    /// Partitions on their way to other nodes: of these, or of all. Answered by
    /// [`Managed::Moving`].
    ListMoving(Option<Vec<(String, i32)>>),
    /// Takes a node that is drained or lost out of the cluster for good. Answered by
    /// [`Managed::Checked`] with one answer.
    RemoveNode(i32),
}

/// What comes back.
#[derive(Debug)]
pub enum Managed {
    /// To [`Manage::DeleteTopics`].
    DeletedTopics(Vec<Result<(TopicName, TopicId), Refusal>>),
    /// To [`Manage::DeleteRecords`]: each partition's new start.
    DeletedRecords(Vec<Result<Offset, ErrorKind>>),
    /// To [`Manage::DescribeConfigs`].
    Configs(Vec<Result<Vec<ConfigEntry>, Refusal>>),
    /// To [`Manage::ListConfigResources`].
    ConfigResources(Vec<ConfigResource>),
    /// To [`Manage::DescribeQuorum`].
    Quorum(Result<Quorum, ErrorKind>),
    /// To [`Manage::DescribeLogDirs`].
    LogDirs(LogDir),
    /// To [`Manage::ElectLeaders`]: partitions of the request, or all that were looked at.
    Elected(Vec<(String, i32, Result<(), Refusal>)>),
    /// To [`Manage::ListMoving`]: partitions that move.
    Moving(Vec<(String, i32, Moving)>),
    /// Whether each thing was done, or could be.
    Checked(Vec<Result<(), Refusal>>),
}

/// Adds partitions to topics.
#[derive(Debug)]
pub struct CreatePartitions {
    /// The topics with their new counts.
    pub topics: Vec<MorePartitions>,
    /// Only check whether it would work.
    pub validate_only: bool,
}

/// One topic that is to grow.
#[derive(Clone, Debug)]
pub struct MorePartitions {
    /// Its name, as the client wrote it.
    pub topic: String,
    /// How many partitions it is to have.
    pub count: i32,
    /// The nodes that the client wants for each new one.
    pub assignments: Option<Vec<Vec<i32>>>,
}

/// Moves one partition's start up.
#[derive(Clone, Debug)]
pub struct DeleteRecords {
    /// The topic.
    pub topic: TopicRef,
    /// The partition's index.
    pub index: i32,
    /// The new first offset; -1: the high watermark.
    pub offset: i64,
}

/// Whose settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A topic's.
    Topic(String),
    /// A node's, or those that all nodes share.
    Broker(Option<i32>),
    /// A node's loggers.
    BrokerLogger(String),
    /// A consumer group's.
    Group(String),
    /// A subscription of client metrics.
    ClientMetrics(String),
}

/// Asks for settings.
#[derive(Clone, Debug)]
pub struct DescribeConfigs {
    /// Whose.
    pub resource: ConfigResource,
    /// Which; `None`: all.
    pub names: Option<Vec<String>>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// The topic's own.
    Topic,
    /// Set for one node while it ran.
    Broker,
    /// Set for all nodes while they ran.
    AllBrokers,
    /// The node's configuration file.
    Static,
    /// Nobody set it.
    Default,
    /// A subscription's own.
    ClientMetrics,
    /// A group's own.
    Group,
}

/// One setting as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: &'static str,
    /// Its value; `None`: null, or not to be shown.
    pub value: Option<String>,
    /// Where that comes from.
    pub source: ConfigSource,
    /// Whether it can be changed while the node runs.
    pub is_read_only: bool,
    /// Whether values are kept from readers.
    pub is_sensitive: bool,
    /// What a value looks like.
    pub kind: Kind,
    /// One sentence for people.
    pub doc: &'static str,
    /// All places that give a value, the one that counts first.
    pub synonyms: Vec<ConfigSynonym>,
}

/// A place that gives a setting its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The name there.
    pub name: &'static str,
    /// The value there.
    pub value: Option<String>,
    /// The place.
    pub source: ConfigSource,
}

/// What is done to one setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigOp {
    /// It gets the value.
    Set,
    /// It goes back to its default.
    Delete,
    /// The value's items are added to the list.
    Append,
    /// The value's items are taken from the list.
    Subtract,
}

/// One change of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// Its name.
    pub name: String,
    /// What is done.
    pub op: ConfigOp,
    /// With what.
    pub value: Option<String>,
}

/// Changes settings.
#[derive(Clone, Debug)]
pub struct AlterConfigs {
    /// Resources with their changes; each resource once.
    pub resources: Vec<(ConfigResource, Vec<ConfigChange>)>,
    /// Settings that are not named go back to their defaults (AlterConfigs of old).
    pub is_whole: bool,
    /// Only check whether it would work.
    pub validate_only: bool,
}

/// Settings by name.
pub type ConfigMap = BTreeMap<String, String>;

/// The metadata group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// Who leads.
    pub leader: i32,
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// Index after the last entry that is known to be stored by a majority.
    pub high_watermark: i64,
    /// Nodes that vote.
    pub voters: Vec<QuorumReplica>,
    /// Nodes that follow without a vote.
    pub observers: Vec<QuorumReplica>,
    /// Where each node is reached (`host`, port).
    pub nodes: Vec<(i32, String, u16)>,
}

/// One replica of the metadata group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuorumReplica {
    /// Its node.
    pub node: i32,
    /// Index after its last entry, as the leader knows it.
    pub log_end: i64,
    /// Whether the leader heard of it lately.
    pub is_active: bool,
}

/// What a node stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDir {
    /// The directory, as people know it.
    pub path: String,
    /// Size of the file system, in bytes, where it is known.
    pub total_bytes: Option<u64>,
    /// What is free of it, in bytes, where it is known.
    pub usable_bytes: Option<u64>,
    /// Topics by name with their partitions here.
    pub topics: Vec<(TopicName, Vec<StoredPartition>)>,
}

/// One partition's share of a node's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredPartition {
    /// The partition's index.
    pub index: i32,
    /// Length of its batches, in segments and not yet in segments, in bytes.
    pub size_bytes: u64,
}

/// Lets the preferred replicas lead.
#[derive(Clone, Debug)]
pub struct ElectLeaders {
    /// Which partitions; `None`: all.
    pub partitions: Option<Vec<(String, i32)>>,
    /// Whether a replica that lacks records may be elected.
    pub is_unclean: bool,
}

/// Wants a partition on other nodes.
#[derive(Clone, Debug)]
pub struct Reassign {
    /// The topic, as the client wrote it.
    pub topic: String,
    /// The partition's index.
    pub index: i32,
    /// The nodes; `None`: a reassignment under way is to be cancelled.
    pub replicas: Option<Vec<i32>>,
}

/// A partition on its way to other nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moving {
    /// All nodes: where it is wanted, then those that it leaves.
    pub replicas: Vec<i32>,
    /// Nodes that it comes to.
    pub adding: Vec<i32>,
    /// Nodes that it leaves.
    pub removing: Vec<i32>,
}
