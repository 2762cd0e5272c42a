//! Steady load on a topic that a share group reads: Java's own share consumers, which write a
//! history, and its verdict.

use super::load::Shape;
use super::nodes::{Cluster, Served};
use super::process::{Process, run_to_its_end};
use super::worker::{Lane, Role, Worker};
use crate::moments::Moments;
use crate::share_history::{self, Record, Verdict};
use crate::stop;
use crate::suites;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Time in which the group's limits are set.
const SET_UP_LIMIT: Duration = Duration::from_secs(90);
/// Time within which every producer must have new acknowledgements, once all is healed.
const PROGRESS_LIMIT: Duration = Duration::from_secs(60);
/// Time within which members must get new records of every partition once the cluster is whole: a
/// member that was killed keeps its partitions for 45 s, and what it had for 15 s, as in Kafka.
const MEMBER_LIMIT: Duration = Duration::from_secs(75);
const FINISH_LIMIT: Duration = Duration::from_secs(150);
/// Time in which the rest is accepted.
const DRAIN_LIMIT: Duration = Duration::from_secs(300);

/// Clients at work.
pub(super) struct ShareLoad {
    lane: Lane,
    directory: PathBuf,
    producers: Vec<Worker>,
    members: Vec<Process>,
}

impl ShareLoad {
    /// Sets the group up, starts all clients, and waits for the first records.
    pub(super) fn start(
        cluster: &Cluster,
        topic: &str,
        shape: Shape,
        directory: &Path,
    ) -> Result<Self> {
        let directory = directory.join(topic);
        std::fs::create_dir_all(&directory)?;
        let lane = Lane {
            topic: topic.to_owned(),
            first_key: 0,
            partitions: shape.partitions,
            message_keys: 0,
        };
        let mut load = Self {
            lane,
            directory,
            producers: Vec::new(),
            members: Vec::new(),
        };
        for number in 0..shape.producers {
            let name = format!("p{number}");
            let options = [
                ("--rate", shape.rate.to_string()),
                ("--value-bytes", shape.value_bytes.to_string()),
            ];
            let options = options.into_iter();
            let options = options.flat_map(|(name, value)| [name.to_owned(), value]);
            let (work, options) = ((Role::Produce, &load.lane), options.collect());
            let worker = Worker::start(cluster, &load.directory, work, &name, options)?;
            load.producers.push(worker);
        }
        load.wait_for_acks(1)?;
        let setup = load.command(cluster, "setup")?;
        run_to_its_end(&load.directory, "setup", setup, SET_UP_LIMIT)?;
        for number in 0..shape.consumers {
            let command = load.command(cluster, "consume")?;
            let member = Process::start(&load.directory, &format!("s{number}"), command)?;
            load.members.push(member);
        }
        load.wait_for_members()?;
        Ok(load)
    }

    fn command(&self, cluster: &Cluster, role: &str) -> Result<Command> {
        let class_path = suites::java_class_path()?;
        let mut command = cluster.client("java".as_ref());
        command
            .args(suites::JAVA_OPTIONS)
            .args(["-cp", &class_path, "ShareWork", role])
            .args(["--bootstrap", &cluster.bootstrap()])
            .args(["--topic", &self.lane.topic]);
        Ok(command)
    }

    /// Where the history is.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The node that leads one of the partitions.
    pub(super) fn leader(&self, cluster: &Cluster, moments: &mut Moments) -> Result<usize> {
        let partition = u32::try_from(moments.draw(u64::from(self.lane.partitions)))
            .context("partitions are few")?;
        cluster.leader_of(&self.lane.topic, partition)
    }

    /// Waits until each producer has `count` more acknowledgements on every partition.
    pub(super) fn wait_for_acks(&mut self, count: u64) -> Result<()> {
        let acked = self.producers.iter().map(|it| it.process.acked() + count);
        let targets: Vec<_> = acked.collect();
        for (producer, target) in self.producers.iter_mut().zip(targets) {
            stop::wait_for("acknowledgements", PROGRESS_LIMIT, || {
                producer.process.ensure_alive()?;
                Ok((producer.process.acked() >= target).then_some(()))
            })?;
        }
        Ok(())
    }

    /// Waits until members have got records of every partition; gives how long that took.
    pub(super) fn wait_for_members(&mut self) -> Result<Duration> {
        let started = Instant::now();
        let before = self.last_deliveries();
        let mut lack = String::new();
        let waited = stop::wait_for("members to go on", MEMBER_LIMIT, || {
            self.members
                .iter_mut()
                .try_for_each(Process::ensure_alive)?;
            let now = self.last_deliveries();
            let stuck = self.lane.keys().find(|key| now.get(key) <= before.get(key));
            lack = stuck.map(|key| key.to_string()).unwrap_or_default();
            Ok(stuck.is_none().then_some(()))
        });
        waited.with_context(|| format!("nothing of partition {lack}"))?;
        Ok(started.elapsed())
    }

    /// When anybody got something of each partition last.
    fn last_deliveries(&self) -> BTreeMap<u32, u64> {
        let mut latest = BTreeMap::new();
        for member in &self.members {
            for (key, time_ns) in member.positions.lock().expect("no panic holds it").iter() {
                let time = latest.entry(*key).or_insert(*time_ns);
                *time = (*time_ns).max(*time);
            }
        }
        latest
    }

    /// kill -9 of one member; it comes back at once.
    pub(super) fn kill_a_member(&mut self, cluster: &Cluster, moments: &mut Moments) -> Result<()> {
        let indexes: Vec<_> = (0..self.members.len()).collect();
        let index = moments.pick(&indexes).context("there are members")?;
        let command = self.command(cluster, "consume")?;
        self.members[index].kill_and_return(command)
    }

    /// Stops sending, and ends the members. Gives how many messages are in doubt.
    pub(super) fn finish(&mut self) -> Result<u64> {
        let mut in_doubt = 0;
        for producer in &mut self.producers {
            producer.process.finish(FINISH_LIMIT)?;
            in_doubt += producer.process.in_doubt();
        }
        for member in &mut self.members {
            member.finish(FINISH_LIMIT)?;
        }
        Ok(in_doubt)
    }

    /// Acknowledgements that were refused, or not answered.
    pub(super) fn errors(&self) -> u64 {
        self.members.iter().map(Process::errors).sum()
    }

    /// Has all that is left accepted, and judges the history.
    pub(super) fn judge(&self, cluster: &Cluster) -> Result<Verdict> {
        let mut wanted = String::new();
        for (key, offset) in Record::read(&self.directory)?.wanted() {
            writeln!(wanted, "{key} {offset}")?;
        }
        let path = self.directory.join("wanted.txt");
        std::fs::write(&path, wanted)?;
        let mut drain = self.command(cluster, "drain")?;
        drain.arg("--wanted").arg(path);
        run_to_its_end(&self.directory, "final", drain, DRAIN_LIMIT)?;
        Ok(share_history::check(&Record::read(&self.directory)?))
    }
}
