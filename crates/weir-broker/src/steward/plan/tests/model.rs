//! A cluster that does what it is told: nodes come, go, die and lag; groups elect and catch up.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weir_model::{GroupId, NodeId, Term};
use weir_raft::{FollowerView, GroupView, MemberChange, Members};

use super::super::{Action, Facts, GroupFacts, NodeFacts, Standing, Step, majority};

/// Numbers from a seed.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }

    pub(super) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub(super) fn pick(&mut self, nodes: &[NodeId]) -> Option<NodeId> {
        (!nodes.is_empty()).then(|| nodes[self.below(nodes.len())])
    }
}

#[derive(Clone, Debug)]
pub(super) struct Replicas {
    pub(super) leader: Option<NodeId>,
    pub(super) voters: BTreeSet<NodeId>,
    pub(super) learners: BTreeSet<NodeId>,
    pub(super) behind: BTreeSet<NodeId>,
    term: u64,
    rests: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub(super) nodes: BTreeMap<NodeId, NodeFacts>,
    /// Processes that run, members or not.
    pub(super) running: BTreeSet<NodeId>,
    pub(super) groups: BTreeMap<GroupId, Replicas>,
    /// Where people want groups.
    pub(super) placements: BTreeMap<GroupId, BTreeSet<NodeId>>,
    pub(super) added_count: usize,
}

impl Cluster {
    pub(super) fn founded(shard_count: u32) -> Self {
        let founder = NodeId(1);
        let alone = Replicas {
            leader: Some(founder),
            voters: BTreeSet::from([founder]),
            learners: BTreeSet::new(),
            behind: BTreeSet::new(),
            term: 1,
            rests: 0,
        };
        let mut cluster = Self {
            nodes: BTreeMap::new(),
            running: BTreeSet::new(),
            groups: (0..=shard_count)
                .map(|id| (GroupId(id), alone.clone()))
                .collect(),
            placements: BTreeMap::new(),
            added_count: 0,
        };
        cluster.join(founder);
        cluster
    }

    pub(super) fn join(&mut self, node: NodeId) {
        let facts = NodeFacts {
            standing: Standing::Active,
            is_up: true,
            is_slow: false,
            is_full: false,
        };
        self.nodes.insert(node, facts);
        self.running.insert(node);
    }

    pub(super) fn set_running(&mut self, node: NodeId, is_up: bool) {
        if is_up {
            self.running.insert(node);
        } else {
            self.running.remove(&node);
        }
        if let Some(facts) = self.nodes.get_mut(&node) {
            facts.is_up = is_up;
        }
    }

    pub(super) fn facts(&self) -> Facts {
        let view = |group: &Replicas| {
            let others = group.voters.iter().chain(&group.learners);
            let followers = others.filter(|node| group.leader != Some(**node));
            GroupView {
                term: Term(group.term),
                leader: group.leader,
                conf_index: 1,
                members: Members {
                    voters: group.voters.iter().copied().collect(),
                    learners: group.learners.iter().copied().collect(),
                    ..Members::default()
                },
                last_index: 9_000,
                followers: followers
                    .map(|node| FollowerView {
                        node: *node,
                        matched: if group.behind.contains(node) {
                            1
                        } else {
                            9_000
                        },
                        is_active: self.running.contains(node),
                        is_behind: group.behind.contains(node),
                    })
                    .collect(),
            }
        };
        let groups = self.groups.iter().map(|(id, group)| {
            let facts = GroupFacts {
                view: Arc::new(view(group)),
                is_resting: group.rests > 0,
            };
            (*id, facts)
        });
        Facts {
            nodes: self.nodes.clone(),
            groups: groups.collect(),
            placements: self.placements.clone(),
        }
    }

    fn is_sound(&self, group: &Replicas, node: NodeId) -> bool {
        self.running.contains(&node) && !group.behind.contains(&node)
    }

    pub(super) fn has_majority(&self, group: &Replicas) -> bool {
        let voters = group.voters.iter();
        let sound = voters.filter(|node| self.is_sound(group, **node));
        sound.count() >= majority(group.voters.len())
    }

    /// Whether a replica will be caught up by waiting alone.
    pub(super) fn is_catching_up(&self) -> bool {
        let mut groups = self.groups.values();
        groups.any(|group| {
            let is_running = |node: &NodeId| self.running.contains(node);
            group.leader.is_some() && group.behind.iter().any(is_running)
        })
    }

    /// Time passes: leaders are lost and found, replicas catch up.
    pub(super) fn settle(&mut self, dice: &mut Dice, catch_up_in: usize) {
        let snapshot = self.clone();
        for group in self.groups.values_mut() {
            group.rests = group.rests.saturating_sub(1);
            let can = snapshot.has_majority(group);
            let is_led = group
                .leader
                .is_some_and(|leader| snapshot.running.contains(&leader));
            if !(can && is_led) {
                let voters = group.voters.iter().copied();
                let fit: Vec<NodeId> = voters
                    .filter(|node| snapshot.is_sound(group, *node))
                    .collect();
                group.leader = dice.pick(&fit).filter(|_| can);
                group.term += 1;
            }
            if group.leader.is_some() {
                group
                    .behind
                    .retain(|node| !(snapshot.running.contains(node) && dice.one_in(catch_up_in)));
            }
        }
    }

    /// Does what the plan says, and checks what no step may do.
    pub(super) fn apply(&mut self, step: &Step, rests: usize) {
        let snapshot = self.clone();
        let group = self.groups.get_mut(&step.group).unwrap();
        assert_eq!(group.leader, Some(step.leader), "a step goes to the leader");
        group.rests = rests;
        if !snapshot.has_majority(group) {
            return; // Nothing is committed.
        }
        match &step.action {
            Action::Transfer(to) => {
                assert!(group.voters.contains(to) && snapshot.is_sound(group, *to));
                assert_ne!(*to, step.leader);
                group.leader = Some(*to);
                group.term += 1;
            }
            Action::ChangeMembers(changes) => {
                self.added_count += change(group, changes);
                assert!(group.voters.contains(&step.leader), "a leader votes");
                assert!(
                    snapshot.has_majority(group),
                    "{step:?} takes the majority away: {group:?}"
                );
            }
        }
    }
}

/// Answers how many replicas came.
fn change(group: &mut Replicas, changes: &[MemberChange]) -> usize {
    assert!(!changes.is_empty());
    let mut added_count = 0;
    for change in changes {
        match change {
            MemberChange::AddVoter(node) => {
                assert!(group.learners.remove(node), "a voter learns first");
                assert!(!group.behind.contains(node));
                group.voters.insert(*node);
            }
            MemberChange::AddLearner(node) => {
                if !group.voters.remove(node) {
                    assert!(!group.learners.contains(node));
                    group.behind.insert(*node);
                    added_count += 1;
                }
                group.learners.insert(*node);
            }
            MemberChange::Remove(node) => {
                assert!(group.voters.remove(node) || group.learners.remove(node));
                group.behind.remove(node);
            }
        }
    }
    added_count
}
