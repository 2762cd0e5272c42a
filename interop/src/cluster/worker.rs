//! One client of a load: a process that writes a history, what it tells meanwhile, and its return
//! after it was killed.

use super::nodes::{Cluster, driver};
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

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Sends, idempotently.
    Produce,
    /// Sends in transactions.
    Transact,
    /// Reads as a member of a group.
    Consume,
    /// Reads without a group.
    Follow,
    /// Copies in transactions, as a member of a group.
    Copy,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Transact => "transact",
            Self::Consume => "consume",
            Self::Follow => "follow",
            Self::Copy => "copy",
        }
    }

    /// Whether it sends of its own accord.
    pub(super) fn is_sender(self) -> bool {
        match self {
            Self::Produce | Self::Transact => true,
            Self::Consume | Self::Follow | Self::Copy => false,
        }
    }

    /// Whether it leaves nothing in doubt that the next one of its kind does not clear up.
    pub(super) fn may_be_killed(self) -> bool {
        match self {
            Self::Transact | Self::Consume | Self::Copy => true,
            Self::Produce | Self::Follow => false,
        }
    }
}

/// A topic under load.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    /// Its name.
    pub topic: String,
    /// What its partition 0 is called in the history.
    pub first_key: u32,
    /// Partitions.
    pub partitions: u32,
    /// Where it is compacted, how many keys its messages have.
    pub message_keys: u32,
}

impl Lane {
    /// Where its copies go.
    pub(super) fn copies(&self) -> String {
        format!("{}-copies", self.topic)
    }

    /// Its partitions, as the history calls them.
    pub(super) fn keys(&self) -> std::ops::Range<u32> {
        self.first_key..self.first_key + self.partitions
    }
}

/// Next offset to read, by partition.
pub(super) type Positions = Arc<Mutex<BTreeMap<u32, u64>>>;

/// A running client.
pub(super) struct Worker {
    /// What it does.
    pub role: Role,
    /// Where.
    pub lane: Lane,
    /// Where it has got to, before it was killed or since.
    pub positions: Positions,
    name: String,
    options: Vec<String>,
    generation: u32,
    client: Guarded,
    log: PathBuf,
    progress: Arc<Progress>,
    earlier_errors: u64,
}

/// What a client told last.
#[derive(Default)]
struct Progress {
    /// Messages acknowledged on the partition that has fewest; or transactions committed.
    least: AtomicU64,
    /// Messages without a certain end.
    in_doubt: AtomicU64,
    /// Calls that failed for good.
    errors: AtomicU64,
}

impl Worker {
    /// Starts one. `options` are those of its role.
    pub(super) fn start(
        cluster: &Cluster,
        directory: &Path,
        (role, lane): (Role, &Lane),
        name: &str,
        options: Vec<String>,
    ) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let positions = Positions::default();
        let progress = Arc::new(Progress::default());
        let mut command = driver(cluster, "history.py")?;
        command
            .arg(role.word())
            .args(words(cluster, lane))
            .args(&options)
            .args(["--process", name, "--history"])
            .arg(directory.join(format!("{name}.jsonl")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?);
        let mut client = Guarded::start(&mut command)?;
        let out = client.process().stdout.take().expect("stdout is piped");
        follow(out, Arc::clone(&progress), Arc::clone(&positions));
        Ok(Self {
            role,
            lane: lane.clone(),
            positions,
            name: name.to_owned(),
            options,
            generation: 0,
            client,
            log,
            progress,
            earlier_errors: 0,
        })
    }

    /// kill -9, and another one takes its place, under another name in the history.
    pub(super) fn kill_and_return(&mut self, cluster: &Cluster, directory: &Path) -> Result<()> {
        self.ensure_alive()?;
        self.client.end();
        self.earlier_errors = self.errors();
        self.generation += 1;
        let name = format!("{}x{}", self.name, self.generation);
        let at = (self.role, &self.lane);
        let next = Self::start(cluster, directory, at, &name, self.options.clone())?;
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

    /// Acknowledgements on the partition that has fewest, or committed transactions.
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

/// Reads a topic to its end, from its begin, into the history, as `name`.
pub(super) fn final_reader(
    cluster: &Cluster,
    directory: &Path,
    lane: &Lane,
    name: &str,
    options: &[String],
) -> Result<Command> {
    let mut command = driver(cluster, "history.py")?;
    command
        .arg("final")
        .args(words(cluster, lane))
        .args(options)
        .args(["--process", name, "--history"])
        .arg(directory.join(format!("{name}.jsonl")))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(directory.join(format!("{name}.log")))?);
    Ok(command)
}

fn words(cluster: &Cluster, lane: &Lane) -> Vec<String> {
    let mut words = vec!["--bootstrap".to_owned(), cluster.bootstrap()];
    let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
    option("--topic", lane.topic.clone());
    option("--first-key", lane.first_key.to_string());
    option("--partitions", lane.partitions.to_string());
    option("--message-keys", lane.message_keys.to_string());
    words
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
    /// A line `acked LEAST`, `errors COUNT` or `in doubt COUNT`.
    fn take(&self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let number = |index: usize| words.get(index).and_then(|word| word.parse().ok());
        match (words[0], number(1), number(2)) {
            ("acked", Some(least), _) => self.least.store(least, Ordering::Relaxed),
            ("errors", Some(count), _) => self.errors.store(count, Ordering::Relaxed),
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
    }
}
