//! `cargo xtask fuzz`: every target of `fuzz/`, for a while or for a number of executions, and a
//! table of what came of it.

use crate::process;
use anyhow::{Context, Result};
use std::process::Command;
use std::time::{Duration, Instant};

/// Time for what a target does before it looks at the clock: building it, reading its corpus.
const SETUP_LIMIT: Duration = Duration::from_secs(1_800);
/// For a run that is bounded by executions alone.
const EXECUTIONS_LIMIT: Duration = Duration::from_secs(24 * 3_600);
/// What libFuzzer calls the number of inputs that it has tried.
const EXECUTED: &str = "stat::number_of_executed_units:";

/// What is asked for.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds per target.
    #[arg(long, default_value_t = 60, conflicts_with = "minutes")]
    seconds: u64,
    /// Minutes per target.
    #[arg(long)]
    minutes: Option<u64>,
    /// Executions per target, however long they take.
    #[arg(long, conflicts_with_all = ["seconds", "minutes"])]
    executions: Option<u64>,
    /// These targets only.
    #[arg(long = "target", value_delimiter = ',')]
    targets: Vec<String>,
    /// Without the address sanitizer: several times faster, and blind to what only it sees. All of
    /// our code is free of `unsafe`.
    #[arg(long)]
    no_sanitizer: bool,
}

/// What became of a target.
struct Line {
    target: String,
    /// `None`: it did not say.
    executions: Option<u64>,
    took: Duration,
    passed: bool,
}

/// Fuzzes all targets, or those named; false when one found something or the tools are absent.
pub(crate) fn run(options: &Options) -> Result<bool> {
    if let Some(advice) = missing_tool() {
        println!("fuzz: {advice}");
        return Ok(false);
    }
    let targets = targets()?;
    let chosen: Vec<_> = match options.targets.is_empty() {
        true => targets.clone(),
        false => options.targets.clone(),
    };
    if let Some(unknown) = chosen.iter().find(|name| !targets.contains(name)) {
        println!(
            "fuzz: no target {unknown}; there are: {}",
            targets.join(", ")
        );
        return Ok(false);
    }
    let mut lines = Vec::new();
    for target in &chosen {
        let line = fuzz(target, options)?;
        println!("{}", told(&line));
        lines.push(line);
    }
    let failed = lines.iter().filter(|line| !line.passed).count();
    println!("target           executions  crashes  seconds");
    for line in &lines {
        println!("{}", told(line));
    }
    let executions: u64 = lines.iter().filter_map(|line| line.executions).sum();
    println!(
        "fuzz: {} targets, {executions} executions, {failed} failed",
        lines.len()
    );
    Ok(failed == 0)
}

fn told(line: &Line) -> String {
    let executions = line
        .executions
        .map_or_else(|| "?".to_owned(), |it| it.to_string());
    format!(
        "{:<16} {executions:>10} {:>8} {:>8.0}",
        line.target,
        u32::from(!line.passed),
        line.took.as_secs_f64(),
    )
}

fn fuzz(target: &str, options: &Options) -> Result<Line> {
    let mut command = cargo_nightly();
    command.args(["fuzz", "run"]);
    if options.no_sanitizer {
        command.args(["--sanitizer", "none"]);
    }
    // The first one is added to, the second one only read.
    let (corpus, seeds) = (
        format!("fuzz/corpus/{target}"),
        format!("fuzz/seeds/{target}"),
    );
    std::fs::create_dir_all(process::root().join(&corpus))?;
    command.args([target, corpus.as_str()]);
    if process::root().join(&seeds).is_dir() {
        command.arg(seeds);
    }
    let seconds = options
        .minutes
        .map_or(options.seconds, |minutes| minutes * 60);
    let (bound, limit) = match options.executions {
        Some(count) => (format!("-runs={count}"), EXECUTIONS_LIMIT),
        None => (
            format!("-max_total_time={seconds}"),
            Duration::from_secs(seconds),
        ),
    };
    command.args(["--", &bound, "-print_final_stats=1"]);
    let (mut executions, mut last, started) = (None, Vec::new(), Instant::now());
    let watched = process::watch(&mut command, limit + SETUP_LIMIT, |line| {
        if let Some(count) = line.strip_prefix(EXECUTED) {
            executions = count.trim().parse().ok();
        }
        last.push(line.to_owned());
        if last.len() > 40 {
            last.remove(0);
        }
    })?;
    if !watched.passed {
        for line in &last {
            println!("    {line}");
        }
        println!("fuzz: {target} failed; the input lies below fuzz/artifacts/{target}");
    }
    Ok(Line {
        target: target.to_owned(),
        executions,
        took: started.elapsed(),
        passed: watched.passed,
    })
}

fn targets() -> Result<Vec<String>> {
    let directory = process::root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if let Some(stem) = path.file_stem() {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn missing_tool() -> Option<&'static str> {
    if !succeeds(Command::new("rustup").args(["run", "nightly", "rustc", "--version"])) {
        return Some("needs the nightly toolchain: rustup toolchain install nightly");
    }
    if !succeeds(cargo_nightly().args(["fuzz", "--version"])) {
        return Some("needs cargo-fuzz: cargo install cargo-fuzz --locked");
    }
    None
}

fn cargo_nightly() -> Command {
    let mut command = Command::new("rustup");
    command
        .args(["run", "nightly", "cargo"])
        .current_dir(process::root());
    command
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_built() {
        let manifest = process::root().join("fuzz/Cargo.toml");
        let manifest = std::fs::read_to_string(manifest).unwrap();
        for target in targets().unwrap() {
            let line = format!("path = \"fuzz_targets/{target}.rs\"");
            assert!(manifest.contains(&line), "{target}");
        }
    }
}
