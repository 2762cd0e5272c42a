//! `weir serve`: one node until it is told to stop.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Args;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
};
use weir_broker::NodeFailed;
use weir_door::Listener;
use weir_door_kafka::{KafkaConfig, KafkaDoor};

use crate::{data_dir, wiring};

/// How long a node may take until it can serve, recovery not counted.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// Where the node keeps its data and listens.
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
}

/// What is said once the node serves.
pub(crate) type WhenReady = fn(&ServeArguments, SocketAddr) -> anyhow::Result<()>;

/// Runs a node until a signal or a failure ends it.
pub(crate) fn run(arguments: &ServeArguments, when_ready: WhenReady) -> anyhow::Result<()> {
    let _lock = data_dir::lock(&arguments.data_dir)?;
    let runtime = tokio::runtime::Runtime::new().context("no threads for connections")?;
    runtime.block_on(serve(arguments, when_ready))
}

async fn serve(arguments: &ServeArguments, when_ready: WhenReady) -> anyhow::Result<()> {
    let listener = Listener::bind(&arguments.kafka).await?;
    let address = listener.local_addr();
    let engine = wiring::open(&arguments.data_dir, address)?;
    let (tell_failed, mut failed) = mpsc::unbounded_channel::<NodeFailed>();
    let on_failure = Arc::new(move |failure| {
        // The receiver is gone only where the process ends already.
        let _ = tell_failed.send(failure);
    });
    let running = engine
        .start(on_failure)
        .context("no threads for the node")?;
    anyhow::ensure!(
        running.wait_ready(READY_LIMIT),
        "the node does not get ready"
    );
    let (stop, stopped) = watch::channel(false);
    let door = Arc::new(KafkaDoor::new(KafkaConfig::default()));
    let serving = tokio::spawn(weir_door::serve(
        listener,
        door,
        Arc::new(running.node()),
        stopped,
    ));
    // Heard from the moment on that others may know of the node.
    let mut terminate = signal(SignalKind::terminate()).context("no signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("no signals")?;
    let arguments = arguments.clone();
    tokio::task::spawn_blocking(move || when_ready(&arguments, address)).await??;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        failure = failed.recv() => {
            // Nothing more may be acknowledged: no orderly end.
            return Err(failure.map_or_else(|| anyhow::anyhow!("the node is gone"), Into::into));
        }
    }
    // Nobody may be listening any more, and the door ends all the same.
    let _ = stop.send(true);
    running.node().release_waits();
    serving.await?;
    tokio::task::spawn_blocking(move || running.stop()).await?;
    Ok(())
}

/// The block that says where to connect.
pub(crate) fn announce_ready(
    arguments: &ServeArguments,
    address: SocketAddr,
) -> anyhow::Result<()> {
    println!("WeirMQ  {}", env!("CARGO_PKG_VERSION"));
    println!("data    {}", arguments.data_dir.display());
    println!("kafka   {address}");
    Ok(())
}
