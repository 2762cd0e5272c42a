//! The node put on this machine's disk, clocks and random numbers.

use std::{path::Path, sync::Arc, thread::available_parallelism};

use anyhow::Context as _;
use weir_broker::{Engine, NodeConfig, peer::PeerPort};
use weir_log::disk::{Disk, RealDisk, SystemClock, SystemEntropy};

use crate::host_port::HostPort;

/// Most threads that run groups: they do little but hand batches on.
const MAX_WORKER_COUNT: u32 = 8;
/// Cores per thread that runs groups.
const CORES_PER_WORKER: usize = 4;

/// What a node needs of this machine.
pub(crate) struct Machine {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) entropy: Arc<SystemEntropy>,
    pub(crate) config: NodeConfig,
}

impl Machine {
    /// For the node whose data is in `data_dir` and whose clients are told `kafka`.
    pub(crate) fn open(data_dir: &Path, kafka: &HostPort) -> anyhow::Result<Self> {
        let disk = RealDisk::open(data_dir)
            .with_context(|| format!("data directory {}", data_dir.display()))?;
        let cores = available_parallelism().map_or(1, usize::from);
        let workers = u32::try_from(cores.div_ceil(CORES_PER_WORKER)).unwrap_or(MAX_WORKER_COUNT);
        let shown = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
        let config = NodeConfig {
            data_dir: shown.display().to_string(),
            kafka_host: kafka.host.clone(),
            kafka_port: kafka.port,
            worker_count: workers.min(MAX_WORKER_COUNT),
            ..NodeConfig::default()
        };
        Ok(Self {
            disk: Arc::new(disk),
            entropy: Arc::new(SystemEntropy),
            config,
        })
    }

    /// Opens the node.
    pub(crate) fn engine(self, peers: Arc<dyn PeerPort>) -> anyhow::Result<Engine> {
        let clock = Arc::new(SystemClock::default());
        let engine = Engine::open(self.disk, clock, self.entropy, self.config, peers)?;
        Ok(engine)
    }
}
