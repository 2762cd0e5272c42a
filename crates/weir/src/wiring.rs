//! The node put on this machine's disk, clocks and random numbers.

use std::{net::SocketAddr, path::Path, sync::Arc, thread::available_parallelism};

use anyhow::Context as _;
use weir_broker::{Engine, Identity, NoPeers, NodeConfig};
use weir_log::disk::{Disk, RealDisk, SystemClock, SystemEntropy};

/// Most threads that run groups: they do little but hand batches on.
const MAX_WORKER_COUNT: u32 = 8;
/// Cores per thread that runs groups.
const CORES_PER_WORKER: usize = 4;

/// Opens the node whose data is in `data_dir` and whose clients are told `kafka`.
pub(crate) fn open(data_dir: &Path, kafka: SocketAddr) -> anyhow::Result<Engine> {
    let disk = RealDisk::open(data_dir)
        .with_context(|| format!("data directory {}", data_dir.display()))?;
    let cores = available_parallelism().map_or(1, usize::from);
    let workers = u32::try_from(cores.div_ceil(CORES_PER_WORKER)).unwrap_or(MAX_WORKER_COUNT);
    let config = NodeConfig {
        kafka_host: kafka.ip().to_string(),
        kafka_port: kafka.port(),
        worker_count: workers.min(MAX_WORKER_COUNT),
        ..NodeConfig::default()
    };
    let clock = Arc::new(SystemClock::default());
    let entropy = Arc::new(SystemEntropy);
    let disk: Arc<dyn Disk> = Arc::new(disk);
    if Identity::load(&*disk)?.is_none() {
        let shards = config.shard_count;
        Engine::found(&disk, &*entropy, &config.wal, shards, String::new())?;
    }
    let peers = Arc::new(NoPeers);
    Ok(Engine::open(disk, clock, entropy, config, peers)?)
}
