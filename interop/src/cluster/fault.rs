//! The faults: how each is struck and how it is healed.

use super::bit_flip::Flip;
use super::member::{Member, Started};
use super::network::{Drop, Network};
use super::nodes::{Apart, Cluster};
use super::strace::Strace;
use super::wall_clock::{self, WallClock};
use crate::memory_group::MemoryGroup;
use crate::moments::Moments;
use crate::stop;
use anyhow::{Context, Result, ensure};
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
/// By how much wall clocks are set wrong, in seconds: an hour or a day, forwards or back.
const OFF_S: [i64; 4] = [3_600, -3_600, 86_400, -86_400];
/// What a node ends with when its storage is damaged.
const STORAGE_STATUS: i32 = 3;

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
    /// The wall clock of one node, every third time those of all, jumps by an hour or a day,
    /// forwards or back, and later to what it should be.
    ClockJump,
    /// Every node may use 256 MiB of memory, from its start on, and much comes in.
    MemoryLimit,
    /// One bit of a file of one node is turned while it is down.
    BitFlip,
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
    Jumped(Vec<usize>),
    Confined(Vec<usize>),
    Flipped(usize, Flip),
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
            | Self::DiskError
            | Self::BitFlip => true,
            Self::KillAll
            | Self::Restart
            | Self::Pause
            | Self::CutMajority
            | Self::CutAll
            | Self::DiskFull
            | Self::SlowDisk
            | Self::ClockJump
            | Self::MemoryLimit => false,
        }
    }

    /// What each node has to have for itself.
    pub(super) fn needs(self) -> Apart {
        Apart {
            clock: self == Self::ClockJump,
            memory: self == Self::MemoryLimit,
        }
    }

    /// Why it cannot be struck here, if so.
    pub(super) fn obstacle(self) -> Option<&'static str> {
        let needs = self.needs();
        let clock = needs.clock.then(WallClock::obstacle).flatten();
        clock.or_else(|| needs.memory.then(MemoryGroup::obstacle).flatten())
    }

    /// Whether it is felt under large messages only.
    pub(super) fn wants_much(self) -> bool {
        matches!(self, Self::DiskFull | Self::MemoryLimit)
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
            | Self::DiskError
            | Self::BitFlip => SHORT_MS,
            // The shorter of two draws: long pauses are rare, but there are some.
            Self::Pause => {
                let (min_ms, max_ms) = PAUSE_MS;
                let first = moments.between(min_ms, max_ms);
                return first.min(moments.between(min_ms, max_ms));
            }
            Self::DiskFull | Self::MemoryLimit => FULL_MS,
            Self::Partition | Self::OneWay | Self::Bridge | Self::SlowDisk | Self::ClockJump => {
                LONG_MS
            }
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
        let one_or_all = |moments: &mut Moments| match moments.draw(3) {
            0 => free.clone(),
            _ => vec![moments.pick(&[leader, any]).unwrap_or(any)],
        };
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
                let cut: Vec<_> = free.iter().copied().filter(|n| *n != any).collect();
                wounds.cut_power(cluster, &cut, moments)?;
            }
            Self::CutAll => wounds.cut_power(cluster, &free, moments)?,
            Self::Partition | Self::OneWay | Self::Bridge => {
                let victim = moments.pick(&[leader, any]).unwrap_or(any);
                let drops = self.drops(cluster.members.len(), victim, moments);
                cluster.network()?.drop_at(victim, &drops)?;
                wounds.add(Wound::Filtered(vec![victim]), &[]);
            }
            Self::DiskFull => wounds.fill(cluster, &one_or_all(moments))?,
            Self::SlowDisk => {
                let inject = format!("fdatasync,fsync:delay_enter={SLOW_SYNC_US}");
                let victim = moments.pick(&[leader, any]).unwrap_or(any);
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
            Self::ClockJump => {
                let off = one_or_all(moments);
                wounds.set_clocks_off(cluster, &off, moments)?;
            }
            Self::MemoryLimit => wounds.add(Wound::Confined(free.clone()), &free),
            Self::BitFlip => wounds.flip_a_bit(cluster, any, moments)?,
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
            | Self::DiskError
            | Self::ClockJump
            | Self::MemoryLimit
            | Self::BitFlip => {
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

    fn fill(&mut self, cluster: &Cluster, nodes: &[usize]) -> Result<()> {
        self.add(Wound::Full(nodes.to_vec()), nodes);
        let mut nodes = nodes.iter();
        nodes.try_for_each(|index| cluster.members[*index].set_full(true))
    }

    fn set_clocks_off(
        &mut self,
        cluster: &Cluster,
        nodes: &[usize],
        moments: &mut Moments,
    ) -> Result<()> {
        let off_s = moments.pick(&OFF_S).context("there are some")?;
        self.add(Wound::Jumped(nodes.to_vec()), nodes);
        for index in nodes {
            cluster.members[*index].clock()?.set_off(off_s)?;
        }
        stop::sleep(wall_clock::FELT_AFTER)
    }

    /// A node is stopped, or killed, and a bit of what it keeps is turned.
    fn flip_a_bit(
        &mut self,
        cluster: &mut Cluster,
        victim: usize,
        moments: &mut Moments,
    ) -> Result<()> {
        let member = &mut cluster.members[victim];
        member.ensure_alive()?;
        if moments.draw(2) == 0 {
            member.kill()?;
        } else {
            member.signal(Signal::TERM)?;
            member.wait_for_end("a node to stop when it is asked to", STOP_LIMIT)?;
        }
        let flip = member.flip_a_bit(moments)?;
        self.add(Wound::Flipped(victim, flip), &[victim]);
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
            Self::Jumped(nodes) => {
                for index in nodes {
                    cluster.members[index].clock()?.set_off(0)?;
                }
                stop::sleep(wall_clock::FELT_AFTER)
            }
            Self::Confined(nodes) => {
                for index in nodes {
                    let memory = cluster.members[index].memory()?;
                    let killed_count = memory.killed_count()?;
                    ensure!(killed_count == 0, "a node was killed for its memory");
                }
                Ok(())
            }
            Self::Flipped(index, flip) => start_damaged(cluster, index, &flip),
        }
    }
}

/// Starts a node with a turned bit. Where it refuses, it must say which file is damaged; then that
/// is put right. Where it serves, the damage stays.
fn start_damaged(cluster: &mut Cluster, index: usize, flip: &Flip) -> Result<()> {
    cluster.relaunch(index)?;
    let started = cluster.members[index]
        .wait_until_ready_or_refused()
        .with_context(|| flip.to_string())?;
    let is_refused = match started {
        Started::Ready => false,
        Started::Refused(status, words) => {
            let words_in_one = words.join("\n");
            ensure!(
                status.code() == Some(STORAGE_STATUS) && flip.is_named_in(&words),
                "{flip}: {status}, without the file's name:\n{words_in_one}"
            );
            flip.turn()?;
            cluster.relaunch(index)?;
            true
        }
    };
    let answer = if is_refused { "refused" } else { "served" };
    println!("bit-flip: {flip}: {answer}");
    cluster.flips.add(flip.kind, is_refused);
    Ok(())
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
