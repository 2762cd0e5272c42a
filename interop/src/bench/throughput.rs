//! One producer on three nodes beside the same producer on one, in turns.

use super::producer::{MESSAGE_BYTES, Producer};
use super::report::{Hold, Report};
use super::suite::Pace;
use crate::cluster::{Cluster, Ground};
use crate::stop;
use anyhow::Result;
use std::path::Path;
use std::time::Duration;

const HOLD: Hold = Hold::AtLeast(0.5);
const TOPIC: &str = "throughput";

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
        Cluster::start(weir, &path, Ground::Loopback, count, &[])
    };
    let (one, three) = (start("one", 1)?, start("three", 3)?);
    let mut times = [Duration::ZERO; 2];
    for round in 0..=pace.round_count {
        for (time, cluster) in times.iter_mut().zip([&one, &three]) {
            stop::check()?;
            let took = producer.send(&cluster.bootstrap(), TOPIC, pace.message_count)?;
            // The first round warms up: files of the log are made, and come back later.
            if round > 0 {
                *time += took;
            }
        }
    }
    let count = (pace.message_count * u64::from(pace.round_count)) as f64;
    let [one, three] = times.map(|time| count / time.as_secs_f64());
    let megabytes = |rate: f64| rate * MESSAGE_BYTES as f64 / 1e6;
    let words = format!(
        "{three:.0} msg/s ({:.0} MB/s), one node {one:.0} msg/s: {:.2}",
        megabytes(three),
        three / one
    );
    report.judge("one producer on three nodes", &words, three / one, HOLD);
    Ok(())
}
