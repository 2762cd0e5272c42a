//! Tests of a Go module, as its proxy serves them.

use crate::client::Guarded;
use crate::suites::campaign::Ground;
use crate::suites::case::{Case, Ending, Outcome};
use crate::{place, stop};
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Time that a whole suite has.
const LIMIT: Duration = Duration::from_secs(1_200);
/// Bytes of what a failed test printed that are told, from its end.
const MAX_DETAIL_BYTES: usize = 800;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Download {
    dir: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    action: String,
    test: Option<String>,
    output: Option<String>,
}

/// The module's source in the cache of modules.
pub(super) fn source(module: &str, version: &str) -> Result<PathBuf> {
    let output = Command::new("go")
        .args(["mod", "download", "-json"])
        .arg(format!("{module}@{version}"))
        .current_dir(place::root().join("interop/clients/go"))
        .output()
        .context("start go")?;
    let download: Download = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok(download.dir)
}

/// Runs the tests that only the build tag `tag` lets in: the others want no broker.
pub(super) fn run(
    source: &Path,
    tag: &str,
    variables: &[(&str, String)],
    version: &str,
    ground: &Ground<'_>,
) -> Result<Outcome> {
    let with = tests(source, &["-tags", tag])?;
    let without = tests(source, &[])?;
    let wanted: Vec<_> = with
        .iter()
        .filter(|name| !without.contains(name) && ground.wants(name))
        .map(String::as_str)
        .collect();
    let transcript = ground.log.with_extension("tests");
    let file = std::fs::File::create(&transcript)?;
    let mut command = Command::new("go");
    command.args(["test", "-json", "-count=1", "-timeout=20m", "-tags", tag]);
    command.arg(format!("-run=^({})$", wanted.join("|")));
    command.current_dir(source);
    command.envs(
        variables
            .iter()
            .map(|(name, value)| (*name, value.as_str())),
    );
    command.stdin(Stdio::null());
    command.stdout(file.try_clone()?).stderr(file);
    let mut program = Guarded::start(&mut command)?;
    let ended = program.wait("go test", LIMIT);
    program.end();
    stop::check()?;
    let text = std::fs::read(&transcript).with_context(|| transcript.display().to_string())?;
    let cases = read(&String::from_utf8_lossy(&text));
    cases.iter().for_each(|case| ground.tell(case));
    let broken = match ended {
        Err(error) => Some(format!("{error:#}")),
        // A test that takes its process down leaves no end of its own.
        Ok(_) if cases.len() < wanted.len() => {
            Some(format!("not all tests ended; see {}", transcript.display()))
        }
        Ok(_) => None,
    };
    Ok(Outcome {
        version: version.to_owned(),
        cases,
        broken,
    })
}

fn tests(source: &Path, options: &[&str]) -> Result<Vec<String>> {
    let mut command = Command::new("go");
    command.arg("test").args(options).args(["-list", "^Test"]);
    let output = command.current_dir(source).output().context("start go")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "{command:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let names = text.lines().filter(|line| line.starts_with("Test"));
    Ok(names.map(str::to_owned).collect())
}

/// Reads `go test -json`; parts of a test belong to it.
fn read(text: &str) -> Vec<Case> {
    let mut said: BTreeMap<String, String> = BTreeMap::new();
    let mut cases = Vec::new();
    let events = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Event>(line).ok());
    for event in events {
        let Some(test) = event.test else { continue };
        let name = test.split('/').next().unwrap_or(&test);
        if let Some(output) = event.output {
            said.entry(name.to_owned()).or_default().push_str(&output);
        }
        let ending = match event.action.as_str() {
            "pass" => Ending::Passed,
            "fail" => Ending::Failed,
            "skip" => Ending::Skipped,
            _ => continue,
        };
        if name != test {
            continue;
        }
        let detail = match ending {
            Ending::Failed => end_of(said.get(name).map_or("", String::as_str)),
            Ending::Passed | Ending::Skipped => String::new(),
        };
        cases.push(Case {
            name: name.to_owned(),
            ending,
            detail,
        });
    }
    cases
}

fn end_of(text: &str) -> String {
    let from = text.len().saturating_sub(MAX_DETAIL_BYTES);
    let from = (from..text.len())
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or_default();
    text[from..].trim().replace('\n', " ")
}

#[cfg(test)]
mod tests_of_reading {
    use super::*;

    #[test]
    fn a_test_is_told_once_with_what_its_parts_said() {
        let text = "talk\n\
            {\"Action\":\"run\",\"Test\":\"TestA\"}\n\
            {\"Action\":\"output\",\"Test\":\"TestA/part\",\"Output\":\"no\\n\"}\n\
            {\"Action\":\"fail\",\"Test\":\"TestA/part\"}\n\
            {\"Action\":\"fail\",\"Test\":\"TestA\"}\n\
            {\"Action\":\"skip\",\"Test\":\"TestB\"}\n\
            {\"Action\":\"fail\"}\n";
        let expected = [
            Case::failed("TestA", "no".to_owned()),
            Case::skipped("TestB"),
        ];
        assert_eq!(read(text), expected);
    }
}
