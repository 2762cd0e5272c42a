//! What the cluster needs next: a pure function of what is known, in small steps that each leave
//! every group with a majority of its voters up and caught up.
//!
//! Shards want three replicas on active nodes (as many as there are, below three), spread by
//! count; what is there stays where it is. A shard that people want on certain nodes is moved there,
//! replica by replica, and stays. Group 0 wants every active node, up to five of them
//! with a vote, and keeps draining nodes as learners, so that they still know the cluster.

mod leaders;
mod members;
mod shares;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod trial;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weir_model::{GroupId, NodeId};
use weir_raft::{FollowerView, GroupView, MemberChange};

use self::{leaders::Led, shares::Shares};

/// Replicas of a shard.
pub(crate) const SHARD_REPLICA_COUNT: usize = 3;
/// Most voters of the metadata group.
pub(crate) const MAX_METADATA_VOTER_COUNT: usize = 5;
/// Most replicas that catch up at the same time, so that the others have disk and network left.
pub(crate) const MAX_LEARNERS_AT_ONCE_COUNT: usize = 4;
/// Most leaders that move in one round for balance alone.
pub(crate) const MAX_TRANSFERS_AT_ONCE_COUNT: usize = 2;
/// Entries that a replica may lack and still count as caught up: it gets them within moments.
const MAX_LAG_COUNT: u64 = 100;

/// What people want of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It carries its share.
    Active,
    /// It is to carry nothing.
    Draining,
}

/// A node of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeFacts {
    pub(crate) standing: Standing,
    pub(crate) is_up: bool,
    pub(crate) is_slow: bool,
    /// It still leads: those who publish wait, at all nodes, until there is space.
    pub(crate) is_full: bool,
}

/// A group.
#[derive(Clone, Debug)]
pub(crate) struct GroupFacts {
    /// As its leader sees it, or as it was last seen where nobody leads.
    pub(crate) view: Arc<GroupView>,
    /// It had a step a moment ago: what is known of it may be older than that.
    pub(crate) is_resting: bool,
}

/// All that a plan follows from. A node that is not in it was removed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) nodes: BTreeMap<NodeId, NodeFacts>,
    pub(crate) groups: BTreeMap<GroupId, GroupFacts>,
    /// Where people want shards.
    pub(crate) placements: BTreeMap<GroupId, BTreeSet<NodeId>>,
}

/// How much may be under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) learners_at_once: usize,
    pub(crate) transfers_at_once: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            learners_at_once: MAX_LEARNERS_AT_ONCE_COUNT,
            transfers_at_once: MAX_TRANSFERS_AT_ONCE_COUNT,
        }
    }
}

/// What a group's leader is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Change who takes part, in one joint change.
    ChangeMembers(Vec<MemberChange>),
    /// Hand the leadership over.
    Transfer(NodeId),
}

/// One step: at most one per group and plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) group: GroupId,
    pub(crate) leader: NodeId,
    pub(crate) action: Action,
}

/// The next steps.
pub(crate) fn plan(facts: &Facts, limits: Limits) -> Vec<Step> {
    if facts.active_count() == 0 {
        return Vec::new();
    }
    let mut round = Round {
        facts,
        shares: Shares::of(facts),
        led: Led::of(facts),
        free_learners: limits
            .learners_at_once
            .saturating_sub(catching_up_count(facts)),
        steps: BTreeMap::new(),
    };
    for group in facts.groups_at_rest() {
        round.look_after(&group);
    }
    round.move_replicas();
    round.balance_leaders(limits.transfers_at_once);
    round.steps.into_values().collect()
}

/// A plan in the making.
struct Round<'a> {
    facts: &'a Facts,
    shares: Shares,
    led: Led,
    free_learners: usize,
    steps: BTreeMap<GroupId, Step>,
}

impl Round<'_> {
    /// The most urgent step of one group, if any.
    fn look_after(&mut self, group: &Group<'_>) {
        let is_leaving = !self.facts.is_active(group.leader);
        if (is_leaving || self.facts.is_slow(group.leader))
            && let Some(to) = self.successor(group, !is_leaving)
        {
            return self.hand_over(group, to);
        }
        let action = members::drop_learners(self.facts, &self.shares, group)
            .or_else(|| self.change_voters(group))
            .or_else(|| self.add_learners(group));
        match action {
            Some(Action::Transfer(to)) => self.hand_over(group, to),
            Some(action) => self.push(group, action),
            None => {}
        }
    }

    fn hand_over(&mut self, group: &Group<'_>, to: NodeId) {
        self.led.moved(group.leader, to);
        self.push(group, Action::Transfer(to));
    }

    fn push(&mut self, group: &Group<'_>, action: Action) {
        let step = Step {
            group: group.id,
            leader: group.leader,
            action,
        };
        let before = self.steps.insert(group.id, step);
        assert!(before.is_none(), "a group has one step at a time");
    }
}

impl Facts {
    pub(crate) fn is_active(&self, node: NodeId) -> bool {
        let node = self.nodes.get(&node);
        node.is_some_and(|node| node.standing == Standing::Active)
    }

    pub(crate) fn is_up(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|node| node.is_up)
    }

    pub(crate) fn is_slow(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|node| node.is_slow)
    }

    pub(crate) fn active(&self) -> impl Iterator<Item = NodeId> {
        let nodes = self.nodes.keys().copied();
        nodes.filter(|node| self.is_active(*node))
    }

    pub(crate) fn active_count(&self) -> usize {
        self.active().count()
    }

    /// Where people want the group, as long as all those nodes may carry something.
    pub(crate) fn wanted(&self, id: GroupId) -> Option<&BTreeSet<NodeId>> {
        let nodes = self.placements.get(&id)?;
        let is_fit = id != GroupId::METADATA && nodes.iter().all(|node| self.is_active(*node));
        is_fit.then_some(nodes)
    }

    /// Whether people want the group on other nodes than this one.
    pub(crate) fn is_elsewhere(&self, id: GroupId, node: NodeId) -> bool {
        self.wanted(id).is_some_and(|nodes| !nodes.contains(&node))
    }

    /// The group, where somebody leads it who can be reached, or could be a moment ago.
    pub(crate) fn group(&self, id: GroupId) -> Option<Group<'_>> {
        let view = &*self.groups.get(&id)?.view;
        let leader = view.leader?;
        // A node that was removed while it leads is still to hand over.
        let is_lost = self.nodes.get(&leader).is_some_and(|node| !node.is_up);
        let takes_part = view.members.voters.contains(&leader);
        (takes_part && !is_lost).then_some(Group { id, leader, view })
    }

    /// Groups that can take a step.
    fn groups_at_rest(&self) -> impl Iterator<Item = Group<'_>> {
        let resting = |id: &GroupId| self.groups[id].is_resting;
        let ids = self.groups.keys().filter(move |id| !resting(id));
        ids.filter_map(|id| self.group(*id))
            .filter(|group| !group.is_joint())
    }
}

/// A group that somebody leads.
#[derive(Clone, Copy)]
pub(crate) struct Group<'a> {
    pub(crate) id: GroupId,
    pub(crate) leader: NodeId,
    pub(crate) view: &'a GroupView,
}

impl<'a> Group<'a> {
    pub(crate) fn voters(&self) -> &'a [NodeId] {
        &self.view.members.voters
    }

    pub(crate) fn learners(&self) -> &'a [NodeId] {
        &self.view.members.learners
    }

    fn is_joint(&self) -> bool {
        !self.view.members.voters_outgoing.is_empty() || !self.view.members.learners_next.is_empty()
    }

    fn is_metadata(&self) -> bool {
        self.id == GroupId::METADATA
    }

    fn follower(&self, node: NodeId) -> Option<&'a FollowerView> {
        let mut followers = self.view.followers.iter();
        followers.find(|follower| follower.node == node)
    }

    /// Whether the node's replica has all that matters, as the leader knows.
    pub(crate) fn is_caught_up(&self, node: NodeId) -> bool {
        let has_all = |follower: &FollowerView| {
            let lag_count = self.view.last_index.saturating_sub(follower.matched);
            follower.is_active && !follower.is_behind && lag_count <= MAX_LAG_COUNT
        };
        node == self.leader || self.follower(node).is_some_and(has_all)
    }

    /// Whether the node's replica can be counted on. A removed node's cannot.
    pub(crate) fn is_sound(&self, facts: &Facts, node: NodeId) -> bool {
        node == self.leader || (facts.is_up(node) && self.is_caught_up(node))
    }
}

/// Nodes that make a majority of `voter_count`.
pub(crate) fn majority(voter_count: usize) -> usize {
    voter_count / 2 + 1
}

/// Replicas that catch up at the moment. Those on lost nodes wait, and hold nothing up.
fn catching_up_count(facts: &Facts) -> usize {
    let groups = facts.groups.keys().filter_map(|id| facts.group(*id));
    let behind = |group: Group<'_>| {
        let learners = group.learners().iter().copied();
        let is_busy = |node: &NodeId| facts.is_up(*node) && !group.is_caught_up(*node);
        learners.filter(is_busy).count()
    };
    groups.map(behind).sum()
}

/// Voters that a group should have when `active_count` nodes carry it, `most` at most: an odd
/// number, as an even one stands no more losses than the odd one below it. Two remain two,
/// since what was acknowledged is on both.
fn voter_target(most: usize, active_count: usize, voter_count: usize) -> usize {
    match most.min(active_count) {
        2 if voter_count >= 2 => 2,
        count if count % 2 == 0 => count - 1,
        count => count,
    }
}

type Nodes = BTreeSet<NodeId>;

/// Why a node may not be taken out, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// Somebody has to do something about it.
    Lasting(String),
    /// It passes by itself.
    Passing(String),
}

/// Whether a node may be taken out of the cluster for good.
pub(crate) fn check_remove(facts: &Facts, node: NodeId) -> Result<(), Obstacle> {
    let Some(known) = facts.nodes.get(&node) else {
        return Err(Obstacle::Lasting(format!("there is no node {node}")));
    };
    if facts.active().all(|other| other == node) {
        let reason = format!("node {node} is the last active one: add another first");
        return Err(Obstacle::Lasting(reason));
    }
    for (id, group) in &facts.groups {
        let voters = &group.view.members.voters;
        let outgoing = &group.view.members.voters_outgoing;
        let votes = voters.contains(&node) || outgoing.contains(&node);
        if votes && known.is_up {
            let reason = format!("node {node} is up and carries voters: drain it first");
            return Err(Obstacle::Lasting(reason));
        }
        let others: Vec<_> = voters.iter().filter(|voter| **voter != node).collect();
        let up_count = others.iter().filter(|other| facts.is_up(***other)).count();
        let has_majority_up = up_count >= majority(voters.len());
        let Some(led) = facts.group(*id) else {
            return Err(match has_majority_up {
                true => Obstacle::Passing(format!("group {id} elects a leader")),
                false => Obstacle::Lasting(format!(
                    "group {id} has no leader: start its other nodes first ({})",
                    list(&others)
                )),
            });
        };
        let is_sound = |other: &&&NodeId| led.is_sound(facts, ***other);
        if votes && others.iter().filter(is_sound).count() < majority(voters.len()) {
            return Err(match has_majority_up {
                true => Obstacle::Passing(format!(
                    "a node of group {id} has not caught up with it ({})",
                    list(&others)
                )),
                false => Obstacle::Lasting(format!(
                    "group {id} would lose its majority: bring its other nodes up first ({})",
                    list(&others)
                )),
            });
        }
    }
    Ok(())
}

/// Nodes as people read them.
pub(crate) fn list(nodes: &[&NodeId]) -> String {
    let ids: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    ids.join(", ")
}
