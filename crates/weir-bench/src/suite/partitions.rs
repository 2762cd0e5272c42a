//! Partitions side by side, and reads.

use std::{
    fs::{self, File},
    path::Path,
};

use anyhow::{Context, Result};
use weir_broker::NodeConfig;
use weir_log::StoreConfig;

use super::log::{LARGE_BYTES, LARGE_RECORD_COUNT};
use crate::{
    batch::batch,
    drive::{Driven, Limit, drive},
    fio::Fio,
    node::{self, Filled, NodeHost, NodeWriters, TopicRefs},
    options::Pace,
    report::{Hold, Report, Row, mb_per_s},
    scratch::{Scratch, settle},
    wal::FILE_BYTES,
};

/// Partitions side by side.
const PARTITION_COUNTS: [u32; 3] = [1, 100, 10_000];
/// Appends under way at any time.
const WRITER_COUNT: usize = 64;
/// Size of a read, and of fio's.
const READ_BYTES: usize = 1 << 20;
/// The tail's budget while reads are measured, in bytes: small, so that there is a cold part.
const READ_TAIL_BYTES: u64 = 256 << 20;
/// What is written before, in bytes.
const READ_WRITTEN_BYTES: u64 = 1 << 30;

/// The same bytes twice: to partitions that are new, and once more.
#[derive(Clone, Copy, Debug, Default)]
struct Produced {
    new: Driven,
    again: Driven,
}

/// 1, 100 and 10,000 partitions, in turns.
pub(super) fn side_by_side(pace: Pace, dir: &Path, report: &mut Report) -> Result<()> {
    let title = format!("node, {} MiB by 64 KiB", pace.produced_bytes >> 20);
    report.part(&title, "one partition");
    let mut reached = [Produced::default(); PARTITION_COUNTS.len()];
    for round in 0..pace.partition_round_count {
        let mut order = [0, 1, 2];
        if round % 2 == 1 {
            // A disk that grows slower, or faster, does so for all of them.
            order.reverse();
        }
        for at in order {
            let produced = produce_twice(pace, dir, PARTITION_COUNTS[at], round)?;
            reached[at].new = reached[at].new.and(produced.new);
            reached[at].again = reached[at].again.and(produced.again);
        }
    }
    for (name, of) in [
        ("new", (|produced| produced.new) as fn(Produced) -> Driven),
        ("in use", |produced| produced.again),
    ] {
        let one = of(reached[0]).acks_per_s();
        for (produced, count) in reached.into_iter().zip(PARTITION_COUNTS) {
            let rate = of(produced).acks_per_s();
            report.row(Row {
                what: format!("{count} partitions, {name}"),
                ours: mb_per_s(rate * LARGE_BYTES as f64),
                beside: mb_per_s(one * LARGE_BYTES as f64),
                ratio: (count > 1).then(|| rate / one),
                hold: (count == 10_000).then_some(Hold::AtLeast(0.8)),
            });
        }
    }
    Ok(())
}

fn produce_twice(pace: Pace, dir: &Path, partition_count: u32, round: u32) -> Result<Produced> {
    let name = format!("partitions-{partition_count}-{round}");
    let scratch = Scratch::with_lasting_names(dir, &name)?;
    let host = NodeHost::open(scratch.path(), NodeConfig::default())?;
    // The log's files come back before anything is measured.
    let other = host.create("warm-up", 1)?;
    produce(&host, other, pace.warm_bytes)?;
    let topic = host.create("bench", partition_count)?;
    settle(scratch.path())?;
    let produced = Produced {
        new: produce(&host, topic.clone(), pace.produced_bytes)?,
        again: produce(&host, topic, pace.produced_bytes)?,
    };
    host.close();
    Ok(produced)
}

fn produce(host: &NodeHost, topic: TopicRefs, bytes: u64) -> Result<Driven> {
    let batch = batch(LARGE_BYTES, LARGE_RECORD_COUNT);
    let count = bytes / batch.len() as u64;
    let mut writers = NodeWriters::new(host, topic, batch);
    drive(&mut writers, WRITER_COUNT, Limit::Count(count))
}

/// Tail and cold reads of one partition.
pub(super) fn reads(pace: Pace, dir: &Path, report: &mut Report) -> Result<()> {
    report.part(
        "node, one reader of 1 MiB each",
        "fio, buffered, cold, bs 1 MiB",
    );
    let scratch = Scratch::new(dir, "reads")?;
    let config = NodeConfig {
        store: StoreConfig {
            tail_budget_bytes: READ_TAIL_BYTES,
            ..StoreConfig::default()
        },
        ..NodeConfig::default()
    };
    let host = NodeHost::open(scratch.path(), config)?;
    let topic = host.create("bench", 1)?;
    let written = produce(&host, topic.clone(), READ_WRITTEN_BYTES)?;
    let filled = Filled {
        topic: &topic,
        batch_bytes: batch(LARGE_BYTES, LARGE_RECORD_COUNT).len() as u64,
        record_count: u64::from(LARGE_RECORD_COUNT),
        batch_count: written.ack_count,
    };
    let tail = node::read_tail(&host, filled, READ_BYTES, READ_TAIL_BYTES / 4, pace.slice)?;
    report.row(Row {
        what: "tail".to_owned(),
        ours: format!("{}, copied once", mb_per_s(tail.bytes_per_s())),
        ..Row::default()
    });
    forget_pages(scratch.path())?;
    let before = read_from_disk_bytes()?;
    let cold = node::read_back(&host, filled, READ_BYTES, READ_WRITTEN_BYTES / 2)?;
    let from_disk_bytes = read_from_disk_bytes()? - before;
    let fio = Fio::find(scratch.path(), FILE_BYTES, false);
    let beside = fio
        .map(|fio| fio.read(READ_BYTES as u64, cold.bytes))
        .transpose()?;
    report.row(Row {
        what: "cold, checksums verified".to_owned(),
        ours: format!(
            "{}, {} of {} MiB off disk",
            mb_per_s(cold.bytes_per_s()),
            from_disk_bytes >> 20,
            cold.bytes >> 20
        ),
        beside: beside.map_or_else(String::new, |run| mb_per_s(run.bytes_per_s)),
        ratio: beside.map(|run| cold.bytes_per_s() / run.bytes_per_s),
        hold: None,
    });
    host.close();
    Ok(())
}

/// Has the kernel forget the contents of all files below `dir`, as far as they are on disk.
fn forget_pages(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            forget_pages(&path)?;
        } else {
            let file = File::open(&path)?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}

/// Bytes that this process had the kernel read from disks.
fn read_from_disk_bytes() -> Result<u64> {
    let books = fs::read_to_string("/proc/self/io")?;
    let line = books
        .lines()
        .find_map(|line| line.strip_prefix("read_bytes: "));
    Ok(line.context("the kernel counts reads")?.trim().parse()?)
}
