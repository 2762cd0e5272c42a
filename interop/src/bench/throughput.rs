//! One producer on three nodes beside the same producer on one, in turns.

use super::producer::{Producer, Stream};
use super::report::{Hold, Report};
use super::suite::Pace;
use super::usage::Usage;
use crate::cluster::{Cluster, Ground, ServeOptions};
use crate::stop;
use anyhow::Result;
use std::path::Path;

const HOLD: Hold = Hold::AtLeast(0.5);
/// What is produced: as a client of today's brokers does, and in the shapes of the log benchmark.
const SHAPES: [(&str, Stream); 4] = [
    ("1 KiB", Stream::new(1 << 10, 1)),
    ("100 B", Stream::new(100, 1)),
    ("64 KiB", Stream::new(64 << 10, 1)),
    ("1 KiB, 100 partitions", Stream::new(1 << 10, 100)),
];
/// Work that follows an acknowledgement, such as writing segments, belongs to it.
const AFTERMATH: std::time::Duration = std::time::Duration::from_secs(2);

/// One turn on one cluster.
#[derive(Clone, Copy)]
struct Turn {
    per_s: f64,
    usage: Usage,
}

/// Measures and prints.
pub(super) fn measure(
    pace: Pace,
    weir: &Path,
    directory: &Path,
    producer: &Producer,
    report: &mut Report,
) -> Result<()> {
    let start = |name: &str, count| {
        let path = directory.join(name);
        std::fs::create_dir_all(&path)?;
        Cluster::start(
            weir,
            &path,
            Ground::Loopback,
            count,
            ServeOptions::default(),
        )
    };
    let clusters = [start("one", 1)?, start("three", 3)?];
    for (at, (name, stream)) in SHAPES.into_iter().enumerate() {
        let topic = format!("throughput-{at}");
        for cluster in &clusters {
            cluster.create_topic(&topic, stream.partitions)?;
        }
        let mut turns = [Vec::new(), Vec::new()];
        // The first shape's first round warms up: files of the log are made, and come back later.
        let idle_count = u32::from(at == 0);
        for round in 0..pace.round_count + idle_count {
            for (turns, cluster) in turns.iter_mut().zip(&clusters) {
                let turn = turn(cluster, producer, &topic, stream, pace)?;
                turns.extend((round >= idle_count).then_some(turn));
            }
        }
        judge(name, stream, &turns, report);
    }
    Ok(())
}

fn turn(
    cluster: &Cluster,
    producer: &Producer,
    topic: &str,
    stream: Stream,
    pace: Pace,
) -> Result<Turn> {
    stop::check()?;
    let count = pace.stream_bytes / stream.message_bytes;
    let before = Usage::of(cluster)?;
    let took = producer.send(&cluster.bootstrap(), topic, count, stream)?;
    stop::sleep(AFTERMATH)?;
    Ok(Turn {
        per_s: count as f64 / took.as_secs_f64(),
        usage: (Usage::of(cluster)? - before).per(count as f64 / 1e6),
    })
}

fn judge(name: &str, stream: Stream, [one, three]: &[Vec<Turn>; 2], report: &mut Report) {
    let ratios = Spread::of(
        one.iter()
            .zip(three)
            .map(|(one, three)| three.per_s / one.per_s),
    );
    let rate = |turns: &[Turn]| Spread::of(turns.iter().map(|turn| turn.per_s)).median;
    let megabytes = rate(three) * stream.message_bytes as f64 / 1e6;
    let words = format!(
        "{:.0} msg/s ({megabytes:.0} MB/s), one node {:.0}: {:.2} ({:.2} to {:.2})",
        rate(three),
        rate(one),
        ratios.median,
        ratios.least,
        ratios.most
    );
    report.judge(&format!("{name}, three nodes"), &words, ratios.median, HOLD);
    for (what, turns) in [("one node", one), ("three nodes", three)] {
        if let Some(turn) = typical(turns) {
            report.line(&format!("  per million, {what}"), &turn.usage.to_string());
        }
    }
}

/// The turn with the median CPU time.
fn typical(turns: &[Turn]) -> Option<Turn> {
    let mut sorted = turns.to_vec();
    sorted.sort_by(|a, b| a.usage.cpu_s().total_cmp(&b.usage.cpu_s()));
    sorted.get(sorted.len() / 2).copied()
}

/// Of some figures.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    /// All are NaN where there are none, which no hold is kept by.
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<_> = figures.collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let last = sorted.len().saturating_sub(1);
        Self {
            least: at(0),
            median: f64::midpoint(at(last / 2), at(last.div_ceil(2))),
            most: at(last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spoilt_turn_does_not_move_the_median() {
        let spread = Spread::of([0.6, 0.1, 0.5].into_iter());
        assert_eq!((spread.least, spread.median, spread.most), (0.1, 0.5, 0.6));
        assert_eq!(Spread::of([0.6, 0.2].into_iter()).median, 0.4);
        assert!(Spread::of(std::iter::empty()).median.is_nan());
    }
}
