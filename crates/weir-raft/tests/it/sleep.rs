//! Groups that stop their clocks, and what starts them again.

use std::sync::mpsc::channel;

use weir_raft::{Input, NotCommitted};

use crate::{cluster::Cluster, harness::GROUP};

/// A few ticks.
const SOON_MS: u64 = 600;

fn asleep() -> Cluster {
    let mut cluster = Cluster::new(&[1, 2, 3], 3);
    cluster.run(8_000);
    assert!(sleeps(&mut cluster));
    cluster
}

fn sleeps(cluster: &mut Cluster) -> bool {
    let nodes = cluster.nodes.iter_mut().enumerate();
    let reachable = nodes.filter(|(at, _)| !cluster.cut_off.contains(at));
    let mut wanted = reachable.map(|(_, node)| node.turn().next_turn_in_ms);
    wanted.all(|wanted| wanted.is_none())
}

fn barrier(cluster: &Cluster, at: usize) -> std::sync::mpsc::Receiver<Result<(), NotCommitted>> {
    let (tell, told) = channel();
    let done = Box::new(move |outcome| tell.send(outcome).unwrap());
    cluster.nodes[at]
        .handle
        .send(Input::ReadBarrier { group: GROUP, done });
    told
}

#[test]
fn a_quiet_group_sends_nothing_and_asks_for_no_turn() {
    let mut cluster = asleep();
    let before = cluster.delivered;
    cluster.run(60_000);
    assert_eq!(cluster.delivered, before);
}

#[test]
fn a_proposal_wakes_everyone_and_they_sleep_again() {
    let mut cluster = asleep();
    assert_eq!(cluster.add(4), 4);
    assert_eq!(cluster.sums(), [4, 4, 4]);
    cluster.run(5_000);
    assert!(sleeps(&mut cluster));
    assert_eq!(cluster.leaders().len(), 1);
}

#[test]
fn a_sleeping_leader_answers_a_barrier() {
    let mut cluster = asleep();
    let leader = cluster.leader();
    let told = barrier(&cluster, leader);
    cluster.run(SOON_MS);
    assert_eq!(told.try_recv(), Ok(Ok(())));
}

#[test]
fn a_lost_follower_wakes_the_leader_and_its_return_lets_all_sleep() {
    let mut cluster = asleep();
    let leader = cluster.leader();
    let follower = (leader + 1) % 3;
    cluster.lose(follower);
    cluster.run(5_000);
    assert!(
        !sleeps(&mut cluster),
        "nobody sleeps while a member is lost"
    );
    assert_eq!(cluster.leader(), leader);
    cluster.heal();
    cluster.run(8_000);
    assert!(sleeps(&mut cluster));
    assert_eq!(cluster.leader(), leader);
}

#[test]
fn a_lost_leader_is_replaced_within_a_few_ticks_asleep_or_awake() {
    for is_awake in [false, true] {
        let mut cluster = asleep();
        let old = cluster.leader();
        if is_awake {
            cluster.add(1);
        }
        cluster.lose(old);
        cluster.run(SOON_MS);
        let new = cluster.leader();
        let told = cluster.nodes[new].add(5);
        cluster.run(200);
        assert_eq!(told.try_recv(), Ok(Ok(5 + u64::from(is_awake))));
        cluster.heal();
        cluster.run(8_000);
        assert_eq!(cluster.leader(), new);
        assert!(sleeps(&mut cluster));
    }
}

#[test]
fn a_leader_that_starts_again_unnoticed_is_replaced() {
    let mut cluster = asleep();
    let old = cluster.leader();
    let again = cluster.nodes.remove(old).killed();
    cluster.nodes.insert(old, again);
    cluster.run(5_000);
    assert_eq!(cluster.add(2), 2);
}

#[test]
fn a_false_alarm_disturbs_nobody() {
    let mut cluster = asleep();
    let leader = cluster.leader();
    let term = cluster.view(leader).term;
    let nervous = (leader + 1) % 3;
    cluster.tell(nervous, leader, false);
    cluster.run(5_000);
    cluster.tell(nervous, leader, true);
    cluster.run(8_000);
    assert_eq!(cluster.leader(), leader);
    assert_eq!(cluster.view(leader).term, term);
    assert!(sleeps(&mut cluster));
}

#[test]
fn a_leader_that_is_cut_off_lets_no_barrier_through() {
    let mut cluster = asleep();
    let old = cluster.leader();
    // Nobody tells it.
    cluster.cut_off.insert(old);
    for at in (0..3).filter(|at| *at != old) {
        cluster.tell(at, old, false);
    }
    let told = barrier(&cluster, old);
    cluster.run(SOON_MS);
    assert!(told.try_recv().is_err());
    cluster.run(5_000);
    assert_eq!(told.try_recv(), Ok(Err(NotCommitted::LeadershipLost)));
}
