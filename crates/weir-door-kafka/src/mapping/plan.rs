//! What a wire request becomes, and what is kept of it until its outcome is there.

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use kafka_protocol::{messages::metadata_response::MetadataResponseTopic, protocol::StrBytes};
use uuid::Uuid;
use weir_access::{AccessError, Caller, Principal};
use weir_broker::{
    access::{AccessRefused, AccessView},
    api::{Request, admin::Refusal},
    quota,
};
use weir_door::Millis;

use super::{
    acls, fetch::Fetching, grouped::Grouped, quotas, scram_users, share_offsets,
    transaction_admin::AskedMarker, transactions::AskedTransaction,
};
use crate::{
    codec::{response::EncodeError, shape::DecodeError, versions::Api},
    permit::operations::Rights,
    session::{fetch_cache::Fetches, share_holds::ShareHolds},
    wire_code::{self, Surface},
};

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
    /// The connection's end, after which clients ask another node: this one is cut off from the
    /// cluster. Clients that are told so in an answer go on asking the node that answers.
    Elsewhere,
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
    Fetch(Fetching),
    /// ListOffsets.
    ListOffsets(Grouped),
    /// OffsetForLeaderEpoch.
    EndOfEpoch(Grouped),
    /// Metadata.
    Metadata {
        /// Whether allowed operations on topics are told.
        with_operations: bool,
        /// The same of the cluster.
        with_cluster_operations: bool,
        /// Answers for topics that the node was not asked for, with their places in order.
        refused: Vec<(usize, MetadataResponseTopic)>,
    },
    /// What administrators ask.
    Manage(ManagePlan),
    /// What is to change of users and rules.
    Access(AccessPlan),
    /// CreateTopics: names with the code of those that the node was not asked for.
    CreateTopics(Vec<(StrBytes, Option<Refused>)>),
    /// InitProducerId.
    ProducerId {
        /// With a transactional id.
        transactional: bool,
    },
    /// FindCoordinator.
    Coordinators {
        /// Of what.
        keys: Vec<StrBytes>,
        /// They are transactional ids.
        is_transactional: bool,
    },
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
    /// ConsumerGroupHeartbeat.
    ConsumerHeartbeat,
    /// ConsumerGroupDescribe.
    DescribeConsumerGroups(AskedGroups),
    /// ShareGroupHeartbeat.
    ShareHeartbeat,
    /// ShareGroupDescribe.
    DescribeShareGroups(AskedGroups),
    /// ShareFetch or ShareAcknowledge.
    Share,
    /// Offsets of share groups.
    ShareAdmin(share_offsets::Asked),
    /// ListGroups.
    ListGroups,
    /// DescribeGroups.
    DescribeGroups(AskedGroups),
    /// DeleteGroups: the groups.
    DeleteGroups(Vec<StrBytes>),
    /// OffsetDelete.
    DeleteOffsets(Grouped),
}

/// Groups that are to be described.
#[derive(Debug)]
pub struct AskedGroups {
    /// Their ids.
    pub ids: Vec<StrBytes>,
    /// Whether to tell what the client may do with them.
    pub tells_operations: bool,
}

/// Why something is refused: code and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The code.
    pub code: i16,
    /// The words; `None`: the code says it all.
    pub message: Option<StrBytes>,
}

impl From<i16> for Refused {
    fn from(code: i16) -> Self {
        Self {
            code,
            message: None,
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let message = Some(refusal.message).filter(|message| !message.is_empty());
        Self {
            code: wire_code::of(refusal.kind, Surface::Write),
            message: message.map(StrBytes::from_string),
        }
    }
}

impl From<&AccessRefused> for Refused {
    fn from(refused: &AccessRefused) -> Self {
        match refused {
            AccessRefused::Failed(kind) => wire_code::of(*kind, Surface::Write).into(),
            AccessRefused::Refused(error) => {
                let code = match error {
                    AccessError::TooManyUsers
                    | AccessError::TooManyPrincipals
                    | AccessError::TooManyRules
                    | AccessError::TooManyQuotas => wire_code::POLICY_VIOLATION,
                    AccessError::NoUser => wire_code::RESOURCE_NOT_FOUND,
                    AccessError::UserExists
                    | AccessError::NoVhost
                    | AccessError::TooManyAtOnce
                    | AccessError::Invalid => wire_code::INVALID_REQUEST,
                };
                Self::new(code, error.to_string())
            }
        }
    }
}

impl Refused {
    /// A refusal with words.
    pub fn new(code: i16, message: impl Into<String>) -> Self {
        Self {
            code,
            message: Some(StrBytes::from_string(message.into())),
        }
    }
}

/// What is kept of an administrator's request.
#[derive(Debug)]
pub enum ManagePlan {
    /// DeleteTopics: name, id, and why the node was not asked.
    DeleteTopics(Vec<(Option<StrBytes>, Uuid, Option<Refused>)>),
    /// DeleteRecords.
    DeleteRecords(Grouped),
    /// CreatePartitions: names.
    CreatePartitions(Vec<(StrBytes, Option<Refused>)>),
    /// DescribeConfigs: types and names.
    DescribeConfigs {
        /// The resources.
        resources: Vec<AskedResource>,
        /// Whether synonyms are told.
        with_synonyms: bool,
        /// Whether documentation is told.
        with_docs: bool,
    },
    /// AlterConfigs and IncrementalAlterConfigs.
    AlterConfigs(Vec<AskedResource>),
    /// ListConfigResources: the types.
    ListConfigResources(Vec<i8>),
    /// DescribeCluster.
    DescribeCluster {
        /// Whether allowed operations are told.
        with_operations: bool,
        /// Whether nodes that are down are told.
        with_fenced: bool,
    },
    /// DescribeQuorum.
    DescribeQuorum,
    /// DescribeLogDirs.
    DescribeLogDirs,
    /// ElectLeaders.
    ElectLeaders,
    /// AlterPartitionReassignments: names with indexes.
    Reassign(Vec<(StrBytes, Vec<i32>)>),
    /// ListPartitionReassignments.
    ListMoving,
    /// AlterReplicaLogDirs: directories with topics and indexes.
    AlterLogDirs(Vec<AskedDir>),
    /// UnregisterBroker.
    UnregisterBroker,
    /// DescribeTopicPartitions.
    TopicPartitions {
        /// Most partitions of the answer.
        max_count: usize,
        /// Where to begin.
        cursor: Option<(StrBytes, i32)>,
        /// Names that the node was not asked for.
        refused: Vec<StrBytes>,
    },
}

/// What is kept of a change of users and rules.
#[derive(Debug)]
pub enum AccessPlan {
    /// CreateAcls: why the node was not asked.
    CreateAcls(Vec<Option<Refused>>),
    /// DeleteAcls.
    DeleteAcls(acls::AskedFilters),
    /// AlterUserScramCredentials.
    AlterUsers(Vec<scram_users::AskedUser>),
    /// AlterClientQuotas.
    AlterQuotas(Vec<quotas::AskedEntity>),
}

/// A directory, and what is to be in it.
pub type AskedDir = (StrBytes, Vec<(StrBytes, Vec<i32>)>);

/// A resource as it was asked for, and why the node was not asked.
#[derive(Debug)]
pub struct AskedResource {
    /// Its type on the wire.
    pub kind: i8,
    /// Its name.
    pub name: StrBytes,
    /// Why the node was not asked.
    pub refused: Option<Refused>,
}

/// The client at the other end.
#[derive(Clone, Debug)]
pub struct Client {
    /// As Kafka prints it: `/` and the address.
    pub host: String,
    /// [`weir_door::Connection::number`].
    pub connection: u64,
    /// Users and rules.
    pub access: AccessView,
    /// Who it is.
    pub principal: Principal,
    /// Where it is.
    pub address: IpAddr,
    /// What it called itself in the request at hand.
    pub id: StrBytes,
    /// [`crate::KafkaConfig::max_fetch_bytes`].
    pub max_fetch_bytes: usize,
    /// Its fetch session.
    pub fetches: Arc<Fetches>,
    /// What it has opened as a member of share groups.
    pub shares: Arc<ShareHolds>,
    /// The connection's time, as last told.
    pub now: Millis,
}

impl Client {
    /// Who it is, as quotas know it.
    pub fn caller(&self) -> quota::Caller<'_> {
        quota::Caller {
            user: self.principal.name(),
            client: &self.id,
            vhost: None,
        }
    }

    /// Tells what it may do, as things are now.
    pub fn told<T>(&self, tell: impl FnOnce(&Rights<'_>) -> T) -> T {
        let access = self.access.load();
        tell(&Rights {
            access: &access,
            caller: Caller {
                principal: &self.principal,
                host: self.address,
                grants: None,
            },
        })
    }
}
