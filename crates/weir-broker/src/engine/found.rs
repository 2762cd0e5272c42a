//! A data directory becomes a node's: of a new cluster, or of one that it has joined.

use std::{collections::BTreeMap, sync::Arc};

use weir_log::{
    Checkpoint, CheckpointStore, Disk, Entropy,
    wal::{Wal, WalConfig},
};
use weir_model::{GroupId, NodeId, Term};
use weir_raft::Members;

use super::{Engine, OpenError};
use crate::{
    checkpointer,
    config::{MAX_SHARD_COUNT, NodeConfig},
    identity::Identity,
    metadata::MetadataState,
    shard::Shard,
};

/// The first node's id.
const FOUNDER: NodeId = NodeId(1);
/// Every group's history begins with a checkpoint at this index, so that a replica without one
/// is given the founders as members instead of guessing them.
const FIRST_INDEX: u64 = 1;
const FIRST_TERM: Term = Term(1);

impl Engine {
    /// Founds a cluster of one node. `address` is the node's peer address. The directory must
    /// belong to no node; what an earlier try left is replaced.
    pub fn found(
        disk: &Arc<dyn Disk>,
        entropy: &dyn Entropy,
        wal: &WalConfig,
        shard_count: u32,
        address: String,
    ) -> Result<Identity, OpenError> {
        if !(1..=MAX_SHARD_COUNT).contains(&shard_count) {
            let what = "shard count";
            return Err(OpenError::Config { what });
        }
        let identity = Identity {
            cluster: u128::from(entropy.next_u64()) << 64 | u128::from(entropy.next_u64()),
            node: FOUNDER,
            shard_count,
            addresses: BTreeMap::from([(FOUNDER, address)]),
        };
        Self::save_beginning(disk, &identity, &MetadataState::new())?;
        Self::join(disk, entropy, wal, &identity)?;
        Ok(identity)
    }

    /// Makes the directory that of one of several founders: those whose addresses `identity` has,
    /// with the ids from 1 on. All of them must begin alike.
    pub fn found_together(
        disk: &Arc<dyn Disk>,
        entropy: &dyn Entropy,
        wal: &WalConfig,
        identity: &Identity,
    ) -> Result<(), OpenError> {
        let NodeConfig {
            kafka_host,
            kafka_port,
            ..
        } = NodeConfig::default();
        let addresses = identity.addresses.values();
        let metadata = MetadataState::founded_by(addresses, &kafka_host, kafka_port);
        Self::save_beginning(disk, identity, &metadata)?;
        Self::join(disk, entropy, wal, identity)
    }

    fn save_beginning(
        disk: &Arc<dyn Disk>,
        identity: &Identity,
        metadata: &MetadataState,
    ) -> Result<(), OpenError> {
        let members = Members {
            voters: identity.addresses.keys().copied().collect(),
            ..Members::default()
        };
        let metadata = metadata.encode();
        let checkpoints = CheckpointStore::new(Arc::clone(disk))?;
        for group in (0..=identity.shard_count).map(GroupId) {
            let machine = if group == GroupId::METADATA {
                metadata.clone()
            } else {
                Shard::empty_body()
            };
            let checkpoint = Checkpoint {
                index: FIRST_INDEX,
                term: FIRST_TERM,
                body: checkpointer::encode_body(&members, &machine),
            };
            checkpoints.save(group, &checkpoint)?;
        }
        Ok(())
    }

    /// Makes the directory that of a node which its cluster has admitted.
    pub fn join(
        disk: &Arc<dyn Disk>,
        entropy: &dyn Entropy,
        wal: &WalConfig,
        identity: &Identity,
    ) -> Result<(), OpenError> {
        if let Some(Identity { node, .. }) = Identity::load(&**disk)? {
            return Err(OpenError::HasCluster { node });
        }
        // Last comes the identity: without it there is no node.
        drop(Wal::open(Arc::clone(disk), entropy, wal.clone())?);
        Ok(identity.save(&**disk)?)
    }
}
