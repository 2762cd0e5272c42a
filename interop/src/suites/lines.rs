//! Suites that print a JSON object a line: `{"version"}` once, then `{"case", "ending", "detail"}`.

use super::campaign::Ground;
use super::case::{Case, Outcome};
use crate::client::Guarded;
use anyhow::Result;
use serde::Deserialize;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Version { version: String },
    Case(Case),
}

/// Runs a suite to its end, and tells its cases as they end. What it prints besides goes to the log.
pub(super) fn run(command: &mut Command, ground: &Ground<'_>, limit: Duration) -> Result<Outcome> {
    let log = &ground.log;
    let errors = File::options().create(true).append(true).open(log)?;
    let mut program = Guarded::start(
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors),
    )?;
    let out = program.process().stdout.take().expect("stdout is piped");
    let is_told = ground.is_told();
    let reader = std::thread::spawn(move || {
        read(BufReader::new(out), |case| {
            if is_told {
                println!("{case}");
            }
        })
    });
    let waited = program.wait("suite", limit);
    program.end();
    let mut outcome = reader.join().expect("the reader does not panic");
    match waited {
        Ok(status) if status.success() => {}
        Ok(status) => outcome.broken = Some(format!("{status}; see {}", log.display())),
        Err(error) => {
            crate::stop::check()?;
            outcome.broken = Some(format!("{error:#}"));
        }
    }
    Ok(outcome)
}

fn read(out: impl BufRead, mut tell: impl FnMut(&Case)) -> Outcome {
    let mut outcome = Outcome::default();
    for line in out.lines().map_while(Result::ok) {
        match serde_json::from_str(&line) {
            Ok(Line::Version { version }) => outcome.version = version,
            Ok(Line::Case(case)) => {
                tell(&case);
                outcome.cases.push(case);
            }
            // Some clients cannot be kept from talking.
            Err(_) => {}
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suites::case::Ending;

    #[test]
    fn cases_and_version_are_read_and_talk_is_not() {
        let text = "{\"version\":\"1.2\"}\nhello\n{\"case\":\"a\",\"ending\":\"failed\",\"detail\":\"no\"}\n";
        let mut told = Vec::new();
        let outcome = read(text.as_bytes(), |case| told.push(case.clone()));
        assert_eq!(told, outcome.cases);
        assert_eq!(outcome.version, "1.2");
        assert_eq!(outcome.cases[0].ending, Ending::Failed);
        assert_eq!(outcome.cases.len(), 1);
    }
}
