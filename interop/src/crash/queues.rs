//! kill -9 and power cuts on one node under publishers and consumers of queues.

use crate::cluster::{QUEUES, QueueLoad};
use crate::image::{FileSystem, Image};
use crate::moments::Moments;
use crate::node::Node;
use crate::queue_history::Verdict;
use crate::stop;
use anyhow::{Context, Result};
use std::path::Path;
use std::time::{Duration, Instant};

/// Confirms of every address between two faults.
const CONFIRMS_PER_CYCLE: u64 = 5;
/// Up to this long after them the fault comes.
const MAX_JITTER_MS: u64 = 300;
/// Up to this long after the power cut the process is still there, and sees its disk fail.
const MAX_AFTERLIFE_MS: u64 = 40;
/// Of so many cycles, one has a client killed as well.
const CLIENT_KILL_ODDS: u64 = 2;
const CYCLES_PER_PROGRESS_LINE: u32 = 10;

/// A node, and what its data lies on.
struct Ground {
    // Before the file system: a process keeps its files open.
    node: Node,
    /// `None`: power is not cut.
    image: Option<Image>,
}

/// Loads one node, hits it `cycles` times by turns, and judges what the clients wrote down. Without
/// a file system to cut the power of, it is killed each time.
pub(super) fn fault_loop(
    cycles: u32,
    weir: &Path,
    directory: &Path,
    file_system: Option<FileSystem>,
    moments: &mut Moments,
) -> Result<Verdict> {
    let started = Instant::now();
    let mut ground = Ground::make(weir, directory, file_system)?;
    let mut load = QueueLoad::start(&ground.node, "queues", QUEUES, directory)?;
    let mut slowest = Duration::ZERO;
    for cycle in 1..=cycles {
        let struck = ground.cycle(cycle, &mut load, moments);
        slowest = slowest.max(struck.with_context(|| format!("cycle {cycle}"))?);
        if cycle % CYCLES_PER_PROGRESS_LINE == 0 {
            println!("queues: {cycle} of {cycles} cycles");
        }
    }
    load.finish()?;
    // What was confirmed last has to be on the disk as well.
    ground.strike(0, moments)?;
    let verdict = load.judge(&ground.node)?;
    let (median, longest) = ground.node.restart_ms();
    println!(
        "queues: {cycles} cycles and one at rest in {:.1} s, restart {median} ms median, {longest} ms at most, \
         {verdict}, {} errors of clients, {} ms at most until consumers went on",
        started.elapsed().as_secs_f64(),
        load.errors(),
        slowest.as_millis(),
    );
    for example in &verdict.examples {
        println!("    {example}");
    }
    Ok(verdict)
}

impl Ground {
    fn make(weir: &Path, directory: &Path, file_system: Option<FileSystem>) -> Result<Self> {
        let image = match file_system {
            Some(file_system) => {
                let name = format!("queues-{file_system}");
                Some(Image::create(file_system, directory, &name)?)
            }
            None => None,
        };
        let data = match &image {
            Some(image) => image.mount_point().join("data"),
            None => directory.join("data-queues"),
        };
        let node = Node::start(weir, &data, &directory.join("queues.log"))?;
        Ok(Self { node, image })
    }

    /// Gives how long consumers took to go on.
    fn cycle(
        &mut self,
        cycle: u32,
        load: &mut QueueLoad,
        moments: &mut Moments,
    ) -> Result<Duration> {
        load.wait_for_acks(CONFIRMS_PER_CYCLE)?;
        stop::sleep(moments.next(MAX_JITTER_MS))?;
        self.strike(cycle, moments)?;
        if moments.draw(CLIENT_KILL_ODDS) == 0 {
            load.kill_a_client(&self.node, moments)?;
        }
        load.wait_for_acks(1)?;
        load.wait_for_consumers()
    }

    /// Every other time the power is cut.
    fn strike(&mut self, cycle: u32, moments: &mut Moments) -> Result<()> {
        match &self.image {
            Some(image) if cycle.is_multiple_of(2) => {
                image.cut_power()?;
                stop::sleep(moments.next(MAX_AFTERLIFE_MS))?;
                self.node.kill_or_gone()?;
                image.power_on()?;
            }
            Some(_) | None => self.node.kill()?,
        }
        self.node.restart()
    }
}
