//! Faults in turn, alone and in pairs, under load, and a verdict on each.

use super::fault::{Fault, Wounds};
use super::load::{Load, Shape};
use super::network::Network;
use super::nodes::{Cluster, Ground, ServeOptions};
use crate::history::Verdict;
use crate::image::{self, FileSystem};
use crate::moments::Moments;
use crate::place::{self, RunDirectory};
use crate::stop;
use anyhow::{Context, Result, ensure};
use std::cell::Cell;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

const QUICK_CYCLES: u32 = 3;
/// Idempotent producers, a group, a reader.
const PLAIN: Shape = Shape {
    producers: 2,
    consumers: 2,
    followers: 1,
    partitions: 4,
    rate: 300,
    ..Shape::NOBODY
};
/// Transactional producers and a copy loop beside them.
const TRANSACTIONS: Shape = Shape {
    transactors: 2,
    copiers: 2,
    rate: 150,
    ..PLAIN
};
/// Kafka's own clients beside all of that.
const VERIFIABLE: Shape = Shape {
    verifiable: true,
    ..TRANSACTIONS
};
/// Values under which a full disk is felt within seconds: write-ahead files are made in advance.
const HEAVY_VALUE_BYTES: u32 = 16_000;
const HEAVY_RATE: u32 = 500;
/// Acknowledgements on every partition between two faults.
const ACKS_PER_CYCLE: u64 = 10;
const MAX_JITTER_MS: u64 = 200;
/// Up to this long after the first fault of a pair the second comes.
const MAX_PAIR_GAP_MS: u64 = 600;
const CYCLES_PER_PROGRESS_LINE: u32 = 20;
/// Pairs that nobody asked for by name get one cycle for so many of a single fault.
const CYCLES_PER_PAIR_CYCLE: u32 = 4;
/// From so many cycles on each fault gets a cluster of its own.
const LONG_RUN_CYCLES: u32 = 10;

/// Cycles of heavy values after which its data would fill the disks without any fault.
const MAX_HEAVY_CYCLES: u32 = 10;

/// Who works while faults come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Clients {
    /// Idempotent producers and a group.
    Plain,
    /// Transactional producers and copy loops as well; clients are killed, too.
    Transactions,
    /// Kafka's verifiable clients and transactional copier as well.
    Verifiable,
}

/// What `weir-interop cluster` is asked for.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Faults, each alone, or two at a time as `kill+partition`. Default: all, and some pairs.
    #[arg(long = "fault", value_delimiter = ',')]
    pub(crate) faults: Vec<Faults>,
    /// Cycles of each fault; of pairs that are not named a quarter.
    #[arg(long, default_value_t = 100)]
    pub(crate) cycles: u32,
    /// Three cycles of each fault alone.
    #[arg(long)]
    pub(crate) quick: bool,
    /// File system of the nodes.
    #[arg(long = "fs", value_enum, default_value_t = FileSystem::Ext4)]
    pub(crate) file_system: FileSystem,
    /// Decides who is hit when.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Nodes.
    #[arg(long, default_value_t = 3)]
    pub(crate) nodes: usize,
    /// Who works meanwhile.
    #[arg(long, value_enum, default_value_t = Clients::Transactions)]
    pub(crate) clients: Clients,
    /// Keep histories of clean runs too.
    #[arg(long)]
    pub(crate) keep: bool,
}

impl Options {
    /// What is struck, and how often, in parts that a cluster's disks have room for.
    fn parts(&self) -> Vec<(Faults, u32)> {
        let parts = |(faults, cycles): (Faults, u32)| {
            let most = faults.most_cycles();
            let starts = (0..cycles).step_by(most as usize);
            starts.map(move |start| (faults.clone(), most.min(cycles - start)))
        };
        self.plan().into_iter().flat_map(parts).collect()
    }

    /// What is struck, and how often.
    fn plan(&self) -> Vec<(Faults, u32)> {
        let cycles = if self.quick {
            QUICK_CYCLES
        } else {
            self.cycles
        };
        let each = |faults: Vec<Faults>, cycles| faults.into_iter().map(move |it| (it, cycles));
        if !self.faults.is_empty() {
            return each(self.faults.clone(), cycles).collect();
        }
        let pairs = if self.quick {
            Vec::new()
        } else {
            Faults::pairs()
        };
        each(Faults::all_alone(), cycles)
            .chain(each(pairs, cycles.div_ceil(CYCLES_PER_PAIR_CYCLE)))
            .collect()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            faults: Vec::new(),
            cycles: 100,
            quick: false,
            file_system: FileSystem::Ext4,
            seed: 1,
            nodes: 3,
            clients: Clients::Transactions,
            keep: false,
        }
    }
}

/// One fault, or two at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Faults(Vec<Fault>);

impl FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let faults: Vec<_> = text
            .split('+')
            .map(|name| clap::ValueEnum::from_str(name, true))
            .collect::<Result<_, String>>()?;
        match faults.len() {
            1 | 2 => Ok(Self(faults)),
            _ => Err("one fault, or two".to_owned()),
        }
    }
}

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let name = clap::ValueEnum::to_possible_value(fault);
            let name = name.as_ref().map_or("", |name| name.get_name());
            let sign = if index == 0 { "" } else { "+" };
            write!(f, "{sign}{name}")?;
        }
        Ok(())
    }
}

impl Faults {
    fn all_alone() -> Vec<Self> {
        let all = <Fault as clap::ValueEnum>::value_variants();
        all.iter().map(|fault| Self(vec![*fault])).collect()
    }

    /// Pairs whose two sides touch different things.
    fn pairs() -> Vec<Self> {
        [
            [Fault::KillLeader, Fault::Partition],
            [Fault::Pause, Fault::KillLeader],
            [Fault::CutOne, Fault::Partition],
            [Fault::SlowDisk, Fault::KillLeader],
            [Fault::DiskError, Fault::OneWay],
        ]
        .map(|pair| Self(pair.to_vec()))
        .to_vec()
    }

    /// Cycles that one cluster stands.
    fn most_cycles(&self) -> u32 {
        match self.0.contains(&Fault::DiskFull) {
            true => MAX_HEAVY_CYCLES,
            false => u32::MAX,
        }
    }

    fn shape(&self, clients: Clients) -> Shape {
        let shape = match clients {
            Clients::Plain => PLAIN,
            Clients::Transactions => TRANSACTIONS,
            Clients::Verifiable => VERIFIABLE,
        };
        match self.0.contains(&Fault::DiskFull) {
            true => Shape {
                rate: HEAVY_RATE,
                value_bytes: HEAVY_VALUE_BYTES,
                ..shape
            },
            false => shape,
        }
    }
}

/// Sums over all faults.
#[derive(Default)]
struct Totals {
    faults: u32,
    /// Faults with findings, with what ended them early.
    dirty: Vec<String>,
    cycles: u32,
    acked: u64,
}

/// Runs the campaign; false when something was found or a cluster did not come back.
pub(crate) fn run(options: &Options, weir: &Path) -> Result<bool> {
    if options.cycles == 0 && !options.quick {
        return Ok(true);
    }
    if let Some(obstacle) = Network::obstacle() {
        println!("skipped: faults on three nodes: {obstacle}");
        return Ok(true);
    }
    image::sweep(&place::kept())?;
    let mut directory = RunDirectory::create()?;
    let started = Instant::now();
    let mut moments = Moments::from_seed(options.seed);
    let mut totals = Totals::default();
    let mut cluster = None;
    let parts = options.parts();
    for (at, (faults, cycles)) in parts.iter().enumerate() {
        let cycles = *cycles;
        let part = parts[..at].iter().filter(|(it, _)| it == faults).count();
        let trial = Trial {
            faults,
            part,
            cycles,
            keep: options.keep,
            clients: options.clients,
            slowest_group: Cell::default(),
            nodes: options.nodes,
            file_system: options.file_system,
            weir,
            directory: directory.path(),
        };
        totals.faults += u32::from(part == 0);
        match trial.run(&mut cluster, &mut moments) {
            Ok(verdict) => {
                totals.cycles += cycles;
                totals.acked += verdict.acked;
                if !verdict.is_clean() {
                    totals.dirty.push(format!("{faults}: {verdict}"));
                }
            }
            Err(error) => {
                stop::check()?;
                println!("{faults}: {error:#}");
                totals.dirty.push(format!("{faults}: {error:#}"));
                cluster = None;
            }
        }
        if cycles >= LONG_RUN_CYCLES {
            cluster = None;
        }
    }
    drop(cluster);
    if totals.dirty.is_empty() && !options.keep {
        directory.clean();
    }
    println!(
        "cluster: {} faults, {} cycles in {:.0} s, {} acked, {} faults with findings",
        totals.faults,
        totals.cycles,
        started.elapsed().as_secs_f64(),
        totals.acked,
        totals.dirty.len()
    );
    for dirty in &totals.dirty {
        println!("    {dirty}");
    }
    Ok(totals.dirty.is_empty())
}

/// One fault, or one pair, `cycles` times.
struct Trial<'a> {
    faults: &'a Faults,
    /// How many clusters had the same faults before.
    part: usize,
    cycles: u32,
    keep: bool,
    clients: Clients,
    /// The longest that a group took to go on once all was healed.
    slowest_group: Cell<Duration>,
    nodes: usize,
    file_system: FileSystem,
    weir: &'a Path,
    directory: &'a Path,
}

impl Trial<'_> {
    /// Of the directories and the topic.
    fn name(&self) -> String {
        let faults = self.faults.to_string().replace('+', "-");
        match self.part {
            0 => faults,
            part => format!("{faults}-{}", part + 1),
        }
    }

    fn run(&self, cluster: &mut Option<Cluster>, moments: &mut Moments) -> Result<Verdict> {
        let started = Instant::now();
        let cluster = match cluster {
            Some(cluster) => cluster,
            None => {
                let nodes = self.directory.join(format!("nodes-{}", self.name()));
                std::fs::create_dir_all(&nodes)?;
                let ground = Ground::Apart(self.file_system);
                let made = Cluster::start(
                    self.weir,
                    &nodes,
                    ground,
                    self.nodes,
                    ServeOptions::default(),
                )
                .with_context(|| nodes.display().to_string())?;
                cluster.insert(made)
            }
        };
        let topic = format!("fault-{}", self.name());
        let mut load = Load::start(
            cluster,
            &topic,
            self.faults.shape(self.clients),
            self.directory,
        )?;
        let judged = self.strike_all(cluster, &mut load, moments);
        if judged.is_err() {
            cluster.describe_to(&load.directory().join("state.txt"));
        }
        let verdict =
            judged.with_context(|| format!("history in {}", load.directory().display()))?;
        println!(
            "{}: {} cycles in {:.1} s: {verdict}, {} errors of transactional clients, \
             {} ms at most until groups went on",
            self.faults,
            self.cycles,
            started.elapsed().as_secs_f64(),
            load.errors(),
            self.slowest_group.get().as_millis()
        );
        for example in &verdict.examples {
            println!("    {example}");
        }
        if verdict.is_clean() && !self.keep {
            std::fs::remove_dir_all(load.directory())?;
        }
        Ok(verdict)
    }

    fn strike_all(
        &self,
        cluster: &mut Cluster,
        load: &mut Load,
        moments: &mut Moments,
    ) -> Result<Verdict> {
        for cycle in 1..=self.cycles {
            self.strike(cluster, load, moments)
                .with_context(|| format!("cycle {cycle}"))?;
            if cycle % CYCLES_PER_PROGRESS_LINE == 0 {
                println!("{}: {cycle} of {} cycles", self.faults, self.cycles);
            }
        }
        let in_doubt = load.finish()?;
        ensure!(in_doubt == 0, "{in_doubt} messages were given up");
        // What was acknowledged last has to be on the disks as well.
        let mut wounds = Wounds::default();
        Fault::CutAll.strike(cluster, 0, moments, &mut wounds)?;
        wounds.heal(cluster)?;
        cluster.wait_until_whole()?;
        load.judge(cluster)
    }

    fn strike(&self, cluster: &mut Cluster, load: &mut Load, moments: &mut Moments) -> Result<()> {
        load.wait_for_acks(ACKS_PER_CYCLE)?;
        let partition = u32::try_from(moments.draw(4)).expect("below 4");
        let leader = cluster.leader_of(load.topic(), partition)?;
        stop::sleep(moments.next(MAX_JITTER_MS))?;
        let mut wounds = Wounds::default();
        let mut lasts = Duration::ZERO;
        let mut struck = Ok(());
        for fault in &self.faults.0 {
            struck = struck.and_then(|()| fault.strike(cluster, leader, moments, &mut wounds));
            lasts = lasts.max(fault.duration(moments));
            if self.faults.0.len() > 1 {
                stop::sleep(moments.next(MAX_PAIR_GAP_MS))?;
            }
        }
        struck?;
        if self.clients != Clients::Plain && moments.draw(2) == 0 {
            load.kill_a_client(cluster, moments)?;
        }
        stop::sleep(lasts)?;
        if let [fault] = self.faults.0[..]
            && fault.spares_a_majority()
            && self.nodes > 2
        {
            let waited = match fault.spares_transactions() {
                true => load.wait_for_acks(1),
                false => load.wait_for_plain_acks(1),
            };
            waited.context("before it is healed")?;
        }
        wounds.heal(cluster)?;
        load.wait_for_acks(1)?;
        cluster.wait_until_whole()?;
        let slowest = load.wait_for_groups()?.max(self.slowest_group.get());
        self.slowest_group.set(slowest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_less_often_where_none_is_named_and_not_at_all_in_a_quick_run() {
        let full = Options::default().plan();
        let most = |count| {
            full.iter()
                .filter(move |(faults, _)| faults.0.len() == count)
        };
        assert!(most(1).all(|(_, cycles)| *cycles == 100));
        assert!(most(2).count() > 0 && most(2).all(|(_, cycles)| *cycles == 25));
        let quick = Options {
            quick: true,
            ..Options::default()
        };
        assert!(
            quick
                .plan()
                .iter()
                .all(|(faults, cycles)| { faults.0.len() == 1 && *cycles == QUICK_CYCLES })
        );
        let named = Options {
            faults: Faults::pairs(),
            ..Options::default()
        };
        assert!(named.plan().iter().all(|(_, cycles)| *cycles == 100));
    }

    #[test]
    fn what_fills_disks_comes_in_parts() {
        let options = Options {
            faults: vec![Faults(vec![Fault::DiskFull]), Faults(vec![Fault::Kill])],
            cycles: 60,
            ..Options::default()
        };
        let cycles: Vec<_> = options.parts().iter().map(|(_, cycles)| *cycles).collect();
        assert_eq!(cycles, [10, 10, 10, 10, 10, 10, 60]);
    }

    #[test]
    fn faults_are_named_as_they_are_printed() {
        for faults in [Faults::all_alone(), Faults::pairs()].concat() {
            assert_eq!(faults.to_string().parse(), Ok(faults));
        }
        assert!("kill+kill+kill".parse::<Faults>().is_err());
        assert!("nothing".parse::<Faults>().is_err());
    }
}
