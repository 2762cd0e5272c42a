//! One run of the production store, with a checkpoint that names its partitions.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use weir_log::{
    Checkpoint, CheckpointStore, PartitionLog, PartitionManifest, PartitionStore, StoreConfig,
};
use weir_model::{GroupId, PartitionId, Term};

use super::PartitionPlan;
use crate::campaign::host::Host;

const GROUP: GroupId = GroupId(1);

pub(super) type Manifests = BTreeMap<PartitionId, PartitionManifest>;

/// The store, opened from the last checkpoint.
pub(super) struct Node {
    pub(super) store: Arc<PartitionStore>,
    checkpoints: CheckpointStore,
    pub(super) logs: BTreeMap<PartitionId, Arc<PartitionLog>>,
    /// What the last checkpoint says.
    pub(super) manifests: Manifests,
}

impl Node {
    pub(super) fn open(plan: &PartitionPlan, host: &Host) -> Result<Self, String> {
        let disk = Arc::new(host.disk.clone());
        let checkpoints = CheckpointStore::new(Arc::<crate::world::disk::SimDisk>::clone(&disk));
        let checkpoints = checkpoints.map_err(|error| error.to_string())?;
        let loaded = checkpoints.load_all().map_err(|error| error.to_string())?;
        let manifests = loaded
            .get(&GROUP)
            .map_or_else(|| Ok(Manifests::new()), |saved| decode(&saved.body))?;
        let config = StoreConfig {
            tail_budget_bytes: plan.tail_budget_bytes,
            transient_budget_bytes: 0,
            cold_thread_count: 0,
            cold_queue_count: 16,
            open_file_count: plan.open_file_count,
            index_cache_bytes: plan.index_cache_bytes,
            read_ahead_bytes: plan.read_ahead_bytes,
        };
        let store = PartitionStore::open(disk, Arc::new(host.clock.clone()), config);
        let known: BTreeSet<PartitionId> = manifests.keys().copied().collect();
        let logs = manifests
            .iter()
            .map(|(id, manifest)| (*id, store.partition(*id, manifest.clone())))
            .collect();
        store
            .remove_unknown(&known)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            store,
            checkpoints,
            logs,
            manifests,
        })
    }

    /// The partition's log, begun where the checkpoint does not know it.
    pub(super) fn log(&mut self, id: PartitionId) -> Arc<PartitionLog> {
        let store = &self.store;
        let log = self
            .logs
            .entry(id)
            .or_insert_with(|| store.partition(id, PartitionManifest::default()));
        Arc::clone(log)
    }

    /// Saves a checkpoint that says `manifests`.
    pub(super) fn save(&mut self, manifests: Manifests, index: u64) -> Result<(), String> {
        let checkpoint = Checkpoint {
            index,
            term: Term(1),
            body: Bytes::from(encode(&manifests)),
        };
        let saved = self.checkpoints.save(GROUP, &checkpoint);
        saved.map_err(|error| error.to_string())?;
        self.manifests = manifests;
        Ok(())
    }
}

fn encode(manifests: &Manifests) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (id, manifest) in manifests {
        let mut body = Vec::new();
        manifest.encode(&mut body);
        bytes.extend(id.0.to_le_bytes());
        bytes.extend((body.len() as u64).to_le_bytes());
        bytes.extend(body);
    }
    bytes
}

fn decode(mut bytes: &[u8]) -> Result<Manifests, String> {
    let mut manifests = Manifests::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<16>() {
        let (id, len) = head.split_at(8);
        let word = |part: &[u8]| {
            let part = part.try_into().expect("half of 16 bytes is 8");
            u64::from_le_bytes(part)
        };
        let len = usize::try_from(word(len)).unwrap_or(usize::MAX);
        let body = rest.get(..len).ok_or("the checkpoint is cut")?;
        let manifest = PartitionManifest::decode(body).map_err(|error| error.to_string())?;
        manifests.insert(PartitionId(word(id)), manifest);
        bytes = &rest[len..];
    }
    Ok(manifests)
}
