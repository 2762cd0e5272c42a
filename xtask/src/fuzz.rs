//! `cargo xtask fuzz`: every target of `fuzz/` for a while.

use crate::process;
use anyhow::{Context, Result};
use std::process::Command;

/// Fuzzes each target, or the one named, for `seconds`; false when one found something or the
/// tools are absent.
pub(crate) fn run(seconds: u64, only: Option<&str>) -> Result<bool> {
    if let Some(advice) = missing_tool() {
        println!("fuzz: {advice}");
        return Ok(false);
    }
    let targets = targets()?;
    let chosen: Vec<_> = targets
        .iter()
        .filter(|name| only.is_none_or(|only| only == name.as_str()))
        .collect();
    if chosen.is_empty() {
        println!("fuzz: no such target; there are: {}", targets.join(", "));
        return Ok(false);
    }
    let mut failed = 0_u32;
    for name in &chosen {
        println!("fuzz: {name} for {seconds} s");
        let mut command = cargo_nightly();
        command.args([
            "fuzz",
            "run",
            name,
            "--",
            &format!("-max_total_time={seconds}"),
        ]);
        if !process::passes(&mut command)? {
            println!("fuzz: {name} failed; the input lies below fuzz/artifacts/{name}");
            failed += 1;
        }
    }
    println!("fuzz: {} targets, {failed} failed", chosen.len());
    Ok(failed == 0)
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
