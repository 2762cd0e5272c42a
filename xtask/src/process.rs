//! Child processes: run, watched line by line, ended with all their descendants after a limit.

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Time between the polite and the hard signal to a process that is over its limit.
const GRACE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
const MAX_QUEUED_LINES: usize = 1_024;

/// How a watched command ended.
pub(crate) struct Watched {
    /// It ended by itself, with status 0.
    pub passed: bool,
    /// It was ended because its time was over.
    pub timed_out: bool,
}

/// `cargo` as this process was started by it, at the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// The workspace's root directory.
pub(crate) fn root() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
}

/// Whether `program` is found on the path, or where Debian keeps an administrator's tools.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|directory| directory.join(program).is_file())
}

/// Runs a command on our own terminal; true when it exits with 0.
pub(crate) fn passes(command: &mut Command) -> Result<bool> {
    let status = command
        .status()
        .with_context(|| format!("start {command:?}"))?;
    Ok(status.success())
}

/// Runs a command, hands each line of its two outputs to `on_line` and ends it after `limit`.
pub(crate) fn watch(
    command: &mut Command,
    limit: Duration,
    mut on_line: impl FnMut(&str),
) -> Result<Watched> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {command:?}"))?;
    let (sender, lines) = mpsc::sync_channel(MAX_QUEUED_LINES);
    let out = child.stdout.take().expect("stdout is piped");
    let err = child.stderr.take().expect("stderr is piped");
    let readers = [forward(out, sender.clone()), forward(err, sender)];

    let deadline = Instant::now() + limit;
    let mut timed_out = false;
    let status = loop {
        while let Ok(line) = lines.recv_timeout(POLL) {
            on_line(&line);
        }
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if !timed_out && Instant::now() >= deadline {
            timed_out = true;
            end_tree(&child, Signal::TERM);
        }
        if timed_out && Instant::now() >= deadline + GRACE {
            end_tree(&child, Signal::KILL);
        }
    };
    while let Ok(line) = lines.recv_timeout(POLL) {
        on_line(&line);
    }
    drop(lines);
    for reader in readers
        .into_iter()
        .filter(std::thread::JoinHandle::is_finished)
    {
        reader.join().expect("a reader does not panic");
    }
    Ok(Watched {
        passed: status.success() && !timed_out,
        timed_out,
    })
}

fn forward(
    from: impl Read + Send + 'static,
    to: mpsc::SyncSender<String>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(length) if length > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if to.send(text).is_err() {
                return;
            }
            line.clear();
        }
    })
}

/// Signals a child of ours and everything below it.
fn end_tree(child: &Child, signal: Signal) {
    for pid in descendants(child.id(), &parents()) {
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            // It may have ended by itself in between: nothing is left to do then.
            let _ = kill_process(pid, signal);
        }
    }
}

/// Parent of every process, from `/proc`.
fn parents() -> BTreeMap<u32, u32> {
    let mut parents = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        if let Some((pid, parent)) = pid_and_parent(&stat) {
            parents.insert(pid, parent);
        }
    }
    parents
}

/// Reads `/proc/PID/stat`, whose second field may hold spaces and brackets.
fn pid_and_parent(stat: &str) -> Option<(u32, u32)> {
    let pid = stat.split(' ').next()?.parse().ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let parent = after_name.split_whitespace().nth(1)?.parse().ok()?;
    Some((pid, parent))
}

/// `root` and all processes below it, children before parents.
fn descendants(root: u32, parents: &BTreeMap<u32, u32>) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        next += 1;
        found.extend(
            parents
                .iter()
                .filter(|(_, above)| **above == parent)
                .map(|(pid, _)| *pid),
        );
    }
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_hide_the_parent() {
        assert_eq!(pid_and_parent("42 (a) (b) S 7 42 42"), Some((42, 7)));
        assert_eq!(pid_and_parent("42 (a) S"), None);
    }

    #[test]
    fn descendants_are_found_and_strangers_are_not() {
        let parents = BTreeMap::from([(2, 1), (3, 2), (4, 1), (9, 8)]);
        let mut found = descendants(2, &parents);
        assert_eq!(found.last(), Some(&2));
        found.sort_unstable();
        assert_eq!(found, [2, 3]);
    }

    #[test]
    fn both_outputs_are_watched() {
        let mut seen = Vec::new();
        let watched = watch(
            Command::new("sh").args(["-c", "echo out; echo err >&2"]),
            Duration::from_secs(60),
            |line| seen.push(line.to_owned()),
        )
        .unwrap();
        seen.sort();
        assert!(watched.passed);
        assert_eq!(seen, ["err", "out"]);
    }

    #[test]
    fn a_command_over_its_limit_has_not_passed() {
        let mut command = Command::new("sleep");
        let watched = watch(command.arg("600"), Duration::from_millis(10), |_| ()).unwrap();
        assert!(watched.timed_out);
        assert!(!watched.passed);
    }
}
