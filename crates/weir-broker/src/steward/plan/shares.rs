//! Replicas of shards, counted by node, as they will be when all that is under way is through.

use std::{cmp::Reverse, collections::BTreeMap};

use weir_model::{GroupId, NodeId};
use weir_raft::Members;

use super::{Facts, Nodes, SHARD_REPLICA_COUNT};

/// Who carries how much, and which replicas are one too many.
#[derive(Debug)]
pub(super) struct Shares {
    carried: BTreeMap<NodeId, usize>,
    surplus: BTreeMap<GroupId, Nodes>,
    /// Replicas that each shard has, surplus left out.
    kept: BTreeMap<GroupId, Nodes>,
    target: usize,
}

impl Shares {
    pub(super) fn of(facts: &Facts) -> Self {
        let target = SHARD_REPLICA_COUNT.min(facts.active_count());
        let mut shares = Self {
            carried: facts.active().map(|node| (node, 0)).collect(),
            surplus: BTreeMap::new(),
            kept: BTreeMap::new(),
            target,
        };
        let shards = || {
            let groups = facts.groups.iter();
            groups.filter(|(id, _)| **id != GroupId::METADATA)
        };
        for (id, group) in shards() {
            let kept = counted(facts, &group.view.members);
            for node in &kept {
                *shares.carried.entry(*node).or_default() += 1;
            }
            shares.kept.insert(*id, kept);
        }
        for (id, group) in shards() {
            let leader = group.view.leader;
            while shares.kept[id].len() > target {
                shares.drop_one(facts, *id, &group.view.members, leader);
            }
        }
        shares
    }

    /// Gives up the replica that is missed least: on a node that is down, then on one where people
    /// do not want it, then on the one that carries most, then one without a vote, then one that does not lead.
    fn drop_one(&mut self, facts: &Facts, id: GroupId, members: &Members, leader: Option<NodeId>) {
        let kept = self.kept.entry(id).or_default();
        let rank = |node: &NodeId| {
            let votes = members.voters.contains(node);
            let is_down = !facts.is_up(*node);
            let carried = self.carried[node];
            (
                is_down && !votes,
                is_down,
                facts.is_elsewhere(id, *node),
                carried,
                !votes,
                leader != Some(*node),
                *node,
            )
        };
        let Some(worst) = kept.iter().copied().max_by_key(rank) else {
            return;
        };
        kept.remove(&worst);
        self.surplus.entry(id).or_default().insert(worst);
        self.left(worst);
    }

    pub(super) fn carried(&self, node: NodeId) -> usize {
        self.carried.get(&node).copied().unwrap_or(0)
    }

    pub(super) fn taken(&mut self, group: GroupId, node: NodeId) {
        *self.carried.entry(node).or_default() += 1;
        self.kept.entry(group).or_default().insert(node);
    }

    pub(super) fn left(&mut self, node: NodeId) {
        if let Some(count) = self.carried.get_mut(&node) {
            *count = count.saturating_sub(1);
        }
    }

    /// Replicas that a shard lacks.
    pub(super) fn missing_count(&self, group: GroupId) -> usize {
        let kept = self.kept.get(&group).map_or(0, Nodes::len);
        self.target.saturating_sub(kept)
    }

    pub(super) fn is_kept(&self, group: GroupId, node: NodeId) -> bool {
        let kept = self.kept.get(&group);
        kept.is_some_and(|kept| kept.contains(&node))
    }

    pub(super) fn is_surplus(&self, group: GroupId, node: NodeId) -> bool {
        let surplus = self.surplus.get(&group);
        surplus.is_some_and(|surplus| surplus.contains(&node))
    }

    /// Active nodes that could take a replica of the group, the best first.
    pub(super) fn takers(&self, facts: &Facts, id: GroupId, members: &Members) -> Vec<NodeId> {
        let is_free = |node: &NodeId| {
            facts.is_up(*node) && !members.voters.contains(node) && !members.learners.contains(node)
        };
        let mut takers: Vec<NodeId> = facts.active().filter(is_free).collect();
        takers.sort_by_key(|node| {
            let is_elsewhere = facts.is_elsewhere(id, *node);
            (
                is_elsewhere,
                facts.is_slow(*node),
                self.carried(*node),
                *node,
            )
        });
        takers
    }

    /// Of a shard's voters, the one whose node has most more than `taker`, where moving the
    /// replica brings both closer.
    pub(super) fn giver(&self, members: &Members, leader: NodeId, taker: NodeId) -> Option<Giver> {
        let taken = self.carried(taker);
        let voters = members.voters.iter().copied();
        let givers = voters.filter_map(|node| {
            let excess = self.carried(node).saturating_sub(taken);
            let key = (excess, node != leader, Reverse(node));
            (excess >= 2).then_some(key)
        });
        let (excess, keeps_leader, Reverse(node)) = givers.max()?;
        Some(Giver {
            excess,
            keeps_leader,
            node,
        })
    }
}

/// Who gives a replica away, ordered by how much that helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Giver {
    pub(super) excess: usize,
    pub(super) keeps_leader: bool,
    pub(super) node: NodeId,
}

/// Replicas of a shard that count: on active nodes, and not those that have nothing yet on a
/// node that is down while another could take their place.
fn counted(facts: &Facts, members: &Members) -> Nodes {
    let is_member =
        |node: &NodeId| members.voters.contains(node) || members.learners.contains(node);
    let has_taker = facts
        .active()
        .any(|node| facts.is_up(node) && !is_member(&node));
    let learners = members.learners.iter();
    let learners = learners.filter(|node| facts.is_up(**node) || !has_taker);
    let all = members.voters.iter().chain(learners).copied();
    all.filter(|node| facts.is_active(*node)).collect()
}
