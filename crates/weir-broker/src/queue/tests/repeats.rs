use weir_log::Millis;
use weir_model::{
    PartitionId,
    batch_builder::BatchBuilder,
    fields::BasicProperties,
    message::{Hop, MessageForm},
};

use super::bench::{Bench, attach, batch, short, told};
use crate::queue::{QueueCommand, QueueFigures, QueueSettings};

/// So many messages, each changed by `mark`.
fn marked(count: usize, mark: impl Fn(usize, &mut MessageForm)) -> bytes::Bytes {
    let mut builder = BatchBuilder::new(0);
    let mut form = MessageForm::default();
    for at in 0..count {
        form.set(&short(""), &short("q"), &BasicProperties::default());
        mark(at, &mut form);
        builder.push(&form, b"body", 1_000);
    }
    builder.finish(None)
}

fn due(all_ms: &[i64]) -> bytes::Bytes {
    marked(all_ms.len(), |at, form| form.set_deliver_at(all_ms[at]))
}

fn hops(serials: &[u64]) -> bytes::Bytes {
    marked(serials.len(), |at, form| {
        form.set_hop(&Hop {
            source: PartitionId(3),
            serial: serials[at],
            floor: 4,
        });
    })
}

#[test]
fn a_message_is_ready_at_its_time_and_never_early() {
    let mut bench = Bench::new(QueueSettings {
        max_length_bytes: Some(100),
        ..QueueSettings::default()
    });
    bench.attach(attach(1, 0));
    let now_ms = bench.now.0;
    let year_ms = 365 * 24 * 3_600_000;
    let all_ms = [now_ms + 500, now_ms, now_ms + 3 * year_ms, now_ms + 499];
    let (_, at_once) = bench.enqueue(&due(&all_ms));
    assert_eq!(told(&at_once), [(1, 1)]);
    let figures = QueueFigures {
        ready_count: 0,
        unacked_count: 1,
        delayed_count: 3,
        consumer_count: 1,
        idle_ms: 0,
    };
    assert_eq!(bench.queue.figures(), figures);
    for (at_ms, wanted) in [(499, 3), (500, 0), (3 * year_ms, 2)] {
        let at = bench.queue.next_wake().unwrap();
        assert_eq!(at, Millis(now_ms + at_ms));
        bench.now = Millis(at.0 - 1);
        assert_eq!(told(&bench.apply(QueueCommand::Wake).1), []);
        bench.now = at;
        let woken = bench.apply(QueueCommand::Wake).1;
        assert_eq!(
            (told(&woken), woken[0].is_redelivered),
            (vec![(1, wanted)], false)
        );
    }
    assert_eq!((bench.queue.next_wake(), bench.queue.floor()), (None, 0));
}

#[test]
fn a_purge_leaves_what_waits_for_its_time() {
    let mut bench = Bench::new(QueueSettings::default());
    bench.enqueue(&due(&[bench.now.0 + 1, 0]));
    bench.apply(QueueCommand::Purge);
    assert_eq!(bench.queue.figures().delayed_count, 1);
}

#[test]
fn a_dead_letter_that_comes_twice_is_there_once() {
    let mut bench = Bench::new(QueueSettings::default());
    bench.enqueue(&hops(&[4, 5]));
    bench.enqueue(&hops(&[4, 6, 3]));
    assert_eq!(bench.queue.ready(9), [(0, 0), (0, 1), (0, 3)]);
}

#[test]
fn a_message_of_a_name_that_was_there_is_none_within_the_window() {
    let named = |id: &str| BasicProperties {
        message_id: Some(short(id)),
        ..BasicProperties::default()
    };
    let of = |ids: &[&str]| {
        let all: Vec<_> = ids.iter().map(|id| (named(id), &b"body"[..])).collect();
        batch(&all)
    };
    let settings = QueueSettings {
        dedup_ms: Some(100),
        ..QueueSettings::default()
    };
    let mut bench = Bench::new(settings);
    assert_eq!(bench.enqueue(&of(&["a", "b", "a"])).0, None);
    bench.now = bench.now.plus(99);
    bench.enqueue(&of(&["b", "c"]));
    assert_eq!(bench.queue.ready(9), [(0, 0), (0, 1), (0, 4)]);
    bench.now = bench.now.plus(1);
    bench.enqueue(&of(&["b"]));
    assert_eq!(bench.queue.ready(9).len(), 4);
    bench.configure(QueueSettings::default());
    bench.enqueue(&of(&["b", "b"]));
    assert_eq!(bench.queue.ready(9).len(), 6);
}
