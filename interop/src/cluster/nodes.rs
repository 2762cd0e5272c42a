//! A cluster under test: several nodes of one binary, and the questions a campaign has for them.

use super::bit_flip::Tally;
use super::member::{Addresses, Member, Surroundings};
use super::network::Network;
use super::status::Status;
use super::wall_clock::WallClock;
use crate::image::{FileSystem, Image};
use crate::memory_group::MemoryGroup;
use crate::node::{self, Node, free_address};
use crate::place;
use crate::stop;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Time a cluster has to be whole again.
pub(super) const SETTLE_LIMIT: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(50);
/// Every group has this many replicas, where there are as many nodes.
const REPLICAS: usize = 3;
const KAFKA_PORT: u16 = 9092;
const AMQP_PORT: u16 = 5672;
const PEER_PORT: u16 = 9192;
const STATUS_LIMIT: Duration = Duration::from_secs(5);

/// Where a cluster's nodes live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// On the loopback interface, with their data side by side.
    Loopback,
    /// Each in a network namespace and on a file system of its own.
    Apart(FileSystem),
}

/// Options of `serve` beside those that make the cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServeOptions {
    /// Of the node that founds the cluster, when it does; no other node may have them.
    pub(crate) founder: Vec<String>,
    /// Of each node, whenever it starts.
    pub(crate) every: Vec<String>,
    /// What stands between each node and the system.
    pub(crate) apart: Apart,
}

impl ServeOptions {
    /// With what nodes are told that have little memory.
    fn with_settings(mut self) -> Self {
        if self.apart.memory {
            self.every.extend(MemoryGroup::small_options());
        }
        self
    }
}

/// What each node has for itself, beside its network and its disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Apart {
    /// A wall clock.
    pub(crate) clock: bool,
    /// Little memory: a group of the kernel's that limits it.
    pub(crate) memory: bool,
}

/// Running nodes; all that was made for them goes when it is dropped.
pub(crate) struct Cluster {
    binary: PathBuf,
    // Before the network: a process keeps its namespace.
    pub(super) members: Vec<Member>,
    network: Option<Network>,
    serve_options: ServeOptions,
    /// What came of bits that were turned.
    pub(super) flips: Tally,
}

#[derive(Deserialize)]
struct Metadata {
    brokers: Vec<Broker>,
    topics: Vec<Topic>,
}

#[derive(Deserialize)]
struct Broker {
    id: i64,
    name: String,
}

#[derive(Deserialize)]
struct Topic {
    topic: String,
    partitions: Vec<Partition>,
}

#[derive(Deserialize)]
struct Partition {
    partition: u32,
    leader: i64,
}

impl Cluster {
    /// A cluster of `count` nodes, whole and settled.
    pub(crate) fn start(
        binary: &Path,
        directory: &Path,
        ground: Ground,
        count: usize,
        serve_options: ServeOptions,
    ) -> Result<Self> {
        let mut cluster = Self::lay_out(binary, directory, ground, count, serve_options)?;
        for index in 0..count {
            cluster.add(index)?;
        }
        cluster.wait_until_whole()?;
        Ok(cluster)
    }

    /// Room for `count` nodes, none of which is started.
    pub(crate) fn lay_out(
        binary: &Path,
        directory: &Path,
        ground: Ground,
        count: usize,
        serve_options: ServeOptions,
    ) -> Result<Self> {
        let network = match ground {
            Ground::Loopback => None,
            Ground::Apart(_) => Some(Network::create(count)?),
        };
        let mut cluster = Self {
            binary: binary.to_owned(),
            members: Vec::new(),
            network,
            serve_options: serve_options.with_settings(),
            flips: Tally::default(),
        };
        for index in 0..count {
            let name = format!("node-{}", index + 1);
            let at = |port: u16| match ground {
                Ground::Loopback => free_address(),
                Ground::Apart(_) => Ok(format!("{}:{port}", Network::host(index))),
            };
            let addresses = Addresses {
                kafka: at(KAFKA_PORT)?,
                amqp: at(AMQP_PORT)?,
                peer: at(PEER_PORT)?,
            };
            let image = match ground {
                Ground::Loopback => None,
                Ground::Apart(file_system) => Some(Image::create(file_system, directory, &name)?),
            };
            let apart = cluster.serve_options.apart;
            let surroundings = Surroundings {
                clock: apart
                    .clock
                    .then(|| WallClock::at(directory.join(format!("{name}.clock"))))
                    .transpose()?,
                memory: apart.memory.then(MemoryGroup::small).transpose()?,
            };
            let member = Member::new(directory, &name, addresses, image, surroundings);
            cluster.members.push(member);
        }
        Ok(cluster)
    }

    /// The first node founds the cluster, every other joins it.
    pub(crate) fn add(&mut self, index: usize) -> Result<()> {
        let founder = self.members.iter().find(|member| member.is_started());
        let (flag, with) = match founder {
            None => ("--init", None),
            Some(member) => ("--join", Some(member.at.peer.clone())),
        };
        let mut more = vec![flag.to_owned()];
        match with {
            Some(address) => more.push(address),
            None => more.extend(self.serve_options.founder.clone()),
        }
        self.launch(index, &more)?;
        self.members[index].wait_until_ready()
    }

    /// Starts a node again, which may need others to be ready.
    pub(crate) fn relaunch(&mut self, index: usize) -> Result<()> {
        self.launch(index, &[])
    }

    /// Starts a node again, and waits until it is ready.
    pub(crate) fn restart(&mut self, index: usize) -> Result<()> {
        self.relaunch(index)?;
        self.members[index].wait_until_ready()
    }

    /// Addresses for clients.
    pub(crate) fn bootstrap(&self) -> String {
        let addresses: Vec<_> = self.members.iter().map(|m| m.at.kafka.as_str()).collect();
        addresses.join(",")
    }

    /// Writes down what nodes and clients know of the cluster, for a person to look at; what cannot
    /// be asked is written down as that.
    pub(crate) fn describe_to(&self, path: &Path) {
        self.tell_state();
        tell_logs(path.parent().unwrap_or(path));
        let mut text = Vec::new();
        for index in self.started() {
            text.extend(format!("node {}\n", index + 1).into_bytes());
            match self.admin(index, &["status"]) {
                Ok(status) => text.extend(status),
                Err(error) => text.extend(format!("{error:#}\n").into_bytes()),
            }
        }
        let mut command = self.client(OsStr::new("kcat"));
        command.args(["-L", "-m", "3", "-b", &self.bootstrap()]);
        match super::run::output(&mut command, STATUS_LIMIT) {
            Ok(output) => text.extend(output.stdout),
            Err(error) => text.extend(format!("{error:#}\n").into_bytes()),
        }
        match std::fs::write(path, text) {
            Ok(()) => eprintln!("the cluster's state is in {}", path.display()),
            Err(error) => eprintln!("{}: {error}", path.display()),
        }
    }

    /// Where only what is printed is left, this has to be enough to go on with.
    fn tell_state(&self) {
        let voters = self.members.len().min(REPLICAS);
        for index in self.started() {
            let lack = match self.status_of(index) {
                Ok(status) => format!(
                    "{}; {}",
                    status
                        .lack(self.started().len(), voters)
                        .unwrap_or_else(|| "nothing lacks".to_owned()),
                    status.leaders()
                ),
                Err(error) => format!("{error:#}"),
            };
            println!("node {}: {lack}", index + 1);
            tell_lines(&self.members[index].last_lines());
        }
    }

    /// The network, where nodes live apart.
    pub(super) fn network(&self) -> Result<&Network> {
        self.network.as_ref().context("the nodes live apart")
    }

    /// What a started node knows of the cluster.
    pub(super) fn status_of(&self, index: usize) -> Result<Status> {
        let output = self.admin(index, &["status"])?;
        serde_json::from_slice(&output).context("`weir cluster status --json`")
    }

    /// Asks a node by `weir cluster ... --json`.
    pub(super) fn admin(&self, index: usize, words: &[&str]) -> Result<Vec<u8>> {
        let mut command = self.client(self.binary.as_os_str());
        command.arg("cluster").args(words);
        command.args(["--json", "--node", &self.members[index].at.peer]);
        let output = super::run::output(&mut command, STATUS_LIMIT)?;
        ensure!(
            output.status.success(),
            "weir cluster {}: {}{}",
            words.join(" "),
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout)
        );
        Ok(output.stdout)
    }

    /// Waits until every started node sees all started nodes, every group led and every replica
    /// caught up.
    pub(crate) fn wait_until_whole(&mut self) -> Result<()> {
        self.wait_until_whole_within(SETTLE_LIMIT, POLL)
    }

    /// The same, with another limit, and another time between two looks: each starts a process.
    pub(crate) fn wait_until_whole_within(
        &mut self,
        limit: Duration,
        poll: Duration,
    ) -> Result<()> {
        let started: Vec<_> = self.started();
        // Two voters would be worse than one: both would have to be there.
        let voters = if started.len() < REPLICAS {
            1
        } else {
            REPLICAS
        };
        let mut lack = String::new();
        let waited = stop::wait_for("the cluster to be whole", limit, || {
            for member in &mut self.members {
                member.ensure_alive()?;
            }
            for index in &started {
                lack = match self.status_of(*index) {
                    Ok(status) => match status.lack(started.len(), voters) {
                        Some(lack) => format!("node {}: {lack}", index + 1),
                        None => continue,
                    },
                    Err(error) => format!("node {}: {error:#}", index + 1),
                };
                stop::sleep(poll)?;
                return Ok(None);
            }
            Ok(Some(()))
        });
        waited.with_context(|| format!("still lacking: {lack}"))
    }

    /// Makes a topic.
    pub(crate) fn create_topic(&self, topic: &str, partitions: u32) -> Result<()> {
        self.create_topic_with(topic, partitions, &[])
    }

    /// Makes a topic with settings `NAME=VALUE`.
    pub(super) fn create_topic_with(
        &self,
        topic: &str,
        partitions: u32,
        settings: &[&str],
    ) -> Result<()> {
        let mut command = self.client(self.binary.as_os_str());
        command.args(["topic", "create", topic, "--bootstrap", &self.bootstrap()]);
        command.args(["--partitions", &partitions.to_string()]);
        let settings = settings.iter().flat_map(|setting| ["--config", setting]);
        place::run(command.args(settings))
    }

    /// What each node has for itself.
    pub(super) fn apart(&self) -> Apart {
        self.serve_options.apart
    }

    /// Admin ports of started nodes, as they have said.
    pub(crate) fn admin_addresses(&self) -> Result<Vec<String>> {
        let started = self.members.iter().filter(|member| member.is_started());
        started.map(Member::admin).collect()
    }

    /// Process ids of running nodes.
    pub(crate) fn pids(&self) -> impl Iterator<Item = u32> {
        self.members.iter().filter_map(Member::pid)
    }

    /// Indexes of nodes with a process.
    pub(super) fn started(&self) -> Vec<usize> {
        (0..self.members.len())
            .filter(|index| self.members[*index].is_started())
            .collect()
    }

    /// The node that leads a partition, as clients are told.
    pub(crate) fn leader_of(&self, topic: &str, partition: u32) -> Result<usize> {
        let limit = SETTLE_LIMIT;
        stop::wait_for("a leader in the metadata", limit, || {
            let leader = self.ask_leader_of(topic, partition).ok();
            if leader.is_none() {
                stop::sleep(POLL)?;
            }
            Ok(leader)
        })
    }

    fn ask_leader_of(&self, topic: &str, partition: u32) -> Result<usize> {
        let mut command = self.client(OsStr::new("kcat"));
        command.args(["-L", "-J", "-m", "3", "-b", &self.bootstrap(), "-t", topic]);
        let output = super::run::output(&mut command, STATUS_LIMIT)?;
        let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
        let leader = metadata
            .topics
            .iter()
            .filter(|known| known.topic == topic)
            .flat_map(|known| &known.partitions)
            .find(|known| known.partition == partition)
            .map(|known| known.leader)
            .context("the partition is known")?;
        let broker = metadata.brokers.iter().find(|broker| broker.id == leader);
        let name = &broker.context("its leader is known")?.name;
        match self
            .members
            .iter()
            .position(|member| member.at.kafka == *name)
        {
            Some(index) => Ok(index),
            None => bail!("{name} is no node of ours"),
        }
    }

    fn launch(&mut self, index: usize, more: &[String]) -> Result<()> {
        let mut command = match &self.network {
            Some(network) => network.on_node(index, self.binary.as_os_str()),
            None => Command::new(&self.binary),
        };
        let member = &mut self.members[index];
        let peer = member.at.peer.clone();
        let mut options = vec!["--cluster", peer.as_str()];
        options.extend(self.serve_options.every.iter().map(String::as_str));
        options.extend(more.iter().map(String::as_str));
        member.launch(&mut command, &options)
    }
}

/// Whoever serves clients: a cluster, or one node.
pub(crate) trait Served {
    /// A program where clients run.
    fn client(&self, program: &OsStr) -> Command;

    /// Addresses for clients of AMQP, one a node.
    fn amqp(&self) -> Vec<String>;
}

impl Served for Cluster {
    fn client(&self, program: &OsStr) -> Command {
        match &self.network {
            Some(network) => network.on_hub(program),
            None => Command::new(program),
        }
    }

    fn amqp(&self) -> Vec<String> {
        self.members.iter().map(|m| m.at.amqp.clone()).collect()
    }
}

impl Served for Node {
    fn client(&self, program: &OsStr) -> Command {
        Command::new(program)
    }

    fn amqp(&self) -> Vec<String> {
        vec![Node::amqp(self).to_owned()]
    }
}

/// Python with librdkafka, running one of our drivers where clients run.
pub(super) fn driver(nodes: &impl Served, script: &str) -> Result<Command> {
    let python = place::python()?;
    let mut command = nodes.client(python.as_os_str());
    command.arg(place::root().join("interop/driver").join(script));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

/// What clients had to say at last, each in a log in `directory`.
fn tell_logs(directory: &Path) {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let lines = node::last_lines(&path);
        if path.extension() == Some(OsStr::new("log")) && !lines.is_empty() {
            println!("{}:", path.display());
            tell_lines(&lines);
        }
    }
}

fn tell_lines(lines: &[String]) {
    for line in lines {
        println!("    {line}");
    }
}
