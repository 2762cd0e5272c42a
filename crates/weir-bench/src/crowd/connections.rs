//! Connections that do nothing, and readers that ask and do not read.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use weir_model::batch::BatchHeader;

use super::{
    measured::{figure_row, memory_row, settled},
    wire::{TOPIC, Wire},
};
use crate::{
    batch::batch,
    client::NodeProcess,
    options::CrowdOptions,
    report::{Report, mb_per_s},
};

/// Bytes of a batch of the backlog, and its records.
const BATCH_BYTES: usize = 64 << 10;
const BATCH_RECORDS: u32 = 64;
/// Requests that each slow reader sends one behind the other.
const ASKED_COUNT: usize = 4;
/// What an idle connection may cost, in bytes.
const IDLE_BYTES: u64 = 32 << 10;
/// What all answers may hold (the Kafka door's budget), and besides each slow reader: its least
/// share, and what is on its way to the socket.
const ANSWERS_BYTES: u64 = 256 << 20;
const READER_BYTES: u64 = 2 << 20;

pub(crate) fn measure(
    options: &CrowdOptions,
    node: &NodeProcess,
    report: &mut Report,
) -> Result<()> {
    let backlog_bytes = options.backlog_mib << 20;
    fill(node.address(), backlog_bytes)?;
    let before = settled(node.pid())?;
    let idle = connect(node.address(), options.idle_count)?;
    let with_idle = settled(node.pid())?;
    let idle_limit = IDLE_BYTES * options.idle_count as u64;
    let grown = with_idle.saturating_sub(before);
    report.row(memory_row(
        "idle connections",
        idle.len(),
        grown,
        idle_limit,
    ));
    let mut slow = connect(node.address(), options.reader_count)?;
    for reader in &mut slow {
        for _ in 0..ASKED_COUNT {
            reader.ask_for_records(0)?;
        }
    }
    let grown = settled(node.pid())?.saturating_sub(with_idle);
    let slow_limit = ANSWERS_BYTES + READER_BYTES * options.reader_count as u64;
    report.row(memory_row(
        "readers that do not read",
        slow.len(),
        grown,
        slow_limit,
    ));
    let start = Instant::now();
    let read_bytes = read_all(node.address(), backlog_bytes)?;
    let rate = read_bytes as f64 / start.elapsed().as_secs_f64();
    report.row(figure_row("one that reads, beside them", mb_per_s(rate)));
    Ok(())
}

fn fill(address: &str, bytes: u64) -> Result<()> {
    let mut wire = Wire::connect(address)?;
    let batch = batch(BATCH_BYTES, BATCH_RECORDS);
    for _ in 0..bytes / batch.len() as u64 {
        wire.produce(TOPIC, 0, &batch)?;
    }
    Ok(())
}

fn connect(address: &str, count: usize) -> Result<Vec<Wire>> {
    let all: Result<Vec<Wire>> = (0..count).map(|_| Wire::connect(address)).collect();
    all.context("connections (ulimit -n)")
}

fn read_all(address: &str, at_least: u64) -> Result<u64> {
    let mut wire = Wire::connect(address)?;
    let (mut offset, mut read) = (0, 0);
    // The last batch may be missing: the backlog is in whole ones.
    while read + 2 * (BATCH_BYTES as u64) < at_least {
        wire.ask_for_records(offset)?;
        let records = wire.fetched()?;
        ensure!(!records.is_empty(), "nothing at offset {offset}");
        read += records.len() as u64;
        let mut rest = &records[..];
        while let Ok(header) = BatchHeader::parse(rest) {
            offset = header.base_offset + i64::from(header.last_offset_delta) + 1;
            rest = &rest[header.size_bytes..];
        }
    }
    Ok(read)
}
