//! Three nodes that hand each other's messages over in memory.

use std::sync::mpsc::channel;

use weir_model::NodeId;
use weir_raft::{Input, MemberChange, NotCommitted};

use crate::{cluster::Cluster, harness::GROUP};

#[test]
fn three_nodes_elect_one_leader_and_agree() {
    let mut cluster = Cluster::new(&[1, 2, 3], 3);
    cluster.run(5_000);
    let leader = cluster.leader();
    let told = cluster.nodes[leader].add(9);
    cluster.run(1_000);
    assert_eq!(told.try_recv(), Ok(Ok(9)));
    for node in &mut cluster.nodes {
        assert_eq!(node.look(|adder, _| adder.sum), 9);
    }
}

#[test]
fn a_leader_that_is_cut_off_gives_up_and_another_takes_over() {
    let mut cluster = Cluster::new(&[1, 2, 3], 3);
    cluster.run(5_000);
    let old = cluster.leader();
    cluster.lose(old);
    let lost = cluster.nodes[old].add(1);
    cluster.run(10_000);
    assert_eq!(lost.try_recv(), Ok(Err(NotCommitted::LeadershipLost)));
    let new = cluster.leader();
    assert_ne!(new, old);
    let told = cluster.nodes[new].add(5);
    cluster.run(1_000);
    assert_eq!(told.try_recv(), Ok(Ok(5)));
    cluster.heal();
    cluster.run(5_000);
    assert_eq!(cluster.nodes[old].look(|adder, _| adder.sum), 5);
}

#[test]
fn leadership_moves_when_told_to() {
    let mut cluster = Cluster::new(&[1, 2, 3], 3);
    cluster.run(5_000);
    let old = cluster.leader();
    let to = (old + 1) % 3;
    let node = NodeId(to as u64 + 1);
    cluster.nodes[old].handle.send(Input::TransferLeadership {
        group: GROUP,
        to: node,
    });
    cluster.run(1_000);
    assert_eq!(cluster.leader(), to);
}

#[test]
fn a_group_of_one_grows_by_a_voter_that_then_counts() {
    let mut cluster = Cluster::new(&[1], 2);
    // The second node knows the founder's configuration and waits to be let in.
    cluster.run(1_000);
    let told = cluster.nodes[0].add(4);
    cluster.run(500);
    assert_eq!(told.try_recv(), Ok(Ok(4)));
    let (tell, changed) = channel();
    let done = Box::new(move |outcome| tell.send(outcome).unwrap());
    let changes = vec![MemberChange::AddVoter(NodeId(2))];
    cluster.nodes[0].handle.send(Input::ChangeMembers {
        group: GROUP,
        changes,
        done,
    });
    cluster.run(3_000);
    assert_eq!(changed.try_recv(), Ok(Ok(())));
    assert_eq!(cluster.nodes[1].look(|adder, _| adder.sum), 4);
    cluster.lose(1);
    let alone = cluster.nodes[0].add(1);
    cluster.run(10_000);
    assert_eq!(
        alone.try_recv(),
        Ok(Err(NotCommitted::LeadershipLost)),
        "one of two is no quorum"
    );
}
