//! Small clusters, written down, for tests.

use std::sync::Arc;

use weir_model::{GroupId, NodeId, Term};
use weir_raft::{FollowerView, GroupView, Members};

use super::{Facts, GroupFacts, NodeFacts, Standing};

pub(crate) const UP: NodeFacts = NodeFacts {
    standing: Standing::Active,
    is_up: true,
    is_slow: false,
    is_full: false,
};
pub(crate) const DOWN: NodeFacts = NodeFacts { is_up: false, ..UP };
pub(crate) const SLOW: NodeFacts = NodeFacts {
    is_slow: true,
    ..UP
};
pub(crate) const DRAINING: NodeFacts = NodeFacts {
    standing: Standing::Draining,
    ..UP
};

pub(crate) fn ids(nodes: &[u64]) -> Vec<NodeId> {
    nodes.iter().copied().map(NodeId).collect()
}

/// Voters, the first leads; learners; those of both that are far behind.
pub(crate) fn group(voters: &[u64], learners: &[u64], behind: &[u64]) -> GroupFacts {
    let follower = |node: &u64| FollowerView {
        node: NodeId(*node),
        matched: if behind.contains(node) { 0 } else { 5_000 },
        is_active: true,
        is_behind: behind.contains(node),
    };
    let view = GroupView {
        term: Term(3),
        leader: Some(NodeId(voters[0])),
        conf_index: 9,
        members: Members {
            voters: ids(voters),
            learners: ids(learners),
            ..Members::default()
        },
        last_index: 5_100,
        followers: voters[1..].iter().chain(learners).map(follower).collect(),
    };
    GroupFacts {
        view: Arc::new(view),
        is_resting: false,
    }
}

pub(crate) fn facts(nodes: &[NodeFacts], groups: &[(u32, GroupFacts)]) -> Facts {
    let nodes = (1..).map(NodeId).zip(nodes.iter().copied());
    let groups = groups.iter().cloned();
    Facts {
        nodes: nodes.collect(),
        groups: groups.map(|(id, group)| (GroupId(id), group)).collect(),
        ..Facts::default()
    }
}
