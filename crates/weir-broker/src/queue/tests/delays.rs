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
    bench.enqueue(&due(&[bench.now.0 + 1, bench.now.0]));
    bench.apply(QueueCommand::Purge);
    assert_eq!(bench.queue.figures().delayed_count, 1);
}

#[test]
fn a_message_waits_as_long_as_it_was_to_whatever_the_clock_of_its_node_said() {
    for off_ms in [-DAY_MS, -1, 60_001, DAY_MS] {
        let mut bench = Bench::new(QueueSettings::default());
        bench.now = Millis(bench.now.0 + off_ms);
        bench.enqueue(&due(&[1_500]));
        assert_eq!(bench.queue.next_wake(), Some(bench.now.plus(500)));
    }
}

#[test]
fn a_message_that_was_under_way_for_a_while_is_due_as_it_was() {
    let mut bench = Bench::new(QueueSettings::default());
    bench.now = bench.now.plus(60_000);
    bench.enqueue(&due(&[61_001]));
    assert_eq!(bench.queue.next_wake(), Some(Millis(61_001)));
}

#[test]
fn what_came_while_a_clock_was_ahead_has_waited_when_its_leader_says_so() {
    let mut bench = Bench::new(QueueSettings::default());
    bench.attach(attach(1, 0));
    bench.enqueue(&due(&[1_500]));
    let today = bench.now;
    bench.now = Millis(today.0 + DAY_MS);
    bench.enqueue(&due(&[1_300, 1_200]));
    assert!(!bench.queue.may_be_misdated(bench.now));
    bench.now = today;
    assert!(bench.queue.may_be_misdated(today));
    let wrong: Vec<_> = bench.queue.misdated(today).collect();
    let told_of = wrong.iter().map(|it| (it.offset, it.wait_ms));
    assert_eq!(told_of.collect::<Vec<_>>(), [(1, 300), (2, 200)]);
    let stale = (1, wrong[0].serial + 7);
    let waited = vec![stale, (2, wrong[1].serial)];
    assert_eq!(told(&bench.apply(QueueCommand::Waited(waited)).1), [(1, 2)]);
    assert!(bench.queue.is_waiting(1, wrong[0].serial));
    assert!(!bench.queue.is_waiting(1, wrong[0].serial + 7));
    bench.now = today.plus(500);
    assert_eq!(told(&bench.apply(QueueCommand::Wake).1), [(1, 0)]);
}

#[test]
fn a_retry_that_waits_is_dated_as_well() {
    let mut bench = Bench::new(QueueSettings {
        retry_delay_ms: Some((100, 100)),
        ..QueueSettings::default()
    });
    bench.attach(attach(1, 0));
    let held = bench.put(1)[0];
    let deliveries = vec![(held.offset, held.serial, Settlement::RequeueFailed)];
    bench.apply(QueueCommand::Settle {
        session: held.session,
        deliveries,
    });
    let wrong: Vec<_> = bench.queue.misdated(Millis(i64::MIN)).collect();
    assert_eq!(wrong.len(), 1);
    assert!(wrong[0].wait_ms >= 100);
}

#[test]
fn a_time_that_a_publisher_names_is_that_time_whatever_clocks_said() {
    for off_ms in [-DAY_MS, -500, 0, 61_000, DAY_MS] {
        let mut bench = Bench::new(QueueSettings::default());
        bench.now = Millis(1_000 + off_ms);
        let at_ms = bench.now.0 + 2 * DAY_MS;
        bench.enqueue(&named(at_ms));
        assert_eq!(bench.queue.next_wake(), Some(Millis(at_ms)), "{off_ms}");
        bench.now = Millis(bench.now.0 - DAY_MS);
        assert!(!bench.queue.may_be_misdated(bench.now));
        assert_eq!(bench.queue.misdated(bench.now).count(), 0);
    }
}
