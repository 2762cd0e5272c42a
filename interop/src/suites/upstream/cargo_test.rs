//! Tests of a crate, run by cargo.

use crate::place;
use crate::suites::campaign::Ground;
use crate::suites::case::{Case, Ending, Outcome};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Time that a whole suite has.
const LIMIT: Duration = Duration::from_secs(1_200);

/// Tests of a crate, built, to be run one after the other; `which` tells cargo which of them.
pub(super) fn command(source: &Path, which: &[&str], ground: &Ground<'_>) -> Result<Command> {
    let cargo_test = || {
        let mut command = Command::new("cargo");
        command.args(["test", "--quiet"]).args(which);
        command.current_dir(source);
        command.env("CARGO_TARGET_DIR", source.join("target"));
        command
    };
    // A build's time is not the suite's.
    place::run(cargo_test().arg("--no-run"))?;
    let mut command = cargo_test();
    command.args([
        "--no-fail-fast",
        "--",
        "--test-threads=1",
        "--format=pretty",
    ]);
    command.arg(ground.part());
    Ok(command)
}

/// Runs them.
pub(super) fn run(command: &mut Command, version: &str, ground: &Ground<'_>) -> Result<Outcome> {
    let outcome = run_tests(command, &ground.log)?;
    outcome.cases.iter().for_each(|case| ground.tell(case));
    Ok(Outcome {
        version: version.to_owned(),
        ..outcome
    })
}

fn run_tests(command: &mut Command, log: &Path) -> Result<Outcome> {
    let transcript = log.with_extension("tests");
    let file = std::fs::File::create(&transcript)?;
    command.stdin(std::process::Stdio::null());
    command.stdout(file.try_clone()?).stderr(file);
    let mut program = crate::client::Guarded::start(command)?;
    let ended = program.wait("cargo test", LIMIT);
    program.end();
    let text = std::fs::read(&transcript).with_context(|| transcript.display().to_string())?;
    let cases = read(&String::from_utf8_lossy(&text));
    crate::stop::check()?;
    // Its exit status tells of failed tests as well as of a failed build.
    let broken = match ended {
        Err(error) => Some(format!("{error:#}")),
        Ok(_) if cases.is_empty() => Some(format!("no test ran; see {}", transcript.display())),
        Ok(_) => None,
    };
    Ok(Outcome {
        cases,
        broken,
        ..Outcome::default()
    })
}

/// Reads `test NAME ... ok`, where a test that talks may stand between its name and its end.
fn read(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut begun: Option<&str> = None;
    for line in text.lines() {
        if let Some(name) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.split_once(" ... "))
        {
            begun = Some(name.0);
        }
        let ending = match line.rsplit(' ').next() {
            Some("ok") => Ending::Passed,
            Some("FAILED") => Ending::Failed,
            Some("ignored") => Ending::Skipped,
            _ => continue,
        };
        if let Some(name) = begun.take() {
            let name = unused(&cases, name);
            let detail = match ending {
                Ending::Failed => panic_of(text, begun_name(&name)),
                Ending::Passed | Ending::Skipped => String::new(),
            };
            cases.push(Case {
                name,
                ending,
                detail,
            });
        }
    }
    cases
}

/// Several test binaries may hold a test of the same name: the second one is `NAME#2`.
fn unused(cases: &[Case], name: &str) -> String {
    let count = cases
        .iter()
        .filter(|case| begun_name(&case.name) == name)
        .count();
    match count {
        0 => name.to_owned(),
        _ => format!("{name}#{}", count + 1),
    }
}

fn begun_name(name: &str) -> &str {
    name.split('#').next().unwrap_or(name)
}

/// What a test said when it panicked.
fn panic_of(text: &str, name: &str) -> String {
    let begin = format!("thread '{name}'");
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&begin));
    let said: Vec<_> = lines.by_ref().take(3).collect();
    said.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_talks_is_read_as_one_that_does_not() {
        let text = "test a ... ok\ntest b ... ERROR x\nmore\nok\ntest c ... FAILED\ntest a ... ignored\n\
                    test result: FAILED. 1 passed\nthread 'c' (7) panicked at x.rs:1:1:\nno\n";
        let cases = read(text);
        let found: Vec<_> = cases
            .iter()
            .map(|case| (case.name.as_str(), case.ending))
            .collect();
        let expected = [
            ("a", Ending::Passed),
            ("b", Ending::Passed),
            ("c", Ending::Failed),
            ("a#2", Ending::Skipped),
        ];
        assert_eq!(found, expected);
        assert!(cases[2].detail.contains("panicked"));
    }
}
