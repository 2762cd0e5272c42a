//! The cluster in words for people and scripts.

use weir_model::{GroupId, NodeId};

use super::{
    admin::{ClusterStatus, FollowerRow, GroupRow, NodeStanding, NodeStatus},
    cluster,
    plan::{Facts, Group, GroupFacts, NodeFacts, Standing},
};
use crate::{Node, metadata::Topology};

/// What this node knows.
pub(super) fn of(node: &Node) -> ClusterStatus {
    let (facts, topology) = (cluster::facts(node), node.topology.load());
    let steward = facts.group(GroupId::METADATA).map(|group| group.leader.0);
    ClusterStatus {
        cluster_id: topology.cluster_id().to_owned(),
        answered_by: node.id().0,
        steward,
        nodes: nodes(&facts, &topology),
        groups: groups(&facts),
    }
}

fn nodes(facts: &Facts, topology: &Topology) -> Vec<NodeStatus> {
    let nodes = facts.nodes.iter();
    nodes
        .map(|(id, node)| node_status(facts, topology, *id, node))
        .collect()
}

fn node_status(facts: &Facts, topology: &Topology, id: NodeId, node: &NodeFacts) -> NodeStatus {
    let count = |takes_part: &dyn Fn(&GroupFacts) -> bool| {
        let count = facts.groups.values().filter(|group| takes_part(group));
        u32::try_from(count.count()).unwrap_or(u32::MAX)
    };
    let is_lagging = |group: &Group<'_>| {
        let members = &group.view.members;
        let takes_part = members.voters.contains(&id) || members.learners.contains(&id);
        takes_part && !group.is_sound(facts, id)
    };
    let record = topology.nodes().get(&id);
    let led = |id: &GroupId| facts.group(*id);
    let lagging = facts.groups.keys().filter_map(led).filter(is_lagging);
    NodeStatus {
        id: id.0,
        state: match node.standing {
            Standing::Active => NodeStanding::Active,
            Standing::Draining => NodeStanding::Draining,
        },
        is_up: node.is_up,
        is_slow: node.is_slow,
        is_full: node.is_full,
        peer_address: record.map_or_else(String::new, |record| record.peer_address.clone()),
        kafka_address: record.map_or_else(String::new, |record| {
            format!("{}:{}", record.kafka_host, record.kafka_port)
        }),
        led_group_count: count(&|group| group.view.leader == Some(id)),
        voter_count: count(&|group| group.view.members.voters.contains(&id)),
        learner_count: count(&|group| group.view.members.learners.contains(&id)),
        catching_up_count: u32::try_from(lagging.count()).unwrap_or(u32::MAX),
    }
}

fn groups(facts: &Facts) -> Vec<GroupRow> {
    let groups = facts.groups.iter();
    groups
        .map(|(id, group)| group_row(*id, group, facts.group(*id).map(|led| led.leader)))
        .collect()
}

fn group_row(id: GroupId, group: &GroupFacts, leader: Option<NodeId>) -> GroupRow {
    let view = &*group.view;
    let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect();
    let followers = view.followers.iter().map(|follower| FollowerRow {
        node: follower.node.0,
        lag_count: view.last_index.saturating_sub(follower.matched),
        is_active: follower.is_active,
        is_behind: follower.is_behind,
    });
    GroupRow {
        id: id.0,
        leader: leader.map(|leader| leader.0),
        term: view.term.0,
        voters: ids(&view.members.voters),
        learners: ids(&view.members.learners),
        is_changing: !view.members.voters_outgoing.is_empty(),
        last_index: view.last_index,
        followers: followers.collect(),
    }
}
