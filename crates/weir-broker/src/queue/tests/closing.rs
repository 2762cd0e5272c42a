use weir_log::Millis;

use super::bench::{Bench, attach, detach, plain, session, told};
use crate::{
    api::queues::Settlement,
    queue::{
        CloseIf, CloserKey, Overflow, Queue, QueueApplied, QueueCommand, QueueSettings,
        closing::MAX_CLOSERS_COUNT,
    },
};

const UNUSED: CloseIf = CloseIf {
    is_unused: true,
    is_empty: false,
};
const EMPTY: CloseIf = CloseIf {
    is_unused: false,
    is_empty: true,
};

fn deletion(number: u64) -> CloserKey {
    CloserKey(session(number))
}

fn close(bench: &mut Bench, only: CloseIf) -> QueueApplied {
    close_for(bench, 1, only)
}

fn close_for(bench: &mut Bench, number: u64, only: CloseIf) -> QueueApplied {
    bench.apply(QueueCommand::Close(deletion(number), only)).0
}

fn reopen_for(bench: &mut Bench, number: u64) {
    bench.apply(QueueCommand::Reopen(deletion(number)));
}

#[test]
fn a_queue_is_closed_only_where_the_condition_holds() {
    let mut bench = Bench::new(QueueSettings::default());
    bench.put(1);
    assert_eq!(close(&mut bench, EMPTY), QueueApplied::NotEmpty);
    let held = bench.attach(attach(1, 1));
    assert_eq!(close(&mut bench, UNUSED), QueueApplied::StillUsed);
    assert_eq!(told(&bench.put(1)), []);
    bench.apply(detach(1));
    bench.settle(&held, Settlement::Ack);
    assert_eq!(close(&mut bench, UNUSED), QueueApplied::Counted(1));
    assert_eq!(close(&mut bench, EMPTY), QueueApplied::NotEmpty);
}

#[test]
fn what_comes_to_a_closed_queue_is_refused_and_not_dead_lettered() {
    for overflow in [Overflow::DropHead, Overflow::RejectPublishDeadLetter] {
        let mut bench = Bench::new(QueueSettings {
            overflow,
            ..QueueSettings::default()
        });
        assert_eq!(close(&mut bench, EMPTY), QueueApplied::Counted(0));
        assert!(!bench.queue.takes_whole(1));
        assert_eq!(bench.enqueue(&plain(2)).0, Some(0));
        let figures = bench.queue.figures();
        assert_eq!((figures.ready_count, figures.delayed_count), (0, 0));
        let refused = bench.apply(QueueCommand::Attach(attach(1, 0))).0;
        assert_eq!(refused, QueueApplied::NotAQueue);
        reopen_for(&mut bench, 1);
        assert_eq!(bench.enqueue(&plain(2)).0, None);
        assert_eq!(told(&bench.attach(attach(1, 0))), [(1, 2), (1, 3)]);
    }
}

#[test]
fn a_deletion_that_comes_to_no_end_closes_a_queue_for_a_while_only() {
    let mut bench = Bench::new(QueueSettings::default());
    close(&mut bench, EMPTY);
    let opens = bench.queue.next_wake().unwrap();
    let copy = Queue::decode(&bench.queue.encode()).unwrap();
    assert_eq!(copy, bench.queue);
    bench.now = Millis(opens.0 - 1);
    bench.apply(QueueCommand::Wake);
    assert_eq!(bench.enqueue(&plain(1)).0, Some(0));
    bench.now = opens;
    bench.apply(QueueCommand::Wake);
    assert_eq!(bench.queue.next_wake(), None);
    assert_eq!(bench.enqueue(&plain(1)).0, None);
}

#[test]
fn a_deletion_that_is_refused_opens_nothing_that_another_one_has_closed() {
    let mut bench = Bench::new(QueueSettings::default());
    assert_eq!(close_for(&mut bench, 1, EMPTY), QueueApplied::Counted(0));
    assert_eq!(close_for(&mut bench, 2, UNUSED), QueueApplied::Counted(0));
    for number in [1, 3, 1] {
        reopen_for(&mut bench, number);
        assert_eq!(bench.enqueue(&plain(1)).0, Some(0));
    }
    reopen_for(&mut bench, 2);
    assert_eq!(bench.enqueue(&plain(1)).0, None);
}

#[test]
fn a_queue_is_closed_until_the_last_of_its_deletions_is_over() {
    let mut bench = Bench::new(QueueSettings::default());
    close_for(&mut bench, 1, EMPTY);
    let first_ends = bench.queue.next_wake().unwrap();
    bench.now = bench.now.plus(1);
    close_for(&mut bench, 2, EMPTY);
    bench.now = first_ends;
    bench.apply(QueueCommand::Wake);
    assert_eq!(bench.enqueue(&plain(1)).0, Some(0));
    let second_ends = bench.queue.next_wake().unwrap();
    assert_eq!(second_ends, first_ends.plus(1));
    bench.now = second_ends;
    bench.apply(QueueCommand::Wake);
    assert_eq!(bench.enqueue(&plain(1)).0, None);
}

#[test]
fn a_deletion_that_asks_again_and_is_refused_closes_the_queue_no_longer() {
    let mut bench = Bench::new(QueueSettings::default());
    bench.attach(attach(1, 1));
    let held = bench.put(1);
    bench.apply(detach(1));
    assert_eq!(close(&mut bench, EMPTY), QueueApplied::Counted(0));
    bench.settle(&held, Settlement::Requeue);
    assert_eq!(close(&mut bench, EMPTY), QueueApplied::NotEmpty);
    assert_eq!(bench.enqueue(&plain(1)).0, None);
}

#[test]
fn so_many_deletions_of_a_queue_are_under_way_and_no_more() {
    let mut bench = Bench::new(QueueSettings::default());
    let most = MAX_CLOSERS_COUNT as u64;
    let closed = (0..most).all(|it| close_for(&mut bench, it, EMPTY) == QueueApplied::Counted(0));
    assert!(closed);
    let refused = close_for(&mut bench, most, EMPTY);
    assert_eq!(refused, QueueApplied::TooManyDeletions);
    assert_eq!(close_for(&mut bench, 0, EMPTY), QueueApplied::Counted(0));
}
