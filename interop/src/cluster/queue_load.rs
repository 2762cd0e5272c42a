//! Steady load on queues by AMQP clients that write a history, and its verdict.

use super::load::Shape;
use super::nodes::{Cluster, Served, driver};
use super::process::{Process, run_to_its_end};
use crate::moments::Moments;
use crate::queue_history::{self, Record, Verdict};
use crate::stop;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Time in which the queues are made.
const SET_UP_LIMIT: Duration = Duration::from_secs(90);
/// Time within which every publisher must have new confirms of every address, once all is healed.
const PROGRESS_LIMIT: Duration = Duration::from_secs(60);
/// Time within which every queue's consumers must get new messages once the cluster is whole.
const CONSUMER_LIMIT: Duration = Duration::from_secs(30);
const FINISH_LIMIT: Duration = Duration::from_secs(150);
/// Time in which the rest is consumed.
const DRAIN_LIMIT: Duration = Duration::from_secs(180);
/// Queues that are consumed all the time, as the driver numbers them.
const CONSUMED_QUEUES: u32 = 9;
/// Of them those that one consumer has at a time.
const ALONE: [u32; 2] = [3, 4];
/// Queues whose leaders are struck.
const STRUCK: [&str; 4] = ["work", "tx", "single", "fan.quorum"];
/// What each process of consumers does: three of them, so that one may be killed anywhere.
const CONSUMERS: [&[&str]; 3] = [
    &["--gets", "fan.quorum"],
    &[
        "--queues",
        "work,tx,limit,single,exclusive,fan.classic,expired,late",
    ],
    &["--queues", "tx,single,exclusive,expired"],
];

/// Clients at work.
pub(crate) struct QueueLoad {
    /// Begin of the queues' names.
    prefix: String,
    shape: Shape,
    directory: PathBuf,
    clients: Vec<Client>,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Publish,
    Consume,
}

/// A process of clients, and how it is started again.
struct Client {
    role: Role,
    options: Vec<String>,
    process: Process,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Consume => "consume",
        }
    }
}

impl QueueLoad {
    /// Makes the queues, starts all clients, and waits for the first confirms.
    pub(crate) fn start(
        nodes: &impl Served,
        prefix: &str,
        shape: Shape,
        directory: &Path,
    ) -> Result<Self> {
        let directory = directory.join(prefix);
        std::fs::create_dir_all(&directory)?;
        let mut load = Self {
            prefix: prefix.to_owned(),
            shape,
            directory,
            clients: Vec::new(),
        };
        let setup = load.command(nodes, "setup", &[])?;
        run_to_its_end(&load.directory, "setup", setup, SET_UP_LIMIT)?;
        for number in 0..shape.producers {
            let options = ["--turn".to_owned(), number.to_string()];
            load.add(nodes, Role::Publish, &format!("p{number}"), &options)?;
        }
        load.wait_for_acks(1)?;
        for (number, words) in CONSUMERS.iter().enumerate() {
            let options: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            load.add(nodes, Role::Consume, &format!("c{number}"), &options)?;
        }
        load.wait_for_consumers()?;
        Ok(load)
    }

    fn add(
        &mut self,
        nodes: &impl Served,
        role: Role,
        name: &str,
        options: &[String],
    ) -> Result<()> {
        let command = self.command(nodes, role.word(), options)?;
        self.clients.push(Client {
            role,
            options: options.to_vec(),
            process: Process::start(&self.directory, name, command)?,
        });
        Ok(())
    }

    fn command(&self, nodes: &impl Served, role: &str, options: &[String]) -> Result<Command> {
        let mut command = driver(nodes, "queues.py")?;
        command
            .args([role, "--nodes", &nodes.amqp().join(",")])
            .args(["--prefix", &self.prefix])
            .args(["--rate", &self.shape.rate.to_string()])
            .args(["--value-bytes", &self.shape.value_bytes.to_string()])
            .args(options);
        Ok(command)
    }

    /// Where the history is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The node that leads one of the queues.
    pub(super) fn leader(&self, cluster: &Cluster, moments: &mut Moments) -> Result<usize> {
        let queue = moments.pick(&STRUCK).context("there are queues")?;
        cluster.leader_of(&format!("{}.{queue}", self.prefix), 0)
    }

    /// Waits until each publisher has `count` more confirms of every address.
    pub(crate) fn wait_for_acks(&mut self, count: u64) -> Result<()> {
        let targets: Vec<_> = self
            .of_role(Role::Publish)
            .map(|process| process.acked() + count)
            .collect();
        for (process, target) in self.of_role(Role::Publish).zip(targets) {
            stop::wait_for("confirms of every address", PROGRESS_LIMIT, || {
                process.ensure_alive()?;
                Ok((process.acked() >= target).then_some(()))
            })?;
        }
        Ok(())
    }

    /// Waits until each consumer gets new messages of every queue that it does not wait for; gives
    /// how long that took.
    pub(crate) fn wait_for_consumers(&mut self) -> Result<Duration> {
        let started = Instant::now();
        let before: Vec<_> = self.last_deliveries();
        let mut stuck = String::new();
        let waited = stop::wait_for("consumers to go on", CONSUMER_LIMIT, || {
            self.of_role(Role::Consume)
                .try_for_each(Process::ensure_alive)?;
            let found = find_stuck(&before, &self.last_deliveries());
            stuck = found.clone().unwrap_or_default();
            Ok(found.is_none().then_some(()))
        });
        waited.with_context(|| format!("nothing from {stuck}"))?;
        Ok(started.elapsed())
    }

    /// When each client has got something of each queue last.
    fn last_deliveries(&self) -> Vec<BTreeMap<u32, u64>> {
        let clients = self.clients.iter().map(|client| &client.process.positions);
        clients
            .map(|positions| positions.lock().expect("no panic holds it").clone())
            .collect()
    }

    /// kill -9 of one client; it comes back at once.
    pub(crate) fn kill_a_client(
        &mut self,
        nodes: &impl Served,
        moments: &mut Moments,
    ) -> Result<()> {
        let indexes: Vec<_> = (0..self.clients.len()).collect();
        let index = moments.pick(&indexes).context("there are clients")?;
        let client = &self.clients[index];
        let command = self.command(nodes, client.role.word(), &client.options)?;
        self.clients[index].process.kill_and_return(command)
    }

    fn of_role(&mut self, role: Role) -> impl Iterator<Item = &mut Process> {
        let clients = self.clients.iter_mut().filter(move |it| it.role == role);
        clients.map(|client| &mut client.process)
    }

    /// Stops publishing, waits for the last confirms, and ends all consumers.
    pub(crate) fn finish(&mut self) -> Result<()> {
        for role in [Role::Publish, Role::Consume] {
            self.of_role(role)
                .try_for_each(|process| process.finish(FINISH_LIMIT))?;
        }
        Ok(())
    }

    /// Connections that clients lost, and the like.
    pub(crate) fn errors(&self) -> u64 {
        let clients = self.clients.iter();
        clients.map(|client| client.process.errors()).sum()
    }

    /// How often publishers were told to wait.
    pub(super) fn blocks(&self) -> u64 {
        let clients = self.clients.iter();
        clients.map(|client| client.process.blocks()).sum()
    }

    /// Empties all queues and judges the history.
    pub(crate) fn judge(&self, nodes: &impl Served) -> Result<Verdict> {
        let drain = self.command(nodes, "drain", &[])?;
        run_to_its_end(&self.directory, "final", drain, DRAIN_LIMIT)?;
        Ok(queue_history::check(&Record::read(&self.directory)?))
    }
}

/// A queue that delivers nothing to anybody any more, or to one that it did deliver to.
fn find_stuck(before: &[BTreeMap<u32, u64>], now: &[BTreeMap<u32, u64>]) -> Option<String> {
    let newest = |of: &[BTreeMap<u32, u64>], queue| {
        let times = of.iter().filter_map(|times| times.get(&queue).copied());
        times.max()
    };
    let of_all = (0..CONSUMED_QUEUES).find(|queue| newest(now, *queue) <= newest(before, *queue));
    if let Some(queue) = of_all {
        return Some(format!("queue {queue}, to anybody"));
    }
    before
        .iter()
        .zip(now)
        .zip(0..)
        .find_map(|((before, now), client)| {
            let mut shared = before.iter().filter(|(queue, _)| !ALONE.contains(queue));
            let stuck = shared.find(|(queue, time_ns)| now.get(queue) <= Some(time_ns));
            stuck.map(|(queue, _)| format!("queue {queue}, to client {client}"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(times: &[(u32, u64)]) -> BTreeMap<u32, u64> {
        times.iter().copied().collect()
    }

    #[test]
    fn a_consumer_that_gets_nothing_any_more_is_stuck_unless_it_waits_for_its_turn() {
        let all: Vec<_> = (0..CONSUMED_QUEUES).map(|queue| (queue, 1)).collect();
        let later: Vec<_> = (0..CONSUMED_QUEUES).map(|queue| (queue, 2)).collect();
        let before = [at(&all), at(&[(0, 1), (ALONE[0], 1)])];
        let now = |other: &[(u32, u64)]| [at(&later), at(other)];
        assert_eq!(find_stuck(&before, &now(&[(0, 2), (ALONE[0], 1)])), None);
        let stuck = find_stuck(&before, &now(&[(0, 1), (ALONE[0], 1)]));
        assert_eq!(stuck.as_deref(), Some("queue 0, to client 1"));
        assert!(find_stuck(&before, &before).is_some());
    }
}
