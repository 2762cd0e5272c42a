//! Shapes of abuse that are no bad input: many connections, and such that are slow.

use super::row::Door;
use super::stand::{Meanwhile, Stand};
use super::{flood, half_open, idle, readers};
use crate::place::RunDirectory;
use crate::stop;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Of a node that idle crowds come to.
const MAX_CONNECTIONS_COUNT: u32 = 15_000;
const HANDLES_LIMIT: Duration = Duration::from_secs(20);
/// Handles of the node that come and go without any client.
const LOOSE_HANDLES_COUNT: usize = 16;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Shape {
    /// Connections opened and closed as fast as it goes.
    Flood,
    /// Handshakes that are begun and go no further: of TCP, TLS, AMQP, SASL, HTTP.
    HalfOpen,
    /// 10,000 connections that say nothing.
    Idle,
    /// Clients that ask for much, and read a byte a second.
    SlowReaders,
    /// 1,000 consumers that read nothing while 50 MB/s come in, in 256 MiB of memory.
    StalledConsumers,
}

/// A line of what one came to.
pub(super) struct Told {
    pub(super) what: String,
    pub(super) figures: String,
    pub(super) faults: Vec<String>,
}

impl Told {
    /// Of a node that may grow by so much.
    pub(super) fn of(
        what: String,
        figures: &str,
        meanwhile: Meanwhile,
        max_growth_bytes: u64,
    ) -> Self {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let (p50, p99) = (
            meanwhile.times.percentile(50),
            meanwhile.times.percentile(99),
        );
        let mut faults = meanwhile.faults;
        if meanwhile.growth_bytes > max_growth_bytes {
            faults.push("memory grew".to_owned());
        }
        Self {
            what,
            figures: format!(
                "{figures}, {:.1} MiB more memory ({:.0} allowed), others' p50 {:.1} ms, p99 {:.1} ms",
                mib(meanwhile.growth_bytes),
                mib(max_growth_bytes),
                p50.as_secs_f64() * 1e3,
                p99.as_secs_f64() * 1e3,
            ),
            faults,
        }
    }
}

impl Shape {
    fn run(self, place: &Place<'_>) -> Result<Vec<Told>> {
        match self {
            Self::Flood => flood::run(place),
            Self::HalfOpen => half_open::run(place),
            Self::Idle => idle::run(place),
            Self::SlowReaders => readers::run_slow(place),
            Self::StalledConsumers => readers::run_stalled(place),
        }
    }
}

/// Where a shape gets its node from.
pub(super) struct Place<'a> {
    weir: &'a Path,
    pub(super) directory: PathBuf,
}

impl Place<'_> {
    /// A node that takes a crowd.
    pub(super) fn stand(&self, options: &[String]) -> Result<Stand> {
        let many = [
            "--max-connections".to_owned(),
            MAX_CONNECTIONS_COUNT.to_string(),
        ];
        let options = [&many, options].concat();
        let stand = Stand::with(self.weir, &self.directory, &options, None)?;
        stand.warm_up()?;
        Ok(stand)
    }

    /// A node of which no more is asked than what it is given.
    pub(super) fn confined(
        &self,
        options: &[String],
        memory: crate::memory_group::MemoryGroup,
    ) -> Result<Stand> {
        Stand::with(self.weir, &self.directory, options, Some(memory))
    }
}

/// Runs them; false when one fell short.
pub(super) fn run_all(shapes: &[Shape], weir: &Path) -> Result<bool> {
    let mut directory = RunDirectory::create()?;
    let (mut count, mut short) = (0, Vec::new());
    for (number, shape) in shapes.iter().enumerate() {
        let place = Place {
            weir,
            directory: directory.path().join(format!("shape-{number}")),
        };
        std::fs::create_dir_all(&place.directory)?;
        let name = clap::ValueEnum::to_possible_value(shape);
        let name = name.map_or_else(String::new, |name| name.get_name().to_owned());
        for told in shape.run(&place).with_context(|| name.clone())? {
            count += 1;
            let verdict = match told.faults.is_empty() {
                true => "ok".to_owned(),
                false => told.faults.join("; "),
            };
            let line = format!("{name} {}: {}: {verdict}", told.what, told.figures);
            println!("{line}");
            if !told.faults.is_empty() {
                short.push(line);
            }
        }
    }
    for line in &short {
        println!("short: {line}");
    }
    println!("hostile: {count} shapes, {} fell short", short.len());
    if short.is_empty() {
        directory.clean();
    }
    Ok(short.is_empty())
}

/// Doors where whoever comes from this machine is let in.
pub(super) const DOORS: [Door; 3] = [Door::Kafka, Door::Amqp, Door::Http];

/// Sockets and files that the node has open.
pub(super) fn handles_count(stand: &Stand) -> Result<usize> {
    let pid = stand.node().pid().context("the node runs")?;
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// A fault where the node does not give back what it had opened for those who are gone.
pub(super) fn are_handles_back(stand: &Stand, before_count: usize) -> Result<Option<String>> {
    let mut now_count = 0;
    let waited = stop::wait_for("handles to come back", HANDLES_LIMIT, || {
        now_count = handles_count(stand)?;
        Ok((now_count <= before_count + LOOSE_HANDLES_COUNT).then_some(()))
    });
    stop::check()?;
    let fault = format!("{now_count} handles, {before_count} before");
    Ok(waited.is_err().then_some(fault))
}
