//! Who takes part.

use std::sync::mpsc::channel;

use weir_model::NodeId;
use weir_raft::{Input, MemberChange, NotCommitted};

use crate::{cluster::Cluster, harness::GROUP};

fn three() -> Cluster {
    let mut cluster = Cluster::new(&[1, 2, 3], 3);
    cluster.run(5_000);
    cluster
}

#[test]
fn a_second_change_waits_for_the_first() {
    let mut cluster = three();
    let leader = cluster.leader();
    let (tell, told) = channel();
    for node in [4, 5] {
        let tell = tell.clone();
        let done = Box::new(move |outcome| tell.send(outcome).unwrap());
        let changes = vec![MemberChange::AddLearner(NodeId(node))];
        cluster.nodes[leader].handle.send(Input::ChangeMembers {
            group: GROUP,
            changes,
            done,
        });
    }
    cluster.cut_off.insert(99);
    cluster.nodes[leader].turn();
    assert_eq!(told.try_recv(), Ok(Err(NotCommitted::ChangeInProgress)));
    assert!(NotCommitted::ChangeInProgress.retriable());
}

#[test]
fn a_change_that_leaves_nobody_is_refused_and_the_group_goes_on() {
    let mut cluster = three();
    let all = [1, 2, 3].map(|node| MemberChange::Remove(NodeId(node)));
    let refused = Err(NotCommitted::ImpossibleChange);
    assert_eq!(cluster.change(all.to_vec()), refused);
    assert_eq!(cluster.change(Vec::new()), refused);
    assert!(!NotCommitted::ImpossibleChange.retriable());
    assert_eq!(cluster.add(2), 2);
}

#[test]
fn only_a_leader_changes_members() {
    let mut cluster = three();
    let follower = (cluster.leader() + 1) % 3;
    let (tell, told) = channel();
    cluster.nodes[follower].handle.send(Input::ChangeMembers {
        group: GROUP,
        changes: vec![MemberChange::AddLearner(NodeId(4))],
        done: Box::new(move |outcome| tell.send(outcome).unwrap()),
    });
    cluster.run(100);
    assert_eq!(told.try_recv(), Ok(Err(NotCommitted::NotLeader)));
}

#[test]
fn a_leader_that_is_removed_hands_over_and_answers_nothing_more() {
    let mut cluster = three();
    let old = cluster.leader();
    let remove = vec![MemberChange::Remove(NodeId(old as u64 + 1))];
    cluster.change(remove).unwrap();
    cluster.run(1_000);
    let new = cluster.leader();
    assert_ne!(new, old);
    let refused = cluster.nodes[old].add(1);
    cluster.run(500);
    assert_eq!(refused.try_recv(), Ok(Err(NotCommitted::NotLeader)));
    assert_eq!(cluster.add(3), 3);
    let view = cluster.view(new);
    assert_eq!(view.members.voters.len(), 2);
    assert_eq!(view.followers.len(), 1);
}

#[test]
fn the_index_of_the_members_rises_with_every_change() {
    let mut cluster = three();
    let leader = cluster.leader();
    let before = cluster.view(leader).conf_index;
    let remove = vec![MemberChange::Remove(NodeId((leader as u64 + 1) % 3 + 1))];
    cluster.change(remove).unwrap();
    let after = cluster.view(leader);
    assert!(after.conf_index > before);
    assert!(after.conf_index <= after.last_index);
}

#[test]
fn leadership_is_not_handed_to_a_node_that_does_not_answer() {
    let mut cluster = three();
    let leader = cluster.leader();
    let to = (leader + 1) % 3;
    cluster.lose(to);
    let node = NodeId(to as u64 + 1);
    cluster.nodes[leader]
        .handle
        .send(Input::TransferLeadership {
            group: GROUP,
            to: node,
        });
    assert_eq!(cluster.add(1), 1);
    assert_eq!(cluster.leader(), leader);
}
