//! The log's benchmark: its parts in order.

use anyhow::Result;

use super::{appends, node};
use crate::{
    client,
    options::{LogOptions, Part},
    report::Report,
    scratch::Scratch,
};

/// Writers side by side.
pub(super) const WRITER_COUNTS: [usize; 3] = [1, 16, 256];
/// Sizes of entries, in bytes, and their names.
pub(super) const SIZES: [(usize, &str); 3] =
    [(100, "100 B"), (1 << 10, "1 KiB"), (64 << 10, "64 KiB")];

/// Runs what was asked for. `true`: nothing fell short.
pub(crate) fn log(options: &LogOptions) -> Result<bool> {
    let pace = options.pace();
    let scratch = Scratch::new(&options.dir, "log")?;
    let dir = scratch.path();
    let mut report = Report::new();
    if options.wants(Part::Lone) || options.wants(Part::Wal) {
        appends::write_ahead_log(options, pace, dir, &mut report)?;
    }
    if options.wants(Part::Group) {
        node::group(pace, dir, &mut report)?;
    }
    if options.wants(Part::Partitions) {
        node::side_by_side(pace, dir, &mut report)?;
    }
    if options.wants(Part::Reads) {
        node::reads(pace, dir, &mut report)?;
    }
    if options.wants(Part::Idle) {
        node::idle_groups(pace, dir, &mut report)?;
    }
    if options.wants(Part::Client) {
        client::measure(options, pace, dir, &mut report)?;
    }
    Ok(report.finish())
}
