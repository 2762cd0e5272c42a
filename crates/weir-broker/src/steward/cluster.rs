//! What the node knows of the cluster, as the steward's facts.

use std::sync::Arc;

use weir_model::{GroupId, NodeId};

use super::{
    plan::{Facts, GroupFacts, NodeFacts, Standing},
    requests::Change,
    step::StepDone,
};
use crate::{Node, metadata::Topology};

pub(super) fn facts(node: &Node) -> Facts {
    let topology = node.topology.load();
    let nodes = topology.nodes().keys().map(|id| {
        let facts = NodeFacts {
            standing: Standing::Active,
            is_up: *id == node.id(),
            is_slow: false,
        };
        (*id, facts)
    });
    let groups = (0..).map(GroupId).zip(&node.statuses).map(|(id, status)| {
        let group = GroupFacts {
            view: status.view(),
            is_resting: false,
        };
        (id, group)
    });
    Facts {
        nodes: nodes.collect(),
        groups: groups.collect(),
    }
}

pub(super) fn peer_address(_topology: &Topology, _node: NodeId) -> String {
    String::new()
}

pub(super) fn set_slow(_node: &Node, _is_slow: bool) {}

pub(super) fn propose(_node: &Arc<Node>, _change: Change, done: StepDone) {
    done(Err("not connected".to_owned()));
}
