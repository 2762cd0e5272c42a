//! Commands whose work is done by a crate of its own, built in release.

use crate::process;
use anyhow::Result;
use std::process::Command;

/// Runs the simulator over `seeds` seeds from `from` on.
pub(crate) fn sim(seeds: u64, from: u64, rest: &[String]) -> Result<bool> {
    process::passes(&mut sim_command(seeds, from, rest))
}

/// Runs the benchmarks: those of whole clusters start nodes, as campaigns do.
pub(crate) fn bench(rest: &[String]) -> Result<bool> {
    if let Some((first, rest)) = rest.split_first()
        && first == "cluster"
    {
        return interop("bench", rest);
    }
    if rest.first().is_some_and(|first| first == "crowd") && !process::passes(&mut build_node())? {
        return Ok(false);
    }
    process::passes(release("weir-bench").args(rest))
}

/// Runs one campaign of `weir-interop` against a fresh release build of the node.
pub(crate) fn interop(campaign: &str, rest: &[String]) -> Result<bool> {
    if rest.iter().all(|argument| argument != "--weir") && !process::passes(&mut build_node())? {
        return Ok(false);
    }
    process::passes(&mut interop_command(campaign, rest))
}

/// The corpus through real clients, and then clients' own suites; or what `rest` asks of either.
pub(crate) fn clients(rest: &[String]) -> Result<bool> {
    let asks = |flags: &[&str]| rest.iter().any(|word| flags.contains(&word.as_str()));
    if asks(&[
        "--suite",
        "--case",
        "--bootstrap",
        "--amqp",
        "--checkouts",
        "--shrink",
        "--list",
    ]) {
        return interop("suites", rest);
    }
    if asks(&["--only", "--codec", "--kills"]) {
        return interop("clients", rest);
    }
    let is_corpus_clean = interop("clients", rest)?;
    Ok(interop("suites", rest)? && is_corpus_clean)
}

/// The simulator's command line.
pub(crate) fn sim_command(seeds: u64, from: u64, rest: &[String]) -> Command {
    let mut command = release("weir-sim");
    command.args([
        "run",
        "--seeds",
        &seeds.to_string(),
        "--from",
        &from.to_string(),
    ]);
    command.args(rest);
    command
}

/// The command line of one campaign.
pub(crate) fn interop_command(campaign: &str, rest: &[String]) -> Command {
    let mut command = release("weir-interop");
    command.arg(campaign).args(rest);
    command
}

/// Builds the node that the campaigns start.
pub(crate) fn build_node() -> Command {
    let mut command = process::cargo();
    command.args(["build", "--quiet", "--release", "--package", "weir"]);
    command
}

fn release(package: &str) -> Command {
    let mut command = process::cargo();
    command.args(["run", "--quiet", "--release", "--package", package, "--"]);
    command
}
