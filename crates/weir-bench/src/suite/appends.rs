//! The write-ahead log by itself, beside fio and a bare write.

use std::path::Path;

use anyhow::Result;

use super::log::{SIZES, WRITER_COUNTS};
use crate::{
    fio::{Fio, FioRun},
    options::{LogOptions, Pace, Part},
    report::{Hold, Report, Row, mb_per_s, per_s},
    scratch::Scratch,
    wal::{self, Appender, Appends, FILE_BYTES, LogHost},
};

/// Entries of this size are held against fio, in bytes.
const HELD_SIZE: usize = 64 << 10;

/// A lone append, and many writers.
pub(super) fn write_ahead_log(
    options: &LogOptions,
    pace: Pace,
    dir: &Path,
    report: &mut Report,
) -> Result<()> {
    let scratch = Scratch::new(dir, "wal")?;
    let host = LogHost::open(scratch.path())?;
    let most = WRITER_COUNTS[WRITER_COUNTS.len() - 1];
    let mut appender = Appender::new(host.queue.clone(), most);
    wal::warm_up(&mut appender)?;
    if options.wants(Part::Lone) {
        report.part("lone append, p50 (p99)", "bare 4 KiB write + fdatasync");
        let lone = wal::measure_lone(&host, &mut appender, pace.lone_count)?;
        let (ours, bare) = (&lone.appends, &lone.bare);
        report.row(Row {
            what: "100 B, one writer".to_owned(),
            ours: quantiles(ours),
            beside: quantiles(bare),
            ratio: Some(ours.value_at_quantile(0.5) as f64 / bare.value_at_quantile(0.5) as f64),
            hold: Some(Hold::AtMost(1.5)),
        });
    }
    if options.wants(Part::Wal) {
        let fio = Fio::find(scratch.path(), FILE_BYTES, host.is_direct());
        if fio.is_none() {
            report.skipped(
                "fio's column",
                "fio is not installed (Debian: apt install fio)",
            );
        }
        let beside = match host.is_direct() {
            true => "fio, direct, bs/bytes per fdatasync",
            false => "fio, buffered (no direct I/O here), bs/bytes per fdatasync",
        };
        report.part("write-ahead log", beside);
        for size in SIZES {
            for writer_count in WRITER_COUNTS {
                appends(
                    &mut appender,
                    fio.as_ref(),
                    writer_count,
                    size,
                    pace,
                    report,
                )?;
            }
        }
    }
    drop(appender);
    host.close()
}

fn quantiles(times: &hdrhistogram::Histogram<u64>) -> String {
    let us = |quantile| times.value_at_quantile(quantile) as f64 / 1000.0;
    format!("{:.1} us ({:.1} us)", us(0.5), us(0.99))
}

/// Ours and fio take turns. fio syncs after as many bytes as ours did: with one write of all of
/// them, and for the size that is held also with one write per entry; the better one counts.
fn appends(
    appender: &mut Appender,
    fio: Option<&Fio>,
    writer_count: usize,
    (size_bytes, size_name): (usize, &str),
    pace: Pace,
    report: &mut Report,
) -> Result<()> {
    let mut ours = Appends::default();
    let mut whole = Vec::new();
    let mut single = Vec::new();
    for _ in 0..pace.round_count {
        let round = wal::measure(appender, writer_count, size_bytes, pace.slice)?;
        ours = ours.and(round);
        let Some(fio) = fio else { continue };
        whole.push(fio.write(round.frame_blocks_bytes(), 1, pace.slice)?);
        if size_bytes == HELD_SIZE {
            let per_sync = round.group_count().round().max(1.0) as u64;
            if per_sync > 1 {
                single.push(fio.write(size_bytes as u64, per_sync, pace.slice)?);
            }
        }
    }
    let is_held = size_bytes == HELD_SIZE;
    let frame_bytes = ours.frame_blocks_bytes() as f64;
    let (whole, single) = (mean(&whole), mean(&single));
    let best = match (whole, single) {
        (Some(whole), Some(single)) => Some(whole.bytes_per_s.max(single.bytes_per_s)),
        (whole, _) => whole.map(|run| run.bytes_per_s),
    };
    report.row(Row {
        what: format!("{size_name}, {writer_count} writers"),
        ours: format!(
            "{}, {}, {:.1}/sync",
            mb_per_s(ours.bytes_per_s()),
            per_s(ours.driven.acks_per_s(), "acks"),
            ours.group_count()
        ),
        beside: beside(size_name, frame_bytes, whole, single),
        // Entries that fill blocks are compared by bytes, small ones by blocks synced.
        ratio: best.map(|best| match is_held {
            true => ours.bytes_per_s() / best,
            false => ours.frames_per_s() * frame_bytes / best,
        }),
        hold: is_held.then_some(Hold::AtLeast(0.8)),
    });
    Ok(())
}

fn beside(
    size_name: &str,
    frame_bytes: f64,
    whole: Option<FioRun>,
    single: Option<FioRun>,
) -> String {
    let Some(whole) = whole else {
        return String::new();
    };
    let frame = format!("{:.0} KiB", frame_bytes / 1024.0);
    let speed = mb_per_s(whole.bytes_per_s);
    let syncs = per_s(whole.blocks_per_s, "syncs");
    match single {
        Some(single) => {
            format!(
                "{speed} {frame}; {} bs {size_name}",
                mb_per_s(single.bytes_per_s)
            )
        }
        None => format!("{speed}, {syncs} {frame}"),
    }
}

fn mean(runs: &[FioRun]) -> Option<FioRun> {
    let count = runs.len() as f64;
    (!runs.is_empty()).then(|| FioRun {
        bytes_per_s: runs.iter().map(|run| run.bytes_per_s).sum::<f64>() / count,
        blocks_per_s: runs.iter().map(|run| run.blocks_per_s).sum::<f64>() / count,
    })
}
