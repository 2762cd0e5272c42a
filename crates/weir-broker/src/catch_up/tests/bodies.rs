//! Bodies that are stored once: a replica has them, and who refers to them, as the leader has.

use std::sync::mpsc;

use bytes::Bytes;
use weir_model::{
    ErrorKind, GroupId, Offset, PartitionId, ProducerId,
    batch::{BatchHeader, HEADER_BYTES},
    batch_builder::{BatchBuilder, Sequence},
    message::MessageForm,
    record::Records,
    reference::BodyReference,
};
use weir_raft::Input;

use super::world::{SHARD, World, partition, settle};
use crate::{bodies::bodies_of, outcome::AppliedOutcome, shard::ShardCommand};

const BODY_BYTES: usize = 1 << 20;
/// Steps within which the time of bodies is over that nobody refers to.
const MAX_STEPS: usize = 200_000;

fn body(number: u8) -> Vec<u8> {
    vec![number; BODY_BYTES]
}

fn enqueue(world: &mut World, to: PartitionId, batch: Bytes) -> Result<Offset, ErrorKind> {
    let (tell, told) = mpsc::sync_channel(1);
    world.leader.node().handle_of(SHARD).send(Input::Propose {
        group: SHARD,
        command: ShardCommand::enqueue(to, false, batch),
        done: Some(Box::new(move |outcome| tell.send(outcome).unwrap())),
    });
    loop {
        world.leader.step().unwrap();
        match told.try_recv() {
            Ok(Ok(AppliedOutcome::Appended(produced))) => return produced.base_offset,
            Ok(_) => panic!("another outcome"),
            Err(mpsc::TryRecvError::Empty) => {
                world.follower.step().unwrap();
            }
            Err(mpsc::TryRecvError::Disconnected) => panic!("no outcome"),
        }
    }
}

/// Bodies of these numbers, a batch each; the first one is at the first number.
fn store(world: &mut World, numbers: std::ops::Range<u8>) {
    for number in numbers {
        let mut builder = BatchBuilder::new(BODY_BYTES);
        builder.push_plain(None, Some(&body(number)), 0);
        let stored = enqueue(world, bodies_of(SHARD), builder.finish(None));
        assert_eq!(stored, Ok(Offset(u64::from(number))));
    }
}

fn referring(numbers: &[u8], first: i32) -> Bytes {
    let mut builder = BatchBuilder::new(0);
    for number in numbers {
        let body = BodyReference {
            offset: Offset(u64::from(*number)),
            length_bytes: u32::try_from(BODY_BYTES).unwrap(),
        };
        builder.push_reference(&MessageForm::default(), body, 0);
    }
    builder.finish(Some(Sequence {
        producer: ProducerId(5),
        epoch: 0,
        first,
    }))
}

fn assert_alike(world: &mut World) {
    let leader = World::alike(&mut world.leader);
    assert!(
        leader == World::alike(&mut world.follower),
        "replicas differ"
    );
    let bodies = bodies_of(SHARD);
    let wanted = World::contents(&world.leader.node(), bodies);
    assert!(World::contents(&world.follower.node(), bodies) == wanted);
}

/// Time passes until the log of bodies begins there.
fn until_bodies_begin(world: &mut World, start: u64) {
    for _ in 0..MAX_STEPS {
        let log = world.leader.node().env.registry.get(bodies_of(SHARD));
        if log.unwrap().start_offset() == Offset(start) {
            return world.replicate();
        }
        world.leader.step().unwrap();
        world.follower.step().unwrap();
    }
    panic!("bodies never begin at {start}");
}

/// Bodies that a client of Kafka reads.
fn fetched(world: &mut World, index: i32) -> Result<Vec<Bytes>, ErrorKind> {
    let batches = world.fetch(index, 0).batches?;
    let mut rest: Bytes = batches.chunks.concat().into();
    let mut values = Vec::new();
    while let Ok(header) = BatchHeader::parse(&rest) {
        let batch = rest.split_to(header.size_bytes);
        for record in Records::new(&batch[HEADER_BYTES..], header.record_count) {
            values.push(batch.slice_ref(record.unwrap().value.unwrap()));
        }
    }
    Ok(values)
}

#[test]
fn a_replica_takes_bodies_over_and_lets_them_go_as_the_leader_does() {
    let mut world = World::new(50_000);
    store(&mut world, 0..6);
    enqueue(&mut world, partition(0), referring(&[0, 1], 0)).unwrap();
    enqueue(&mut world, partition(1), referring(&[1, 5], 0)).unwrap();
    let offer = world.offer(SHARD);
    assert!(world.take_over(offer));
    assert_alike(&mut world);
    world.add_learner();
    world.replicate();
    store(&mut world, 6..8);
    enqueue(&mut world, partition(2), referring(&[7], 0)).unwrap();
    world.replicate();
    assert_alike(&mut world);
    // The first four are a chunk, the others another one.
    world.trim(partition(0), Offset(2));
    world.trim(partition(1), Offset(2));
    until_bodies_begin(&mut world, 4);
    assert_alike(&mut world);
    world.follower.checkpoint();
    world.replicate();
    world.reopen_follower();
    world.replicate();
    assert_alike(&mut world);
    world.trim(partition(2), Offset(1));
    until_bodies_begin(&mut world, 8);
    assert_alike(&mut world);
}

#[test]
fn a_late_reference_is_refused_on_all_replicas_and_a_repeat_is_none() {
    let mut world = World::new(50_000);
    let offer = world.offer(SHARD);
    assert!(world.take_over(offer));
    world.add_learner();
    world.replicate();
    store(&mut world, 0..1);
    let first = referring(&[0], 0);
    assert_eq!(
        enqueue(&mut world, partition(0), first.clone()),
        Ok(Offset(0))
    );
    world.trim(partition(0), Offset(1));
    until_bodies_begin(&mut world, 1);
    // It was stored before its body went.
    assert_eq!(enqueue(&mut world, partition(0), first), Ok(Offset(0)));
    let refused = Err(ErrorKind::OffsetOutOfRange);
    for _ in 0..2 {
        let late = referring(&[0], 1);
        assert_eq!(enqueue(&mut world, partition(0), late), refused);
    }
    assert_eq!(
        enqueue(&mut world, partition(1), referring(&[9], 0)),
        refused
    );
    store(&mut world, 1..2);
    // Nothing of it was stored: the producer goes on where it was.
    let next = referring(&[1], 1);
    assert_eq!(enqueue(&mut world, partition(0), next), Ok(Offset(1)));
    world.replicate();
    assert_alike(&mut world);
}

#[test]
fn damage_among_bodies_is_mended_once_a_fetch_finds_it() {
    let mut world = World::new(50_000);
    let metadata = world.offer(GroupId::METADATA);
    assert!(world.take_over(metadata));
    store(&mut world, 0..3);
    enqueue(&mut world, partition(0), referring(&[0, 2], 0)).unwrap();
    drop(world.offer(SHARD));
    world.add_learner();
    world.replicate();
    world.follower.checkpoint();
    world.replicate();
    world.damage(true, bodies_of(SHARD));
    world.reopen_leader();
    world.replicate();
    assert_eq!(fetched(&mut world, 0), Err(ErrorKind::StorageFailed));
    settle(&mut world.leader);
    let bodies = fetched(&mut world, 0).unwrap();
    assert!(bodies == [body(0), body(2)]);
    assert_alike(&mut world);
}
