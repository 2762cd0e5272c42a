//! The cluster as this node sees it: who is there, and who leads what. Leaders tell it all nodes
//! in their beacons, so that a node also knows the groups that it does not carry.

mod beacon;
mod endpoint;
mod epoch;
mod transient;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use weir_log::Millis;
use weir_model::{GroupId, NodeId, Term};
use weir_raft::GroupView;

pub(crate) use self::beacon::is_beacon;
use self::beacon::{Beacon, FULL, SLOW, VERSION, read_beacon, write_view};
use crate::{
    Node,
    api::Endpoint,
    encoding::Writer,
    metadata::{Topology, state::MAX_NODES},
};

/// Time after which a lost node is no broker any more, in ms (Kafka's
/// `broker.session.timeout.ms`).
const FENCED_AFTER_MS: u64 = 9_000;
/// Longest time that a node is doubted for, in ms: by then it is lost, or was heard of again.
const DOUBT_MS: u64 = 1_000;

/// A node as this one sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeHealth {
    /// Whether it answers.
    pub is_up: bool,
    /// Whether it says that its disk is slow.
    pub is_slow: bool,
    /// Whether it says that its disk is full.
    pub is_full: bool,
    /// Last entry of group 0 that it applied, as it says.
    pub metadata_applied: u64,
    /// What tells this run of it from others, as it says; 0: it has not said anything yet.
    pub boot: u64,
}

/// Groups by their leaders' own words, and nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterState {
    /// When nodes that do not answer were lost, by the clock that never jumps.
    lost_at: BTreeMap<NodeId, Millis>,
    /// Nodes whose connection has just ended, and when, by the same clock.
    doubted_at: BTreeMap<NodeId, Millis>,
    /// What is known of each group.
    pub groups: BTreeMap<GroupId, Arc<GroupView>>,
    /// What is known of each node.
    pub nodes: BTreeMap<NodeId, NodeHealth>,
    /// Where clients that speak TLS reach nodes, by their own words. Stays known when a node is lost.
    pub endpoints: BTreeMap<NodeId, Endpoint>,
}

/// What others said, and what this node says of itself.
#[derive(Default)]
pub(crate) struct Views {
    /// A mutex: locked for a reference by readers; writers come some times a second.
    others: Mutex<Arc<ClusterState>>,
    is_slow: AtomicBool,
    is_full: AtomicBool,
}

impl Views {
    fn lock(&self) -> MutexGuard<'_, Arc<ClusterState>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lost node leads nothing any more.
    pub(crate) fn health_changed(&self, node: NodeId, is_up: bool, now: Millis) {
        let mut others = self.lock();
        let others = Arc::make_mut(&mut others);
        others.health_changed(node, is_up);
        if is_up {
            others.lost_at.remove(&node);
        } else if others.nodes.contains_key(&node) {
            // Whoever finds it lost again does not make it younger.
            others.lost_at.entry(node).or_insert(now);
        }
    }

    /// When a node was last lost, or its connection ended, of those that are not back.
    pub(crate) fn last_loss(&self) -> Option<Millis> {
        let others = self.lock();
        let lost = others.lost_at.values().chain(others.doubted_at.values());
        lost.copied().max()
    }

    /// Whoever asks for a doubted node's groups is told that nobody leads them: that node's
    /// clients notice its end as early as this node does, and must not be sent back to it.
    pub(crate) fn link_changed(&self, node: NodeId, is_open: bool, now: Millis) {
        let mut others = self.lock();
        let others = Arc::make_mut(&mut others);
        if is_open {
            others.doubted_at.remove(&node);
        } else if others.nodes.contains_key(&node) {
            others.doubted_at.insert(node, now);
        }
    }
}

impl ClusterState {
    fn health_changed(&mut self, node: NodeId, is_up: bool) {
        if self.nodes.len() >= MAX_NODES && !self.nodes.contains_key(&node) {
            return;
        }
        self.nodes.entry(node).or_default().is_up = is_up;
        self.doubted_at.remove(&node);
        if !is_up {
            self.forget_leader(node, |_| true);
        }
    }

    fn merge(&mut self, from: NodeId, beacon: Beacon, shard_count: u32) {
        let has_room = self.nodes.len() < MAX_NODES;
        match self.nodes.get_mut(&from) {
            // Its connection is gone: what still arrives is old.
            Some(health) if !health.is_up => return,
            Some(health) => {
                health.is_slow = beacon.is_slow;
                health.is_full = beacon.is_full;
                health.metadata_applied = beacon.metadata_applied;
                health.boot = beacon.boot;
            }
            None if !has_room => return,
            None => {
                let health = NodeHealth {
                    is_up: true,
                    is_slow: beacon.is_slow,
                    is_full: beacon.is_full,
                    metadata_applied: beacon.metadata_applied,
                    boot: beacon.boot,
                };
                self.nodes.insert(from, health);
            }
        }
        self.set_endpoint(from, beacon.endpoint);
        let led: BTreeMap<GroupId, GroupView> = beacon.groups.into_iter().collect();
        self.forget_leader(from, |group| !led.contains_key(&group));
        for (group, mut view) in led {
            view.leader = Some(from);
            let is_newer = self
                .groups
                .get(&group)
                .is_none_or(|known| (view.term, view.conf_index) >= (known.term, known.conf_index));
            if group.0 <= shard_count && is_newer {
                self.groups.insert(group, Arc::new(view));
            }
        }
    }

    /// Whether the node does not answer, or may not.
    fn is_away(&self, node: NodeId, now: Millis) -> bool {
        let is_down = self.nodes.get(&node).is_some_and(|health| !health.is_up);
        is_down
            || self
                .doubted_at
                .get(&node)
                .is_some_and(|at| now < at.plus(DOUBT_MS))
    }

    /// Whether `own` and those that it hears of are less than half of `all`.
    fn hears_few<'a>(&self, own: NodeId, all: impl Iterator<Item = &'a NodeId>) -> bool {
        let (mut up_count, mut count) = (0, 0);
        for node in all {
            let is_up = self.nodes.get(node).is_some_and(|health| health.is_up);
            up_count += usize::from(is_up || *node == own);
            count += 1;
        }
        up_count * 2 < count
    }

    /// Who takes part stays known, until another leader says more.
    fn forget_leader(&mut self, node: NodeId, is_over: impl Fn(GroupId) -> bool) {
        for (group, view) in &mut self.groups {
            if view.leader == Some(node) && is_over(*group) {
                let view = Arc::make_mut(view);
                view.leader = None;
                view.followers.clear();
            }
        }
    }
}

impl Node {
    /// Says that this node's disk is slow, or is not any more.
    pub fn set_slow(&self, is_slow: bool) {
        self.views.is_slow.store(is_slow, Ordering::Relaxed);
    }

    /// Says that this node's disk is full, or is not any more.
    pub fn set_full(&self, is_full: bool) {
        self.views.is_full.store(is_full, Ordering::Relaxed);
    }

    /// Whether the disk of a node that answers is full, this one among them: publishers wait at all
    /// nodes then.
    pub(crate) fn is_short_of_disk(&self) -> bool {
        let is_full = |health: &NodeHealth| health.is_up && health.is_full;
        self.views.is_full.load(Ordering::Relaxed) || self.views.lock().nodes.values().any(is_full)
    }

    /// The cluster with this node in it.
    pub fn cluster(&self) -> ClusterState {
        let mut state = ClusterState::clone(&self.views.lock());
        let own = NodeHealth {
            is_up: true,
            is_slow: self.views.is_slow.load(Ordering::Relaxed),
            is_full: self.views.is_full.load(Ordering::Relaxed),
            metadata_applied: self.applied(GroupId::METADATA),
            boot: self.sessions.boot(),
        };
        state.nodes.insert(self.id(), own);
        for group in (0..=self.config.shard_count).map(GroupId) {
            let view = self.choose(group, &state);
            if view.term > Term(0) {
                state.groups.insert(group, view);
            }
        }
        state
    }

    /// The group as its leader describes it, or as this node's replica knows it where that is
    /// newer.
    pub fn view_of(&self, group: GroupId) -> Arc<GroupView> {
        let others = Arc::clone(&self.views.lock());
        self.choose(group, &others)
    }

    /// Who leads the group, and in which term.
    pub fn leader_of(&self, group: GroupId) -> Option<(NodeId, Term)> {
        let view = self.view_of(group);
        view.leader.map(|leader| (leader, view.term))
    }

    /// The group's voters.
    pub fn replicas_of(&self, group: GroupId) -> Vec<NodeId> {
        voters(&self.view_of(group))
    }

    /// Voters that the leader hears of, the leader among them.
    pub fn in_sync_of(&self, group: GroupId) -> Vec<NodeId> {
        in_sync(&self.view_of(group))
    }

    /// The newer of what this node's replica and what its leader say. A leader that is away leads
    /// nobody here.
    fn choose(&self, group: GroupId, others: &ClusterState) -> Arc<GroupView> {
        if let Some(node) = group.transient_node() {
            return self.transient_view(group, node, others);
        }
        let mut view = self.newest(group, others.groups.get(&group));
        let is_away = |leader| leader != self.id() && others.is_away(leader, self.elapsed());
        if view.leader.is_some_and(is_away) {
            let view = Arc::make_mut(&mut view);
            view.leader = None;
            view.followers.clear();
        }
        view
    }

    fn newest(&self, group: GroupId, known: Option<&Arc<GroupView>>) -> Arc<GroupView> {
        let status = self.status(group);
        let (term, leader) = (status.term(), status.leader());
        let is_own = leader == Some(self.id());
        match known {
            Some(known) if known.term > term => Arc::clone(known),
            Some(known) if known.term == term && !is_own && known.leader.is_some() => {
                Arc::clone(known)
            }
            known => {
                let mut view = status.view();
                let own = Arc::make_mut(&mut view);
                if own.term != term || !is_own {
                    own.followers.clear();
                }
                (own.term, own.leader) = (term, leader);
                if let Some(known) = known
                    && own.members.voters.is_empty()
                {
                    own.members = known.members.clone();
                    own.conf_index = known.conf_index;
                }
                view
            }
        }
    }

    /// Whether no other node is known: there is nobody to wait for.
    pub(crate) fn is_alone(&self) -> bool {
        self.identity.addresses.len() <= 1 && self.topology.load().nodes().len() <= 1
    }

    /// Whether this node hears of less than half of all nodes, itself among them.
    pub(crate) fn is_cut_off(&self, topology: &Topology) -> bool {
        let others = Arc::clone(&self.views.lock());
        others.hears_few(self.id(), topology.nodes().keys())
    }

    /// What tells the node's run from others, where it answers and has said so.
    pub(crate) fn boot_of(&self, node: NodeId) -> Option<u64> {
        if node == self.id() {
            return Some(self.sessions.boot());
        }
        let others = self.views.lock();
        let health = others.nodes.get(&node).filter(|health| health.is_up)?;
        Some(health.boot).filter(|boot| *boot != 0)
    }

    pub(crate) fn is_down(&self, node: NodeId) -> bool {
        let others = self.views.lock();
        others.nodes.get(&node).is_some_and(|health| !health.is_up)
    }

    /// Whether the node has been lost for so long that clients are to forget it. Before that,
    /// hearing that a leader is no broker, they would look for the next one less often.
    pub(crate) fn is_fenced(&self, node: NodeId) -> bool {
        let lost_at = self.views.lock().lost_at.get(&node).copied();
        self.is_down(node) && lost_at.is_none_or(|at| self.elapsed().since(at) >= FENCED_AFTER_MS)
    }

    /// What all other nodes are told of this one, several times a second.
    pub fn beacon(&self) -> Bytes {
        let mut writer = Writer::new();
        let led: Vec<GroupId> = (0..=self.config.shard_count)
            .map(GroupId)
            .filter(|group| self.leads(*group))
            .collect();
        writer.u8(VERSION);
        let bit = |is_set: &AtomicBool, bit| u8::from(is_set.load(Ordering::Relaxed)) * bit;
        writer.u8(bit(&self.views.is_slow, SLOW) | bit(&self.views.is_full, FULL));
        writer.u64(self.applied(GroupId::METADATA));
        writer.u64(self.sessions.boot());
        writer.text(self.own_address());
        endpoint::write(&mut writer, self.config.kafka_tls.as_ref());
        writer.count(led.len());
        for group in led {
            writer.u32(group.0);
            write_view(&mut writer, &self.newest(group, None));
        }
        self.own_tally().write(&mut writer);
        writer.finish()
    }

    /// Another node's beacon.
    pub fn take_beacon(&self, from: NodeId, beacon: &Bytes) {
        match read_beacon(beacon) {
            Ok(mut beacon) if from != self.id() => {
                self.learn_address(from, &beacon.address);
                let tally = std::mem::take(&mut beacon.tally);
                let mut others = self.views.lock();
                Arc::make_mut(&mut others).merge(from, beacon, self.config.shard_count);
                // Its connection is gone: what still arrives is old.
                let is_up = others.nodes.get(&from).is_some_and(|health| health.is_up);
                drop(others);
                self.access().heard(from, is_up.then_some(tally));
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%from, %error, "a beacon that cannot be read"),
        }
    }
}

/// The view's voters; the leader where they are not known.
pub(crate) fn voters(view: &GroupView) -> Vec<NodeId> {
    if view.members.voters.is_empty() {
        view.leader.into_iter().collect()
    } else {
        view.members.voters.clone()
    }
}

/// The view's voters that the leader hears of.
pub(crate) fn in_sync(view: &GroupView) -> Vec<NodeId> {
    let is_active = |node: &NodeId| {
        let mut followers = view.followers.iter();
        view.leader == Some(*node)
            || followers.any(|each| each.node == *node && each.is_active && !each.is_behind)
    };
    voters(view).into_iter().filter(is_active).collect()
}

#[cfg(test)]
mod tests;
