//! What is measured of a node: its memory, and how long a lone produce takes beside a crowd.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use super::wire::{TOPIC, Wire};
use crate::{
    batch::batch,
    report::{Hold, Row},
};

/// How long memory must not have grown to be taken as settled.
const SETTLED: Duration = Duration::from_secs(2);
/// Longest wait for that.
const SETTLE_LIMIT: Duration = Duration::from_secs(20);
/// Lone produces of a probe, and the size of each batch.
const PROBE_COUNT: usize = 500;
const PROBE_BYTES: usize = 100;

/// How long a lone produce takes.
pub(crate) struct Latency(Histogram<u64>);

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e3;
        write!(f, "p50 {:.2} ms, p99 {:.2} ms", ms(0.5), ms(0.99))
    }
}

/// Appends to [`TOPIC`], one batch after the other.
pub(crate) fn probe(address: &str) -> Result<Latency> {
    let mut wire = Wire::connect(address)?;
    let batch = batch(PROBE_BYTES, 1);
    let mut times = Histogram::new(3)?;
    for _ in 0..PROBE_COUNT {
        let start = Instant::now();
        wire.produce(TOPIC, 0, &batch)?;
        times.record(u64::try_from(start.elapsed().as_micros())?)?;
    }
    Ok(Latency(times))
}

/// The process's memory once it does not grow, in bytes.
pub(crate) fn settled(pid: u32) -> Result<u64> {
    let start = Instant::now();
    let (mut most, mut since) = (resident(pid)?, Instant::now());
    while since.elapsed() < SETTLED && start.elapsed() < SETTLE_LIMIT {
        thread::sleep(Duration::from_millis(100));
        let now = resident(pid)?;
        if now > most + most / 100 {
            (most, since) = (now, Instant::now());
        }
    }
    Ok(most)
}

fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.context("status has VmRSS")? << 10)
}

/// Memory that `count` of something took, beside what it may take.
pub(crate) fn memory_row(what: &str, count: usize, bytes: u64, limit: u64) -> Row {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    Row {
        what: format!("{count} {what}"),
        ours: format!("{:.1} MiB, {} B each", mib(bytes), bytes / count as u64),
        beside: format!("{:.1} MiB", mib(limit)),
        ratio: Some(bytes as f64 / limit as f64),
        hold: Some(Hold::AtMost(1.0)),
    }
}

/// A figure that nothing is held against.
pub(crate) fn figure_row(what: &str, ours: String) -> Row {
    Row {
        what: what.to_owned(),
        ours,
        ..Row::default()
    }
}
