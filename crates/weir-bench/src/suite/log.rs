//! The log's benchmark: its parts in order.

use std::{fs, path::Path, thread::available_parallelism};

use anyhow::{Context, Result};
use weir_log::{Disk, disk::RealDisk};

use super::{appends, groups, partitions};
use crate::{
    client,
    options::{LogOptions, Part},
    report::Report,
    scratch::Scratch,
};

/// Above this load others take part in what is measured.
const BUSY_LOAD: f64 = 0.7;
/// Writers side by side.
pub(super) const WRITER_COUNTS: [usize; 3] = [1, 16, 256];
/// Sizes of entries, in bytes, and their names.
pub(super) const SIZES: [(usize, &str); 3] =
    [(100, "100 B"), (1 << 10, "1 KiB"), (64 << 10, "64 KiB")];
/// Size of a batch where throughput counts, in bytes.
pub(super) const LARGE_BYTES: usize = 64 << 10;
/// Records of such a batch.
pub(super) const LARGE_RECORD_COUNT: u32 = 64;

/// Runs what was asked for. `true`: nothing fell short.
pub(crate) fn log(options: &LogOptions) -> Result<bool> {
    let pace = options.pace();
    let scratch = Scratch::new(&options.dir, "log")?;
    let dir = scratch.path();
    let mut report = Report::new();
    println!("{}", surroundings(dir)?);
    let mut alone = Vec::new();
    if options.wants(Part::Lone) || options.wants(Part::Wal) {
        alone = appends::write_ahead_log(options, pace, dir, &mut report)?;
    }
    if options.wants(Part::Group) {
        groups::one_voter(pace, dir, &alone, &mut report)?;
    }
    if options.wants(Part::Partitions) {
        partitions::side_by_side(pace, dir, &mut report)?;
    }
    if options.wants(Part::Reads) {
        partitions::reads(pace, dir, &mut report)?;
    }
    if options.wants(Part::Idle) {
        groups::idle(pace, dir, &mut report)?;
    }
    if options.wants(Part::Client) {
        client::measure(options, pace, dir, &mut report)?;
    }
    Ok(report.finish())
}

/// Where this runs, and whether it has the machine to itself.
fn surroundings(dir: &Path) -> Result<String> {
    let cores = available_parallelism()?;
    let direct = match RealDisk::open(&dir.join("probe"))?.supports_direct() {
        true => "direct I/O",
        false => "no direct I/O",
    };
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load
        .split_whitespace()
        .next()
        .context("the load is a number")?;
    let warning = match load.parse::<f64>()? > BUSY_LOAD {
        true => "; others are at work here, so figures vary",
        false => "",
    };
    Ok(format!(
        "{cores} cores, {direct} in {}, load {load}{warning}",
        dir.display()
    ))
}
