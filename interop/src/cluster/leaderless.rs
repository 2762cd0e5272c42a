//! A cluster that loses its leaders, for campaigns of clients.

use super::nodes::{Cluster, Served};
use crate::stop;
use crate::target::Target;
use anyhow::{Context, Result};
use std::time::Duration;

/// A killed leader stays away for so long: another one is elected and takes writes.
const ABSENCE: Duration = Duration::from_millis(1_500);
/// Enough for an election, the killed node's return, and all replicas to have caught up.
const TIME_PER_KILL: Duration = Duration::from_secs(8);

/// A cluster of which one node at most is away.
pub(crate) struct Leaderless {
    cluster: Cluster,
    away: Option<usize>,
}

impl Leaderless {
    /// A whole cluster.
    pub(crate) fn new(cluster: Cluster) -> Self {
        Self {
            cluster,
            away: None,
        }
    }
}

impl Target for Leaderless {
    fn address(&self) -> String {
        self.cluster.bootstrap()
    }

    fn amqp(&self) -> Vec<String> {
        self.cluster.amqp()
    }

    fn kill(&mut self, topic: &str) -> Result<()> {
        let leader = self.cluster.leader_of(topic, 0)?;
        self.cluster.members[leader].ensure_alive()?;
        self.cluster.members[leader].kill()?;
        self.away = Some(leader);
        Ok(())
    }

    fn time_per_kill(&self) -> Duration {
        TIME_PER_KILL
    }

    fn restart(&mut self) -> Result<()> {
        stop::sleep(ABSENCE)?;
        let away = self.away.take().context("a node was killed")?;
        self.cluster.restart(away)?;
        self.cluster.wait_until_whole()
    }

    fn restart_ms(&self) -> (u128, u128) {
        let members = self.cluster.members.iter();
        let mut times: Vec<_> = members.flat_map(|member| member.restarts()).collect();
        times.sort();
        let at = |index: usize| times.get(index).map_or(0, |time| time.as_millis());
        (at(times.len() / 2), at(times.len().saturating_sub(1)))
    }
}
