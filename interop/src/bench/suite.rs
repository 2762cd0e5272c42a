//! What is measured in which order.

use super::producer::Producer;
use super::report::Report;
use super::{backlog, bindings, catch_up, idle, throughput};
use crate::place::RunDirectory;
use crate::stop;
use anyhow::Result;
use std::path::Path;
use std::time::Duration;

/// A part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// One producer on three nodes beside one node.
    Throughput,
    /// An empty node catches up.
    CatchUp,
    /// 300 idle groups.
    Idle,
    /// A queue with a million, ten million, a hundred million messages.
    Backlog,
    /// A topic exchange with 100,000 bindings.
    Bindings,
}

/// What `cargo xtask bench cluster` is asked for.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A run of about two minutes and a half.
    #[arg(long)]
    quick: bool,
    /// Gigabytes that the empty node lacks.
    #[arg(long)]
    gb: Option<u64>,
    /// Messages that wait in a queue, one size after the other.
    #[arg(long, value_delimiter = ',')]
    backlog: Vec<u64>,
    /// Only these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
}

/// How long and how much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Of messages, in a turn of the one producer.
    pub stream_bytes: u64,
    /// Turns of each side, after one that does not count.
    pub round_count: u32,
    /// What the empty node lacks.
    pub catch_up_bytes: u64,
    /// How long idle nodes are watched.
    pub idle: Duration,
}

impl Options {
    fn pace(&self) -> Pace {
        let (stream_bytes, round_count, gb, idle_s) = match self.quick {
            true => (200_000_000, 2, 1, 15),
            false => (400_000_000, 3, 2, 30),
        };
        Pace {
            stream_bytes,
            round_count,
            catch_up_bytes: self.gb.unwrap_or(gb) * 1_000_000_000,
            idle: Duration::from_secs(idle_s),
        }
    }
}

impl Options {
    /// Messages that wait, one size after the other.
    fn backlog(&self) -> Vec<u64> {
        match (&self.backlog[..], self.quick) {
            ([], true) => vec![200_000],
            ([], false) => vec![1_000_000],
            (sizes, _) => sizes.to_vec(),
        }
    }
}

/// Measures all parts; false when something fell short.
pub(crate) fn run(options: &Options, weir: &Path) -> Result<bool> {
    let mut directory = RunDirectory::create()?;
    let path = directory.path().to_owned();
    let producer = Producer::build(&path)?;
    let pace = options.pace();
    let mut report = Report::default();
    let all = [
        Part::Throughput,
        Part::CatchUp,
        Part::Idle,
        Part::Backlog,
        Part::Bindings,
    ];
    for part in all {
        if !options.only.is_empty() && !options.only.contains(&part) {
            continue;
        }
        let (name, outcome) = match part {
            Part::Throughput => (
                "throughput",
                throughput::measure(pace, weir, &path, &producer, &mut report),
            ),
            Part::CatchUp => (
                "catch-up",
                catch_up::measure(pace, weir, &path, &producer, &mut report),
            ),
            Part::Idle => ("idle", idle::measure(pace, weir, &path, &mut report)),
            Part::Backlog => (
                "backlog",
                backlog::measure(&options.backlog(), weir, &path, &producer, &mut report),
            ),
            Part::Bindings => ("bindings", bindings::measure(weir, &path, &mut report)),
        };
        if let Err(error) = outcome {
            stop::check()?;
            report.failed(name, &error);
        }
    }
    let kept = report.finish();
    if kept {
        directory.clean();
    }
    Ok(kept)
}
