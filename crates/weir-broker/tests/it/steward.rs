//! What the steward does with whole nodes.

use std::sync::atomic::Ordering;

use weir_broker::steward::{AdminAnswer, AdminRequest, ClusterStatus, NodeStanding};
use weir_model::{GroupId, NodeId};

use super::nodes::{Cluster, status_of};

fn done(answer: &AdminAnswer) -> bool {
    matches!(answer, AdminAnswer::Done { .. })
}

/// Asks until it is done: a leader that was just elected knows little of the others.
fn insist(cluster: &mut Cluster, node: u64, request: AdminRequest) {
    const MAX_TRIES: usize = 50;
    for _ in 0..MAX_TRIES {
        let answer = cluster.ask(node, request);
        if done(&answer) {
            return;
        }
        (0..50).for_each(|_| cluster.round());
    }
    panic!("{:?}", cluster.ask(node, request));
}

/// Whether every group has these voters, and who leads is spread.
fn is_settled(status: &ClusterStatus, voters: &[u64]) -> bool {
    let groups = || status.groups.iter();
    let has_voters = |wanted: &u64| groups().all(|group| group.voters.contains(wanted));
    let led = |node: &u64| groups().filter(|g| g.leader == Some(*node)).count();
    let counts: Vec<usize> = voters.iter().map(led).collect();
    let is_even = counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1;
    let is_whole = groups().all(|group| {
        group.leader.is_some() && group.voters.len() == voters.len() && !group.is_changing
    });
    is_whole && is_even && voters.iter().all(has_voters)
}

fn three_nodes(shard_count: u32) -> Cluster {
    let mut cluster = Cluster::found(shard_count);
    cluster.join();
    cluster.join();
    cluster.until("three voters everywhere", |cluster| {
        let mut nodes = cluster.nodes.values();
        nodes.all(|node| is_settled(&status_of(node), &[1, 2, 3]))
    });
    cluster
}

#[test]
fn nodes_that_join_get_their_share_and_one_that_drains_gives_it_back() {
    let mut cluster = three_nodes(5);
    assert!(done(&cluster.ask(2, AdminRequest::Drain { node: 3 })));
    cluster.until("node 3 votes nowhere", |cluster| {
        let status = status_of(&cluster.nodes[&NodeId(2)]);
        let node = status.nodes.iter().find(|node| node.id == 3).unwrap();
        node.state == NodeStanding::Draining
            && (node.voter_count, node.led_group_count) == (0, 0)
            && is_settled(&status, &[1, 2])
    });
    cluster.until("node 3 has let go of its shards", |cluster| {
        let applied = |group| cluster.nodes[&NodeId(3)].observed(GroupId(group)).2;
        applied(0) > 0 && (1..=5).all(|shard| applied(shard) == 0)
    });
    // It still knows the cluster, and takes its share again.
    assert!(done(&cluster.ask(3, AdminRequest::Add { node: 3 })));
    cluster.until("node 3 is back", |cluster| {
        is_settled(&status_of(&cluster.nodes[&NodeId(3)]), &[1, 2, 3])
    });
}

#[test]
fn a_lost_node_can_be_removed_and_another_takes_its_place() {
    let mut cluster = three_nodes(3);
    let refused = cluster.ask(2, AdminRequest::Remove { node: 3 });
    assert!(!done(&refused), "{refused:?}");
    cluster.set_up(NodeId(3), false);
    cluster.until("others lead", |cluster| {
        let status = status_of(&cluster.nodes[&NodeId(2)]);
        let mut groups = status.groups.iter();
        groups.all(|group| group.leader.is_some_and(|leader| leader != 3))
    });
    insist(&mut cluster, 2, AdminRequest::Remove { node: 3 });
    cluster.join();
    cluster.until("node 4 votes in its place", |cluster| {
        is_settled(&status_of(&cluster.nodes[&NodeId(4)]), &[1, 2, 4])
    });
}

#[test]
fn a_group_goes_where_it_is_sent_and_a_node_that_stops_leads_nothing() {
    let mut cluster = three_nodes(4);
    let status = cluster.status(1);
    let group = status.groups.iter().find(|group| group.id != 0).unwrap();
    let from = group.leader.unwrap();
    let to = group.voters.iter().copied().find(|node| *node != from);
    let (group, node) = (group.id, to.unwrap());
    insist(&mut cluster, from, AdminRequest::Transfer { group, node });
    cluster.until("the group is led elsewhere", |cluster| {
        let status = status_of(&cluster.nodes[&NodeId(1)]);
        let mut groups = status.groups.iter();
        groups.any(|each| each.id == group && each.leader == Some(node))
    });
    cluster.until("nothing is left to hand over", |cluster| {
        let node = &cluster.nodes[&NodeId(1)];
        node.hand_over();
        !node.is_leading_anything()
    });
    for _ in 0..500 {
        cluster.round();
        let node = &cluster.nodes[&NodeId(1)];
        assert!(!node.is_leading_anything(), "it is given nothing back");
    }
}

#[test]
fn a_node_with_a_slow_disk_leads_nothing_until_the_disk_is_quick_again() {
    const STALL_MS: u64 = 700;
    let mut cluster = three_nodes(5);
    let slow = |cluster: &Cluster| {
        let status = status_of(&cluster.nodes[&NodeId(1)]);
        let node = status.nodes.iter().find(|node| node.id == 2).unwrap();
        (node.is_slow, node.led_group_count > 0)
    };
    cluster.sync_ms[1].store(STALL_MS, Ordering::Relaxed);
    // Something to write for everybody: the metadata group votes everywhere.
    assert!(done(&cluster.ask(1, AdminRequest::Drain { node: 3 })));
    assert!(done(&cluster.ask(1, AdminRequest::Add { node: 3 })));
    cluster.until("node 2 is slow and leads nothing", |cluster| {
        slow(cluster) == (true, false)
    });
    cluster.sync_ms[1].store(0, Ordering::Relaxed);
    cluster.until("node 2 leads its share again", |cluster| {
        slow(cluster) == (false, true)
            && is_settled(&status_of(&cluster.nodes[&NodeId(1)]), &[1, 2, 3])
    });
}
