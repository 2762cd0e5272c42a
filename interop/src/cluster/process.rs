//! A client process that writes a history, what it tells meanwhile, and its return after it was
//! killed.

use crate::client::Guarded;
use anyhow::{Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How far a client has got, by what it reads: a partition's next offset, or the time of a queue's
/// last delivery.
pub(super) type Positions = Arc<Mutex<BTreeMap<u32, u64>>>;

/// A running client.
pub(super) struct Process {
    /// Where it has got to, before it was killed or since.
    pub positions: Positions,
    name: String,
    directory: PathBuf,
    generation: u32,
    client: Guarded,
    log: PathBuf,
    progress: Arc<Progress>,
    earlier_errors: u64,
    earlier_blocks: u64,
}

/// What a client told last.
#[derive(Default)]
struct Progress {
    /// Messages acknowledged at the place that has fewest; or transactions committed.
    least: AtomicU64,
    /// Messages without a certain end.
    in_doubt: AtomicU64,
    /// Calls that failed for good.
    errors: AtomicU64,
    /// How often it was told to wait.
    blocks: AtomicU64,
}

impl Process {
    /// Starts a driver, of which only the name and the history are still to be told.
    pub(super) fn start(directory: &Path, name: &str, command: Command) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let positions = Positions::default();
        let progress = Arc::new(Progress::default());
        let mut command = recorded(directory, name, command);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?);
        let mut client = Guarded::start(&mut command)?;
        let out = client.process().stdout.take().expect("stdout is piped");
        follow(out, Arc::clone(&progress), Arc::clone(&positions));
        Ok(Self {
            positions,
            name: name.to_owned(),
            directory: directory.to_owned(),
            generation: 0,
            client,
            log,
            progress,
            earlier_errors: 0,
            earlier_blocks: 0,
        })
    }

    /// kill -9, and another one takes its place, under another name in the history.
    pub(super) fn kill_and_return(&mut self, command: Command) -> Result<()> {
        self.ensure_alive()?;
        self.client.end();
        self.earlier_errors = self.errors();
        self.earlier_blocks = self.blocks();
        self.generation += 1;
        let name = format!("{}x{}", self.name, self.generation);
        let next = Self::start(&self.directory, &name, command)?;
        // What the group has got it has got, whoever was its member.
        let reached = self.positions.lock().expect("no panic holds it").clone();
        let mut positions = next.positions.lock().expect("no panic holds it");
        for (key, offset) in reached {
            let position = positions.entry(key).or_insert(offset);
            *position = offset.max(*position);
        }
        drop(positions);
        (self.client, self.log) = (next.client, next.log);
        (self.positions, self.progress) = (next.positions, next.progress);
        Ok(())
    }

    /// Acknowledgements at the place that has fewest, or committed transactions.
    pub(super) fn acked(&self) -> u64 {
        self.progress.least.load(Ordering::Relaxed)
    }

    /// Messages without a certain end.
    pub(super) fn in_doubt(&self) -> u64 {
        self.progress.in_doubt.load(Ordering::Relaxed)
    }

    /// Calls that failed for good.
    pub(super) fn errors(&self) -> u64 {
        self.earlier_errors + self.progress.errors.load(Ordering::Relaxed)
    }

    /// How often it was told to wait.
    pub(super) fn blocks(&self) -> u64 {
        self.earlier_blocks + self.progress.blocks.load(Ordering::Relaxed)
    }

    /// An error when it ended by itself.
    pub(super) fn ensure_alive(&mut self) -> Result<()> {
        if let Some(status) = self.client.process().try_wait()? {
            bail!(
                "{} ended by itself, {status}; see {}",
                self.name,
                self.log.display()
            );
        }
        Ok(())
    }

    /// Asks it to stop, and waits until it has its last answers.
    pub(super) fn finish(&mut self, limit: Duration) -> Result<()> {
        drop(self.client.process().stdin.take());
        let status = self.client.wait(&self.name, limit)?;
        let log = self.log.display();
        ensure!(status.success(), "{}: {status}; see {log}", self.name);
        Ok(())
    }
}

/// A driver that ends by itself once it has done all; an error when that is not within `limit`.
pub(super) fn run_to_its_end(
    directory: &Path,
    name: &str,
    command: Command,
    limit: Duration,
) -> Result<()> {
    let log = directory.join(format!("{name}.log"));
    let mut command = recorded(directory, name, command);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log)?);
    let status = Guarded::start(&mut command)?.wait(name, limit)?;
    ensure!(status.success(), "{name}: {status}; see {}", log.display());
    Ok(())
}

fn recorded(directory: &Path, name: &str, mut command: Command) -> Command {
    command
        .args(["--process", name, "--history"])
        .arg(directory.join(format!("{name}.jsonl")));
    command
}

/// Reads along what a client tells, in a thread that ends with it.
fn follow(out: ChildStdout, progress: Arc<Progress>, positions: Positions) {
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            match position(&line) {
                Some((key, next)) => {
                    let mut positions = positions.lock().expect("no panic holds it");
                    let position = positions.entry(key).or_insert(next);
                    *position = next.max(*position);
                }
                None => progress.take(&line),
            }
        }
    });
}

impl Progress {
    /// A line `acked LEAST`, `errors COUNT`, `blocked COUNT` or `in doubt COUNT`.
    fn take(&self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let number = |index: usize| words.get(index).and_then(|word| word.parse().ok());
        match (words[0], number(1), number(2)) {
            ("acked", Some(least), _) => self.least.store(least, Ordering::Relaxed),
            ("errors", Some(count), _) => self.errors.store(count, Ordering::Relaxed),
            ("blocked", Some(count), _) => self.blocks.store(count, Ordering::Relaxed),
            ("in", None, Some(count)) => self.in_doubt.store(count, Ordering::Relaxed),
            (_, _, _) => {}
        }
    }
}

/// A line `position PARTITION OFFSET`.
fn position(line: &str) -> Option<(u32, u64)> {
    let (key, next) = line.strip_prefix("position ")?.split_once(' ')?;
    Some((key.parse().ok()?, next.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_readers_position_is_read() {
        assert_eq!(position("position 3 17"), Some((3, 17)));
        assert_eq!(position("position 3"), None);
    }

    #[test]
    fn what_a_client_tells_is_read_and_other_lines_are_not() {
        let progress = Progress::default();
        for line in [
            "acked 3",
            "in doubt 2",
            "errors 5",
            "blocked 4",
            "acked",
            "",
            "in doubt x",
        ] {
            progress.take(line);
        }
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        assert_eq!(read(&progress.least), 3);
        assert_eq!(read(&progress.in_doubt), 2);
        assert_eq!(read(&progress.errors), 5);
        assert_eq!(read(&progress.blocks), 4);
    }
}
