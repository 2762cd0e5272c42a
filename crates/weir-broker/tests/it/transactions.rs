//! Requests of transactions that come late.

use weir_broker::api::{
    AddOffsets, CommittedOffset, EndTransaction, InitProducer, InitTransactional, OffsetCommit,
    OffsetFetch, Outcome, ProducerEpoch, Request, TopicRef, TransactionOffsetCommit,
};
use weir_model::{ErrorKind, TopicName};

use crate::produce::World;

fn answer(world: &mut World, request: Request) -> Outcome {
    world.ask(request);
    world.cluster.settle();
    let mut answers = Vec::new();
    world.mailbox.take(&mut answers);
    answers.pop().unwrap().1
}

fn begin(world: &mut World) -> ProducerEpoch {
    let init = InitProducer {
        transactional: Some(InitTransactional {
            id: "copier".to_owned(),
            timeout_ms: 60_000,
        }),
        known: None,
    };
    let Outcome::ProducerId(Ok((id, epoch))) = answer(world, Request::InitProducerId(init)) else {
        panic!("no producer");
    };
    ProducerEpoch { id, epoch }
}

fn open(world: &mut World, producer: ProducerEpoch) {
    let add = AddOffsets {
        transaction: "copier".to_owned(),
        producer,
        group: "readers".to_owned(),
    };
    let added = answer(world, Request::AddOffsets(add));
    assert!(matches!(added, Outcome::AddOffsets(Ok(()))), "{added:?}");
}

fn bring(
    world: &mut World,
    producer: ProducerEpoch,
    offset: i64,
    connection: u64,
) -> Result<(), ErrorKind> {
    let commit = TransactionOffsetCommit {
        transaction: "copier".to_owned(),
        producer,
        adds: false,
        connection,
        commit: OffsetCommit {
            group: "readers".to_owned(),
            generation: -1,
            member: String::new(),
            instance: None,
            offsets: vec![CommittedOffset {
                topic: TopicRef::Name(TopicName::new("t").unwrap()),
                index: 0,
                offset,
                leader_epoch: -1,
                metadata: String::new(),
            }],
        },
    };
    match answer(world, Request::TransactionOffsetCommit(commit)) {
        Outcome::OffsetCommit(answers) => answers[0],
        other => panic!("{other:?}"),
    }
}

fn commit(
    world: &mut World,
    producer: ProducerEpoch,
    connection: u64,
) -> Result<ProducerEpoch, ErrorKind> {
    let end = EndTransaction {
        transaction: "copier".to_owned(),
        producer,
        commit: true,
        bumps_epoch: false,
        connection,
    };
    match answer(world, Request::EndTransaction(end)) {
        Outcome::EndTransaction(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn committed(world: &mut World) -> Option<i64> {
    let wanted = OffsetFetch {
        require_stable: false,
        group: "readers".to_owned(),
        partitions: None,
    };
    let Outcome::OffsetFetch(groups) = answer(world, Request::OffsetFetch(vec![wanted])) else {
        panic!("another answer");
    };
    let fetched = groups[0].as_ref().unwrap();
    fetched.first().and_then(|place| place.offset)
}

#[test]
fn an_end_on_an_earlier_connection_does_not_end_a_later_transaction() {
    let mut world = World::new();
    let producer = begin(&mut world);
    open(&mut world, producer);
    // The client gave the first connection up, and asks again on the second one.
    assert_eq!(commit(&mut world, producer, 2), Ok(producer));
    open(&mut world, producer);
    assert_eq!(bring(&mut world, producer, 7, 2), Ok(()));
    assert_eq!(
        commit(&mut world, producer, 1),
        Err(ErrorKind::InvalidTxnState)
    );
    assert_eq!(committed(&mut world), None);
    assert_eq!(commit(&mut world, producer, 2), Ok(producer));
    assert_eq!(committed(&mut world), Some(7));
}

#[test]
fn offsets_on_an_earlier_connection_do_not_replace_those_of_a_later_transaction() {
    let mut world = World::new();
    let producer = begin(&mut world);
    open(&mut world, producer);
    assert_eq!(bring(&mut world, producer, 7, 4), Ok(()));
    assert_eq!(commit(&mut world, producer, 9), Ok(producer));
    open(&mut world, producer);
    assert_eq!(bring(&mut world, producer, 8, 4), Ok(()));
    assert_eq!(
        bring(&mut world, producer, 7, 3),
        Err(ErrorKind::InvalidTxnState)
    );
    assert_eq!(commit(&mut world, producer, 9), Ok(producer));
    assert_eq!(committed(&mut world), Some(8));
}
