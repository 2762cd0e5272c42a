//! The node put on this machine's disk, clocks and random numbers.

use std::{sync::Arc, thread::available_parallelism};

use anyhow::Context as _;
use weir_broker::{Engine, NodeConfig, api::Endpoint, peer::PeerPort};
use weir_log::disk::{Disk, RealDisk, SystemClock, SystemEntropy};

use crate::{host_port::HostPort, settings::ServeConfig};

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
    /// For a node with these settings, whose clients are told `kafka`, or `kafka_tls` where they
    /// speak TLS.
    pub(crate) fn open(
        config: &ServeConfig,
        kafka: &HostPort,
        kafka_tls: Option<&HostPort>,
    ) -> anyhow::Result<Self> {
        let disk = RealDisk::open(&config.data_dir)
            .with_context(|| format!("data directory {}", config.data_dir.display()))?;
        let cores = available_parallelism().map_or(1, usize::from);
        let workers = u32::try_from(cores.div_ceil(CORES_PER_WORKER)).unwrap_or(MAX_WORKER_COUNT);
        let shown =
            std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
        let config = NodeConfig {
            data_dir: shown.display().to_string(),
            kafka_host: kafka.host.clone(),
            kafka_port: kafka.port,
            kafka_tls: kafka_tls.map(|told| Endpoint {
                host: told.host.clone(),
                port: told.port,
            }),
            worker_count: workers.min(MAX_WORKER_COUNT),
            ..config.node.clone()
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
