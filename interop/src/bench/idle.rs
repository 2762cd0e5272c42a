//! What groups cost that nobody uses.

use super::report::{Hold, Report};
use super::suite::Pace;
use super::usage;
use crate::cluster::{Cluster, Ground, ServeOptions};
use crate::stop;
use anyhow::Result;
use std::path::Path;
use std::time::Duration;

/// As many as a cluster can have; with the metadata group one more.
const SHARD_COUNT: u32 = 256;
/// What the figure is for: it grows with the number of groups.
const NOMINAL_GROUP_COUNT: f64 = 300.0;
/// Percent of one core, with the nominal number of groups.
const HOLD: Hold = Hold::AtMost(1.0);
/// Elections are over and groups are asleep after this.
const SETTLE: Duration = Duration::from_secs(15);

/// Measures and prints.
pub(super) fn measure(
    pace: Pace,
    weir: &Path,
    directory: &Path,
    report: &mut Report,
) -> Result<()> {
    let path = directory.join("idle");
    std::fs::create_dir_all(&path)?;
    let options = ServeOptions {
        founder: vec!["--shards".to_owned(), SHARD_COUNT.to_string()],
        ..ServeOptions::default()
    };
    let cluster = Cluster::start(weir, &path, Ground::Loopback, 3, options)?;
    stop::sleep(SETTLE)?;
    let before = cluster
        .pids()
        .map(usage::cpu_s)
        .collect::<Result<Vec<_>>>()?;
    stop::sleep(pace.idle)?;
    let after = cluster
        .pids()
        .map(usage::cpu_s)
        .collect::<Result<Vec<_>>>()?;
    let seconds = pace.idle.as_secs_f64();
    let percent: Vec<_> = before
        .iter()
        .zip(&after)
        .map(|(before, after)| (after - before) / seconds * 100.0)
        .collect();
    let most = percent.iter().copied().fold(0.0, f64::max);
    let most = most * NOMINAL_GROUP_COUNT / f64::from(SHARD_COUNT + 1);
    let words: Vec<_> = percent.iter().map(|p| format!("{p:.2}")).collect();
    let words = format!(
        "{} % of a core in {seconds:.0} s; for 300: {most:.2}",
        words.join(", ")
    );
    report.judge("257 idle groups, each node", &words, most, HOLD);
    report.line("", "CPU time from the kernel's books, 10 ms fine");
    Ok(())
}
