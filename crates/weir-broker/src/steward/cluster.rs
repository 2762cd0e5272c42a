//! What the node knows of the cluster, as the steward's facts, and the steward's words for what
//! the metadata group is to decide.

use std::sync::Arc;

use weir_model::ErrorKind;

use super::{
    plan::{Facts, GroupFacts, NodeFacts, Standing},
    requests::Change,
    step::StepDone,
};
use crate::{
    Node,
    metadata::{MetadataCommand, MetadataOutcome, NodeState},
};

/// Members by the metadata, their health and the groups' views by whatever came last.
pub(super) fn facts(node: &Node) -> Facts {
    let (topology, cluster) = (node.topology.load(), node.cluster());
    let nodes = topology.nodes().values().map(|record| {
        let health = cluster.nodes.get(&record.id).copied().unwrap_or_default();
        let facts = NodeFacts {
            standing: match record.state {
                NodeState::Active => Standing::Active,
                NodeState::Draining => Standing::Draining,
            },
            is_up: health.is_up,
            is_slow: health.is_slow,
            is_full: health.is_full,
        };
        (record.id, facts)
    });
    let groups = cluster.groups.into_iter().map(|(id, view)| {
        let is_resting = false;
        (id, GroupFacts { view, is_resting })
    });
    let placements = topology.placements().iter();
    let placements = placements.map(|(id, placement)| {
        let nodes = placement.nodes.iter().copied();
        (*id, nodes.collect())
    });
    Facts {
        nodes: nodes.collect(),
        groups: groups.collect(),
        placements: placements.collect(),
    }
}

/// Has the change decided, whoever leads the metadata group.
pub(super) fn propose(node: &Arc<Node>, change: Change, done: StepDone) {
    let command = match change {
        Change::Stand(node, standing) => MetadataCommand::SetNodeState {
            node,
            state: match standing {
                Standing::Active => NodeState::Active,
                Standing::Draining => NodeState::Draining,
            },
        },
        Change::Remove(node) => MetadataCommand::RemoveNode { node },
    };
    let decided = |outcome: Result<MetadataOutcome, ErrorKind>| {
        let refusal = match outcome {
            Ok(MetadataOutcome::Refused(kind)) | Err(kind) => Some(kind),
            Ok(
                MetadataOutcome::ClusterNamed(_)
                | MetadataOutcome::NodeRegistered(_)
                | MetadataOutcome::NodeAdmitted(_)
                | MetadataOutcome::NodeStateSet(_)
                | MetadataOutcome::NodeRemoved(_)
                | MetadataOutcome::TopicCreated(_)
                | MetadataOutcome::TopicDeleted(_)
                | MetadataOutcome::ConfigsAltered
                | MetadataOutcome::PartitionsCreated
                | MetadataOutcome::GroupPlaced
                | MetadataOutcome::Routing(_)
                | MetadataOutcome::Access(_)
                | MetadataOutcome::ProducerIds { .. },
            ) => None,
        };
        done(refusal.map_or(Ok(()), |kind| Err(format!("not decided: {kind:?}"))));
    };
    node.propose_metadata(command, decided);
}
