//! Commands whose work is done by a crate of its own: what is timed is built in release, all else
//! with a profile that is built sooner.

use crate::process;
use anyhow::Result;
use std::process::Command;

/// What campaigns and tests of optimized code are built with.
pub(crate) const CAMPAIGN: &str = "campaign";
const RELEASE: &str = "release";

/// Runs the simulator over `seeds` seeds from `from` on.
pub(crate) fn sim(seeds: u64, from: u64, rest: &[String]) -> Result<bool> {
    process::passes(&mut sim_command(seeds, from, rest))
}

/// Runs the benchmarks: those of whole clusters start nodes, as campaigns do.
pub(crate) fn bench(rest: &[String]) -> Result<bool> {
    if let Some((first, rest)) = rest.split_first()
        && first == "cluster"
    {
        return interop_built(RELEASE, "bench", rest);
    }
    if rest.first().is_some_and(|first| first == "crowd")
        && !process::passes(&mut build_node(RELEASE))?
    {
        return Ok(false);
    }
    process::passes(run(RELEASE, "weir-bench").args(rest))
}

/// Runs one campaign of `weir-interop` against a fresh build of the node.
pub(crate) fn interop(campaign: &str, rest: &[String]) -> Result<bool> {
    interop_built(CAMPAIGN, campaign, rest)
}

fn interop_built(profile: &str, campaign: &str, rest: &[String]) -> Result<bool> {
    let is_built = rest.iter().any(|argument| argument == "--weir");
    if !is_built && !process::passes(&mut build_node(profile))? {
        return Ok(false);
    }
    process::passes(run(profile, "weir-interop").arg(campaign).args(rest))
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
    let mut command = run(CAMPAIGN, "weir-sim");
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
    let mut command = run(CAMPAIGN, "weir-interop");
    command.arg(campaign).args(rest);
    command
}

/// Builds all that the campaigns need, one package each as they are run: built together they
/// would share features, and be built again to be run.
pub(crate) fn builds(profile: &str) -> [Command; 3] {
    ["weir", "weir-sim", "weir-interop"].map(|package| build(profile, package))
}

/// Builds the node that the campaigns start.
pub(crate) fn build_node(profile: &str) -> Command {
    build(profile, "weir")
}

fn build(profile: &str, package: &str) -> Command {
    let mut command = process::cargo();
    command.args(["build", "--quiet", "--profile", profile]);
    command.args(["--package", package]);
    command
}

fn run(profile: &str, package: &str) -> Command {
    let mut command = process::cargo();
    command.args(["run", "--quiet", "--profile", profile]);
    command.args(["--package", package, "--"]);
    command
}
