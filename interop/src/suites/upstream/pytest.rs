//! Tests in Python, run by pytest.

use crate::place;
use crate::suites::campaign::Ground;
use crate::suites::case::Outcome;
use crate::suites::lines;
use anyhow::Result;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Time that a whole suite has.
const LIMIT: Duration = Duration::from_secs(1_200);

/// pytest in `source`, with a plugin of ours that stands in for what the tests want to start.
pub(super) fn command(source: &Path, stand_in: &str, ground: &Ground<'_>) -> Result<Command> {
    let mut command = Command::new(place::python()?);
    command.args(["-m", "pytest", "-q", "-s", "-p", "pytest_tell"]);
    command.args(["-p", stand_in, "-p", "no:cacheprovider"]);
    command.args(["--assert=plain", "-k", ground.part()]);
    command.current_dir(source);
    command.env("PYTHONPATH", place::root().join("interop/clients/python"));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

/// Runs it.
pub(super) fn run(command: &mut Command, version: &str, ground: &Ground<'_>) -> Result<Outcome> {
    let mut outcome = lines::run(command, ground, LIMIT)?;
    // pytest exits with 1 when a test has failed.
    if outcome
        .broken
        .as_ref()
        .is_some_and(|why| why.starts_with("exit status: 1;"))
    {
        outcome.broken = None;
    }
    outcome.version = version.to_owned();
    Ok(outcome)
}
