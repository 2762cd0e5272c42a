use weir_log::Millis;
use weir_model::fields::BasicProperties;

use super::bench::{Bench, attach, batch, plain, short, told};
use crate::{
    api::queues::Settlement,
    queue::{Overflow, QueueCommand, QueueSettings, Reason, Removed},
};

fn dead(bench: &Bench) -> Vec<(u64, Reason)> {
    let letters = bench.queue.dead_letters();
    letters.map(|it| (it.offset, it.reason)).collect()
}

fn with_dead_letters(mut settings: QueueSettings) -> QueueSettings {
    settings.dead_letter = Some((short("dlx"), None));
    settings
}

#[test]
fn the_oldest_goes_where_there_is_one_too_many() {
    let settings = QueueSettings {
        max_length_count: Some(2),
        ..QueueSettings::default()
    };
    let mut bench = Bench::new(settings.clone());
    bench.put(5);
    assert_eq!(bench.queue.ready(9), [(0, 3), (0, 4)]);
    assert_eq!((dead(&bench), bench.queue.floor()), (vec![], 3));
    bench.configure(with_dead_letters(settings));
    bench.put(1);
    assert_eq!(dead(&bench), [(3, Reason::MaxLength)]);
    assert_eq!(bench.queue.floor(), 3);
}

#[test]
fn bytes_of_bodies_are_limited_as_they_become_ready_and_go() {
    let body = |size: usize| vec![0; size];
    let (ten, five) = (body(10), body(5));
    let of = |body: &[u8]| batch(&[(BasicProperties::default(), body)]);
    let mut bench = Bench::new(QueueSettings {
        max_length_bytes: Some(20),
        ..QueueSettings::default()
    });
    bench.enqueue(&of(&ten));
    bench.enqueue(&of(&five));
    bench.enqueue(&of(&five));
    assert_eq!(bench.queue.ready(9).len(), 3);
    let held = bench.attach(attach(1, 1));
    bench.enqueue(&of(&ten));
    assert_eq!(bench.queue.ready(9).len(), 3);
    bench.apply(super::bench::detach(1));
    bench.settle(&held, Settlement::Requeue);
    assert_eq!(bench.queue.ready(9), [(0, 1), (0, 2), (0, 3)]);
}

#[test]
fn a_full_queue_refuses_what_is_too_much_and_says_the_same_again() {
    let settings = QueueSettings {
        max_length_count: Some(3),
        overflow: Overflow::RejectPublish,
        ..QueueSettings::default()
    };
    let mut bench = Bench::new(settings.clone());
    assert_eq!(bench.enqueue(&plain(2)).0, None);
    assert_eq!(bench.enqueue(&plain(3)).0, Some(1));
    assert_eq!(bench.queue.refused_before(2), Some(1));
    assert_eq!(bench.queue.refused_before(0), None);
    assert_eq!(bench.queue.ready(9), [(0, 0), (0, 1), (0, 2)]);
    assert!(!bench.queue.takes_whole(1));
    let held = bench.attach(attach(1, 2));
    assert_eq!(bench.enqueue(&plain(3)).0, Some(2));
    bench.settle(&held, Settlement::Ack);
    assert!(bench.queue.takes_whole(2) && !bench.queue.takes_whole(3));
    bench.configure(with_dead_letters(QueueSettings {
        overflow: Overflow::RejectPublishDeadLetter,
        ..settings
    }));
    assert_eq!(bench.enqueue(&plain(4)).0, Some(2));
    let last_two = [(10, Reason::MaxLength), (11, Reason::MaxLength)];
    assert_eq!(dead(&bench), last_two);
}

#[test]
fn what_goes_to_somebody_at_once_is_no_length() {
    let mut bench = Bench::new(QueueSettings {
        max_length_count: Some(1),
        overflow: Overflow::RejectPublish,
        ..QueueSettings::default()
    });
    bench.attach(attach(1, 3));
    assert_eq!(bench.enqueue(&plain(6)).0, Some(4));
}

#[test]
fn a_message_that_fails_too_often_is_put_away_even_without_a_place_for_it() {
    let mut bench = Bench::new(QueueSettings {
        delivery_limit_count: Some(1),
        ..QueueSettings::default()
    });
    bench.attach(attach(1, 1));
    let first = bench.put(1);
    let second = bench.settle(&first, Settlement::RequeueFailed);
    let third = bench.settle(&second, Settlement::Requeue);
    assert_eq!(third[0].failed_count, 1);
    assert_eq!(told(&bench.settle(&third, Settlement::RequeueFailed)), []);
    assert_eq!(dead(&bench), [(0, Reason::DeliveryLimit)]);
}

#[test]
fn sessions_that_crash_count_as_failures() {
    let mut bench = Bench::new(with_dead_letters(QueueSettings {
        delivery_limit_count: Some(1),
        ..QueueSettings::default()
    }));
    bench.put(1);
    for number in [1, 2] {
        assert_eq!(told(&bench.attach(attach(number, 1))), [(number, 0)]);
        bench.end_session(number);
    }
    assert_eq!(dead(&bench), [(0, Reason::DeliveryLimit)]);
}

#[test]
fn rejected_messages_are_dead_letters_until_they_lie_elsewhere() {
    let mut bench = Bench::new(with_dead_letters(QueueSettings::default()));
    bench.attach(attach(1, 2));
    let held = bench.put(2);
    bench.settle(&held, Settlement::Reject);
    assert_eq!(dead(&bench), [(0, Reason::Rejected), (1, Reason::Rejected)]);
    assert_eq!(bench.queue.floor(), 0);
    let letters: Vec<_> = bench.queue.dead_letters().collect();
    let stale = vec![(0, letters[0].serial - 1), (0, held[0].serial)];
    bench.apply(QueueCommand::Hopped(stale));
    assert_eq!(dead(&bench).len(), 2);
    let hopped = letters.iter().map(|it| (it.offset, it.serial)).collect();
    bench.apply(QueueCommand::Hopped(hopped));
    assert_eq!((dead(&bench), bench.queue.floor()), (vec![], 2));
    bench.configure(QueueSettings::default());
    let held = bench.put(1);
    bench.settle(&held, Settlement::Reject);
    assert_eq!((dead(&bench), bench.queue.floor()), (vec![], 3));
}

#[test]
fn no_time_at_all_is_enough_for_whoever_waits() {
    let own = BasicProperties {
        expiration: Some(short("0")),
        ..BasicProperties::default()
    };
    let all = vec![(own, &b"body"[..]); 2];
    for settings in [
        QueueSettings {
            message_ttl_ms: Some(0),
            ..QueueSettings::default()
        },
        QueueSettings::default(),
    ] {
        let mut bench = Bench::new(with_dead_letters(settings));
        bench.attach(attach(1, 1));
        assert_eq!(told(&bench.enqueue(&batch(&all)).1), [(1, 0)]);
        assert_eq!(dead(&bench), [(1, Reason::Expired)]);
    }
}

#[test]
fn what_the_leader_found_expired_goes_if_it_is_still_as_it_was() {
    let mut bench = Bench::new(with_dead_letters(QueueSettings::default()));
    bench.put(4);
    let held = bench.attach(attach(1, 1));
    let remove = QueueCommand::Remove {
        why: Removed::Expired,
        messages: vec![
            (0, None),
            (1, None),
            (0, Some(held[0].serial + 1)),
            (9, None),
        ],
    };
    assert_eq!(told(&bench.apply(remove).1), []);
    assert_eq!(dead(&bench), [(1, Reason::Expired)]);
    let remove = QueueCommand::Remove {
        why: Removed::Void,
        messages: vec![(0, Some(held[0].serial)), (3, None)],
    };
    assert_eq!(told(&bench.apply(remove).1), [(1, 2)]);
    assert_eq!(dead(&bench), [(1, Reason::Expired)]);
}

#[test]
fn a_failed_message_comes_back_after_a_while_that_doubles_and_never_early() {
    let mut bench = Bench::new(QueueSettings {
        retry_delay_ms: Some((100, 250)),
        ..QueueSettings::default()
    });
    bench.attach(attach(1, 1));
    let mut held = bench.put(1);
    for least_ms in [100, 200, 250, 250] {
        assert_eq!(told(&bench.settle(&held, Settlement::RequeueFailed)), []);
        let at = bench.queue.next_end_of_wait().unwrap();
        let wait_ms = at.since(bench.now);
        assert!((least_ms..=least_ms + least_ms / 10).contains(&wait_ms));
        bench.now = Millis(at.0 - 1);
        assert_eq!(told(&bench.apply(QueueCommand::Wake).1), []);
        bench.now = at;
        held = bench.apply(QueueCommand::Wake).1;
        assert_eq!((told(&held), held[0].is_redelivered), (vec![(1, 0)], true));
    }
    assert_eq!(bench.queue.next_end_of_wait(), None);
}
