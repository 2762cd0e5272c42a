//! `weir-interop grow`: one node becomes three, a dead one is replaced, one is drained; clients
//! are to notice nothing but a pause.

use super::load::{Load, Shape};
use super::nodes::{Cluster, Ground, SETTLE_LIMIT, ServeOptions};
use crate::place::RunDirectory;
use crate::stop;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::{Duration, Instant};

/// Founder, two that join, one that replaces the dead one, one that replaces the drained one.
const NODES: usize = 5;
const SHAPE: Shape = Shape {
    producers: 2,
    consumers: 2,
    followers: 1,
    transactors: 2,
    copiers: 2,
    compacted: 1,
    verifiable: true,
    partitions: 6,
    rate: 300,
    value_bytes: 1_000,
};
const NS_PER_MS: u64 = 1_000_000;
/// Acknowledgements on every partition before anything changes: there is something to move.
const ACKS_BEFORE: u64 = 300;
const ACKS_BETWEEN: u64 = 50;

/// What `weir-interop grow` is asked for.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often, each time from an empty cluster.
    #[arg(long, default_value_t = 1)]
    cycles: u32,
}

/// Runs it; false when a client noticed more than a pause.
pub(crate) fn run(options: &Options, weir: &Path) -> Result<bool> {
    let mut directory = RunDirectory::create()?;
    let mut clean = true;
    for cycle in 1..=options.cycles {
        let path = directory.path().join(format!("grow-{cycle}"));
        std::fs::create_dir_all(&path)?;
        clean &= grow(weir, &path).with_context(|| path.display().to_string())?;
    }
    if clean {
        directory.clean();
    }
    Ok(clean)
}

fn grow(weir: &Path, directory: &Path) -> Result<bool> {
    let mut cluster = Cluster::lay_out(
        weir,
        directory,
        Ground::Loopback,
        NODES,
        ServeOptions::default(),
    )?;
    let grown = change(&mut cluster, directory);
    if grown.is_err() {
        cluster.describe_to(&directory.join("state.txt"));
    }
    grown
}

fn change(cluster: &mut Cluster, directory: &Path) -> Result<bool> {
    cluster.add(0)?;
    cluster.wait_until_whole()?;
    let mut load = Load::start(cluster, "grow", SHAPE, directory)?;
    load.wait_for_acks(ACKS_BEFORE)?;

    let started = Instant::now();
    for index in [1, 2] {
        cluster.add(index)?;
        cluster.wait_until_whole()?;
        load.wait_for_acks(ACKS_BETWEEN)?;
    }
    let grown = started.elapsed();

    let started = Instant::now();
    let dead = cluster.leader_of(load.topic(), 0)?;
    let dead_id = id_of(cluster, dead)?;
    cluster.members[dead].kill()?;
    cluster.members[dead].wipe()?;
    cluster.add(3)?;
    let asked = cluster.started()[0];
    cluster.admin(asked, &["remove", &dead_id.to_string(), "--no-wait"])?;
    wait_until_empty(cluster, asked, dead_id)?;
    cluster.wait_until_whole()?;
    load.wait_for_acks(ACKS_BETWEEN)?;
    load.wait_for_groups()?;
    let replaced = started.elapsed();

    let started = Instant::now();
    cluster.add(4)?;
    let drained = cluster.started()[1];
    let drained_id = id_of(cluster, drained)?;
    let asked = cluster.started()[0];
    cluster.admin(asked, &["drain", &drained_id.to_string(), "--no-wait"])?;
    wait_until_empty(cluster, asked, drained_id)?;
    load.wait_for_acks(ACKS_BETWEEN)?;
    load.wait_for_groups()?;
    let moved = started.elapsed();

    let in_doubt = load.finish()?;
    let verdict = load.judge(cluster)?;
    let record = load.record()?;
    let delays = record.send_delays_ns().into_iter();
    let slowest_send_ms = delays.map(|(_, delay_ns)| delay_ns).max().unwrap_or(0) / NS_PER_MS;
    let slowest_commit_ms = record.slowest_commit_ns() / NS_PER_MS;
    let seconds = |time: Duration| time.as_secs_f64();
    println!(
        "grow: one to three nodes in {:.1} s, a dead one replaced in {:.1} s, one drained in {:.1} s, \
         {in_doubt} messages given up, {} errors of transactional clients, slowest send \
         {slowest_send_ms} ms, slowest commit {slowest_commit_ms} ms; {verdict}",
        seconds(grown),
        seconds(replaced),
        seconds(moved),
        load.errors(),
    );
    for example in &verdict.examples {
        println!("    {example}");
    }
    Ok(verdict.is_clean() && in_doubt == 0)
}

fn id_of(cluster: &Cluster, index: usize) -> Result<u64> {
    let status = cluster.status_of(cluster.started()[0])?;
    let peer = &cluster.members[index].peer;
    let node = status
        .node_at(peer)
        .with_context(|| format!("{peer} is a member"))?;
    Ok(node.id)
}

/// Waits until a node votes nowhere, or is no member any more.
fn wait_until_empty(cluster: &Cluster, asked: usize, id: u64) -> Result<()> {
    stop::wait_for("a node to carry nothing", SETTLE_LIMIT, || {
        let Ok(status) = cluster.status_of(asked) else {
            return Ok(None);
        };
        ensure!(!status.nodes.is_empty(), "the cluster has nodes");
        let node = status.nodes.iter().find(|node| node.id == id);
        let is_done = node.is_none_or(|node| node.voter_count == 0);
        if !is_done {
            stop::sleep(Duration::from_millis(100))?;
        }
        Ok(is_done.then_some(()))
    })
}
