//! An empty node joins two that hold much, while clients go on.

use super::producer::{Producer, Stream};
use super::report::{Hold, Report};
use super::suite::Pace;
use crate::cluster::{Cluster, Ground, Load, ServeOptions, Shape, now_ns};
use crate::stop;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::{Duration, Instant};

const SPEED_HOLD: Hold = Hold::AtLeast(150.0);
const DELAY_HOLD: Hold = Hold::AtMost(2.0);
/// The data lie in so many topics, and so in several groups.
const TOPIC_COUNT: u64 = 8;
/// How they were written.
const FILL: Stream = Stream::new(1 << 10, 1);
const SHAPE: Shape = Shape {
    producers: 1,
    followers: 1,
    partitions: 4,
    rate: 200,
    ..Shape::NOBODY
};
/// How long clients are watched while nothing happens.
const QUIET: Duration = Duration::from_secs(10);
const CATCH_UP_LIMIT: Duration = Duration::from_secs(900);
/// Seldom: whoever looks takes processor time from what is measured.
const CATCH_UP_POLL: Duration = Duration::from_millis(500);

/// Measures and prints.
pub(super) fn measure(
    pace: Pace,
    weir: &Path,
    directory: &Path,
    producer: &Producer,
    report: &mut Report,
) -> Result<()> {
    let path = directory.join("catch-up");
    std::fs::create_dir_all(&path)?;
    let mut cluster = Cluster::lay_out(weir, &path, Ground::Loopback, 3, ServeOptions::default())?;
    cluster.add(0)?;
    cluster.add(1)?;
    cluster.wait_until_whole()?;
    let count = pace.catch_up_bytes / TOPIC_COUNT / FILL.message_bytes;
    for topic in 0..TOPIC_COUNT {
        stop::check()?;
        producer.send(&cluster.bootstrap(), &format!("fill-{topic}"), count, FILL)?;
    }
    cluster.wait_until_whole()?;
    let mut load = Load::start(&cluster, "beside", SHAPE, &path)?;
    // Its first seconds pay for what was written before it.
    stop::sleep(QUIET / 2)?;
    let begun = now_ns();
    stop::sleep(QUIET)?;
    let joined = now_ns();
    let started = Instant::now();
    cluster.add(2)?;
    cluster.wait_until_whole_within(CATCH_UP_LIMIT, CATCH_UP_POLL)?;
    let took = started.elapsed();
    let done = now_ns();
    let in_doubt = load.finish()?;
    let verdict = load.judge(&cluster)?;
    ensure!(in_doubt == 0 && verdict.is_clean(), "history: {verdict}");
    let delays = load.record()?.send_delays_ns();
    let before = p99_ms(&delays, begun, joined).context("acknowledgements before")?;
    let during = p99_ms(&delays, joined, done).context("acknowledgements meanwhile")?;
    let bytes = (count * TOPIC_COUNT * FILL.message_bytes) as f64;
    let speed = bytes / 1e6 / took.as_secs_f64();
    let words = format!("{speed:.0} MB/s, {:.1} GB in {took:.1?}", bytes / 1e9);
    report.judge("an empty node catches up", &words, speed, SPEED_HOLD);
    let words = format!("{during:.1} ms, {before:.1} ms before");
    report.judge(
        "clients' p99 meanwhile",
        &words,
        during / before,
        DELAY_HOLD,
    );
    Ok(())
}

/// The 99th percentile of what was sent between two times.
fn p99_ms(delays_ns: &[(u64, u64)], from: u64, to: u64) -> Option<f64> {
    let within = |sent: &u64| (from..to).contains(sent);
    let sent = delays_ns.iter().filter(|(sent, _)| within(sent));
    let mut delays: Vec<_> = sent.map(|(_, delay)| *delay).collect();
    delays.sort_unstable();
    let index = (delays.len() * 99).div_ceil(100).checked_sub(1)?;
    Some(*delays.get(index)? as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sent_within_the_time_counts() {
        let delays: Vec<_> = (0..200)
            .map(|sent| (sent, (sent + 1) * 1_000_000))
            .collect();
        assert_eq!(p99_ms(&delays, 0, 100), Some(99.0));
        assert_eq!(p99_ms(&delays, 199, 300), Some(200.0));
        assert_eq!(p99_ms(&delays, 300, 400), None);
    }
}
