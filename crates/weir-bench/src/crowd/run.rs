//! The run: a node of its own, a backlog, idle connections, readers that do not read, and one that
//! does.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use weir_model::batch::BatchHeader;

use super::wire::Wire;
use crate::{
    batch::batch,
    client::NodeProcess,
    options::CrowdOptions,
    report::{Hold, Report, Row},
    scratch::Scratch,
};

/// Bytes of a batch of the backlog, and its records.
const BATCH_BYTES: usize = 64 << 10;
const BATCH_RECORDS: u32 = 64;
/// Requests that each slow reader sends one behind the other.
const ASKED_COUNT: usize = 4;
/// How long memory must not have grown to be taken as settled.
const SETTLED: Duration = Duration::from_secs(2);
/// Longest wait for that.
const SETTLE_LIMIT: Duration = Duration::from_secs(20);
/// What an idle connection may cost, in bytes.
const IDLE_BYTES: u64 = 32 << 10;
/// What all answers may hold (the Kafka door's budget), and besides each slow reader: its least
/// share, and what is on its way to the socket.
const ANSWERS_BYTES: u64 = 256 << 20;
const READER_BYTES: u64 = 2 << 20;

/// Runs; `true`: nothing fell short.
pub(crate) fn run(options: &CrowdOptions) -> Result<bool> {
    fs::create_dir_all(&options.dir)?;
    let scratch = Scratch::new(&options.dir, "crowd")?;
    ensure!(
        options.weir.exists(),
        "{} is not built",
        options.weir.display()
    );
    let node = NodeProcess::start(&options.weir, scratch.path())?;
    let backlog_bytes = options.backlog_mib << 20;
    fill(node.address(), backlog_bytes)?;
    let mut report = Report::new();
    report.part("a crowd on one node", "may be");
    let before = settled(node.pid())?;
    let idle = connect(node.address(), options.idle_count)?;
    let with_idle = settled(node.pid())?;
    let idle_limit = IDLE_BYTES * options.idle_count as u64;
    report.row(row(
        "idle connections",
        idle.len(),
        with_idle - before.min(with_idle),
        idle_limit,
    ));
    let mut slow = connect(node.address(), options.reader_count)?;
    for reader in &mut slow {
        for _ in 0..ASKED_COUNT {
            reader.ask(0)?;
        }
    }
    let with_slow = settled(node.pid())?;
    let slow_limit = ANSWERS_BYTES + READER_BYTES * options.reader_count as u64;
    let grown = with_slow - with_idle.min(with_slow);
    report.row(row(
        "readers that do not read",
        slow.len(),
        grown,
        slow_limit,
    ));
    let start = Instant::now();
    let read_bytes = read_all(node.address(), backlog_bytes)?;
    let rate = read_bytes as f64 / start.elapsed().as_secs_f64();
    report.row(Row {
        what: "one that reads, beside them".to_owned(),
        ours: crate::report::mb_per_s(rate),
        ..Row::default()
    });
    drop((idle, slow));
    Ok(report.finish())
}

fn row(what: &str, count: usize, bytes: u64, limit: u64) -> Row {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    Row {
        what: format!("{count} {what}"),
        ours: format!("{:.1} MiB", mib(bytes)),
        beside: format!("{:.1} MiB", mib(limit)),
        ratio: Some(bytes as f64 / limit as f64),
        hold: Some(Hold::AtMost(1.0)),
    }
}

fn fill(address: &str, bytes: u64) -> Result<()> {
    let mut wire = Wire::connect(address)?;
    wire.make_topic()?;
    let batch = batch(BATCH_BYTES, BATCH_RECORDS);
    for _ in 0..bytes / batch.len() as u64 {
        wire.produce(&batch)?;
    }
    Ok(())
}

fn connect(address: &str, count: usize) -> Result<Vec<Wire>> {
    let one = |_| {
        let mut wire = Wire::connect(address)?;
        wire.greet()?;
        Ok(wire)
    };
    let all: Result<Vec<Wire>> = (0..count).map(one).collect();
    all.context("connections (ulimit -n)")
}

fn read_all(address: &str, at_least: u64) -> Result<u64> {
    let mut wire = Wire::connect(address)?;
    let (mut offset, mut read) = (0, 0);
    // The last batch may be missing: the backlog is in whole ones.
    while read + 2 * (BATCH_BYTES as u64) < at_least {
        wire.ask(offset)?;
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

/// The process's memory once it does not grow, in bytes.
fn settled(pid: u32) -> Result<u64> {
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
