use weir_log::Millis;
use weir_model::{batch_builder::BatchBuilder, record::Header};

use super::bench::{Bench, attach, marked, told};
use crate::{
    api::queues::Settlement,
    queue::{QueueCommand, QueueFigures, QueueSettings},
};

const DAY_MS: i64 = 24 * 3_600_000;

/// Messages that were taken when their node's clock said 1,000, and are due then.
fn due(all_ms: &[i64]) -> bytes::Bytes {
    marked(all_ms.len(), |at, form| {
        form.set_delay(1_000, u64::try_from(all_ms[at] - 1_000).unwrap());
    })
}

/// A message whose publisher names its time, stamped at 1,000.
fn named(at_ms: i64) -> bytes::Bytes {
    let mut builder = BatchBuilder::new(0);
    let time = at_ms.to_string();
    let headers: [Header<'_>; 1] = [(b"weir-deliver-at", Some(time.as_bytes()))];
    builder.push_with_headers(None, Some(b"body"), &headers, 1_000);
    builder.finish(None)
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
        let at = bench.queue.next_end_of_wait().unwrap();
        assert_eq!(at, Millis(now_ms + at_ms + 1));
        bench.now = Millis(at.0 - 1);
        assert_eq!(told(&bench.apply(QueueCommand::Wake).1), []);
        bench.now = at;
        let woken = bench.apply(QueueCommand::Wake).1;
        assert_eq!(
            (told(&woken), woken[0].is_redelivered),
            (vec![(1, wanted)], false)
        );
    }
    assert_eq!(
        (bench.queue.next_end_of_wait(), bench.queue.floor()),
        (None, 0)
    );
}

#[test]
fn a_purge_leaves_what_waits_for_its_time() {
    let mut bench = Bench::new(QueueSettings::default());
    bench.enqueue(&due(&[bench.now.0 + 1, bench.now.0]));
    bench.apply(QueueCommand::Purge);
    assert_eq!(bench.queue.figures().delayed_count, 1);
}

#[test]
fn a_message_waits_as_long_as_it_was_to_whatever_wall_clocks_say() {
    for ahead_ms in [-DAY_MS, -1_001, 1, 60_001, DAY_MS] {
        let mut bench = Bench::new(QueueSettings::default());
        bench.attach(attach(1, 0));
        bench.wall_ahead_ms = ahead_ms;
        bench.enqueue(&due(&[1_500]));
        assert_eq!(bench.queue.next_end_of_wait(), Some(bench.now.after(500)));
        for (passed_ms, wall_ahead_ms, wanted) in
            [(500, DAY_MS, vec![]), (501, -DAY_MS, vec![(1, 0)])]
        {
            bench.now = Millis(1_000 + passed_ms);
            bench.wall_ahead_ms = wall_ahead_ms;
            assert_eq!(told(&bench.apply(QueueCommand::Wake).1), wanted);
        }
    }
}

#[test]
fn a_message_that_came_within_a_turn_waits_from_when_it_came() {
    let mut bench = Bench::new(QueueSettings::default());
    bench.wall_ahead_ms = -7;
    bench.enqueue(&due(&[1_500]));
    assert_eq!(bench.queue.next_end_of_wait(), Some(Millis(1_508)));
}

#[test]
fn a_retry_waits_by_the_groups_clock_as_well() {
    let mut bench = Bench::new(QueueSettings {
        retry_delay_ms: Some((100, 100)),
        ..QueueSettings::default()
    });
    bench.attach(attach(1, 0));
    let held = bench.put(1);
    bench.settle(&held, Settlement::RequeueFailed);
    bench.wall_ahead_ms = DAY_MS;
    assert_eq!(told(&bench.apply(QueueCommand::Wake).1), []);
    bench.wall_ahead_ms = -DAY_MS;
    bench.now = bench.queue.next_end_of_wait().unwrap();
    assert_eq!(told(&bench.apply(QueueCommand::Wake).1), [(1, 0)]);
}

#[test]
fn a_time_that_a_publisher_names_is_that_time_whatever_clocks_said() {
    for ahead_ms in [-DAY_MS, -500, 0, 61_000, DAY_MS] {
        let mut bench = Bench::new(QueueSettings::default());
        bench.attach(attach(1, 0));
        bench.wall_ahead_ms = ahead_ms;
        let at = bench.wall().plus(500);
        bench.enqueue(&named(at.0));
        let waits = (bench.queue.next_wake(), bench.queue.next_end_of_wait());
        assert_eq!(waits, (Some(at), None), "{ahead_ms}");
        bench.wall_ahead_ms += 499;
        assert_eq!(told(&bench.apply(QueueCommand::Wake).1), []);
        bench.wall_ahead_ms += 1;
        assert_eq!(told(&bench.apply(QueueCommand::Wake).1), [(1, 0)]);
    }
}
