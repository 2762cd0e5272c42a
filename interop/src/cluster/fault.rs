//! The faults: how each is struck and how it is healed.

use super::member::Member;
use super::network::{Drop, Network};
use super::nodes::Cluster;
use super::strace::Strace;
use crate::moments::Moments;
use crate::stop;
use anyhow::{Context, Result};
use rustix::process::Signal;
use std::time::Duration;

/// How long after a power cut its processes are still there, at most.
const MAX_AFTERLIFE_MS: u64 = 40;
/// A node must have given up this long after its disk began to fail.
const FAIL_STOP_LIMIT: Duration = Duration::from_secs(20);
/// A node that is asked to stop has stopped this long after.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// What a slow disk adds to each sync, in microseconds.
const SLOW_SYNC_US: u64 = 100_000;
const SHORT_MS: (u64, u64) = (100, 1_000);
const PAUSE_MS: (u64, u64) = (1_000, 10_000);
/// Long enough for the files made in advance to be used up.
const FULL_MS: (u64, u64) = (3_000, 6_000);
const LONG_MS: (u64, u64) = (1_000, 3_000);

/// What can happen to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fault {
    /// kill -9 of the node that leads a partition.
    KillLeader,
    /// kill -9 of any node.
    Kill,
    /// kill -9 of all nodes at once.
    KillAll,
    /// SIGTERM of each node in turn, each back before the next goes.
    Restart,
    /// SIGSTOP of the node that leads a partition, for 1 to 10 seconds.
    Pause,
    /// Power cut of one node.
    CutOne,
    /// Power cut of two of three nodes.
    CutMajority,
    /// Power cut of all nodes.
    CutAll,
    /// One node is cut off from the others, every other time from clients too.
    Partition,
    /// One node does not hear the others, or is not heard.
    OneWay,
    /// Two nodes do not hear each other; the third hears both.
    Bridge,
    /// The disk of one node is full, every third time those of all.
    DiskFull,
    /// Every sync of one node takes 100 ms more.
    SlowDisk,
    /// Writes and syncs of one node fail with EIO.
    DiskError,
}

/// Something that has to be healed.
pub(super) enum Wound {
    Killed(usize),
    Paused(usize),
    PowerCut(Vec<usize>),
    Filtered(Vec<usize>),
    Full(Vec<usize>),
    Slow(Strace),
    Failing(usize, Strace),
}

/// A struck cluster: who was hit, and how.
#[derive(Default)]
pub(super) struct Wounds {
    wounds: Vec<Wound>,
    hit: Vec<usize>,
}

impl Fault {
    /// Whether those who are not hit must go on by themselves, within seconds. A pause may be too
    /// short for that, and a node whose disk is full or slow still leads.
    pub(super) fn spares_a_majority(self) -> bool {
        match self {
            Self::KillLeader
            | Self::Kill
            | Self::CutOne
            | Self::Partition
            | Self::OneWay
            | Self::Bridge
            | Self::DiskError => true,
            Self::KillAll
            | Self::Restart
            | Self::Pause
            | Self::CutMajority
            | Self::CutAll
            | Self::DiskFull
            | Self::SlowDisk => false,
        }
    }

    /// Whether transactions go on as well. Across a bridge a coordinator may not reach the leader
    /// of a partition, and its transactions end once it does.
    pub(super) fn spares_transactions(self) -> bool {
        self.spares_a_majority() && self != Self::Bridge
    }

    /// How long it lasts.
    pub(super) fn duration(self, moments: &mut Moments) -> Duration {
        let (min_ms, max_ms) = match self {
            Self::KillLeader
            | Self::Kill
            | Self::KillAll
            | Self::Restart
            | Self::CutOne
            | Self::CutMajority
            | Self::CutAll
            | Self::DiskError => SHORT_MS,
            // The shorter of two draws: long pauses are rare, but there are some.
            Self::Pause => {
                let (min_ms, max_ms) = PAUSE_MS;
                let first = moments.between(min_ms, max_ms);
                return first.min(moments.between(min_ms, max_ms));
            }
            Self::DiskFull => FULL_MS,
            Self::Partition | Self::OneWay | Self::Bridge | Self::SlowDisk => LONG_MS,
        };
        moments.between(min_ms, max_ms)
    }

    /// Hits the cluster. `leader` leads a partition under load.
    pub(super) fn strike(
        self,
        cluster: &mut Cluster,
        leader: usize,
        moments: &mut Moments,
        wounds: &mut Wounds,
    ) -> Result<()> {
        let free: Vec<_> = (0..cluster.members.len())
            .filter(|index| !wounds.hit.contains(index))
            .collect();
        let any = moments.pick(&free).context("a node is left to hit")?;
        let leader = if free.contains(&leader) { leader } else { any };
        match self {
            Self::KillLeader => wounds.kill(cluster, &[leader])?,
            Self::Kill => wounds.kill(cluster, &[any])?,
            Self::KillAll => wounds.kill(cluster, &free)?,
            Self::Restart => restart_in_turn(cluster, &free)?,
            Self::Pause => {
                cluster.members[leader].signal(Signal::STOP)?;
                wounds.add(Wound::Paused(leader), &[leader]);
            }
            Self::CutOne => wounds.cut_power(cluster, &[any], moments)?,
            Self::CutMajority => {
                let spared = any;
                let cut: Vec<_> = free.into_iter().filter(|n| *n != spared).collect();
                wounds.cut_power(cluster, &cut, moments)?;
            }
            Self::CutAll => wounds.cut_power(cluster, &free, moments)?,
            Self::Partition | Self::OneWay | Self::Bridge => {
                let victim = moments.pick(&[leader, any]).unwrap_or(any);
                let drops = self.drops(cluster.members.len(), victim, moments);
                cluster.network()?.drop_at(victim, &drops)?;
                wounds.add(Wound::Filtered(vec![victim]), &[]);
            }
            Self::DiskFull => {
                let full = match moments.draw(3) {
                    0 => free,
                    _ => vec![moments.pick(&[leader, any]).unwrap_or(any)],
                };
                wounds.add(Wound::Full(full.clone()), &full);
                for index in &full {
                    cluster.members[*index].set_full(true)?;
                }
            }
            Self::SlowDisk => {
                let victim = moments.pick(&[leader, any]).unwrap_or(any);
                let inject = format!("fdatasync,fsync:delay_enter={SLOW_SYNC_US}");
                let strace = cluster.members[victim].trace(&inject)?;
                wounds.add(Wound::Slow(strace), &[victim]);
            }
            Self::DiskError => {
                let victim = moments.pick(&[leader, any]).unwrap_or(any);
                let from = 1 + moments.draw(20);
                let inject = format!("fdatasync,fsync,pwrite64,pwritev:error=EIO:when={from}+");
                let strace = cluster.members[victim].trace(&inject)?;
                wounds.add(Wound::Failing(victim, strace), &[victim]);
            }
        }
        Ok(())
    }

    /// What a victim drops, one node of `count`.
    fn drops(self, count: usize, victim: usize, moments: &mut Moments) -> Vec<Drop> {
        let peers: Vec<_> = (0..count).filter(|peer| *peer != victim).collect();
        let both = |peer: usize| [Drop::From(peer), Drop::To(peer)];
        match self {
            Self::OneWay if moments.draw(2) == 0 => peers.into_iter().map(Drop::From).collect(),
            Self::OneWay => peers.into_iter().map(Drop::To).collect(),
            Self::Bridge => moments.pick(&peers).into_iter().flat_map(both).collect(),
            Self::Partition
            | Self::KillLeader
            | Self::Kill
            | Self::KillAll
            | Self::Restart
            | Self::Pause
            | Self::CutOne
            | Self::CutMajority
            | Self::CutAll
            | Self::DiskFull
            | Self::SlowDisk
            | Self::DiskError => {
                let mut drops: Vec<_> = peers.into_iter().flat_map(both).collect();
                drops.extend((moments.draw(2) == 0).then_some(Drop::Clients));
                drops
            }
        }
    }
}

fn restart_in_turn(cluster: &mut Cluster, nodes: &[usize]) -> Result<()> {
    for index in nodes {
        let member = &mut cluster.members[*index];
        member.ensure_alive()?;
        member.signal(Signal::TERM)?;
        member.wait_for_end("a node to stop when it is asked to", STOP_LIMIT)?;
        cluster.restart(*index)?;
        // Beside another fault the cluster may not become whole before that one is healed.
        if nodes.len() == cluster.members.len() {
            cluster.wait_until_whole()?;
        }
    }
    Ok(())
}

impl Wounds {
    fn add(&mut self, wound: Wound, hit: &[usize]) {
        self.wounds.push(wound);
        self.hit.extend(hit);
    }

    fn kill(&mut self, cluster: &mut Cluster, nodes: &[usize]) -> Result<()> {
        for index in nodes {
            cluster.members[*index].ensure_alive()?;
        }
        for index in nodes {
            cluster.members[*index].kill()?;
            self.add(Wound::Killed(*index), &[*index]);
        }
        Ok(())
    }

    fn cut_power(
        &mut self,
        cluster: &mut Cluster,
        nodes: &[usize],
        moments: &mut Moments,
    ) -> Result<()> {
        for index in nodes {
            cluster.members[*index].ensure_alive()?;
        }
        self.add(Wound::PowerCut(nodes.to_vec()), nodes);
        for index in nodes {
            cluster.members[*index].cut_power()?;
        }
        stop::sleep(moments.next(MAX_AFTERLIFE_MS))?;
        for index in nodes {
            cluster.members[*index].kill()?;
        }
        Ok(())
    }

    /// Heals everything, in the order in which it was struck, and waits until all nodes are ready.
    pub(super) fn heal(self, cluster: &mut Cluster) -> Result<()> {
        for wound in self.wounds {
            wound.heal(cluster)?;
        }
        // Only now: without a majority of them none may be ready.
        cluster
            .members
            .iter_mut()
            .try_for_each(Member::wait_until_ready)
    }
}

impl Wound {
    fn heal(self, cluster: &mut Cluster) -> Result<()> {
        match self {
            Self::Killed(index) => cluster.relaunch(index),
            Self::Paused(index) => cluster.members[index].signal(Signal::CONT),
            Self::PowerCut(nodes) => {
                for index in &nodes {
                    cluster.members[*index].power_on()?;
                }
                nodes
                    .into_iter()
                    .try_for_each(|index| cluster.relaunch(index))
            }
            Self::Filtered(nodes) => {
                let network: &Network = cluster.network()?;
                nodes.into_iter().try_for_each(|index| network.heal(index))
            }
            Self::Full(nodes) => nodes
                .into_iter()
                .try_for_each(|index| cluster.members[index].set_full(false)),
            Self::Slow(strace) => strace.detach(),
            Self::Failing(index, strace) => {
                cluster.members[index]
                    .wait_for_end("a node to stop when its disk fails", FAIL_STOP_LIMIT)?;
                strace.detach()?;
                cluster.relaunch(index)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_spares_one_peer_and_a_partition_none() {
        let mut moments = Moments::from_seed(3);
        for victim in 0..3 {
            let bridge = Fault::Bridge.drops(3, victim, &mut moments);
            assert_eq!(bridge.len(), 2, "{bridge:?}");
            let partition = Fault::Partition.drops(3, victim, &mut moments);
            assert!(partition.len() >= 4, "{partition:?}");
            let one_way = Fault::OneWay.drops(3, victim, &mut moments);
            assert_eq!(one_way.len(), 2, "{one_way:?}");
            assert!(!partition.contains(&Drop::From(victim)));
        }
    }
}
