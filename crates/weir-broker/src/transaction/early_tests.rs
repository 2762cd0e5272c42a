//! What a client asks for while its transaction before is still being ended: it was told of the
//! decision, and goes on.

use weir_model::{ErrorKind, PartitionId};

use super::tests::{World, producer};
use crate::api::{ProducerEpoch, TransactionState};

const LATER: Result<ProducerEpoch, ErrorKind> = Err(ErrorKind::ConcurrentTransactions);

#[test]
fn what_has_come_to_nothing_is_aborted_once_the_end_before_is_over() {
    for (commit, ending) in [
        (true, TransactionState::PrepareCommit),
        (false, TransactionState::PrepareAbort),
    ] {
        let mut world = World::new();
        let first = world.init(None).unwrap();
        world.add(first, 1).unwrap();
        let second = world.end(first, commit, true).unwrap();
        assert_eq!(world.state(), ending);
        assert_eq!(world.end(second, false, true), LATER);
        assert_eq!(world.state(), ending);
        // Who asks again for another end of the one before has lost count.
        let torn = Err(ErrorKind::InvalidTxnState);
        assert_eq!(world.end(first, !commit, true), torn);
        assert_eq!(world.tell().commit, commit);
        let third = world.end(second, false, true).unwrap();
        assert_eq!(third, producer(100, 2));
        world.add(third, 1).unwrap();
        assert_eq!(world.end(third, true, true), Ok(producer(100, 3)));
    }
}

#[test]
fn who_goes_on_with_another_id_waits_for_the_end_that_gave_it() {
    let mut world = World::new();
    let mut it = world.init(None).unwrap();
    while it.epoch < i16::MAX - 1 {
        it = world.table_only_init(Some(it));
    }
    world.add(it, 1).unwrap();
    let next = world.end(it, true, true).unwrap();
    assert_ne!(next.id, it.id);
    assert_eq!(world.add(next, 2), LATER);
    let asked = world.table.verify("tx", next, &[PartitionId(2)]);
    assert_eq!(asked, Err(ErrorKind::ConcurrentTransactions));
    assert_eq!(world.end(next, false, true), LATER);
    assert_eq!(world.init(Some(next)), LATER);
    assert_eq!(
        world.add(producer(next.id.0, 1), 2),
        Err(ErrorKind::InvalidProducerIdMapping)
    );
    world.tell();
    world.add(next, 2).unwrap();
    assert_eq!(world.end(next, true, true), Ok(producer(next.id.0, 1)));
}
