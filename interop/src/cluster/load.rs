//! Steady load by real clients that write a history, and its verdict.

use super::nodes::{Cluster, driver};
use crate::client::Guarded;
use crate::history::{self, Record, Verdict};
use crate::stop;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Time within which every producer must have new acknowledgements once all is healed.
const PROGRESS_LIMIT: Duration = Duration::from_secs(60);
const FINISH_LIMIT: Duration = Duration::from_secs(150);
const READ_LIMIT_S: u64 = 300;

/// Who works how hard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Producers; each sends to all partitions.
    pub producers: u32,
    /// Members of the group that reads along.
    pub consumers: u32,
    /// Readers of all partitions without a group.
    pub followers: u32,
    /// Partitions of the topic.
    pub partitions: u32,
    /// Messages a second of each producer.
    pub rate: u32,
    /// Bytes of a value.
    pub value_bytes: u32,
}

/// Clients at work.
pub(crate) struct Load {
    topic: String,
    shape: Shape,
    directory: PathBuf,
    producers: Vec<Producer>,
    readers: Vec<Reader>,
}

struct Reader {
    client: Guarded,
    is_member: bool,
    positions: Positions,
}

/// Next offset to read, by partition.
type Positions = Arc<Mutex<BTreeMap<u32, u64>>>;

struct Producer {
    client: Guarded,
    log: PathBuf,
    progress: Arc<Progress>,
}

/// What a producer told last.
#[derive(Default)]
struct Progress {
    /// Messages acknowledged on the partition that has fewest.
    least: AtomicU64,
    /// Messages without a certain end.
    in_doubt: AtomicU64,
}

impl Load {
    /// Starts all clients, and waits for the first acknowledgements.
    pub(crate) fn start(
        cluster: &Cluster,
        topic: &str,
        shape: Shape,
        directory: &Path,
    ) -> Result<Self> {
        let directory = directory.join(topic);
        std::fs::create_dir_all(&directory)?;
        let mut load = Self {
            topic: topic.to_owned(),
            shape,
            directory,
            producers: Vec::new(),
            readers: Vec::new(),
        };
        for number in 0..shape.producers {
            let producer = load.start_producer(cluster, &format!("p{number}"))?;
            load.producers.push(producer);
        }
        load.wait_for_acks(1)?;
        for number in 0..shape.consumers {
            let reader = load.start_reader(cluster, &format!("c{number}"), true)?;
            load.readers.push(reader);
        }
        for number in 0..shape.followers {
            let reader = load.start_reader(cluster, &format!("f{number}"), false)?;
            load.readers.push(reader);
        }
        Ok(load)
    }

    /// The topic's name.
    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    /// Where the history is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Waits until each producer has `count` more acknowledgements on every partition.
    pub(crate) fn wait_for_acks(&mut self, count: u64) -> Result<()> {
        let least = |producer: &Producer| producer.progress.least.load(Ordering::Relaxed);
        let targets: Vec<_> = self.producers.iter().map(|p| least(p) + count).collect();
        for (producer, target) in self.producers.iter_mut().zip(targets) {
            stop::wait_for(
                "acknowledgements on every partition",
                PROGRESS_LIMIT,
                || {
                    producer.ensure_alive()?;
                    Ok((least(producer) >= target).then_some(()))
                },
            )?;
        }
        Ok(())
    }

    /// Stops sending, waits for the last answers, and lets the group end. Gives how many messages
    /// are in doubt: an idempotent client should leave none.
    pub(crate) fn finish(&mut self) -> Result<u64> {
        let mut in_doubt = 0;
        for producer in &mut self.producers {
            drop(producer.client.process().stdin.take());
            let status = producer
                .client
                .wait("a producer's last answer", FINISH_LIMIT)?;
            let log = producer.log.display();
            ensure!(status.success(), "a producer: {status}; see {log}");
            in_doubt += producer.progress.in_doubt.load(Ordering::Relaxed);
        }
        self.wait_for_readers()?;
        for reader in &mut self.readers {
            drop(reader.client.process().stdin.take());
            reader.client.wait("a consumer's end", FINISH_LIMIT)?;
        }
        Ok(in_doubt)
    }

    /// Reads everything from the beginning and judges the history.
    pub(crate) fn judge(&self, cluster: &Cluster) -> Result<Verdict> {
        let mut command = self.client(cluster, "final", "final")?;
        let until = Record::read(&self.directory)?.acked_ends();
        let until: Vec<_> = until.iter().map(|(k, o)| format!("{k}:{o}")).collect();
        command
            .args(["--until", &until.join(",")])
            .args(["--limit-seconds", &READ_LIMIT_S.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(self.directory.join("final.log"))?);
        let mut reader = Guarded::start(&mut command)?;
        let limit = Duration::from_secs(READ_LIMIT_S) + FINISH_LIMIT;
        let status = reader.wait("the final reader", limit)?;
        let log = self.directory.join("final.log");
        ensure!(status.success(), "reader: {status}; see {}", log.display());
        Ok(history::check(&Record::read(&self.directory)?))
    }

    /// What the clients wrote down.
    pub(crate) fn record(&self) -> Result<Record> {
        Record::read(&self.directory)
    }

    /// Waits until the group, and every reader without one, has got all that was acknowledged.
    fn wait_for_readers(&self) -> Result<()> {
        let ends = Record::read(&self.directory)?.acked_ends();
        let members = self.readers.iter().filter(|reader| reader.is_member);
        let mut sides: Vec<Vec<&Positions>> = vec![members.map(|r| &r.positions).collect()];
        let lone = self.readers.iter().filter(|reader| !reader.is_member);
        sides.extend(lone.map(|reader| vec![&reader.positions]));
        sides.retain(|side| !side.is_empty());
        let mut lack = String::new();
        let waited = stop::wait_for("readers to reach the end", PROGRESS_LIMIT, || {
            for (key, end) in &ends {
                for side in &sides {
                    let position = side
                        .iter()
                        .filter_map(|positions| {
                            let positions = positions.lock().expect("no panic holds it");
                            positions.get(key).copied()
                        })
                        .max();
                    if position.is_none_or(|next| next <= *end) {
                        lack = format!("partition {key}: at {position:?}, {end} is acknowledged");
                        return Ok(None);
                    }
                }
            }
            Ok(Some(()))
        });
        waited.with_context(|| format!("still lacking: {lack}"))
    }

    fn start_reader(&self, cluster: &Cluster, name: &str, is_member: bool) -> Result<Reader> {
        let role = if is_member { "consume" } else { "follow" };
        let mut command = self.client(cluster, role, name)?;
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(self.directory.join(format!("{name}.log")))?);
        let mut client = Guarded::start(&mut command)?;
        let out = client.process().stdout.take().expect("stdout is piped");
        let positions = Positions::default();
        let shared = Arc::clone(&positions);
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some((key, next)) = position(&line) {
                    shared.lock().expect("no panic holds it").insert(key, next);
                }
            }
        });
        Ok(Reader {
            client,
            is_member,
            positions,
        })
    }

    fn start_producer(&self, cluster: &Cluster, name: &str) -> Result<Producer> {
        let log = self.directory.join(format!("{name}.log"));
        let mut command = self.client(cluster, "produce", name)?;
        command
            .args(["--rate", &self.shape.rate.to_string()])
            .args(["--value-bytes", &self.shape.value_bytes.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?);
        let mut client = Guarded::start(&mut command)?;
        let out = client.process().stdout.take().expect("stdout is piped");
        Ok(Producer {
            client,
            log,
            progress: follow(out),
        })
    }

    fn client(&self, cluster: &Cluster, role: &str, name: &str) -> Result<std::process::Command> {
        let mut command = driver(cluster, "history.py")?;
        command
            .args([role, "--bootstrap", &cluster.bootstrap()])
            .args(["--topic", &self.topic, "--process", name])
            .args(["--partitions", &self.shape.partitions.to_string()])
            .arg("--history")
            .arg(self.directory.join(format!("{name}.jsonl")));
        Ok(command)
    }
}

impl Producer {
    fn ensure_alive(&mut self) -> Result<()> {
        if let Some(status) = self.client.process().try_wait()? {
            bail!(
                "a producer ended by itself, {status}; see {}",
                self.log.display()
            );
        }
        Ok(())
    }
}

/// Reads along what a producer tells, in a thread that ends with it.
fn follow(out: ChildStdout) -> Arc<Progress> {
    let progress = Arc::new(Progress::default());
    let shared = Arc::clone(&progress);
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            shared.take(&line);
        }
    });
    progress
}

impl Progress {
    /// A line `acked LEAST` or `in doubt COUNT`.
    fn take(&self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let number = |index: usize| words.get(index).and_then(|word| word.parse().ok());
        match (words[0], number(1), number(2)) {
            ("acked", Some(least), _) => self.least.store(least, Ordering::Relaxed),
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
    fn what_a_producer_tells_is_read_and_other_lines_are_not() {
        let progress = Progress::default();
        for line in ["acked 3", "in doubt 2", "acked", "", "in doubt x"] {
            progress.take(line);
        }
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        assert_eq!(read(&progress.least), 3);
        assert_eq!(read(&progress.in_doubt), 2);
    }
}
