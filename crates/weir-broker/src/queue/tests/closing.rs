use weir_log::Millis;

use super::bench::{Bench, attach, detach, plain, told};
use crate::{
    api::queues::Settlement,
    queue::{CloseIf, Overflow, Queue, QueueApplied, QueueCommand, QueueSettings},
};

const UNUSED: CloseIf = CloseIf {
    is_unused: true,
    is_empty: false,
};
const EMPTY: CloseIf = CloseIf {
    is_unused: false,
    is_empty: true,
};

fn close(bench: &mut Bench, only: CloseIf) -> QueueApplied {
    bench.apply(QueueCommand::Close(only)).0
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
        bench.apply(QueueCommand::Reopen);
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
