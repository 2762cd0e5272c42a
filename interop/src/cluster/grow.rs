//! `weir-interop grow`: one node becomes three, a dead one is replaced, one is drained; clients
//! are to notice nothing but a pause.

use super::failover::now_ns;
use super::load::{Load, Shape};
use super::nodes::{Cluster, Ground, SETTLE_LIMIT, ServeOptions};
use crate::place::RunDirectory;
use crate::stop;
use anyhow::{Context, Result, ensure};
use std::fmt;
use std::ops::Range;
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

/// What is done to a cluster: what it is called, and how.
type Change = (&'static str, fn(&mut Cluster, &mut Load) -> Result<()>);

const CHANGES: [Change; 3] = [("growth", grow), ("replacement", replace), ("drain", drain)];

/// What `weir-interop grow` is asked for.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often, each time from an empty cluster.
    #[arg(long, default_value_t = 1)]
    cycles: u32,
}

/// One change as the clients knew it, or the worst of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Figures {
    took: Duration,
    /// Without an acknowledgement on a partition.
    pause: Duration,
    /// Until every group went on, once it was done.
    groups: Duration,
}

impl Figures {
    fn worst(self, other: Self) -> Self {
        Self {
            took: self.took.max(other.took),
            pause: self.pause.max(other.pause),
            groups: self.groups.max(other.groups),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} s ({} ms longest without an acknowledgement, {} ms until groups went on)",
            self.took.as_secs_f64(),
            self.pause.as_millis(),
            self.groups.as_millis()
        )
    }
}

/// Sums over all cycles, and the worst of each change.
#[derive(Default)]
struct Totals {
    dirty: u32,
    acked: u64,
    checked: u64,
    committed: u64,
    rolled_back: u64,
    errors: u64,
    changes: [Figures; CHANGES.len()],
}

/// Runs it; false when a client noticed more than a pause.
pub(crate) fn run(options: &Options, weir: &Path) -> Result<bool> {
    let mut directory = RunDirectory::create()?;
    let mut totals = Totals::default();
    for cycle in 1..=options.cycles {
        let path = directory.path().join(format!("grow-{cycle}"));
        std::fs::create_dir_all(&path)?;
        let mut cluster = Cluster::lay_out(
            weir,
            &path,
            Ground::Loopback,
            NODES,
            ServeOptions::default(),
        )?;
        let changed = change(&mut cluster, &path, &mut totals);
        if changed.is_err() {
            cluster.describe_to(&path.join("state.txt"));
        }
        changed.with_context(|| path.display().to_string())?;
    }
    if totals.dirty == 0 {
        directory.clean();
    }
    println!(
        "grow: {} cycles, {} acked, {} checked, {} transactions committed, {} rolled back, \
         {} errors of transactional clients, {} cycles with findings; at most {}",
        options.cycles,
        totals.acked,
        totals.checked,
        totals.committed,
        totals.rolled_back,
        totals.errors,
        totals.dirty,
        named(&totals.changes)
    );
    Ok(totals.dirty == 0)
}

/// All changes, one after the other, under one load.
fn change(cluster: &mut Cluster, directory: &Path, totals: &mut Totals) -> Result<()> {
    cluster.add(0)?;
    cluster.wait_until_whole()?;
    let mut load = Load::start(cluster, "grow", SHAPE, directory)?;
    load.wait_for_acks(ACKS_BEFORE)?;
    let mut changes = [Figures::default(); CHANGES.len()];
    let mut spans = Vec::new();
    for ((name, change), figures) in CHANGES.iter().zip(&mut changes) {
        let (started, from_ns) = (Instant::now(), now_ns());
        change(cluster, &mut load).context(*name)?;
        load.wait_for_acks(ACKS_BETWEEN).context(*name)?;
        figures.took = started.elapsed();
        figures.groups = load.wait_for_groups().context(*name)?;
        spans.push(from_ns..now_ns());
    }
    let in_doubt = load.finish()?;
    let verdict = load.judge(cluster)?;
    let record = load.record()?;
    let acks = record.ack_times_ns();
    for (figures, span) in changes.iter_mut().zip(&spans) {
        figures.pause = Duration::from_nanos(longest_pause_ns(&acks, span));
    }
    let delays = record.send_delays_ns().into_iter();
    let slowest_send_ms = delays.map(|(_, delay_ns)| delay_ns).max().unwrap_or(0) / NS_PER_MS;
    println!(
        "grow: {}, {in_doubt} messages given up, {} errors of transactional clients, slowest send \
         {slowest_send_ms} ms, slowest commit {} ms; {verdict}",
        named(&changes),
        load.errors(),
        record.slowest_commit_ns() / NS_PER_MS
    );
    for example in &verdict.examples {
        println!("    {example}");
    }
    totals.dirty += u32::from(!verdict.is_clean() || in_doubt > 0);
    totals.acked += verdict.acked;
    totals.checked += verdict.present;
    totals.committed += verdict.committed;
    totals.rolled_back += verdict.rolled_back;
    totals.errors += load.errors();
    for (worst, figures) in totals.changes.iter_mut().zip(changes) {
        *worst = worst.worst(figures);
    }
    Ok(())
}

fn named(changes: &[Figures]) -> String {
    let changes = CHANGES.iter().zip(changes);
    let changes: Vec<_> = changes
        .map(|((name, _), figures)| format!("{name} {figures}"))
        .collect();
    changes.join(", ")
}

/// The longest time between two acknowledgements of one partition that has a part in the span.
fn longest_pause_ns(acks: &[(u32, u64)], span: &Range<u64>) -> u64 {
    let neighbours = acks.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    neighbours
        .map(|pair| pair[0].1..pair[1].1)
        .filter(|pause| pause.start < span.end && pause.end > span.start)
        .map(|pause| pause.end - pause.start)
        .max()
        .unwrap_or(0)
}

/// One node becomes three.
fn grow(cluster: &mut Cluster, load: &mut Load) -> Result<()> {
    for index in [1, 2] {
        cluster.add(index)?;
        cluster.wait_until_whole()?;
        load.wait_for_acks(ACKS_BETWEEN)?;
    }
    Ok(())
}

/// A leader dies with its disk, and another node takes its place.
fn replace(cluster: &mut Cluster, load: &mut Load) -> Result<()> {
    let dead = cluster.leader_of(load.topic(), 0)?;
    let dead_id = id_of(cluster, dead)?;
    cluster.members[dead].kill()?;
    cluster.members[dead].wipe()?;
    cluster.add(3)?;
    let asked = cluster.started()[0];
    cluster.admin(asked, &["remove", &dead_id.to_string(), "--no-wait"])?;
    wait_until_empty(cluster, asked, dead_id)?;
    cluster.wait_until_whole()
}

/// A node hands all that it has to another one.
fn drain(cluster: &mut Cluster, _load: &mut Load) -> Result<()> {
    cluster.add(4)?;
    let drained = cluster.started()[1];
    let drained_id = id_of(cluster, drained)?;
    let asked = cluster.started()[0];
    cluster.admin(asked, &["drain", &drained_id.to_string(), "--no-wait"])?;
    wait_until_empty(cluster, asked, drained_id)
}

fn id_of(cluster: &Cluster, index: usize) -> Result<u64> {
    let status = cluster.status_of(cluster.started()[0])?;
    let peer = &cluster.members[index].at.peer;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_counts_where_a_part_of_it_falls_into_the_change() {
        let acks = [(0, 10), (0, 40), (0, 50), (1, 5), (1, 12), (1, 90)];
        assert_eq!(longest_pause_ns(&acks, &(0..11)), 30);
        assert_eq!(longest_pause_ns(&acks, &(41..45)), 78);
        assert_eq!(longest_pause_ns(&acks, &(90..99)), 0);
    }

    #[test]
    fn the_worst_of_two_changes_is_the_worst_of_each_figure() {
        let figures = |took, pause, groups| Figures {
            took: Duration::from_secs(took),
            pause: Duration::from_secs(pause),
            groups: Duration::from_secs(groups),
        };
        let worst = figures(1, 9, 2).worst(figures(3, 4, 1));
        assert_eq!(worst, figures(3, 9, 2));
    }
}
