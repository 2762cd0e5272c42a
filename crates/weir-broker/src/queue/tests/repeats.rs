use weir_model::{PartitionId, fields::BasicProperties, message::Hop};

use super::bench::{Bench, batch, marked, short};
use crate::queue::QueueSettings;

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
