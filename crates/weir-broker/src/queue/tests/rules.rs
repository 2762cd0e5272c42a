use weir_model::fields::BasicProperties;

use super::bench::{Bench, attach, batch, consumer, detach, session, told};
use crate::{
    api::queues::{ConsumerTag, Held, Settlement},
    queue::{Attach, Gone, QueueApplied, QueueCommand, QueueFigures, QueueSettings},
    seeded::Seeded,
};

fn plain_bench() -> Bench {
    Bench::new(QueueSettings::default())
}

#[test]
fn messages_go_by_turns_to_consumers_with_credit_and_wait_for_the_rest() {
    let mut bench = plain_bench();
    bench.attach(attach(1, 2));
    bench.attach(attach(2, 1));
    let assigned = bench.put(5);
    assert_eq!(told(&assigned), [(1, 0), (2, 1), (1, 2)]);
    let figures = QueueFigures {
        ready_count: 2,
        unacked_count: 3,
        delayed_count: 0,
        consumer_count: 2,
        idle_ms: 0,
    };
    assert_eq!(bench.queue.figures(), figures);
    let next = bench.settle(&assigned[1..2], Settlement::Ack);
    assert_eq!(told(&next), [(2, 3)]);
}

#[test]
fn a_higher_priority_is_served_first_as_long_as_it_has_credit() {
    let mut bench = plain_bench();
    bench.attach(attach(1, 0));
    for number in [2, 3] {
        bench.attach(Attach {
            priority: 5,
            ..attach(number, 1)
        });
    }
    assert_eq!(told(&bench.put(4)), [(2, 0), (3, 1), (1, 2), (1, 3)]);
}

#[test]
fn a_requeued_message_is_next_again_and_only_a_failure_counts() {
    let mut bench = plain_bench();
    bench.attach(attach(1, 1));
    let first = bench.put(3);
    let again = bench.settle(&first, Settlement::Requeue);
    assert_eq!(told(&again), [(1, 0)]);
    assert!(again[0].is_redelivered && again[0].failed_count == 0);
    let again = bench.settle(&again, Settlement::RequeueFailed);
    assert_eq!((told(&again), again[0].failed_count), (vec![(1, 0)], 1));
    assert!(again[0].serial > first[0].serial);
    let stale = bench.settle(&first, Settlement::Ack);
    assert_eq!((stale.len(), bench.queue.figures().unacked_count), (0, 1));
}

#[test]
fn a_session_that_ends_leaves_its_messages_in_order_to_others() {
    let mut bench = plain_bench();
    bench.attach(attach(1, 3));
    bench.put(4);
    bench.attach(attach(2, 0));
    let assigned = bench.end_session(1);
    assert_eq!(told(&assigned), [(2, 0), (2, 1), (2, 2)]);
    let is_failed = |it: &crate::queue::Assignment| it.is_redelivered && it.failed_count == 1;
    assert!(assigned.iter().all(is_failed));
    let boots: Vec<_> = bench.queue.boots().collect();
    assert_eq!(boots, [(session(2).node, 7)]);
}

#[test]
fn the_end_of_a_node_is_no_failure_of_its_messages() {
    let mut bench = plain_bench();
    bench.attach(attach(1, 1));
    bench.put(1);
    let mut out = Vec::new();
    for (gone, left_count) in [
        (Gone::Node(session(2).node), 1),
        (Gone::Boots(session(1).node, session(1).boot), 1),
        (Gone::Boots(session(1).node, session(1).boot + 1), 0),
    ] {
        bench
            .queue
            .end_sessions(bench.now, &gone, Seeded::default(), &mut out);
        assert_eq!(bench.queue.boots().count(), left_count, "{gone:?}");
    }
    let again = bench.attach(attach(2, 1));
    assert!(again[0].is_redelivered && again[0].failed_count == 0);
}

#[test]
fn a_session_that_ended_while_its_node_was_away_has_no_say_until_it_has_ended_there_too() {
    let mut bench = plain_bench();
    bench.attach(attach(1, 1));
    let held = bench.put(1);
    let mut out = Vec::new();
    let away = Gone::Node(session(1).node);
    bench
        .queue
        .end_sessions(bench.now, &away, Seeded::default(), &mut out);
    let lost: Vec<_> = bench.queue.lost_sessions().collect();
    assert_eq!(lost, [session(1)]);
    let settle = QueueCommand::Settle {
        session: session(1),
        deliveries: vec![(held[0].offset, held[0].serial, Settlement::Ack)],
    };
    let get = QueueCommand::Get {
        session: session(1),
        request: 1,
    };
    for command in [settle, QueueCommand::Attach(attach(1, 1)), get] {
        assert_eq!(bench.apply(command).0, QueueApplied::SessionLost);
    }
    assert_eq!(told(&bench.attach(attach(2, 1))), [(2, 0)]);
    for (gone, count) in [
        (Gone::Boots(session(1).node, session(1).boot), 1),
        (Gone::Session(session(1)), 0),
    ] {
        bench
            .queue
            .end_sessions(bench.now, &gone, Seeded::default(), &mut out);
        assert_eq!(bench.queue.lost_sessions().count(), count);
    }
}

#[test]
fn what_a_cancelled_consumer_holds_stays_its_sessions() {
    let mut bench = plain_bench();
    bench.attach(attach(1, 1));
    let held = bench.put(2);
    bench.attach(attach(2, 1));
    bench.apply(detach(1));
    assert_eq!(bench.queue.figures().unacked_count, 2);
    assert_eq!(bench.queue.figures().consumer_count, 1);
    bench.settle(&held, Settlement::Requeue);
    assert_eq!(bench.queue.ready(9), [(0, 0)]);
    let boots: Vec<_> = bench.queue.boots().collect();
    assert_eq!(boots, [(session(2).node, 7)]);
}

#[test]
fn what_never_left_the_leader_is_as_it_was() {
    let mut bench = plain_bench();
    bench.attach(attach(1, 2));
    let held = bench.put(2);
    bench.attach(attach(2, 1));
    let (_, again) = bench.apply(QueueCommand::Detach {
        consumer: consumer(1),
        held: Held::Stays,
        first_unsent: held[1].serial,
    });
    assert_eq!(
        (told(&again), again[0].is_redelivered),
        (vec![(2, 1)], false)
    );
}

#[test]
fn what_returns_with_its_consumer_is_in_its_place_before_the_next_one_is_served() {
    let mut bench = Bench::new(QueueSettings {
        is_single_active: true,
        ..QueueSettings::default()
    });
    bench.attach(attach(1, 2));
    bench.attach(attach(2, 3));
    let held = bench.put(4);
    let (_, again) = bench.apply(QueueCommand::Detach {
        consumer: consumer(1),
        held: Held::Returns,
        first_unsent: held[1].serial,
    });
    assert_eq!(told(&again), [(2, 0), (2, 1), (2, 2)]);
    let is_redelivered: Vec<_> = again.iter().map(|it| it.is_redelivered).collect();
    assert_eq!(is_redelivered, [true, false, false]);
}

#[test]
fn a_consumer_that_excludes_others_is_alone() {
    let exclusive = |number| Attach {
        is_exclusive: true,
        ..attach(number, 1)
    };
    let mut bench = plain_bench();
    bench.attach(exclusive(1));
    for other in [attach(2, 1), exclusive(2)] {
        let refused = bench.apply(QueueCommand::Attach(other)).0;
        assert_eq!(refused, QueueApplied::InExclusiveUse);
    }
    bench.attach(exclusive(1));
    bench.apply(detach(1));
    bench.attach(attach(2, 1));
    let refused = bench.apply(QueueCommand::Attach(exclusive(1))).0;
    assert_eq!(refused, QueueApplied::InExclusiveUse);
}

#[test]
fn of_many_consumers_one_is_active_and_the_next_takes_over() {
    let mut bench = Bench::new(QueueSettings {
        is_single_active: true,
        ..QueueSettings::default()
    });
    for number in 1..=3 {
        let priority = i32::from(number == 3);
        bench.attach(Attach {
            priority,
            ..attach(number, 2)
        });
    }
    assert_eq!(told(&bench.put(3)), [(1, 0), (1, 1)]);
    let taken_over = bench.end_session(1);
    assert_eq!(told(&taken_over), [(3, 0), (3, 1)]);
    let (_, taken_over) = bench.apply(detach(3));
    assert_eq!(told(&taken_over), [(2, 2)]);
    let both = bench.configure(QueueSettings::default());
    assert_eq!(told(&both), []);
}

#[test]
fn another_limit_counts_from_now_on() {
    let mut bench = plain_bench();
    bench.attach(attach(1, 1));
    let held = bench.put(5);
    let more = bench.attach(attach(1, 3));
    assert_eq!(told(&more), [(1, 1), (1, 2)]);
    bench.apply(QueueCommand::Attach(attach(1, 3)));
    let all = [&held[..], &more].concat();
    assert_eq!(told(&bench.settle(&all, Settlement::Ack)), [(1, 3), (1, 4)]);
}

#[test]
fn messages_on_demand_are_given_once_for_each_request() {
    let mut bench = plain_bench();
    assert_eq!(bench.get(1, 1), (None, 0));
    bench.put(2);
    assert_eq!(bench.get(1, 1), (None, 2), "the same answer again");
    let (given, left) = bench.get(1, 2);
    let given = given.unwrap();
    assert_eq!((given.offset, given.tag, left), (0, None, 1));
    let again = bench.get(1, 2).0.unwrap();
    assert_eq!((again.offset, again.serial), (0, given.serial));
    assert_eq!(bench.get(1, 1), (None, 1), "a late repeat");
    bench.end_session(1);
    assert_eq!(bench.queue.ready(9), [(0, 0), (0, 1)]);
}

#[test]
fn a_purge_takes_what_is_ready_and_nothing_else() {
    let mut bench = plain_bench();
    bench.attach(attach(1, 1));
    bench.put(4);
    let purged = bench.apply(QueueCommand::Purge).0;
    assert_eq!(purged, QueueApplied::Counted(3));
    assert_eq!(bench.queue.figures().unacked_count, 1);
    assert_eq!(bench.queue.floor(), 0);
}

#[test]
fn what_a_transaction_wrote_is_ready_once_it_is_committed_and_never_if_not() {
    let mut bench = plain_bench();
    bench.attach(attach(1, 0));
    assert_eq!(told(&bench.put_undecided(5, 2)), []);
    assert_eq!(told(&bench.put_undecided(6, 2)), []);
    assert_eq!(told(&bench.put(1)), [(1, 4)]);
    assert_eq!(bench.queue.floor(), 0);
    assert_eq!(told(&bench.end_transaction(6, true)), [(1, 2), (1, 3)]);
    assert_eq!(told(&bench.end_transaction(5, false)), []);
    assert_eq!(bench.queue.floor(), 2);
    assert_eq!(told(&bench.put(1)), [(1, 7)]);
}

#[test]
fn priorities_go_first_and_those_beyond_the_highest_are_the_highest() {
    let with = |priority| BasicProperties {
        priority,
        ..BasicProperties::default()
    };
    let all = [None, Some(1), Some(200), Some(4), Some(1)].map(|it| (with(it), &b"body"[..]));
    let mut bench = Bench::new(QueueSettings {
        highest_priority: 4,
        ..QueueSettings::default()
    });
    bench.enqueue(&batch(&all));
    let held = bench.attach(attach(1, 4));
    assert_eq!(told(&held), [(1, 2), (1, 3), (1, 1), (1, 4)]);
    let again = bench.settle(&held[2..3], Settlement::Requeue);
    assert_eq!(told(&again), [(1, 1)]);
}

#[test]
fn as_many_priorities_are_told_apart_as_there_are() {
    let with = |priority| BasicProperties {
        priority: Some(priority),
        ..BasicProperties::default()
    };
    let mut bench = Bench::new(QueueSettings {
        highest_priority: u8::MAX,
        ..QueueSettings::default()
    });
    for priority in 0..=u8::MAX {
        bench.enqueue(&batch(&[(with(priority), &b"body"[..])]));
    }
    let held = bench.attach(attach(1, 256));
    let offsets: Vec<u64> = told(&held).into_iter().map(|(_, offset)| offset).collect();
    assert!(offsets.into_iter().eq((0..256).rev()));
}

#[test]
fn a_trimmed_log_takes_with_it_what_consumers_held_and_their_credit_comes_back() {
    let mut bench = plain_bench();
    bench.attach(attach(1, 2));
    bench.put(5);
    bench.queue.trimmed(2);
    let mut out = Vec::new();
    bench.queue.end_sessions(
        bench.now,
        &Gone::Session(session(9)),
        Seeded::default(),
        &mut out,
    );
    assert_eq!(told(&out), [(1, 2), (1, 3)]);
}

#[test]
fn a_new_leader_hears_of_all_that_consumers_hold_in_the_order_of_assignment() {
    let mut bench = plain_bench();
    bench.attach(attach(1, 2));
    bench.attach(attach(2, 2));
    let held = bench.put(4);
    bench.settle(&held[..1], Settlement::Requeue);
    bench.get(3, 1);
    let serials: Vec<u64> = bench.queue.assigned().iter().map(|it| it.serial).collect();
    assert_eq!(serials, [1, 2, 3, 4]);
    let is_consumers = |it: &crate::queue::Assignment| it.tag != Some(ConsumerTag(3));
    assert!(bench.queue.assigned().iter().all(is_consumers));
}
