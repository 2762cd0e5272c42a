//! When open transactions are aborted.

use weir_log::Millis;
use weir_model::ErrorKind;

use super::{
    tests::{NOW, TIMEOUT_MS, World, producer},
    *,
};

#[test]
fn what_is_open_for_too_long_is_aborted_and_its_producer_fenced() {
    let mut world = World::new();
    let it = world.init(None).unwrap();
    assert_eq!(world.table.next_overdue_in_ms(world.now), None);
    world.add(it, 1).unwrap();
    let timeout_ms = u64::try_from(TIMEOUT_MS).unwrap();
    let deadline = NOW.plus(timeout_ms);
    assert_eq!(world.table.next_overdue_in_ms(world.now), Some(timeout_ms));
    world.now = NOW.plus(timeout_ms - 1);
    world.add(it, 2).unwrap();
    assert!(world.table.overdue(world.now, 10).is_empty());
    let expire = TransactionCommand::Expire {
        transaction: "tx".to_owned(),
        producer: it,
    };
    let early = world.apply(expire);
    assert_eq!(early.result, Err(ErrorKind::InvalidTxnState));
    world.now = deadline;
    let commands = world.table.overdue(world.now, 10);
    assert_eq!(commands.len(), 1);
    for command in commands {
        let answer = world.apply(command);
        assert_eq!(
            (answer.result, answer.must_end),
            (Ok(producer(100, 1)), true)
        );
    }
    assert_eq!(world.table.next_overdue_in_ms(world.now), None);
    // The client's own end comes too late, and nothing is torn.
    assert_eq!(world.end(it, true, false), Err(ErrorKind::ProducerFenced));
    assert_eq!(world.end(it, true, true), Err(ErrorKind::ProducerFenced));
    assert!(!world.tell().commit);
}

#[test]
fn a_clock_that_is_set_back_keeps_no_transaction_open_for_twice_its_time() {
    let mut world = World::new();
    let it = world.init(None).unwrap();
    world.add(it, 1).unwrap();
    let timeout_ms = u64::try_from(TIMEOUT_MS).unwrap();
    let back_ms = i64::try_from(timeout_ms).unwrap();
    world.now = Millis(NOW.0 - back_ms);
    assert!(world.table.overdue(world.now, 10).is_empty());
    assert_eq!(
        world.table.next_overdue_in_ms(world.now),
        Some(2 * timeout_ms)
    );
    world.now = Millis(NOW.0 - back_ms - 1);
    assert_eq!(world.table.next_overdue_in_ms(world.now), Some(0));
    let commands = world.table.overdue(world.now, 10);
    assert_eq!(commands.len(), 1);
    for command in commands {
        assert_eq!(world.apply(command).result, Ok(producer(100, 1)));
    }
    assert_eq!(world.table.next_overdue_in_ms(world.now), None);
}
