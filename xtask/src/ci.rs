//! `cargo xtask test`: everything CI runs, in order, each step with a time limit.

use crate::{delegate, lint, process, setup};
use anyhow::{Result, anyhow};
use std::collections::VecDeque;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Seeds of the simulation, how many from which on, with the campaigns they go through: of one node
/// in under a minute on two cores, and of clusters, which take a hundred times as long. The first
/// seeds of clusters are among its tests.
const SIMULATIONS: [(u64, u64, &[&str]); 2] = [
    (2000, 1, &["wal", "partition", "group", "node"]),
    (40, 61, &["cluster"]),
];

/// A campaign of real processes: its name, its options, its limit in minutes.
type Campaign = (&'static str, &'static [&'static str], u64);

/// Campaigns that run side by side, lane by lane: all of them wait more than they work.
const LANES: [&[Campaign]; 2] = [
    // Transactions go through `grow` here: with them the faults take twice as long.
    &[
        (
            "crash",
            &[
                "--kills",
                "20",
                "--cuts",
                "20",
                "--quick",
                "--clients",
                "plain",
            ],
            25,
        ),
        (
            "crash",
            &[
                "--kills",
                "0",
                "--cuts",
                "0",
                "--clients",
                "shares",
                "--fault",
                "kill-leader",
                "--cycles",
                "2",
            ],
            8,
        ),
        ("grow", &[], 7),
        ("clients", &["--quick"], 10),
        ("clients", &["--quick", "--nodes", "3", "--codec", "lz4"], 8),
        ("failover", &["--cycles", "5"], 7),
    ],
    &[("suites", &["--quick"], 25)],
];

/// Lines of a step that fell short that are told again.
const LAST_LINES_COUNT: usize = 40;

/// What the steps amounted to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Counts a line of `cargo test`; every other line counts nothing.
    fn of_test_line(line: &str) -> Option<Self> {
        let figures = line.trim().strip_prefix("test result: ")?;
        let count = |word: &str| {
            figures
                .split([';', '.'])
                .find_map(|part| part.trim().strip_suffix(word)?.trim().parse().ok())
        };
        Some(Self {
            passed: count("passed")?,
            failed: count("failed")?,
            skipped: count("ignored")?,
        })
    }
}

/// Runs all of CI; false when something fell short. The last line has the figures.
pub(crate) fn run() -> Result<bool> {
    let started = Instant::now();
    let mut tally = Tally::default();
    if let Err(error) = step("setup", setup::install) {
        println!("test: setup: {error:#}");
        note_short("setup", [format!("{error:#}")]);
        tally.failed += 1;
    }
    let linted = step("lint", || {
        lint::run(lint::Options {
            strict: false,
            own: false,
        })
    })?;
    if !linted.clean {
        note_short("lint", ["see its part above".to_owned()]);
    }
    tally.add(campaign_tally(linted.clean, linted.skipped as u64));
    tally.add(unit_tests()?);
    tally.add(simulator_tests()?);
    for mut build in delegate::builds(delegate::CAMPAIGN) {
        tally.add(campaign("build", "", &mut build, minutes(15))?);
    }
    for (seed_count, from, campaigns) in SIMULATIONS {
        let words = campaigns.iter().flat_map(|name| ["--campaign", name]);
        let words: Vec<String> = words.map(str::to_owned).collect();
        let mut sim = delegate::sim_command(seed_count, from, &words);
        tally.add(campaign("sim", "", &mut sim, minutes(15))?);
    }
    for done in side_by_side(&LANES) {
        tally.add(done?);
    }
    for line in fallen_short() {
        println!("{line}");
    }
    println!("test: {}", times_of_steps());
    println!("test: {} s in all", started.elapsed().as_secs());
    println!(
        "{} passed, {} failed, {} skipped",
        tally.passed, tally.failed, tally.skipped
    );
    Ok(tally.failed == 0)
}

fn unit_tests() -> Result<Tally> {
    cargo_test(&["--workspace", "--exclude", "weir-sim", "--no-fail-fast"])
}

/// Optimized, since they take many times as long otherwise. The simulator must find every bug that
/// is built in for it.
fn simulator_tests() -> Result<Tally> {
    cargo_test(&[
        "--profile",
        delegate::CAMPAIGN,
        "--package",
        "weir-sim",
        "--features",
        "seeded-bugs",
        "--no-fail-fast",
    ])
}

fn cargo_test(arguments: &[&str]) -> Result<Tally> {
    let name = format!("cargo test {}", arguments.join(" "));
    let mut command = process::cargo();
    command.arg("test").args(arguments);
    let mut tally = Tally::default();
    let mut failed = Vec::new();
    let watched = step(&name, || {
        process::watch(&mut command, minutes(25), |line| {
            if let Some(counted) = Tally::of_test_line(line) {
                tally.add(counted);
            }
            if !line.ends_with("... ok") && !line.is_empty() {
                println!("{line}");
            }
            if line.ends_with("... FAILED") {
                failed.push(line.to_owned());
            }
        })
    })?;
    if !watched.passed {
        note_short("cargo test", failed);
    }
    if watched.timed_out {
        println!("test: the unit tests took longer than their limit");
    }
    // A crate that does not compile, or a test binary that dies, prints no result line.
    if !watched.passed && tally.failed == 0 {
        tally.failed = 1;
    }
    Ok(tally)
}

/// Runs the lanes at the same time, and what is in each in turn. Every line tells whose it is.
fn side_by_side(lanes: &[&'static [Campaign]]) -> Vec<Result<Tally>> {
    let lane = |campaigns: &[Campaign]| {
        let mut tally = Tally::default();
        for (name, words, limit) in campaigns {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            let mut command = delegate::interop_command(name, &words);
            let mark = format!("{name}: ");
            tally.add(campaign(name, &mark, &mut command, minutes(*limit))?);
        }
        Ok(tally)
    };
    thread::scope(|scope| {
        let running: Vec<_> = lanes
            .iter()
            .map(|campaigns| scope.spawn(move || lane(campaigns)))
            .collect();
        let ended = running.into_iter().map(thread::ScopedJoinHandle::join);
        ended
            .map(|ended| ended.unwrap_or_else(|_| Err(anyhow!("a lane panicked"))))
            .collect()
    })
}

/// Runs one campaign, whose lines are told with `mark` before each.
fn campaign(name: &str, mark: &str, command: &mut Command, limit: Duration) -> Result<Tally> {
    let mut skipped = 0;
    let mut last = VecDeque::new();
    let watched = step(name, || {
        process::watch(command, limit, |line| {
            if line.starts_with("skipped:") {
                skipped += 1;
            }
            println!("{mark}{line}");
            last.push_back(line.to_owned());
            if last.len() > LAST_LINES_COUNT {
                last.pop_front();
            }
        })
    })?;
    if !watched.passed {
        note_short(name, last);
    }
    if watched.timed_out {
        println!(
            "test: {name} took longer than {} s and was ended",
            limit.as_secs()
        );
    }
    Ok(campaign_tally(watched.passed, skipped))
}

/// Long output is often cut in its middle: what fell short is told again at the end.
static SHORT: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn note_short(name: &str, lines: impl IntoIterator<Item = String>) {
    let mut short = SHORT.lock().unwrap_or_else(PoisonError::into_inner);
    short.push(format!("== {name} fell short, and said at last:"));
    short.extend(lines);
}

fn fallen_short() -> Vec<String> {
    std::mem::take(&mut SHORT.lock().unwrap_or_else(PoisonError::into_inner))
}

fn campaign_tally(passed: bool, skipped: u64) -> Tally {
    Tally {
        passed: u64::from(passed),
        failed: u64::from(!passed),
        skipped,
    }
}

/// The steps that have ended and how long each took, for the answer to what takes long.
static STEPS: Mutex<Vec<(String, Duration)>> = Mutex::new(Vec::new());

fn step<T>(name: &str, work: impl FnOnce() -> T) -> T {
    println!("== {name}");
    let began = Instant::now();
    let done = work();
    let mut steps = STEPS.lock().unwrap_or_else(PoisonError::into_inner);
    steps.push((name.to_owned(), began.elapsed()));
    done
}

fn times_of_steps() -> String {
    let steps = std::mem::take(&mut *STEPS.lock().unwrap_or_else(PoisonError::into_inner));
    let lasts: Vec<_> = steps
        .iter()
        .map(|(name, took)| format!("{name} {} s", took.as_secs()))
        .collect();
    lasts.join(", ")
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_line_is_counted() {
        let line =
            "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out";
        assert_eq!(
            Tally::of_test_line(line),
            Some(Tally {
                passed: 12,
                failed: 3,
                skipped: 1
            })
        );
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(Tally::of_test_line("test result_lines_count ... ok"), None);
        assert_eq!(Tally::of_test_line("test result: who knows"), None);
    }

    #[test]
    fn a_campaign_counts_once_and_its_skips_apart() {
        assert_eq!(
            campaign_tally(true, 2),
            Tally {
                passed: 1,
                failed: 0,
                skipped: 2
            }
        );
        assert_eq!(
            campaign_tally(false, 0),
            Tally {
                passed: 0,
                failed: 1,
                skipped: 0
            }
        );
    }
}
