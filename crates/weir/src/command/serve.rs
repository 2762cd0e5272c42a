//! `weir serve`: one node until it is told to stop.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Args;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};
use weir_broker::{NodeFailed, OnFailure, Running, peer::PeerPort};
use weir_door::Listener;
use weir_door_kafka::{KafkaConfig, KafkaDoor};
use weir_model::NodeId;
use weir_peer::{PeerConfig, PeerTransport};

use crate::{
    cluster_tls::ClusterTls,
    data_dir,
    doors::Doors,
    ending::{Ending, MAX_NODE_ENDING, MAX_RUNTIME_ENDING},
    host_port::HostPort,
    membership,
    wiring::Machine,
};

/// Time of one look whether the node is ready.
const READY_LOOK: Duration = Duration::from_millis(250);
/// Looks between two warnings: 5 s.
const LOOKS_PER_WARNING: u32 = 20;

/// Where the node keeps its data, where it listens, and which cluster it is of.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServeArguments {
    /// Directory for all data; made where it is absent.
    #[arg(
        long,
        env = "WEIR_DATA_DIR",
        default_value = "weir-data",
        value_name = "DIR"
    )]
    pub(crate) data_dir: PathBuf,
    /// Address of the Kafka door. Port 0 picks a free one.
    #[arg(
        long,
        env = "WEIR_KAFKA",
        default_value = "127.0.0.1:9092",
        value_name = "ADDR:PORT"
    )]
    pub(crate) kafka: String,
    /// Where clients are told to connect, if not at the address of the Kafka door.
    #[arg(long, env = "WEIR_KAFKA_ADVERTISE", value_name = "HOST:PORT")]
    pub(crate) kafka_advertise: Option<HostPort>,
    /// Address of the peer port, for the other nodes. Port 0 picks a free one.
    #[arg(
        long,
        env = "WEIR_CLUSTER",
        default_value = "127.0.0.1:9192",
        value_name = "ADDR:PORT"
    )]
    pub(crate) cluster: String,
    /// Where the other nodes reach this one, if not at the address of the peer port.
    #[arg(long, env = "WEIR_CLUSTER_ADVERTISE", value_name = "HOST:PORT")]
    pub(crate) cluster_advertise: Option<HostPort>,
    /// Found a cluster of one, where the data directory belongs to none yet. What happens without
    /// --join anyway, said explicitly.
    #[arg(long, conflicts_with = "join")]
    pub(crate) init: bool,
    /// Groups that a cluster founded here spreads its partitions over, for good. Default: 16.
    #[arg(long, value_name = "COUNT", conflicts_with = "join")]
    pub(crate) shards: Option<u32>,
    /// Join the cluster of the node with this peer port, where the data directory belongs to none
    /// yet. May be repeated: all are tried, until one admits this node.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) join: Vec<HostPort>,
    #[command(flatten)]
    pub(crate) tls: ClusterTls,
    /// End when standard input does: for a parent process that must leave nothing behind.
    #[arg(long, hide = true)]
    pub(crate) until_stdin_ends: bool,
}

/// Which node serves, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) node: NodeId,
    pub(crate) kafka: SocketAddr,
    pub(crate) cluster: SocketAddr,
}

/// What is said once the node serves.
pub(crate) type WhenReady = fn(&ServeArguments, &Ready) -> anyhow::Result<()>;

/// Runs a node until a signal or a failure ends it.
pub(crate) fn run(arguments: &ServeArguments, when_ready: WhenReady) -> anyhow::Result<()> {
    let _lock = data_dir::lock(&arguments.data_dir)?;
    let runtime = tokio::runtime::Runtime::new().context("no threads for connections")?;
    let served = runtime.block_on(serve(arguments, when_ready));
    // Threads that still wait for something have nothing left to do.
    runtime.shutdown_timeout(MAX_RUNTIME_ENDING);
    served
}

async fn serve(arguments: &ServeArguments, when_ready: WhenReady) -> anyhow::Result<()> {
    // Heard from the moment on that others may know of the node.
    let mut ending = Ending::listen(arguments.until_stdin_ends, MAX_NODE_ENDING)?;
    let doors = Doors::bind(arguments).await?;
    let machine = Machine::open(&arguments.data_dir, &doors.kafka_advertised)?;
    let identity = tokio::select! {
        settled = membership::settle(arguments, &machine, &doors) => settled?,
        () = ending.asked() => return Ok(()),
    };
    let (tell_failed, mut failed) = mpsc::unbounded_channel::<NodeFailed>();
    let on_failure: OnFailure = Arc::new(move |failure| {
        // The receiver is gone only where the process ends already.
        let _ = tell_failed.send(failure);
    });
    let ready = Ready {
        node: identity.node,
        kafka: doors.kafka.local_addr(),
        cluster: doors.cluster.local_addr()?,
    };
    let transport = PeerTransport::start(PeerConfig {
        listener: doors.cluster,
        cluster: identity.cluster,
        node: identity.node,
        tls: doors.tls,
    })?;
    let peers = Arc::clone(&transport) as Arc<dyn PeerPort>;
    let opening = tokio::task::spawn_blocking(move || machine.engine(peers));
    let engine = tokio::select! {
        engine = opening => engine??,
        // Reading the log can be left at any point.
        () = ending.asked() => return Ok(()),
    };
    let running = engine
        .start(&on_failure)
        .context("no threads for the node")?;
    transport.attach(Arc::new(running.node()));
    let whole = async {
        let (mut running, is_ready) = wait_ready(running, &mut ending).await?;
        if is_ready {
            let arguments = arguments.clone();
            let tell = move || when_ready(&arguments, &ready);
            running = serve_clients(running, doors.kafka, tell, &mut ending).await?;
        }
        tokio::task::spawn_blocking(move || running.stop()).await?;
        Ok(())
    };
    let ended = tokio::select! {
        ended = whole => ended,
        // Nothing more may be acknowledged: no orderly end.
        failure = failed.recv() => {
            failure.map_or_else(|| Err(anyhow::anyhow!("the node is gone")), |it| Err(it.into()))
        }
    };
    ending.limit();
    // Last, since the other nodes count on this one's answers until the end.
    transport.stop().await;
    ended
}

/// Waits until requests can be served, however long the other nodes need; `false` where the
/// process is to end before.
async fn wait_ready(mut running: Running, ending: &mut Ending) -> anyhow::Result<(Running, bool)> {
    for look in 1_u32.. {
        let mut looked = tokio::task::spawn_blocking(move || {
            let is_ready = running.wait_ready(READY_LOOK);
            (running, is_ready)
        });
        let is_ready;
        tokio::select! {
            seen = &mut looked => (running, is_ready) = seen?,
            () = ending.asked() => {
                (running, _) = looked.await?;
                return Ok((running, false));
            }
        }
        if is_ready {
            return Ok((running, true));
        }
        if look % LOOKS_PER_WARNING == 0 {
            warn!("waits for other nodes: not every group has a leader that this node knows of");
        }
    }
    Ok((running, false))
}

/// Serves until the process is to end; leaders have moved elsewhere and connections are closed
/// when it returns.
async fn serve_clients(
    running: Running,
    listener: Listener,
    tell_ready: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
    ending: &mut Ending,
) -> anyhow::Result<Running> {
    let (stop, stopped) = watch::channel(false);
    let door = Arc::new(KafkaDoor::new(KafkaConfig::default()));
    let node = running.node();
    let serving = tokio::spawn(weir_door::serve(
        listener,
        door,
        Arc::new(Arc::clone(&node)),
        stopped,
    ));
    tokio::select! {
        told = tokio::task::spawn_blocking(tell_ready) => {
            told??;
            ending.asked().await;
        }
        () = ending.asked() => {}
    }
    let handed_over = tokio::task::spawn_blocking(move || {
        running.hand_over();
        let leads_nothing = !running.node().is_leading_anything();
        info!(leads_nothing, "handed over what could be handed over");
        running
    });
    let running = handed_over.await?;
    // Nobody may be listening any more, and the door ends all the same.
    let _ = stop.send(true);
    node.release_waits();
    serving.await?;
    Ok(running)
}

/// The block that says where to connect.
pub(crate) fn announce_ready(arguments: &ServeArguments, ready: &Ready) -> anyhow::Result<()> {
    println!("WeirMQ  {}", env!("CARGO_PKG_VERSION"));
    println!("data    {}", arguments.data_dir.display());
    println!("kafka   {}", ready.kafka);
    println!("cluster {}", ready.cluster);
    println!("node    {}", ready.node);
    Ok(())
}
