//! What an operator may set for a node.

use weir_log::{partition::StoreConfig, wal::WalConfig};
use weir_model::NodeId;

use crate::{api::Endpoint, group::GroupConfig};

/// Settings of one node.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// This node's id; not 0.
    pub node: NodeId,
    /// Where data is, as people know it; only ever told to them.
    pub data_dir: String,
    /// Host that clients are told to connect to.
    pub kafka_host: String,
    /// Port that clients are told to connect to.
    pub kafka_port: u16,
    /// Where clients that speak TLS are told to connect; `None`: nowhere.
    pub kafka_tls: Option<Endpoint>,
    /// Where this node stands, such as its availability zone: clients in the same rack may read
    /// from it (KIP-392).
    pub rack: Option<String>,
    /// Groups that carry partitions and queues. Fixed when the cluster is founded.
    pub shard_count: u32,
    /// Threads that run groups.
    pub worker_count: u32,
    /// Partitions of a topic that does not say.
    pub default_partition_count: u32,
    /// Whether naming an absent topic creates it, where the client asks for that.
    pub auto_create_topics: bool,
    /// Consumer groups.
    pub groups: GroupConfig,
    /// The write-ahead log.
    pub wal: WalConfig,
    /// Partitions: tail, cold reads, caches.
    pub store: StoreConfig,
    /// Time between two looks at retention and compaction, in ms.
    pub cleanup_interval_ms: u64,
    /// Most bytes a second that this node brings from others to replicas that are far behind. 0:
    /// no limit.
    pub catch_up_bytes_per_s: u64,
    /// The bug to run with.
    #[cfg(feature = "seeded-bugs")]
    pub seeded_bug: Option<crate::SeededBug>,
}

/// Default of [`NodeConfig::shard_count`].
pub const DEFAULT_SHARD_COUNT: u32 = 16;
/// Most shards of a cluster.
pub const MAX_SHARD_COUNT: u32 = 256;

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            node: NodeId(1),
            data_dir: "/var/lib/weir".to_owned(),
            kafka_host: "127.0.0.1".to_owned(),
            kafka_port: 9092,
            kafka_tls: None,
            rack: None,
            shard_count: DEFAULT_SHARD_COUNT,
            worker_count: 1,
            default_partition_count: 1,
            auto_create_topics: true,
            groups: GroupConfig::default(),
            wal: WalConfig::default(),
            store: StoreConfig::default(),
            cleanup_interval_ms: 30_000,
            catch_up_bytes_per_s: 200_000_000,
            #[cfg(feature = "seeded-bugs")]
            seeded_bug: None,
        }
    }
}
