//! Faults in turn, alone and in pairs, under load, and a verdict on each.

use super::fault::{Fault, Wounds};
use super::network::Network;
use super::nodes::{Cluster, Ground, ServeOptions};
use super::plan::{Clients, Faults, Options};
use super::work::{Clocks, Judged, Work};
use crate::image::{self, FileSystem};
use crate::moments::Moments;
use crate::place::{self, RunDirectory};
use crate::stop;
use anyhow::{Context, Result, ensure};
use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

/// Acknowledgements on every partition between two faults.
const ACKS_PER_CYCLE: u64 = 10;
const MAX_JITTER_MS: u64 = 200;
/// Up to this long after the first fault of a pair the second comes.
const MAX_PAIR_GAP_MS: u64 = 600;
/// A full disk is felt within so long: files made in advance have to be used up first.
const FELT_LIMIT: Duration = Duration::from_secs(60);
const CYCLES_PER_PROGRESS_LINE: u32 = 20;
/// Takes any time of a record, however far ahead of the broker's clock it lies.
const ANY_TIME: &str = "message.timestamp.after.max.ms=9223372036854775807";
/// From so many cycles on each fault gets a cluster of its own.
const LONG_RUN_CYCLES: u32 = 10;

/// Sums over all faults.
#[derive(Default)]
struct Totals {
    faults: u32,
    /// Faults with findings, with what ended them early.
    dirty: Vec<String>,
    cycles: u32,
    acked: u64,
}

impl Totals {
    fn tell(&self, took: Duration) {
        println!(
            "cluster: {} faults, {} cycles in {:.0} s, {} acked, {} faults with findings",
            self.faults,
            self.cycles,
            took.as_secs_f64(),
            self.acked,
            self.dirty.len()
        );
        for dirty in &self.dirty {
            println!("    {dirty}");
        }
    }
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
        if let Some(obstacle) = faults.obstacle() {
            println!("skipped: {faults}: {obstacle}");
            continue;
        }
        match trial.run(&mut cluster, &mut moments) {
            Ok(judged) => {
                totals.cycles += cycles;
                totals.acked += judged.acked;
                if !judged.is_clean {
                    totals.dirty.push(format!("{faults}: {}", judged.words));
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
    totals.tell(started.elapsed());
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
        let faults = match self.clients {
            Clients::Queues => format!("{faults}-queues"),
            Clients::Shares => format!("{faults}-shares"),
            Clients::Plain | Clients::Transactions | Clients::Verifiable => faults,
        };
        match self.part {
            0 => faults,
            part => format!("{faults}-{}", part + 1),
        }
    }

    fn run(&self, cluster: &mut Option<Cluster>, moments: &mut Moments) -> Result<Judged> {
        let started = Instant::now();
        if cluster
            .as_ref()
            .is_some_and(|it| it.apart() != self.faults.needs())
        {
            *cluster = None;
        }
        let cluster = match cluster {
            Some(cluster) => cluster,
            None => {
                let nodes = self.directory.join(format!("nodes-{}", self.name()));
                std::fs::create_dir_all(&nodes)?;
                let ground = Ground::Apart(self.file_system);
                let options = ServeOptions {
                    apart: self.faults.needs(),
                    ..ServeOptions::default()
                };
                let made = Cluster::start(self.weir, &nodes, ground, self.nodes, options)
                    .with_context(|| nodes.display().to_string())?;
                cluster.insert(made)
            }
        };
        let topic = format!("fault-{}", self.name());
        let shape = self.faults.shape(self.clients);
        if self.faults.set_clocks_off() && self.clients != Clients::Queues {
            for topic in [topic.clone(), format!("{topic}-copies")] {
                cluster.create_topic_with(&topic, shape.partitions, &[ANY_TIME])?;
            }
        }
        let mut work = Work::start(cluster, &topic, (self.clients, shape), self.directory)?;
        let judged = self.strike_all(cluster, &mut work, moments);
        if judged.is_err() {
            cluster.describe_to(&work.directory().join("state.txt"));
        }
        let judged =
            judged.with_context(|| format!("history in {}", work.directory().display()))?;
        println!(
            "{}: {} cycles in {:.1} s: {}, {} errors of {}, {} ms at most until {} went on",
            self.faults,
            self.cycles,
            started.elapsed().as_secs_f64(),
            judged.words,
            work.errors(),
            work.who_errs(),
            self.slowest_group.get().as_millis(),
            work.who_goes_on(),
        );
        for example in &judged.examples {
            println!("    {example}");
        }
        if !cluster.flips.is_empty() {
            println!("{}: {}", self.faults, cluster.flips);
        }
        println!(
            "row {}, {}: {} rounds, {} acknowledged, {} lost, {} served wrong",
            self.faults,
            self.clients.door(),
            self.cycles,
            judged.acked,
            judged.lost,
            judged.wrong,
        );
        if judged.is_clean && !self.keep {
            std::fs::remove_dir_all(work.directory())?;
        }
        Ok(judged)
    }

    fn strike_all(
        &self,
        cluster: &mut Cluster,
        work: &mut Work,
        moments: &mut Moments,
    ) -> Result<Judged> {
        for cycle in 1..=self.cycles {
            self.strike(cluster, work, moments)
                .with_context(|| format!("cycle {cycle}"))?;
            if cycle % CYCLES_PER_PROGRESS_LINE == 0 {
                println!("{}: {cycle} of {} cycles", self.faults, self.cycles);
            }
        }
        let in_doubt = work.finish()?;
        ensure!(in_doubt == 0, "{in_doubt} messages were given up");
        // What was acknowledged last has to be on the disks as well.
        let mut wounds = Wounds::default();
        Fault::CutAll.strike(cluster, 0, moments, &mut wounds)?;
        wounds.heal(cluster)?;
        cluster.wait_until_whole()?;
        if self.faults.0.contains(&Fault::BitFlip) {
            self.read_without_each(cluster, work)?;
        }
        let clocks = match self.faults.set_clocks_off() {
            true => Clocks::Wrong,
            false => Clocks::Right,
        };
        work.judge(cluster, clocks)
    }

    /// Each node is down once while everything is read, so that others lead, with what they have.
    fn read_without_each(&self, cluster: &mut Cluster, work: &Work) -> Result<()> {
        for index in 0..self.nodes {
            cluster.members[index].kill()?;
            work.read_all(cluster, &format!("final-without-{}", index + 1))?;
            cluster.restart(index)?;
            cluster.wait_until_whole()?;
        }
        Ok(())
    }

    fn strike(&self, cluster: &mut Cluster, work: &mut Work, moments: &mut Moments) -> Result<()> {
        work.wait_for_acks(ACKS_PER_CYCLE)?;
        let told_before = work.blocks();
        let leader = work.leader(cluster, moments)?;
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
            work.kill_a_client(cluster, moments)?;
        }
        stop::sleep(lasts)?;
        if self.faults.0 == [Fault::DiskFull] {
            stop::wait_for("a publisher to be told to wait", FELT_LIMIT, || {
                Ok((work.blocks().is_none() || work.blocks() > told_before).then_some(()))
            })?;
        }
        if let [fault] = self.faults.0[..]
            && fault.spares_a_majority()
            && self.nodes > 2
        {
            let waited = match fault.spares_transactions() {
                true => work.wait_for_acks(1),
                false => work.wait_for_plain_acks(1),
            };
            waited.context("before it is healed")?;
        }
        wounds.heal(cluster)?;
        work.wait_for_acks(1)?;
        cluster.wait_until_whole()?;
        let slowest = work.wait_for_groups()?.max(self.slowest_group.get());
        self.slowest_group.set(slowest);
        Ok(())
    }
}
