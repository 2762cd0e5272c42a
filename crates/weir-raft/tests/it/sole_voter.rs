//! A node that needs nobody's vote, and others who listen to it.

use std::sync::Arc;

use weir_model::{NodeId, Term};
use weir_raft::{Input, MemberChange};

use crate::{
    cluster::Cluster,
    harness::{MemoryWal, Node},
};

/// A voter and a learner that has everything.
fn voter_and_learner() -> Cluster {
    let mut cluster = Cluster::founded(2);
    cluster.run(1_000);
    let learner = vec![MemberChange::AddLearner(NodeId(2))];
    cluster.change(learner).unwrap();
    cluster.nodes[0].checkpoint();
    cluster.run(3_000);
    cluster.add(1);
    assert_eq!(cluster.sums(), [1, 1]);
    cluster
}

/// Restarts the voter, and lets it talk to its learner for long enough to lead, without its disk.
fn lead_without_a_sync(cluster: &mut Cluster) {
    let voter = cluster.nodes.remove(0).killed();
    cluster.nodes.insert(0, voter);
    for step in 0..100 {
        if step == 50 {
            drop(cluster.nodes[0].add(100));
        }
        cluster.nodes[0].now.0 += 100;
        let mut messages = cluster.nodes[0].turn().messages;
        messages.append(&mut cluster.nodes[1].settle());
        for message in messages {
            cluster.hand_over(message);
        }
    }
    // What the learner answers does not arrive any more.
    drop(cluster.nodes[1].settle());
}

#[test]
fn a_sole_voter_tells_its_learners_nothing_of_a_term_that_is_not_on_its_disk() {
    let mut cluster = voter_and_learner();
    let before = cluster.nodes[1].status.term();
    lead_without_a_sync(&mut cluster);
    let (promised, _) = cluster.nodes[0].status.promised();
    assert_eq!(promised, before, "nothing is on the disk");
    assert_eq!(cluster.nodes[1].status.term(), promised);
}

#[test]
fn a_sole_voter_that_loses_its_term_with_the_power_has_a_learner_with_the_same_entries() {
    let mut cluster = voter_and_learner();
    lead_without_a_sync(&mut cluster);
    let voter = cluster.nodes.remove(0).killed();
    cluster.nodes.insert(0, voter);
    cluster.run(3_000);
    cluster.add(7);
    cluster.run(3_000);
    assert_eq!(cluster.sums(), [8, 8]);
}

#[test]
fn a_heir_whose_last_entries_are_not_on_its_disk_yet_goes_on_as_soon_as_they_are() {
    let mut cluster = voter_and_learner();
    let swap = vec![
        MemberChange::AddVoter(NodeId(2)),
        MemberChange::Remove(NodeId(1)),
    ];
    let (tell, told) = std::sync::mpsc::channel();
    cluster.nodes[0].handle.send(Input::ChangeMembers {
        group: crate::harness::GROUP,
        changes: swap,
        done: Box::new(move |outcome| tell.send(outcome).unwrap()),
    });
    // Proposals all the way; the heir's disk is slow.
    for step in 0..400 {
        drop(cluster.nodes[0].add(1));
        for at in 0..2 {
            cluster.nodes[at].now.0 += 10;
            let messages = cluster.nodes[at].turn().messages;
            for message in messages {
                cluster.hand_over(message);
            }
            if at == 0 || step % 3 == 0 {
                cluster.nodes[at].wal.sync();
            }
        }
    }
    assert_eq!(told.try_recv(), Ok(Ok(())));
    cluster.run(3_000);
    assert_eq!(cluster.leader(), 1);
    assert!(cluster.nodes[1].status.term() > Term(1));
    let before = cluster.sums()[1];
    assert_eq!(cluster.add(5), before + 5);
}

#[test]
fn a_sole_voter_that_is_founded_still_leads_at_once() {
    let mut node = Node::found(1, &[1], Arc::new(MemoryWal::default()));
    node.settle();
    assert_eq!(node.look(|adder, _| adder.led.clone()), [true]);
}
