//! Who takes part: learners come first, get a vote once they are caught up, and take the place
//! of those that leave in the same joint change.

use std::cmp::Reverse;

use weir_model::NodeId;
use weir_raft::MemberChange;

use super::{
    Action, Facts, Group, MAX_METADATA_VOTER_COUNT, Nodes, Round, SHARD_REPLICA_COUNT,
    shares::Shares, voter_target,
};

/// Lets go of replicas without a vote that are of no use.
pub(super) fn drop_learners(facts: &Facts, shares: &Shares, group: &Group<'_>) -> Option<Action> {
    let is_useless = |node: &NodeId| {
        if group.is_metadata() {
            !facts.nodes.contains_key(node)
        } else {
            !shares.is_kept(group.id, *node)
        }
    };
    let useless = group.learners().iter().copied().filter(is_useless);
    let changes: Vec<MemberChange> = useless.map(MemberChange::Remove).collect();
    (!changes.is_empty()).then_some(Action::ChangeMembers(changes))
}

/// What a change of voters chooses from.
struct Choice {
    /// Voters that should stay.
    kept: Nodes,
    /// Voters that should go, the first first, the leader last.
    leaving: Vec<NodeId>,
    /// Caught-up learners that should vote, the best first.
    ready: Vec<NodeId>,
    target: usize,
}

impl<'a> Round<'a> {
    /// The largest sound change of voters, or the transfer that has to come before it.
    pub(super) fn change_voters(&self, group: &Group<'_>) -> Option<Action> {
        let choice = self.choice(group);
        let wanted = choice.target.saturating_sub(choice.kept.len());
        let most = wanted.min(choice.ready.len());
        (0..=most)
            .rev()
            .find_map(|count| self.try_change(group, &choice, count))
    }

    fn choice(&self, group: &Group<'_>) -> Choice {
        let facts = self.facts;
        let most = if group.is_metadata() {
            MAX_METADATA_VOTER_COUNT
        } else {
            SHARD_REPLICA_COUNT
        };
        let target = voter_target(most, facts.active_count(), group.voters().len());
        let stays =
            |node: &NodeId| facts.is_active(*node) && !self.shares.is_surplus(group.id, *node);
        let (mut kept, mut leaving): (Vec<NodeId>, Vec<NodeId>) =
            group.voters().iter().copied().partition(stays);
        kept.sort_by_key(|node| {
            let is_leader = *node == group.leader;
            let is_sound = group.is_sound(facts, *node);
            (!is_leader, !is_sound, facts.is_slow(*node), *node)
        });
        leaving.extend(kept.split_off(kept.len().min(target)));
        leaving.sort_by_key(|node| {
            let is_leader = *node == group.leader;
            let is_known = facts.nodes.contains_key(node);
            (is_leader, facts.is_up(*node), is_known, Reverse(*node))
        });
        let learners = group.learners().iter().copied();
        let mut ready: Vec<NodeId> = learners
            .filter(|node| stays(node) && group.is_sound(facts, *node))
            .collect();
        ready.sort_by_key(|node| (facts.is_slow(*node), *node));
        Choice {
            kept: kept.into_iter().collect(),
            leaving,
            ready,
            target,
        }
    }

    /// The change that gives `count` learners a vote.
    fn try_change(&self, group: &Group<'_>, choice: &Choice, count: usize) -> Option<Action> {
        let voter_count = group.voters().len() + count;
        // Nobody leaves before enough others are there, unless somebody comes in their place.
        let free = if choice.kept.len() + count >= choice.target {
            choice.leaving.len()
        } else {
            choice.leaving.len().min(count)
        };
        let mut leave = free.min(voter_count.saturating_sub(choice.target));
        let mut may_be_even = false;
        if choice.leaving[..leave].contains(&group.leader) {
            // A leader goes last, and hands over before: to somebody who stays, once there is one.
            if let Some(to) = self.successor(group, false) {
                return Some(Action::Transfer(to));
            }
            leave -= 1;
            may_be_even = true;
        }
        let (join, leave) = (&choice.ready[..count], &choice.leaving[..leave]);
        if join.is_empty() && leave.is_empty() {
            return None;
        }
        let voters: Nodes = group.voters().iter().chain(join).copied().collect();
        let voters: Nodes = voters
            .into_iter()
            .filter(|node| !leave.contains(node))
            .collect();
        let is_odd = voters.len() % 2 == 1;
        if !(is_odd || may_be_even || voters.len() == choice.target)
            || !self.has_majority(group, &voters)
        {
            return None;
        }
        let joins = join.iter().copied().map(MemberChange::AddVoter);
        let leaves = leave.iter().copied().map(|node| {
            if group.is_metadata() && self.facts.nodes.contains_key(&node) {
                MemberChange::AddLearner(node)
            } else {
                MemberChange::Remove(node)
            }
        });
        Some(Action::ChangeMembers(joins.chain(leaves).collect()))
    }

    fn has_majority(&self, group: &Group<'_>, voters: &Nodes) -> bool {
        let is_sound = |node: &&NodeId| group.is_sound(self.facts, **node);
        voters.iter().filter(is_sound).count() >= super::majority(voters.len())
    }

    /// Gives the group the replicas that it lacks.
    pub(super) fn add_learners(&mut self, group: &Group<'_>) -> Option<Action> {
        let takers = self
            .shares
            .takers(self.facts, group.id, &group.view.members);
        let missing_count = if group.is_metadata() {
            takers.len()
        } else {
            self.shares.missing_count(group.id)
        };
        let count = missing_count.min(self.free_learners);
        let changes: Vec<MemberChange> = takers
            .into_iter()
            .take(count)
            .map(|node| {
                if !group.is_metadata() {
                    self.shares.taken(group.id, node);
                }
                MemberChange::AddLearner(node)
            })
            .collect();
        self.free_learners -= changes.len();
        (!changes.is_empty()).then_some(Action::ChangeMembers(changes))
    }

    /// Brings replicas to where people want them, and from nodes that carry more than others to
    /// those, while any may catch up.
    pub(super) fn move_replicas(&mut self) {
        self.move_wanted();
        while self.free_learners > 0 {
            let facts = self.facts;
            let moves = self.settled().into_iter().filter_map(|group| {
                if facts.wanted(group.id).is_some() {
                    return None;
                }
                let members = &group.view.members;
                let takers = self.shares.takers(facts, group.id, members);
                let taker = takers.into_iter().find(|node| !facts.is_slow(*node))?;
                let giver = self.shares.giver(members, group.leader, taker)?;
                let rank = (giver.excess, giver.keeps_leader, Reverse(group.id));
                Some((rank, group, giver, taker))
            });
            let Some((_, group, giver, taker)) = moves.max_by_key(|(rank, ..)| *rank) else {
                return;
            };
            self.shares.left(giver.node);
            self.bring(&group, taker);
        }
    }

    /// One replica of each group at a time, as anywhere else.
    fn move_wanted(&mut self) {
        let facts = self.facts;
        for group in self.settled() {
            let members = &group.view.members;
            let takers = self.shares.takers(facts, group.id, members);
            let mut leaving = members.voters.iter().copied();
            let leaving = leaving.find(|node| facts.is_elsewhere(group.id, *node));
            let wanted = facts.wanted(group.id);
            let taker = takers.first().filter(|taker| {
                let wanted = wanted.is_some_and(|wanted| wanted.contains(taker));
                wanted && self.free_learners > 0
            });
            if let (Some(taker), Some(leaving)) = (taker, leaving) {
                self.shares.left(leaving);
                self.bring(&group, *taker);
            }
        }
    }

    /// Shards that have all that they should have, and nothing under way.
    fn settled(&self) -> Vec<Group<'a>> {
        let is_settled = |group: &Group<'_>| {
            !group.is_metadata()
                && !self.steps.contains_key(&group.id)
                && group.learners().is_empty()
                && group.voters().len() == SHARD_REPLICA_COUNT
                && group
                    .voters()
                    .iter()
                    .all(|node| self.facts.is_active(*node))
        };
        self.facts.groups_at_rest().filter(is_settled).collect()
    }

    fn bring(&mut self, group: &Group<'_>, taker: NodeId) {
        self.shares.taken(group.id, taker);
        self.free_learners -= 1;
        let change = MemberChange::AddLearner(taker);
        self.push(group, Action::ChangeMembers(vec![change]));
    }
}
