//! One node alone.

use std::sync::{Arc, atomic::Ordering, mpsc::channel};

use bytes::Bytes;
use weir_model::{NodeId, Term};
use weir_raft::{Command, GroupCheckpoint, Input, MAX_STOPPING_MS, Members, Moment, NotCommitted};

use crate::harness::{GROUP, MemoryWal, Node};

fn alone() -> Node {
    let mut node = Node::new(1, &[1], Arc::new(MemoryWal::default()));
    node.settle();
    node
}

#[test]
fn a_lone_voter_leads_once_its_vote_is_synced() {
    let mut node = Node::new(1, &[1], Arc::new(MemoryWal::default()));
    node.turn();
    assert_eq!(node.look(|adder, _| adder.led.clone()), []);
    node.settle();
    assert_eq!(node.look(|adder, _| adder.led.clone()), [true]);
}

#[test]
fn nothing_is_answered_before_the_sync() {
    let mut node = alone();
    let told = node.add(5);
    node.turn();
    node.turn();
    assert!(told.try_recv().is_err());
    node.wal.sync();
    node.turn();
    assert_eq!(told.try_recv(), Ok(Ok(5)));
}

#[test]
fn proposals_of_one_turn_share_one_write() {
    let mut node = alone();
    let told: Vec<_> = (0..100).map(|_| node.add(1)).collect();
    node.turn();
    assert_eq!(node.wal.sync(), 1);
    node.turn();
    let sums: Vec<u64> = told
        .iter()
        .map(|told| told.try_recv().unwrap().unwrap())
        .collect();
    assert_eq!(sums, (1..=100).collect::<Vec<_>>());
    assert_eq!(
        node.wal.recovered(GROUP).entries.len(),
        2,
        "the leader's own entry and one bundle"
    );
}

#[test]
fn an_idle_lone_leader_asks_for_no_turn() {
    let mut node = alone();
    assert_eq!(node.turn().next_turn_in_ms, None);
}

#[test]
fn a_restart_applies_what_was_synced_and_nothing_else() {
    let mut node = alone();
    node.add(7);
    node.settle();
    node.add(100);
    node.turn();
    // The second command was handed over and never synced: the power is cut here.
    let wal = Arc::new(MemoryWal::surviving(&node.wal));
    let mut again = Node::new(1, &[1], wal);
    again.settle();
    assert_eq!(again.look(|adder, _| adder.sum), 7);
}

#[test]
fn the_sum_is_the_same_after_a_restart() {
    let mut node = alone();
    for number in 1..=10 {
        node.add(number);
        node.settle();
    }
    let mut again = Node::new(1, &[1], Arc::clone(&node.wal));
    again.settle();
    assert_eq!(again.look(|adder, _| adder.sum), 55);
}

#[test]
fn a_full_disk_refuses_before_proposing_and_recovers_by_itself() {
    let mut node = alone();
    node.wal.full.store(true, Ordering::Relaxed);
    let refused = node.add(1);
    node.settle();
    assert_eq!(refused.try_recv(), Ok(Err(NotCommitted::StorageFull)));
    node.wal.full.store(false, Ordering::Relaxed);
    let taken = node.add(1);
    node.settle();
    assert_eq!(taken.try_recv(), Ok(Ok(1)));
}

#[test]
fn held_back_proposals_keep_their_order_and_go_through_later() {
    let mut node = alone();
    node.hold_back.store(true, Ordering::Relaxed);
    let first = node.add(1);
    node.settle();
    let second = node.add(2);
    node.settle();
    assert!(first.try_recv().is_err());
    node.hold_back.store(false, Ordering::Relaxed);
    node.handle.send(Input::Nudge);
    node.settle();
    assert_eq!(
        (first.try_recv(), second.try_recv()),
        (Ok(Ok(1)), Ok(Ok(3)))
    );
}

#[test]
fn a_command_at_the_limit_passes_and_one_byte_more_is_refused() {
    let mut node = alone();
    let (tell, told) = channel();
    let payload = Bytes::from(vec![0; Command::MAX_BYTES + 1]);
    let command = Command {
        head: Bytes::new(),
        payload,
    };
    let done = Box::new(move |outcome| tell.send(outcome).unwrap());
    node.handle.send(Input::Propose {
        group: GROUP,
        command,
        done: Some(done),
    });
    node.settle();
    assert_eq!(told.try_recv(), Ok(Err(NotCommitted::TooLarge)));
}

#[test]
fn a_read_barrier_passes_after_everything_before_it_is_applied() {
    let mut node = alone();
    node.add(3);
    let (tell, told) = channel();
    let done = Box::new(move |outcome| tell.send(outcome).unwrap());
    node.handle.send(Input::ReadBarrier { group: GROUP, done });
    node.settle();
    assert_eq!(told.try_recv(), Ok(Ok(())));
}

#[test]
fn a_checkpoint_shortens_the_log_and_leaves_the_state() {
    let mut node = alone();
    for _ in 0..5 {
        node.add(1);
        node.settle();
    }
    let applied = node.look(|_, applied| applied);
    node.handle.send(Input::Checkpointed {
        group: GROUP,
        checkpoint: GroupCheckpoint {
            index: applied,
            term: Term(1),
            members: Members::alone(NodeId(1)),
            body: Bytes::copy_from_slice(&5_u64.to_le_bytes()),
        },
    });
    let told = node.add(1);
    node.settle();
    assert_eq!(told.try_recv(), Ok(Ok(6)));
}

#[test]
fn a_stopping_worker_settles_what_is_under_way_and_refuses_the_rest() {
    let mut node = alone();
    let under_way = node.add(1);
    node.turn();
    node.handle.send(Input::Stop);
    assert!(!node.turn().stopped);
    let late = node.add(1);
    node.wal.sync();
    assert!(node.turn().stopped);
    assert_eq!(under_way.try_recv(), Ok(Ok(1)));
    assert_eq!(late.try_recv(), Ok(Err(NotCommitted::ShuttingDown)));
}

#[test]
fn an_entry_that_cannot_be_applied_stops_the_worker() {
    let mut node = alone();
    let command = Command {
        head: Bytes::from_static(b"x"),
        payload: Bytes::new(),
    };
    node.handle.send(Input::Propose {
        group: GROUP,
        command,
        done: None,
    });
    node.turn();
    node.wal.sync();
    assert!(node.worker.turn(node.moment()).is_err());
    assert!(
        node.worker.turn(node.moment()).is_err(),
        "a failed worker stays failed"
    );
}

#[test]
fn a_worker_that_is_told_to_stop_waits_for_a_dead_disk_no_longer_than_its_limit() {
    let mut node = alone();
    let told = node.add(5);
    node.handle.send(Input::Stop);
    let begin = node.moment();
    let mut turn = |after_ms: u64| {
        let elapsed_ms = begin.elapsed_ms + after_ms;
        node.worker
            .turn(Moment {
                elapsed_ms,
                ..begin
            })
            .unwrap()
    };
    assert!(!turn(0).stopped);
    let last = turn(MAX_STOPPING_MS - 1);
    assert!(!last.stopped);
    assert_eq!(last.next_turn_in_ms, Some(1));
    assert!(told.try_recv().is_err());
    assert!(turn(MAX_STOPPING_MS).stopped);
    assert_eq!(told.try_recv(), Ok(Err(NotCommitted::LeadershipLost)));
}
