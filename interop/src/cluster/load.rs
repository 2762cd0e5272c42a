//! Steady load by real clients that write a history, and its verdict.

use super::nodes::Cluster;
use super::process::Positions;
use super::verifiable::Verifiable;
use super::worker::{self, Lane, Role, Worker};
use crate::history::{self, Record, Verdict};
use crate::moments::Moments;
use crate::stop;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time within which every sender must have new acknowledgements, and every group new messages,
/// once all is healed.
const PROGRESS_LIMIT: Duration = Duration::from_secs(60);
/// Time within which every group must go on once the cluster is whole and takes writes.
const GROUP_LIMIT: Duration = Duration::from_secs(30);
const FINISH_LIMIT: Duration = Duration::from_secs(150);
const READ_LIMIT_S: u64 = 300;
/// Messages a second of each transactional producer.
const TRANSACTING_RATE: u32 = 80;
/// Partitions of the compacted topic begin here in the history.
const FIRST_COMPACTED_KEY: u32 = 1_000;
const COMPACTED_PARTITIONS: u32 = 2;
const MESSAGE_KEYS: u32 = 50;

/// Who works how hard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Producers; each sends to all partitions.
    pub producers: u32,
    /// Members of the group that reads along.
    pub consumers: u32,
    /// Readers of all partitions without a group.
    pub followers: u32,
    /// Transactional producers, to the same partitions.
    pub transactors: u32,
    /// Members of the group that copies the topic in transactions.
    pub copiers: u32,
    /// Producers to a compacted topic, each with a reader.
    pub compacted: u32,
    /// Kafka's own verifiable producer, consumers and copier beside them.
    pub verifiable: bool,
    /// Partitions of the topic.
    pub partitions: u32,
    /// Messages a second of each producer.
    pub rate: u32,
    /// Bytes of a value.
    pub value_bytes: u32,
}

impl Shape {
    /// Nobody, to be filled in.
    pub(crate) const NOBODY: Self = Self {
        producers: 0,
        consumers: 0,
        followers: 0,
        transactors: 0,
        copiers: 0,
        compacted: 0,
        verifiable: false,
        partitions: 1,
        rate: 300,
        value_bytes: 200,
    };
}

/// Clients at work.
pub(crate) struct Load {
    lane: Lane,
    compacted: Lane,
    shape: Shape,
    directory: PathBuf,
    workers: Vec<Worker>,
    verifiable: Option<Verifiable>,
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
        let lane = Lane {
            topic: topic.to_owned(),
            first_key: 0,
            partitions: shape.partitions,
            message_keys: 0,
        };
        let compacted = Lane {
            topic: format!("{topic}-compacted"),
            first_key: FIRST_COMPACTED_KEY,
            partitions: COMPACTED_PARTITIONS,
            message_keys: MESSAGE_KEYS,
        };
        let mut load = Self {
            lane,
            compacted,
            shape,
            directory,
            workers: Vec::new(),
            verifiable: None,
        };
        let (lane, compacted) = (load.lane.clone(), load.compacted.clone());
        load.add(cluster, Role::Produce, &lane, "p", shape.producers)?;
        load.add(cluster, Role::Transact, &lane, "t", shape.transactors)?;
        load.add(cluster, Role::Produce, &compacted, "k", shape.compacted)?;
        if shape.verifiable {
            load.verifiable = Some(Verifiable::start(cluster, topic, &load.directory)?);
        }
        load.wait_for_acks(1)?;
        load.add(cluster, Role::Consume, &lane, "c", shape.consumers)?;
        load.add(cluster, Role::Follow, &lane, "f", shape.followers)?;
        load.add(cluster, Role::Follow, &compacted, "kf", shape.compacted)?;
        load.add(cluster, Role::Copy, &lane, "copier", shape.copiers)?;
        Ok(load)
    }

    fn add(
        &mut self,
        cluster: &Cluster,
        role: Role,
        lane: &Lane,
        name: &str,
        count: u32,
    ) -> Result<()> {
        for number in 0..count {
            let name = format!("{name}{number}");
            let options = self.options(role, lane, &name);
            let worker = Worker::start(cluster, &self.directory, (role, lane), &name, options)?;
            self.workers.push(worker);
        }
        Ok(())
    }

    fn options(&self, role: Role, lane: &Lane, name: &str) -> Vec<String> {
        let id = format!("{}-{name}", lane.topic);
        let rate = match role {
            Role::Transact => TRANSACTING_RATE,
            Role::Produce | Role::Consume | Role::Follow | Role::Copy => self.shape.rate,
        };
        let words = match role {
            Role::Produce | Role::Transact => vec![
                ("--rate", rate.to_string()),
                ("--value-bytes", self.shape.value_bytes.to_string()),
                ("--transactional-id", id),
            ],
            Role::Copy => vec![("--to", lane.copies()), ("--transactional-id", id)],
            Role::Consume | Role::Follow => Vec::new(),
        };
        let words = words.into_iter();
        words
            .flat_map(|(name, value)| [name.to_owned(), value])
            .collect()
    }

    /// The topic's name.
    pub(crate) fn topic(&self) -> &str {
        &self.lane.topic
    }

    /// Where the history is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Waits until each producer has `count` more acknowledgements on every partition, and each
    /// transactional one has committed once more.
    pub(crate) fn wait_for_acks(&mut self, count: u64) -> Result<()> {
        self.wait_for_some(count, Role::is_sender)
    }

    /// The same, but for those that send outside of transactions.
    pub(crate) fn wait_for_plain_acks(&mut self, count: u64) -> Result<()> {
        self.wait_for_some(count, |role| role == Role::Produce)
    }

    fn wait_for_some(&mut self, count: u64, is_meant: impl Fn(Role) -> bool) -> Result<()> {
        let senders: Vec<_> = self
            .workers
            .iter_mut()
            .filter(|it| is_meant(it.role))
            .collect();
        let targets: Vec<_> = senders
            .iter()
            .map(|worker| match worker.role {
                Role::Transact => worker.process.acked() + 1,
                Role::Produce | Role::Consume | Role::Follow | Role::Copy => {
                    worker.process.acked() + count
                }
            })
            .collect();
        for (worker, target) in senders.into_iter().zip(targets) {
            let what = format!("acknowledgements for {:?}", worker.role);
            stop::wait_for(&what, PROGRESS_LIMIT, || {
                worker.process.ensure_alive()?;
                Ok((worker.process.acked() >= target).then_some(()))
            })?;
        }
        match &mut self.verifiable {
            Some(verifiable) => verifiable.wait_for_ack(PROGRESS_LIMIT),
            None => Ok(()),
        }
    }

    /// Waits until every group, and every reader without one, gets new messages of every
    /// partition; gives how long that took.
    pub(crate) fn wait_for_groups(&mut self) -> Result<Duration> {
        let started = Instant::now();
        let before: Vec<_> = self.sides().iter().map(Side::positions).collect();
        let mut lack = String::new();
        let waited = stop::wait_for("groups to go on", GROUP_LIMIT, || {
            self.ensure_readers_alive()?;
            for (side, before) in self.sides().iter().zip(&before) {
                let now = side.positions();
                let stuck = side
                    .keys
                    .clone()
                    .find(|key| now.get(key) <= before.get(key));
                if let Some(key) = stuck {
                    let at = now.get(&key);
                    lack = format!("{} at {at:?} of partition {key}", side.name);
                    return Ok(None);
                }
            }
            Ok(Some(()))
        });
        waited.with_context(|| format!("still lacking: {lack}"))?;
        Ok(started.elapsed())
    }

    /// kill -9 of one client that a group or a transactional id outlives; it comes back at once.
    pub(crate) fn kill_a_client(&mut self, cluster: &Cluster, moments: &mut Moments) -> Result<()> {
        let all = 0..self.workers.len();
        let mortal: Vec<_> = all
            .filter(|index| self.workers[*index].role.may_be_killed())
            .collect();
        match moments.pick(&mortal) {
            Some(index) => self.workers[index].kill_and_return(cluster),
            None => Ok(()),
        }
    }

    /// Stops sending, waits for the last answers, and lets the groups end. Gives how many messages
    /// are in doubt: an idempotent client should leave none.
    pub(crate) fn finish(&mut self) -> Result<u64> {
        let mut in_doubt = 0;
        for worker in self.workers.iter_mut().filter(|it| it.role.is_sender()) {
            worker.process.finish(FINISH_LIMIT)?;
            in_doubt += worker.process.in_doubt();
        }
        if let Some(verifiable) = &mut self.verifiable {
            in_doubt += verifiable.finish_sending(FINISH_LIMIT)?;
        }
        self.wait_for_readers()?;
        for worker in self.workers.iter_mut().filter(|it| !it.role.is_sender()) {
            worker.process.finish(FINISH_LIMIT)?;
        }
        if let Some(verifiable) = &mut self.verifiable {
            verifiable.finish_reading(FINISH_LIMIT)?;
        }
        Ok(in_doubt)
    }

    /// Calls of transactional clients that failed for good, and runs of Kafka's copier that did.
    pub(crate) fn errors(&self) -> u64 {
        let verifiable = self.verifiable.as_ref().map_or(0, Verifiable::errors);
        self.workers
            .iter()
            .map(|it| it.process.errors())
            .sum::<u64>()
            + verifiable
    }

    /// Reads everything from the beginning and judges the history.
    pub(crate) fn judge(&self, cluster: &Cluster) -> Result<Verdict> {
        let ends = Record::read(&self.directory)?.acked_ends();
        self.read_all(cluster, &self.lane, "final", &until(&ends, &self.lane))?;
        let as_copies = |lane: &Lane| Lane {
            topic: lane.copies(),
            ..lane.clone()
        };
        if self.shape.compacted > 0 {
            let until = until(&ends, &self.compacted);
            self.read_all(cluster, &self.compacted, "final-compacted", &until)?;
        }
        let copies = ["--as-copies".to_owned()];
        if self.shape.copiers > 0 {
            self.read_all(cluster, &as_copies(&self.lane), "final-copies", &copies)?;
        }
        if let Some(verifiable) = &self.verifiable {
            let lane = verifiable.lane();
            self.read_all(cluster, lane, "final-verifiable", &until(&ends, lane))?;
            self.read_all(
                cluster,
                &as_copies(lane),
                "final-verifiable-copies",
                &copies,
            )?;
        }
        Ok(history::check(&Record::read(&self.directory)?))
    }

    /// Reads the topic once more, as `name`, to the end of what was acknowledged.
    pub(super) fn read_all_acked(&self, cluster: &Cluster, name: &str) -> Result<()> {
        let ends = Record::read(&self.directory)?.acked_ends();
        self.read_all(cluster, &self.lane, name, &until(&ends, &self.lane))
    }

    fn read_all(
        &self,
        cluster: &Cluster,
        lane: &Lane,
        name: &str,
        options: &[String],
    ) -> Result<()> {
        let limit_s = ["--limit-seconds".to_owned(), READ_LIMIT_S.to_string()];
        let options = [options, &limit_s].concat();
        let limit = Duration::from_secs(READ_LIMIT_S) + FINISH_LIMIT;
        worker::read_all(cluster, &self.directory, lane, name, (&options, limit))
    }

    /// What the clients wrote down.
    pub(crate) fn record(&self) -> Result<Record> {
        Record::read(&self.directory)
    }

    fn ensure_readers_alive(&mut self) -> Result<()> {
        let mut readers = self.workers.iter_mut().filter(|it| !it.role.is_sender());
        readers.try_for_each(|it| it.process.ensure_alive())
    }

    /// Groups, and readers without one.
    fn sides(&self) -> Vec<Side<'_>> {
        let mut sides = Vec::new();
        for (role, name) in [(Role::Consume, "the group"), (Role::Copy, "the copy loop")] {
            let members = self.workers.iter().filter(|worker| worker.role == role);
            let members: Vec<_> = members.map(|worker| &worker.process.positions).collect();
            sides.push(Side::new(name, &self.lane, members));
        }
        for worker in self.workers.iter().filter(|it| it.role == Role::Follow) {
            sides.push(Side::new(
                "a follower",
                &worker.lane,
                vec![&worker.process.positions],
            ));
        }
        if let Some(verifiable) = &self.verifiable {
            let members = verifiable.positions();
            sides.push(Side::new("Kafka's group", verifiable.lane(), members));
        }
        sides.retain(|side| !side.members.is_empty());
        sides
    }

    /// Waits until all sides have got all that was acknowledged.
    fn wait_for_readers(&mut self) -> Result<()> {
        let ends = Record::read(&self.directory)?.acked_ends();
        let mut lack = String::new();
        let waited = stop::wait_for("readers to reach the end", PROGRESS_LIMIT, || {
            self.ensure_readers_alive()?;
            for side in self.sides() {
                let now = side.positions();
                for (key, end) in ends.range(side.keys.clone()) {
                    let position = now.get(key);
                    if position.is_none_or(|next| next <= end) {
                        let name = side.name;
                        lack = format!("{name} at {position:?} of partition {key}, end {end}");
                        return Ok(None);
                    }
                }
            }
            Ok(Some(()))
        });
        waited.with_context(|| format!("still lacking: {lack}"))
    }
}

/// Those who read all partitions of a topic between them.
struct Side<'a> {
    name: &'static str,
    keys: std::ops::Range<u32>,
    members: Vec<&'a Positions>,
}

impl<'a> Side<'a> {
    fn new(name: &'static str, lane: &Lane, members: Vec<&'a Positions>) -> Self {
        Self {
            name,
            keys: lane.keys(),
            members,
        }
    }

    /// The furthest of each partition.
    fn positions(&self) -> BTreeMap<u32, u64> {
        let mut furthest = BTreeMap::new();
        for member in &self.members {
            for (key, next) in member.lock().expect("no panic holds it").iter() {
                let position = furthest.entry(*key).or_insert(*next);
                *position = (*next).max(*position);
            }
        }
        furthest
    }
}

/// What a final reader has to reach of a topic.
fn until(ends: &BTreeMap<u32, u64>, lane: &Lane) -> [String; 2] {
    let ends = ends.range(lane.keys());
    let ends: Vec<_> = ends.map(|(key, end)| format!("{key}:{end}")).collect();
    ["--until".to_owned(), ends.join(",")]
}
