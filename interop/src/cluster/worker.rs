//! One client of a load on topics.

use super::nodes::{Cluster, driver};
use super::process::{Process, run_to_its_end};
use anyhow::Result;
use std::path::Path;
use std::process::Command;
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

/// A running client.
pub(super) struct Worker {
    /// What it does.
    pub role: Role,
    /// Where.
    pub lane: Lane,
    /// Its process.
    pub process: Process,
    options: Vec<String>,
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
        let command = command(cluster, role, lane, &options)?;
        Ok(Self {
            role,
            lane: lane.clone(),
            process: Process::start(directory, name, command)?,
            options,
        })
    }

    /// kill -9, and another one takes its place.
    pub(super) fn kill_and_return(&mut self, cluster: &Cluster) -> Result<()> {
        let command = command(cluster, self.role, &self.lane, &self.options)?;
        self.process.kill_and_return(command)
    }
}

fn command(cluster: &Cluster, role: Role, lane: &Lane, options: &[String]) -> Result<Command> {
    let mut command = driver(cluster, "history.py")?;
    command
        .arg(role.word())
        .args(words(cluster, lane))
        .args(options);
    Ok(command)
}

/// Reads a topic to its end, from its begin, into the history, as `name`.
pub(super) fn read_all(
    cluster: &Cluster,
    directory: &Path,
    lane: &Lane,
    name: &str,
    (options, limit): (&[String], Duration),
) -> Result<()> {
    let mut command = driver(cluster, "history.py")?;
    command
        .arg("final")
        .args(words(cluster, lane))
        .args(options);
    run_to_its_end(directory, name, command, limit)
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
