//! `weir`'s own commands as clients of a cluster.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::process::weir;

/// The command, for a cluster that has these nodes. They may be given longer than a person would.
pub(crate) fn command(nodes: &[&str], words: &[&str]) -> Command {
    let mut command = weir();
    command.args(words).args(["--bootstrap", &nodes.join(",")]);
    command.args(["--timeout-ms", "60000"]);
    command
}

/// Exit code, stdout, stderr.
pub(crate) fn run(nodes: &[&str], words: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = command(nodes, words);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        // It may have ended before it read all of it.
        let _ = stdin.write_all(input.as_bytes());
    });
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code(), text(stdout), text(stderr))
}

/// What it says on stdout; it must work.
pub(crate) fn must(nodes: &[&str], words: &[&str], input: &str) -> String {
    let (code, stdout, stderr) = run(nodes, words, input);
    assert_eq!(code, Some(0), "{words:?}: {stdout}{stderr}");
    stdout
}

/// The same as JSON.
pub(crate) fn json(nodes: &[&str], words: &[&str]) -> Value {
    let said = must(nodes, &[words, &["--json"]].concat(), "");
    serde_json::from_str(&said).unwrap()
}
