//! `weir-interop failover`: how long a client waits when the leader of its partition is gone.

use super::load::{Load, Shape};
use super::nodes::{Cluster, Ground, ServeOptions};
use crate::history::Verdict;
use crate::moments::Moments;
use crate::place::RunDirectory;
use crate::stop;
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};
use std::path::Path;
use std::time::Duration;

const NODES: usize = 3;
/// One idempotent producer; librdkafka lingers 5 ms.
const SHAPE: Shape = Shape {
    producers: 1,
    followers: 1,
    partitions: 1,
    rate: 1_000,
    ..Shape::NOBODY
};
const ACKS_PER_CYCLE: u64 = 200;
const MAX_JITTER_MS: u64 = 500;
/// A stopped leader stays stopped for so long: past any election, and past the time-outs by which
/// a client gives up a connection that stays silent.
const PAUSE: Duration = Duration::from_secs(10);
const NS_PER_MS: u64 = 1_000_000;

/// How the leader goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Way {
    /// kill -9.
    Kill,
    /// SIGSTOP: its connections stay open.
    Stop,
}

/// What `weir-interop failover` is asked for.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Leaders lost, each way.
    #[arg(long, default_value_t = 100)]
    cycles: u32,
    /// Ways to lose them.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Way::Kill, Way::Stop])]
    way: Vec<Way>,
    /// Decides the moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
        })
    }
}

/// Runs all ways; false when a history was not clean.
pub(crate) fn run(options: &Options, weir: &Path) -> Result<bool> {
    let mut directory = RunDirectory::create()?;
    let mut moments = Moments::from_seed(options.seed);
    let mut clean = true;
    for way in &options.way {
        let nodes = directory.path().join(format!("nodes-{way}"));
        std::fs::create_dir_all(&nodes)?;
        let mut cluster = Cluster::start(
            weir,
            &nodes,
            Ground::Loopback,
            NODES,
            ServeOptions::default(),
        )?;
        let topic = format!("failover-{way}");
        let mut load = Load::start(&cluster, &topic, SHAPE, directory.path())?;
        let lost_at = lose_leaders(*way, options.cycles, &mut cluster, &mut load, &mut moments);
        if lost_at.is_err() {
            cluster.describe_to(&load.directory().join("state.txt"));
        }
        let lost_at =
            lost_at.with_context(|| format!("history in {}", load.directory().display()))?;
        let in_doubt = load.finish()?;
        ensure!(in_doubt == 0, "{in_doubt} messages were given up");
        let verdict = load.judge(&cluster)?;
        let times: Vec<_> = load.record()?.ack_times_ns();
        let times: Vec<_> = times.into_iter().map(|(_, time)| time).collect();
        report(*way, &waits_ms(&lost_at, &times), &verdict);
        clean &= verdict.is_clean();
    }
    if clean {
        directory.clean();
    }
    Ok(clean)
}

/// Loses leaders one by one; gives the times, in nanoseconds of the monotonic clock.
fn lose_leaders(
    way: Way,
    cycles: u32,
    cluster: &mut Cluster,
    load: &mut Load,
    moments: &mut Moments,
) -> Result<Vec<u64>> {
    let mut lost_at = Vec::new();
    for _ in 0..cycles {
        load.wait_for_acks(ACKS_PER_CYCLE)?;
        stop::sleep(moments.next(MAX_JITTER_MS))?;
        let leader = cluster.leader_of(load.topic(), 0)?;
        lost_at.push(now_ns());
        match way {
            Way::Kill => {
                cluster.members[leader].ensure_alive()?;
                cluster.members[leader].kill()?;
                load.wait_for_acks(ACKS_PER_CYCLE)?;
                cluster.restart(leader)?;
            }
            Way::Stop => {
                cluster.members[leader].signal(Signal::STOP)?;
                stop::sleep(PAUSE)?;
                let waited = load.wait_for_acks(1);
                cluster.members[leader].signal(Signal::CONT)?;
                waited?;
            }
        }
        cluster.wait_until_whole()?;
    }
    Ok(lost_at)
}

/// For each loss the longest time without an acknowledgement until the next one, in order.
fn waits_ms(lost_at: &[u64], acked_at: &[u64]) -> Vec<u64> {
    let mut waits = Vec::new();
    for (index, lost) in lost_at.iter().enumerate() {
        let end = lost_at.get(index + 1).copied().unwrap_or(u64::MAX);
        let from = acked_at.partition_point(|time| time < lost);
        let to = acked_at.partition_point(|time| *time < end);
        let mut last = *lost;
        let mut longest = 0;
        for time in &acked_at[from..to] {
            longest = longest.max(time - last);
            last = *time;
        }
        waits.push(longest / NS_PER_MS);
    }
    waits.sort_unstable();
    waits
}

fn report(way: Way, waits_ms: &[u64], verdict: &Verdict) {
    let at = |share: usize| {
        let index = (waits_ms.len() * share).div_ceil(100).max(1) - 1;
        waits_ms.get(index).copied().unwrap_or(0)
    };
    println!(
        "failover {way}: {} leaders lost, without an acknowledgement {} ms p50, {} ms p99, {} ms at most; {verdict}",
        waits_ms.len(),
        at(50),
        at(99),
        at(100),
    );
    for example in &verdict.examples {
        println!("    {example}");
    }
}

/// The monotonic clock, as the clients read it.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_counts_from_the_loss_and_up_to_the_next_one() {
        let ms = |times: &[u64]| times.iter().map(|t| t * NS_PER_MS).collect::<Vec<_>>();
        let acked = ms(&[1, 2, 9, 10, 30, 31]);
        assert_eq!(waits_ms(&ms(&[5]), &acked), [20]);
        assert_eq!(waits_ms(&ms(&[5, 25]), &acked), [4, 5]);
        assert_eq!(waits_ms(&ms(&[40]), &acked), [0]);
    }
}
