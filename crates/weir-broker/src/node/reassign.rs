//! Partitions that are wanted on other nodes: their group goes there, with all that it carries.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weir_model::{ErrorKind, GroupId, NodeId, TopicName};
use weir_raft::GroupView;

use super::{
    Node,
    create_topics::check_nodes,
    manage::{Checked, checks, refused},
    topics::{replicas, wire},
};
use crate::{
    api::{
        Outcome, TopicRef,
        admin::{Managed, Moving, Reassign, Refusal},
    },
    mailbox::Reply,
    metadata::{
        MetadataCommand, MetadataOutcome, NodeState, Topology,
        placed::{PlaceGroup, Placement},
    },
    steward::SHARD_REPLICA_COUNT,
    view,
};

/// Where the request sends groups, and the partition that said so first.
type Chosen = BTreeMap<GroupId, (Vec<NodeId>, String)>;

impl Node {
    pub(super) fn reassign(self: &Arc<Self>, wanted: &[Reassign], reply: Reply) {
        let task = checks(wanted.len(), Err(ErrorKind::TimedOut.into()), reply);
        let mut chosen = Chosen::new();
        for (at, each) in wanted.iter().enumerate() {
            let place = match self.plan_move(each, &mut chosen) {
                Ok(Some(place)) => place,
                Ok(None) => {
                    task.settle(at, Ok(()));
                    continue;
                }
                Err(refusal) => {
                    task.settle(at, Err(refusal));
                    continue;
                }
            };
            let task = Arc::clone(&task);
            let command = MetadataCommand::PlaceGroup(place);
            self.propose_metadata(command, move |outcome| {
                let answer: Checked = match outcome {
                    Ok(MetadataOutcome::GroupPlaced) => Ok(()),
                    outcome => Err(refused(&outcome)),
                };
                task.settle(at, answer);
            });
        }
    }

    /// `None`: it is as wanted already.
    fn plan_move(
        &self,
        wanted: &Reassign,
        chosen: &mut Chosen,
    ) -> Result<Option<PlaceGroup>, Refusal> {
        let topology = self.topology.load();
        let unknown = ErrorKind::UnknownTopicOrPartition;
        let name = TopicName::new(&wanted.topic).map_err(|_| unknown)?;
        let (_, group) = topology.partition(&TopicRef::Name(name), wanted.index)?;
        if group.is_transient() {
            return Err(Refusal::new(
                ErrorKind::InvalidReplicaAssignment,
                format!(
                    "{}-{} is a transient queue's: it stays on the node where that was declared.",
                    wanted.topic, wanted.index
                ),
            ));
        }
        let view = self.view_of(group);
        let placement = topology.placement(group);
        let moving = placement.filter(|placement| is_under_way(placement, &view));
        let present = replicas(group, &view, placement);
        let before = moving.map_or(&present, |moving| &moving.before).clone();
        let nodes = match &wanted.replicas {
            None if moving.is_some() => before.clone(),
            None => {
                return Err(Refusal::new(
                    ErrorKind::NoReassignmentInProgress,
                    "No partition reassignment is in progress.",
                ));
            }
            Some(nodes) => checked_nodes(nodes, &topology)?,
        };
        let partition = format!("{}-{}", wanted.topic, wanted.index);
        let first = chosen
            .entry(group)
            .or_insert_with(|| (nodes.clone(), partition.clone()));
        if first.0 != nodes {
            return Err(Refusal::new(
                ErrorKind::InvalidReplicaAssignment,
                format!(
                    "{partition} moves with {}, as both live in group {group}: the same request \
                     wants that on the nodes {:?}",
                    first.1,
                    shown(&first.0)
                ),
            ));
        }
        let is_there = match moving {
            Some(moving) => nodes == moving.nodes,
            None => nodes == present,
        };
        let placement = Placement { nodes, before };
        Ok((!is_there).then_some(PlaceGroup { group, placement }))
    }

    /// Partitions whose groups are on their way to where they are wanted: of those named, or of all.
    pub(super) fn list_moving(&self, wanted: Option<&[(String, i32)]>, reply: Reply) {
        let topology = self.topology.load();
        let moving: BTreeMap<GroupId, Moving> = topology
            .placements()
            .iter()
            .filter_map(|(group, placement)| {
                let view = self.view_of(*group);
                let is_moving = is_under_way(placement, &view);
                is_moving.then(|| (*group, moving(placement, &view)))
            })
            .collect();
        let mut told = Vec::new();
        let mut tell = |topic: &str, index: i32, group: GroupId| {
            if let Some(moving) = moving.get(&group) {
                told.push((topic.to_owned(), index, moving.clone()));
            }
        };
        match wanted {
            _ if moving.is_empty() => {}
            None => {
                for topic in topology.topics() {
                    for (index, group) in (0..).zip(&topic.partitions) {
                        tell(topic.name.as_str(), index, *group);
                    }
                }
            }
            Some(wanted) => {
                for (topic, index) in wanted {
                    let name = TopicName::new(topic).map(TopicRef::Name);
                    let found = name
                        .ok()
                        .and_then(|name| topology.partition(&name, *index).ok());
                    if let Some((_, group)) = found {
                        tell(topic, *index, group);
                    }
                }
            }
        }
        reply.send(Outcome::Managed(Managed::Moving(told)));
    }
}

/// Whether a node that the group is wanted on does not vote in it yet.
fn is_under_way(placement: &Placement, view: &GroupView) -> bool {
    let voters = view::voters(view);
    placement.nodes.iter().any(|node| !voters.contains(node))
}

fn moving(placement: &Placement, view: &GroupView) -> Moving {
    let voters: BTreeSet<NodeId> = view::voters(view).into_iter().collect();
    let wanted: BTreeSet<NodeId> = placement.nodes.iter().copied().collect();
    let leaving = voters.difference(&wanted).copied();
    let all = placement.nodes.iter().copied().chain(leaving.clone());
    Moving {
        replicas: all.filter_map(wire).collect(),
        adding: wanted
            .difference(&voters)
            .copied()
            .filter_map(wire)
            .collect(),
        removing: leaving.filter_map(wire).collect(),
    }
}

/// Active nodes, as many as a group has copies.
fn checked_nodes(nodes: &[i32], topology: &Topology) -> Result<Vec<NodeId>, Refusal> {
    let id = |node: i32| NodeId(u64::try_from(node).unwrap_or(0));
    check_nodes(nodes, |node| topology.nodes().contains_key(&id(node)))?;
    let is_active = |node: NodeId| topology.nodes()[&node].state == NodeState::Active;
    let refused = |message: String| Err(Refusal::new(ErrorKind::InvalidReplicaAssignment, message));
    if let Some(node) = nodes.iter().find(|node| !is_active(id(**node))) {
        return refused(format!(
            "Node {node} is being drained: `weir cluster add {node}` takes that back."
        ));
    }
    let active_count = topology.nodes().keys().filter(|node| is_active(**node));
    let count = SHARD_REPLICA_COUNT.min(active_count.count());
    if nodes.len() != count {
        return refused(format!(
            "Partitions live in groups of nodes, with {count} copies each here: name {count} nodes."
        ));
    }
    Ok(nodes.iter().copied().map(id).collect())
}

fn shown(nodes: &[NodeId]) -> Vec<u64> {
    nodes.iter().map(|node| node.0).collect()
}
