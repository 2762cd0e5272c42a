//! Replicas that are far behind, and those that are only a little.

use std::sync::mpsc::channel;

use weir_model::NodeId;
use weir_raft::{Input, MemberChange, Members};

use crate::{cluster::Cluster, harness::GROUP};

fn grown() -> Cluster {
    let mut cluster = Cluster::founded(3);
    cluster.run(500);
    cluster.add(1);
    for node in [2, 3] {
        let learner = vec![MemberChange::AddLearner(NodeId(node))];
        cluster.change(learner).unwrap();
    }
    let voters = [2, 3].map(|node| MemberChange::AddVoter(NodeId(node)));
    cluster.change(voters.to_vec()).unwrap();
    cluster
}

#[test]
fn a_vacant_replica_takes_no_part_until_it_is_let_in() {
    let mut cluster = Cluster::founded(2);
    cluster.run(5_000);
    assert_eq!(cluster.leaders(), [0]);
    assert_eq!(cluster.nodes[1].turn().next_turn_in_ms, None);
    assert_eq!(cluster.view(1).members, Members::default());
    assert_eq!(cluster.delivered, 0);
}

#[test]
fn a_group_grows_from_one_to_three_by_a_checkpoint_for_each() {
    let mut cluster = grown();
    assert_eq!(cluster.taken_up, 2);
    assert_eq!(cluster.add(5), 6);
    assert_eq!(cluster.sums(), [6, 6, 6]);
    let view = cluster.view(0);
    assert_eq!(view.members.voters.len(), 3);
    assert!(!view.members.is_joint());
    assert_eq!(cluster.view(2).members, view.members);
    assert!(view.followers.iter().all(|peer| !peer.is_behind));
}

#[test]
fn a_checkpoint_that_names_the_replica_serves_as_well() {
    let mut cluster = Cluster::founded(2);
    cluster.run(500);
    cluster.add(7);
    cluster.holds_offers = true;
    let learner = vec![MemberChange::AddLearner(NodeId(2))];
    cluster.change(learner).unwrap();
    cluster.nodes[0].checkpoint();
    cluster.run(500);
    cluster.holds_offers = false;
    cluster.run(5_000);
    assert_eq!(cluster.sums(), [7, 7]);
}

#[test]
fn an_offer_that_is_dropped_is_made_again() {
    let mut cluster = Cluster::founded(2);
    cluster.run(500);
    cluster.holds_offers = true;
    let learner = vec![MemberChange::AddLearner(NodeId(2))];
    cluster.change(learner).unwrap();
    let offers: Vec<_> = std::mem::take(&mut *cluster.nodes[1].offers.0.lock().unwrap());
    assert_eq!(offers.len(), 1);
    cluster.run(5_000);
    assert!(
        cluster.nodes[1].offers.0.lock().unwrap().is_empty(),
        "one offer at a time"
    );
    for offer in offers {
        let input = Input::CaughtUp { offer, body: None };
        cluster.nodes[1].handle.send(input);
    }
    cluster.holds_offers = false;
    cluster.run(5_000);
    assert_eq!(cluster.taken_up, 1);
    cluster.add(3);
    assert_eq!(cluster.sums(), [3, 3]);
}

#[test]
fn a_replica_survives_being_killed_between_its_checkpoint_and_its_log() {
    let mut cluster = Cluster::founded(2);
    cluster.run(500);
    cluster.holds_offers = true;
    let learner = vec![MemberChange::AddLearner(NodeId(2))];
    cluster.change(learner).unwrap();
    // The offer is durable; its taking over is not.
    cluster.nodes[1].take_offers_up();
    let killed = cluster.nodes.pop().unwrap().killed();
    cluster.nodes.push(killed);
    cluster.holds_offers = false;
    cluster.add(4);
    cluster.run(3_000);
    assert_eq!(cluster.sums(), [4, 4]);
    let killed = cluster.nodes.pop().unwrap().killed();
    cluster.nodes.push(killed);
    cluster.add(1);
    cluster.run(3_000);
    assert_eq!(cluster.sums(), [5, 5]);
}

#[test]
fn a_replica_that_was_down_for_a_moment_gets_entries() {
    let mut cluster = grown();
    let lagging = 2;
    // Cut off, but not known to be: nobody has noticed yet.
    cluster.cut_off.insert(lagging);
    cluster.add(1);
    cluster.nodes[0].checkpoint();
    cluster.add(1);
    cluster.cut_off.clear();
    cluster.run(3_000);
    assert_eq!(cluster.taken_up, 2, "none besides those of growing");
    assert_eq!(cluster.sums(), [3, 3, 3]);
}

#[test]
fn a_replica_that_was_gone_takes_over_a_checkpoint() {
    let mut cluster = grown();
    cluster.lose(2);
    cluster.add(1);
    cluster.nodes[0].checkpoint();
    cluster.add(1);
    assert!(!cluster.view(0).followers[1].is_active);
    cluster.heal();
    cluster.run(5_000);
    assert_eq!(cluster.taken_up, 3);
    assert_eq!(cluster.sums(), [3, 3, 3]);
    let view = cluster.view(0);
    assert!(view.followers[1].is_active && !view.followers[1].is_behind);
    let killed = cluster.nodes.pop().unwrap().killed();
    cluster.nodes.push(killed);
    cluster.run(3_000);
    cluster.add(1);
    assert_eq!(cluster.sums(), [4, 4, 4]);
}

#[test]
fn a_retired_replica_has_nothing_and_can_come_back() {
    let mut cluster = grown();
    cluster.nodes[0].checkpoint();
    let remove = vec![MemberChange::Remove(NodeId(3))];
    cluster.change(remove).unwrap();
    assert_eq!(cluster.view(0).members.voters.len(), 2);
    let (tell, told) = channel();
    let done = Box::new(move || tell.send(()).unwrap());
    cluster.nodes[2]
        .handle
        .send(Input::Retire { group: GROUP, done });
    cluster.nodes[2].turn();
    assert!(told.try_recv().is_err(), "not before it is durable");
    cluster.run(100);
    assert_eq!(told.try_recv(), Ok(()));
    assert_eq!(cluster.view(2).members, Members::default());
    assert_eq!(cluster.sums(), [1, 1, 0]);
    cluster.nodes[2].durable = None;
    let killed = cluster.nodes.pop().unwrap().killed();
    cluster.nodes.push(killed);
    assert_eq!(
        cluster.nodes[2].look(|adder, applied| (adder.sum, applied)),
        (0, 0)
    );
    let learner = vec![MemberChange::AddLearner(NodeId(3))];
    cluster.change(learner).unwrap();
    cluster.run(3_000);
    assert_eq!(cluster.add(2), 3);
    assert_eq!(cluster.sums(), [3, 3, 3]);
}

#[test]
fn what_a_retired_replica_acknowledged_is_not_said_again() {
    let mut cluster = grown();
    let leader = cluster.leader();
    cluster.nodes[leader].add(1);
    let messages = cluster.nodes[leader].settle();
    messages
        .into_iter()
        .for_each(|message| cluster.hand_over(message));
    // The entry is on its way to the third replica's disk when it is retired.
    cluster.nodes[2].turn();
    let done = Box::new(|| ());
    cluster.nodes[2]
        .handle
        .send(Input::Retire { group: GROUP, done });
    assert_eq!(cluster.nodes[2].settle(), []);
}
