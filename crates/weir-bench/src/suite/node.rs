//! Groups and partitions: what is above the write-ahead log.

use std::path::Path;

use anyhow::Result;

use super::log::{SIZES, WRITER_COUNTS};
use crate::{
    batch::batch,
    drive::{Limit, drive},
    fio::Fio,
    group::{PartitionWriters, Rig, RigConfig},
    idle,
    options::Pace,
    partitions::{self, BATCH_BYTES, RECORD_COUNT},
    reads,
    report::{Hold, Report, Row, mb_per_s, per_s},
    scratch::Scratch,
    wal::FILE_BYTES,
};

/// Partitions side by side.
const PARTITION_COUNTS: [u32; 3] = [1, 100, 10_000];

/// The appends of the write-ahead log's part, each a batch through a group.
pub(super) fn group(pace: Pace, dir: &Path, report: &mut Report) -> Result<()> {
    report.part("group of one voter", "of it in the write-ahead log");
    let scratch = Scratch::new(dir, "group")?;
    let config = RigConfig {
        group_count: 1,
        flush_bytes: pace.flush_bytes,
        tail_bytes: pace.flush_bytes,
    };
    let rig = Rig::open(scratch.path(), config)?;
    let large = batch(BATCH_BYTES, RECORD_COUNT);
    partitions::produce(&rig, 1, &large, pace.flush_bytes)?;
    for (size_bytes, size_name) in SIZES {
        let batch = batch(size_bytes, 1);
        let batch_bytes = batch.len() as f64;
        let mut writers = PartitionWriters::new(&rig, 1, batch);
        for writer_count in WRITER_COUNTS {
            drive(&mut writers, writer_count, Limit::For(pace.slice / 10))?;
            let before = rig.figures();
            let time = pace.slice * pace.round_count;
            let driven = drive(&mut writers, writer_count, Limit::For(time))?;
            let after = rig.figures();
            let frame_count = (after.frame_count - before.frame_count).max(1) as f64;
            let written = (after.written_bytes - before.written_bytes) as f64;
            report.row(Row {
                what: format!("{size_name}, {writer_count} writers"),
                ours: format!(
                    "{}, {}, {:.1}/sync",
                    mb_per_s(driven.acks_per_s() * batch_bytes),
                    per_s(driven.acks_per_s(), "acks"),
                    driven.ack_count as f64 / frame_count
                ),
                beside: format!(
                    "{}, {}",
                    mb_per_s(written / driven.time.as_secs_f64()),
                    per_s(frame_count / driven.time.as_secs_f64(), "syncs")
                ),
                ..Row::default()
            });
        }
    }
    rig.close()
}

/// 1, 100 and 10,000 partitions, in turns.
pub(super) fn side_by_side(pace: Pace, dir: &Path, report: &mut Report) -> Result<()> {
    let title = format!("{} MiB in 64 KiB batches", pace.produced_bytes >> 20);
    report.part(&title, "one partition");
    let mut reached = [partitions::Produced::default(); PARTITION_COUNTS.len()];
    for _ in 0..pace.partition_round_count {
        for (so_far, count) in reached.iter_mut().zip(PARTITION_COUNTS) {
            *so_far = so_far.and(partitions::measure(dir, count, pace)?);
        }
    }
    let one = reached[0].bytes_per_s();
    for (produced, count) in reached.into_iter().zip(PARTITION_COUNTS) {
        let is_alone = count == 1;
        report.row(Row {
            what: format!("{count} partitions"),
            ours: mb_per_s(produced.bytes_per_s()),
            beside: mb_per_s(one),
            ratio: (!is_alone).then(|| produced.bytes_per_s() / one),
            hold: (count == 10_000).then_some(Hold::AtLeast(0.8)),
        });
    }
    Ok(())
}

/// Tail and cold reads of one partition.
pub(super) fn reads(pace: Pace, dir: &Path, report: &mut Report) -> Result<()> {
    report.part(
        "reads of 1 MiB, one reader",
        "fio, buffered, cold, bs 1 MiB",
    );
    let scratch = Scratch::new(dir, "reads")?;
    let rig = Rig::open(scratch.path(), partitions::rig_config(pace))?;
    let batch = batch(BATCH_BYTES, RECORD_COUNT);
    partitions::produce(&rig, 1, &batch, pace.produced_bytes)?;
    let log = rig.partition(0)?;
    let tail_records = pace.flush_bytes / 4 / batch.len() as u64 * u64::from(RECORD_COUNT);
    let from = log.end_offset().0.saturating_sub(tail_records);
    let tail = reads::tail(&log, weir_model::Offset(from), pace.slice)?;
    report.row(Row {
        what: "tail, from memory".to_owned(),
        ours: mb_per_s(tail.bytes_per_s()),
        ..Row::default()
    });
    reads::forget_pages(scratch.path())?;
    let cold = reads::cold(&rig.store, &log)?;
    let beside = Fio::find(scratch.path(), FILE_BYTES, false)
        .map(|fio| fio.read(reads::READ_BYTES as u64, pace.produced_bytes / 2))
        .transpose()?;
    report.row(Row {
        what: "cold, checksums verified".to_owned(),
        ours: format!(
            "{} over {} MiB",
            mb_per_s(cold.bytes_per_s()),
            cold.bytes >> 20
        ),
        beside: beside.map_or_else(String::new, |run| mb_per_s(run.bytes_per_s)),
        ratio: beside.map(|run| cold.bytes_per_s() / run.bytes_per_s),
        ..Row::default()
    });
    rig.close()
}

/// What idle groups cost.
pub(super) fn idle_groups(pace: Pace, dir: &Path, report: &mut Report) -> Result<()> {
    report.part("idle cost, % of a core", "");
    let scratch = Scratch::new(dir, "idle")?;
    let percent = idle::measure(scratch.path(), pace.idle)?;
    report.row(Row {
        what: format!("{} groups of one voter", idle::GROUP_COUNT),
        ours: format!("{percent:.3} % over {:.0} s", pace.idle.as_secs_f64()),
        ratio: Some(percent),
        hold: Some(Hold::Below(1.0)),
        ..Row::default()
    });
    Ok(())
}
