//! Several nodes on one machine, as one cluster.

use std::{
    net::TcpListener,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{sync::oneshot, task::block_in_place};
use weir_broker::{Identity, steward::ClusterStatus};
use weir_log::disk::RealDisk;

use super::{
    children::{self, ChildNode, Plan, address},
    exchange,
};
use crate::{
    command::{cluster::client::AdminClient, serve::ServeArguments},
    data_dir,
    ending::{Ending, MAX_NODE_ENDING, MAX_RUNTIME_ENDING},
    exit_code::Usage,
    logging,
    settings::{Effective, ServeConfig},
};

/// Time between two looks at cluster and processes.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// From the word to end to the end of all nodes: a little more than each of them needs at most. One
/// that is stopped hears nothing, and is killed then.
const MAX_NODES_ENDING: Duration = MAX_NODE_ENDING.saturating_add(Duration::from_secs(2));
/// From the word to end to the end of this process.
const MAX_ENDING: Duration = MAX_NODES_ENDING.saturating_add(Duration::from_secs(2));
/// Voters of a group with enough nodes.
const VOTER_COUNT: usize = 3;

/// Runs `count` nodes until a signal ends them all.
pub(super) fn run(arguments: &ServeArguments, count: u16) -> anyhow::Result<()> {
    let config = ServeConfig::new(&Effective::load(&arguments.settings)?)?;
    logging::of_node(&config.log, config.logs_json)?;
    let has_own = !config.join.is_empty()
        || config.kafka_advertise.is_some()
        || config.cluster_advertise.is_some();
    if has_own {
        let reason = "several nodes make a cluster of their own: no join, no kafka-advertise, no cluster-advertise";
        return Err(Usage(reason.to_owned()).into());
    }
    let _lock = data_dir::lock(&config.data_dir)?;
    let runtime = tokio::runtime::Runtime::new().context("no threads")?;
    let file = arguments.settings.file.clone();
    let own = ["data-dir", "kafka", "amqp", "cluster", "admin", "init"];
    let given = arguments.settings.given.iter();
    let flags = given.filter(|(setting, _)| !own.contains(&setting.name));
    let flags = flags.cloned().collect();
    let plan = Plan {
        config,
        file,
        flags,
    };
    let served = runtime.block_on(serve(&plan, arguments.until_stdin_ends, count));
    runtime.shutdown_timeout(MAX_RUNTIME_ENDING);
    served
}

async fn serve(plan: &Plan, until_stdin_ends: bool, count: u16) -> anyhow::Result<()> {
    let mut ending = Ending::listen(until_stdin_ends, MAX_ENDING)?;
    let mut nodes = Vec::new();
    let ran = tokio::select! {
        ran = show_and_watch(plan, count, &mut nodes) => ran,
        () = ending.asked() => Ok(()),
    };
    ending.limit();
    nodes.iter_mut().for_each(ChildNode::close);
    let by = Instant::now() + MAX_NODES_ENDING;
    let ended = block_in_place(|| nodes.iter_mut().try_for_each(|node| node.wait(by)));
    ran.and(ended)
}

/// Returns only when something failed.
async fn show_and_watch(plan: &Plan, count: u16, nodes: &mut Vec<ChildNode>) -> anyhow::Result<()> {
    show(plan, count, nodes).await?;
    watch(nodes).await
}

/// Starts all nodes. A node that joins waits for those before it, so that numbers and ids are the
/// same; nodes that go on need each other.
async fn start(plan: &Plan, count: u16, nodes: &mut Vec<ChildNode>) -> anyhow::Result<()> {
    for number in 1..=count {
        if identity(plan, number)?.is_none() {
            wait_ready(nodes).await?;
        }
        let kafka = address(plan.kafka()?, number - 1)?;
        let cluster = cluster_address(plan, number)?;
        let join = nodes.first().map(|first| first.cluster.clone());
        let amqp = plan.optional(&plan.config.amqp, number)?;
        let admin = plan.optional(&plan.config.admin, number)?;
        let addresses = [kafka, amqp, cluster, admin];
        let node = ChildNode::start(plan, number, addresses, join.as_deref())?;
        nodes.push(node);
    }
    wait_ready(nodes).await
}

async fn wait_ready(nodes: &mut [ChildNode]) -> anyhow::Result<()> {
    for node in nodes.iter_mut() {
        node.wait_ready().await?;
    }
    Ok(())
}

fn identity(plan: &Plan, number: u16) -> anyhow::Result<Option<Identity>> {
    let disk = RealDisk::open(&children::data_dir(plan, number))?;
    Ok(Identity::load(&disk)?)
}

/// Where the node was before, if that is free: nodes that all move at once never find each other.
fn cluster_address(plan: &Plan, number: u16) -> anyhow::Result<String> {
    let before = identity(plan, number)?;
    let before = before.and_then(|it| it.addresses.get(&it.node).cloned());
    let host = |address: &str| address.rsplit_once(':').map(|(host, _)| host.to_owned());
    let before = before.filter(|before| host(before) == host(&plan.config.cluster));
    match before.filter(|before| TcpListener::bind(before).is_ok()) {
        Some(before) => Ok(before),
        None => address(&plan.config.cluster, number - 1),
    }
}

async fn show(plan: &Plan, count: u16, nodes: &mut Vec<ChildNode>) -> anyhow::Result<()> {
    println!("WeirMQ  {}", env!("CARGO_PKG_VERSION"));
    start(plan, count, nodes).await?;
    for node in nodes.iter() {
        let (number, kafka, cluster) = (node.number, &node.kafka, &node.cluster);
        let (pid, dir) = (node.pid(), node.data_dir.display());
        println!("node {number}  kafka {kafka}  cluster {cluster}  process {pid}  data {dir}");
    }
    wait_voters(plan, nodes).await?;
    let kafka: Vec<String> = nodes.iter().map(|node| node.kafka.clone()).collect();
    in_thread(move || exchange(&kafka)).await?;
    print_hints(nodes, &plan.config.data_dir);
    Ok(())
}

async fn wait_voters(plan: &Plan, nodes: &[ChildNode]) -> anyhow::Result<()> {
    let first = nodes.first().context("no nodes")?;
    let client = AdminClient::new(&first.cluster.parse().map_err(Usage)?, &plan.config.tls)?;
    let wanted = nodes.len().min(VOTER_COUNT);
    let mut told = None;
    loop {
        // A node that just starts may not answer yet.
        if let Ok(status) = client.status().await {
            let done = settled_count(&status, wanted);
            let all = status.groups.len();
            if all > 0 && done == all {
                println!("each of {all} groups has {wanted} voters");
                return Ok(());
            }
            if told != Some(done) {
                eprintln!("{done} of {all} groups have {wanted} voters");
                told = Some(done);
            }
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Not by the runtime, which could not end before it.
async fn in_thread(
    run: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<()> {
    let (tell, told) = oneshot::channel();
    std::thread::Builder::new()
        .name("weir-exchange".to_owned())
        // The receiver is gone only where all is to end.
        .spawn(move || drop(tell.send(run())))
        .context("no thread for a client")?;
    told.await.context("the client is gone")?
}

/// Groups that are led and have as many voters as they should.
fn settled_count(status: &ClusterStatus, wanted: usize) -> usize {
    let settled = status.groups.iter().filter(|group| {
        group.leader.is_some() && !group.is_changing && group.voters.len() >= wanted
    });
    settled.count()
}

fn print_hints(nodes: &[ChildNode], dir: &Path) {
    if let (Some(first), Some(last)) = (nodes.first(), nodes.last()) {
        println!(
            "See who leads what:   weir cluster status --node {}",
            first.cluster
        );
        println!("Kill one, lose nothing: kill -9 {}", last.pid());
    }
    println!(
        "Ctrl-C stops all of them; the messages stay in {}.",
        dir.display()
    );
}

/// Says which node ended; returns when none is left.
async fn watch(nodes: &mut [ChildNode]) -> anyhow::Result<()> {
    loop {
        for node in nodes.iter_mut() {
            if let Some(status) = node.newly_ended()? {
                eprintln!("node {} has ended: {status}; it goes on with", node.number);
                eprintln!("  {}", node.command_line());
            }
        }
        anyhow::ensure!(
            !nodes.iter().all(ChildNode::has_ended),
            "all nodes have ended"
        );
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
