//! The loops on one node and their figures.

use super::load::Load;
use super::queues;
use crate::checker::Verdict;
use crate::cluster;
use crate::image::{FileSystem, Image};
use crate::moments::Moments;
use crate::node::Node;
use crate::place::RunDirectory;
use crate::stop;
use anyhow::Result;
use std::path::Path;
use std::time::Instant;

/// Acknowledgements between two faults at least: each fault hits a node that works.
const ACKS_PER_CYCLE: u64 = 100;
/// Up to this long after them the fault comes.
const MAX_JITTER_MS: u64 = 150;
/// Up to this long after the power cut the process is still there, and sees its disk fail.
const MAX_AFTERLIFE_MS: u64 = 40;
const CYCLES_PER_PROGRESS_LINE: u32 = 20;
const QUEUE_CYCLES: u32 = 20;
const QUICK_QUEUE_CYCLES: u32 = 2;

/// What `cargo xtask crash` is asked for.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Cycles of kill -9 and restart.
    #[arg(long, default_value_t = 100)]
    kills: u32,
    /// Cycles of power cut and restart, on each file system.
    #[arg(long, default_value_t = 100)]
    cuts: u32,
    /// Cycles of kill -9 or power cut by turns under clients of queues. Default: 20, 2 with --quick;
    /// none without kills and power cuts.
    #[arg(long)]
    queue_cycles: Option<u32>,
    /// Cycles of each fault on three nodes; see `weir-interop cluster`.
    #[arg(long, default_value_t = 100)]
    cycles: u32,
    /// Faults on three nodes, if not all.
    #[arg(long = "fault", value_delimiter = ',')]
    faults: Vec<cluster::Faults>,
    /// These faults alone, on three nodes, under clients of topics and then of queues.
    #[arg(long = "row", value_delimiter = ',', conflicts_with = "faults")]
    rows: Vec<cluster::Faults>,
    /// Rounds of each row.
    #[arg(long, default_value_t = 5, requires = "rows")]
    rounds: u32,
    /// Who works on three nodes.
    #[arg(long, value_enum, default_value_t = cluster::Clients::Transactions)]
    clients: cluster::Clients,
    /// Three cycles of each fault on three nodes, and two under clients of queues on one.
    #[arg(long)]
    quick: bool,
    /// File systems for the power cuts.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [FileSystem::Ext4, FileSystem::Xfs])]
    fs: Vec<FileSystem>,
    /// Decides the moments of the faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Options {
    fn queue_cycles(&self) -> u32 {
        self.queue_cycles.unwrap_or(match (self.kills, self.cuts) {
            (0, 0) => 0,
            _ if self.quick => QUICK_QUEUE_CYCLES,
            _ => QUEUE_CYCLES,
        })
    }
}

impl std::fmt::Display for FileSystem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Runs the loops on one node, then the faults on three; false when something acknowledged was lost, or anything else was found.
pub(crate) fn run(options: &Options, weir: &Path) -> Result<bool> {
    if !options.rows.is_empty() {
        return run_rows(options, weir);
    }
    let mut directory = RunDirectory::create()?;
    let mut totals = Totals::default();
    let mut moments = Moments::from_seed(options.seed);
    let outcome = all_loops(options, weir, directory.path(), &mut moments, &mut totals);
    if let Err(error) = &outcome {
        println!("crash: {error:#}");
        totals.failed += 1;
    }
    if totals.failed == 0 {
        directory.clean();
    }
    println!(
        "crash: {} kills, {} power cuts, {} acked, {} seen, {} lost, {} duplicated, {} reordered, \
         {} invented, {} moved",
        totals.kills,
        totals.cuts,
        totals.verdict.acked,
        totals.verdict.seen,
        totals.verdict.missing,
        totals.verdict.duplicated,
        totals.verdict.reordered,
        totals.verdict.invented,
        totals.verdict.moved,
    );
    drop(directory);
    stop::check()?;
    let several = cluster::Options {
        faults: options.faults.clone(),
        cycles: options.cycles,
        quick: options.quick,
        file_system: options.fs.first().copied().unwrap_or(FileSystem::Ext4),
        seed: options.seed,
        clients: options.clients,
        ..cluster::Options::default()
    };
    Ok(cluster::run(&several, weir)? && totals.failed == 0)
}

/// The same faults through both doors; false when anything was found at either.
fn run_rows(options: &Options, weir: &Path) -> Result<bool> {
    let mut is_clean = true;
    for clients in [cluster::Clients::Transactions, cluster::Clients::Queues] {
        let rows = cluster::Options {
            faults: options.rows.clone(),
            cycles: options.rounds,
            file_system: options.fs.first().copied().unwrap_or(FileSystem::Ext4),
            seed: options.seed,
            clients,
            ..cluster::Options::default()
        };
        is_clean &= cluster::run(&rows, weir)?;
    }
    Ok(is_clean)
}

fn all_loops(
    options: &Options,
    weir: &Path,
    directory: &Path,
    moments: &mut Moments,
    totals: &mut Totals,
) -> Result<()> {
    if options.kills > 0 {
        let node = Node::start(weir, &directory.join("data"), &directory.join("kill.log"))?;
        let ended = fault_loop(
            "kill",
            options.kills,
            node,
            directory,
            moments,
            |node, _| node.kill(),
        )?;
        totals.kills = options.kills;
        totals.add(&ended);
    }
    let can_cut = rustix::process::geteuid().is_root();
    let file_systems = match options.cuts {
        0 => &[][..],
        _ if can_cut => &options.fs[..],
        _ => {
            println!("skipped: power cuts need root to mount file systems");
            &[][..]
        }
    };
    for file_system in file_systems {
        let image = Image::create(*file_system, directory, file_system.name())?;
        let name = format!("cut-{file_system}");
        let log = directory.join(format!("{name}.log"));
        let node = Node::start(weir, &image.mount_point().join("data"), &log)?;
        let ended = fault_loop(
            &name,
            options.cuts,
            node,
            directory,
            moments,
            |node, moments| {
                image.cut_power()?;
                stop::sleep(moments.next(MAX_AFTERLIFE_MS))?;
                node.kill_or_gone()?;
                image.power_on()
            },
        )?;
        totals.cuts += options.cuts;
        totals.add(&ended);
    }
    let cycles = options.queue_cycles();
    if cycles > 0 {
        let file_system = options.fs.first().copied().filter(|_| can_cut);
        let judged = queues::fault_loop(cycles, weir, directory, file_system, moments)?;
        totals.failed += u32::from(!judged.is_clean());
    }
    Ok(())
}

/// Loads the node, hits it `cycles` times, and compares at the end.
fn fault_loop(
    name: &str,
    cycles: u32,
    mut node: Node,
    directory: &Path,
    moments: &mut Moments,
    mut fault: impl FnMut(&mut Node, &mut Moments) -> Result<()>,
) -> Result<Verdict> {
    let started = Instant::now();
    let mut load = Load::start(&node.address(), &format!("crash-{name}"), directory)?;
    for cycle in 1..=cycles {
        load.wait_for_acks(ACKS_PER_CYCLE)?;
        stop::sleep(moments.next(MAX_JITTER_MS))?;
        fault(&mut node, moments)?;
        node.restart()?;
        if cycle % CYCLES_PER_PROGRESS_LINE == 0 {
            println!("{name}: {cycle} of {cycles} cycles");
        }
    }
    load.wait_for_acks(ACKS_PER_CYCLE)?;
    load.finish()?;
    // What was acknowledged last has to be on the disk as well.
    fault(&mut node, moments)?;
    node.restart()?;
    let verdict = load.compare(&node.address())?;
    let (median, longest) = node.restart_ms();
    println!(
        "{name}: {cycles} cycles and one at rest in {:.1} s, restart {median} ms median, {longest} ms at most, \
         {} acked, {} lost, {} duplicated, {} reordered, {} invented, {} moved",
        started.elapsed().as_secs_f64(),
        verdict.acked,
        verdict.missing,
        verdict.duplicated,
        verdict.reordered,
        verdict.invented,
        verdict.moved,
    );
    for example in &verdict.examples {
        println!("    {example}");
    }
    Ok(verdict)
}

#[derive(Default)]
struct Totals {
    kills: u32,
    cuts: u32,
    failed: u32,
    verdict: Verdict,
}

impl Totals {
    fn add(&mut self, verdict: &Verdict) {
        self.failed += u32::from(!verdict.is_clean());
        let sum = &mut self.verdict;
        sum.acked += verdict.acked;
        sum.seen += verdict.seen;
        sum.missing += verdict.missing;
        sum.duplicated += verdict.duplicated;
        sum.reordered += verdict.reordered;
        sum.invented += verdict.invented;
        sum.moved += verdict.moved;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_dirty_loop_fails_the_campaign() {
        let mut totals = Totals::default();
        totals.add(&Verdict::default());
        assert_eq!(totals.failed, 0);
        totals.add(&Verdict {
            missing: 1,
            ..Verdict::default()
        });
        assert_eq!((totals.failed, totals.verdict.missing), (1, 1));
    }
}
