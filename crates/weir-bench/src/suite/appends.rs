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

/// A lone append, and many writers; gives the acknowledgements per second of the latter, in the
/// order of [`SIZES`] and [`WRITER_COUNTS`].
pub(super) fn write_ahead_log(
    options: &LogOptions,
    pace: Pace,
    dir: &Path,
    report: &mut Report,
) -> Result<Vec<f64>> {
    let scratch = Scratch::new(dir, "wal")?;
    let host = LogHost::open(scratch.path())?;
    let most = WRITER_COUNTS[WRITER_COUNTS.len() - 1];
    let mut appender = Appender::new(host.queue.clone(), most);
    wal::warm_up(&mut appender)?;
    if options.wants(Part::Lone) {
        lone(&host, &mut appender, pace, report)?;
    }
    let mut rates = Vec::new();
    if options.wants(Part::Wal) {
        let fio = Fio::find(scratch.path(), FILE_BYTES, host.is_direct());
        if fio.is_none() {
            report.skipped(
                "fio's column",
                "fio is not installed (Debian: apt install fio)",
            );
        }
        let beside = match host.is_direct() {
            true => "fio, direct, as many bytes per fdatasync",
            false => "fio, buffered, as many bytes per fdatasync",
        };
        report.part("write-ahead log", beside);
        for (size_bytes, size_name) in SIZES {
            for writer_count in WRITER_COUNTS {
                let turns =
                    take_turns(&mut appender, fio.as_ref(), writer_count, size_bytes, pace)?;
                rates.push(appends(&turns, writer_count, size_name, report));
            }
        }
    }
    drop(appender);
    host.close()?;
    Ok(rates)
}

fn lone(host: &LogHost, appender: &mut Appender, pace: Pace, report: &mut Report) -> Result<()> {
    report.part("lone append, p50 (p99)", "bare 4 KiB write + fdatasync");
    let lone = wal::measure_lone(host, appender, pace.lone_count)?;
    let (ours, bare) = (&lone.appends, &lone.bare);
    report.row(Row {
        what: "100 B, one writer".to_owned(),
        ours: quantiles(ours),
        beside: quantiles(bare),
        ratio: Some(ours.value_at_quantile(0.5) as f64 / bare.value_at_quantile(0.5) as f64),
        hold: Some(Hold::AtMost(1.5)),
    });
    Ok(())
}

fn quantiles(times: &hdrhistogram::Histogram<u64>) -> String {
    let us = |quantile| times.value_at_quantile(quantile) as f64 / 1000.0;
    format!("{:.1} us ({:.1} us)", us(0.5), us(0.99))
}

/// What both sides reached in turns.
#[derive(Default)]
struct Turns {
    ours: Appends,
    /// fio with one write per entry.
    by_entry: Vec<Turn>,
    /// fio with one write for all that ours synced at once, as ours writes.
    by_group: Vec<Turn>,
}

/// fio's turn, and ours right before it over fio's.
#[derive(Clone, Copy)]
struct Turn {
    run: FioRun,
    ratio: f64,
}

/// Ours and fio take turns; fio syncs after as many bytes as ours did.
fn take_turns(
    appender: &mut Appender,
    fio: Option<&Fio>,
    writer_count: usize,
    size_bytes: usize,
    pace: Pace,
) -> Result<Turns> {
    let mut turns = Turns::default();
    for _ in 0..pace.round_count {
        let round = wal::measure(appender, writer_count, size_bytes, pace.slice)?;
        turns.ours = turns.ours.and(round);
        let Some(fio) = fio else { continue };
        if size_bytes == HELD_SIZE {
            let per_sync = round.group_count().round().max(1.0) as u64;
            let run = fio.write(size_bytes as u64, per_sync, pace.slice)?;
            let ratio = round.bytes_per_s() / run.bytes_per_s;
            turns.by_entry.push(Turn { run, ratio });
        }
        if size_bytes != HELD_SIZE || writer_count > 1 {
            let run = fio.write(round.frame_blocks_bytes(), 1, pace.slice)?;
            let ratio = round.frames_per_s() / run.blocks_per_s;
            turns.by_group.push(Turn { run, ratio });
        }
    }
    Ok(turns)
}

/// Prints one line, or two where fio can write entry by entry; gives our acknowledgements per
/// second. Entries that fill blocks are compared by their bytes, small ones by blocks synced.
fn appends(turns: &Turns, writer_count: usize, size_name: &str, report: &mut Report) -> f64 {
    let ours = turns.ours;
    let frame_bytes = ours.frame_blocks_bytes() as f64;
    let figures = format!(
        "{}, {}, {:.1}/sync",
        mb_per_s(ours.bytes_per_s()),
        per_s(ours.driven.acks_per_s(), "acks"),
        ours.group_count()
    );
    let by_entry = typical(&turns.by_entry).map(|Turn { run, ratio }| Row {
        beside: format!("{}, bs {size_name}", mb_per_s(run.bytes_per_s)),
        ratio: Some(ratio),
        hold: Some(Hold::AtLeast(0.8)),
        ..Row::default()
    });
    let by_group = typical(&turns.by_group).map(|Turn { run, ratio }| {
        let syncs = per_s(run.blocks_per_s, "syncs");
        let block = format!("bs {:.0} KiB", frame_bytes / 1024.0);
        Row {
            beside: format!("{}, {syncs}, {block}", mb_per_s(run.bytes_per_s)),
            ratio: Some(ratio),
            ..Row::default()
        }
    });
    let mut rows: Vec<Row> = by_entry.into_iter().chain(by_group).collect();
    if rows.is_empty() {
        rows.push(Row::default());
    }
    for (at, row) in rows.into_iter().enumerate() {
        let (what, ours) = match at {
            0 => (
                format!("{size_name}, {writer_count} writers"),
                figures.clone(),
            ),
            _ => ("  beside one write per group".to_owned(), String::new()),
        };
        report.row(Row { what, ours, ..row });
    }
    ours.driven.acks_per_s()
}

/// The mean of the figures and the median of the ratios: a disk that others keep busy for a while
/// spoils a turn, not the ratio.
fn typical(turns: &[Turn]) -> Option<Turn> {
    let mut ratios: Vec<f64> = turns.iter().map(|turn| turn.ratio).collect();
    ratios.sort_by(f64::total_cmp);
    let ratio = match ratios.len() {
        0 => return None,
        count if count % 2 == 1 => ratios[count / 2],
        count => f64::midpoint(ratios[count / 2 - 1], ratios[count / 2]),
    };
    let mean = |of: fn(&FioRun) -> f64| {
        turns.iter().map(|turn| of(&turn.run)).sum::<f64>() / turns.len() as f64
    };
    let run = FioRun {
        bytes_per_s: mean(|run| run.bytes_per_s),
        blocks_per_s: mean(|run| run.blocks_per_s),
    };
    Some(Turn { run, ratio })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spoilt_turn_does_not_move_the_ratio() {
        let turn = |ratio| Turn {
            run: FioRun::default(),
            ratio,
        };
        let ratio = |ratios: &[f64]| {
            let turns: Vec<Turn> = ratios.iter().map(|ratio| turn(*ratio)).collect();
            typical(&turns).map(|turn| turn.ratio)
        };
        assert_eq!(ratio(&[0.9, 100.0, 0.8]), Some(0.9));
        assert_eq!(ratio(&[1.0, 0.5, 100.0, 0.0]), Some(0.75));
        assert_eq!(ratio(&[]), None);
    }
}
