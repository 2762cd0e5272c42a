//! Topics and settings as their administrators change them.

use weir_broker::api::{
    Outcome, Request, TopicRef,
    admin::{
        AlterConfigs, ConfigChange, ConfigOp, ConfigResource, CreatePartitions, DeleteRecords,
        ElectLeaders, Manage, Managed, MorePartitions, Reassign, Refusal,
    },
};
use weir_model::{ErrorKind, Offset, TopicName};

use crate::produce::{World, sound};

/// Longer than the pause between two checkpoints that make room, in ms.
const ROOM_MS: u64 = 2_000;
/// Longer than the pause between two looks at retention, in ms.
const CLEANUP_MS: u64 = 31_000;

fn topic() -> TopicRef {
    TopicRef::Name(TopicName::new("t").unwrap())
}

fn manage(world: &mut World, manage: Manage) -> Managed {
    world.ask(Request::Manage(manage));
    world.cluster.settle();
    let mut answers = Vec::new();
    world.mailbox.take(&mut answers);
    match answers.pop() {
        Some((_, Outcome::Managed(managed))) => managed,
        other => panic!("{other:?}"),
    }
}

fn set(world: &mut World, resource: ConfigResource, name: &str, value: &str) {
    let change = ConfigChange {
        name: name.to_owned(),
        op: ConfigOp::Set,
        value: Some(value.to_owned()),
    };
    let alter = AlterConfigs {
        resources: vec![(resource, vec![change])],
        is_whole: false,
        validate_only: false,
    };
    let answer = manage(world, Manage::AlterConfigs(alter));
    assert!(matches!(answer, Managed::Checked(answers) if answers == [Ok(())]));
}

fn own() -> ConfigResource {
    ConfigResource::Topic("t".to_owned())
}

fn trim(world: &mut World, offset: i64) -> Result<Offset, ErrorKind> {
    let wanted = DeleteRecords {
        topic: topic(),
        index: 0,
        offset,
    };
    match manage(world, Manage::DeleteRecords(vec![wanted])) {
        Managed::DeletedRecords(mut answers) => answers.remove(0),
        other => panic!("{other:?}"),
    }
}

fn stored_bytes(world: &mut World) -> u64 {
    match manage(world, Manage::DescribeLogDirs(None)) {
        Managed::LogDirs(dir) => {
            let partitions = dir.topics.iter().flat_map(|(_, partitions)| partitions);
            partitions.map(|partition| partition.size_bytes).sum()
        }
        other => panic!("{other:?}"),
    }
}

fn partition_dirs(world: &World) -> usize {
    world.cluster.members[0]
        .disk
        .list_dirs("partitions")
        .map_or(0, |dirs| dirs.len())
}

/// Looks, writes and looks again.
fn pass(world: &mut World, time_ms: u64) {
    for _ in 0..4 {
        world.cluster.pass(time_ms);
    }
}

#[test]
fn a_deleted_topic_leaves_nothing_on_the_disk_and_comes_back_empty() {
    let mut world = World::new();
    assert_eq!(world.answer(sound()), Ok(Offset(0)));
    world.cluster.members[0].engine.checkpoint();
    pass(&mut world, ROOM_MS);
    assert_eq!(partition_dirs(&world), 1);
    let deleted = manage(&mut world, Manage::DeleteTopics(vec![topic()]));
    assert!(matches!(deleted, Managed::DeletedTopics(answers) if answers[0].is_ok()));
    assert_eq!(
        world.answer(sound()),
        Err(ErrorKind::UnknownTopicOrPartition)
    );
    pass(&mut world, ROOM_MS);
    assert_eq!(partition_dirs(&world), 0);
    let again = manage(&mut world, Manage::DeleteTopics(vec![topic()]));
    let unknown = |refusal: &Refusal| refusal.kind == ErrorKind::UnknownTopicOrPartition;
    assert!(matches!(
        again,
        Managed::DeletedTopics(answers) if answers[0].as_ref().is_err_and(unknown)
    ));
    world.create();
    assert_eq!(world.answer(sound()), Ok(Offset(0)));
}

#[test]
fn records_are_deleted_up_to_the_high_watermark_and_not_where_the_policy_forbids_it() {
    let mut world = World::new();
    for _ in 0..3 {
        world.answer(sound()).unwrap();
    }
    assert_eq!(trim(&mut world, 2), Ok(Offset(2)));
    assert_eq!(trim(&mut world, 1), Ok(Offset(2)));
    assert_eq!(trim(&mut world, 7), Err(ErrorKind::OffsetOutOfRange));
    assert_eq!(trim(&mut world, -2), Err(ErrorKind::OffsetOutOfRange));
    assert_eq!(trim(&mut world, -1), Ok(Offset(6)));
    set(&mut world, own(), "cleanup.policy", "compact");
    assert_eq!(trim(&mut world, -1), Err(ErrorKind::PolicyViolation));
}

#[test]
fn retention_reaches_what_no_segment_has_yet() {
    let mut world = World::new();
    world.answer(sound()).unwrap();
    assert!(stored_bytes(&mut world) > 0);
    pass(&mut world, CLEANUP_MS);
    assert!(stored_bytes(&mut world) > 0);
    set(
        &mut world,
        ConfigResource::Broker(None),
        "log.retention.ms",
        "1000",
    );
    pass(&mut world, CLEANUP_MS);
    assert_eq!(stored_bytes(&mut world), 0);
    assert_eq!(world.answer(sound()), Ok(Offset(2)));
}

#[test]
fn what_is_old_enough_to_be_compacted_is_however_little_it_is() {
    let mut world = World::new();
    set(&mut world, own(), "cleanup.policy", "compact");
    set(&mut world, own(), "max.compaction.lag.ms", "1000");
    world.answer(sound()).unwrap();
    let one_bytes = stored_bytes(&mut world);
    for _ in 0..6 {
        pass(&mut world, CLEANUP_MS);
        world.answer(sound()).unwrap();
    }
    let left_bytes = stored_bytes(&mut world);
    assert!(
        left_bytes < 4 * one_bytes,
        "{left_bytes} of {one_bytes} each"
    );
}

#[test]
fn a_changed_limit_holds_for_the_next_batch() {
    let mut world = World::new();
    set(&mut world, own(), "max.message.bytes", "10");
    assert_eq!(world.answer(sound()), Err(ErrorKind::MessageTooLarge));
    set(&mut world, own(), "max.message.bytes", "1000");
    assert_eq!(world.answer(sound()), Ok(Offset(0)));
}

#[test]
fn a_topic_grows_and_never_shrinks() {
    let mut world = World::new();
    let mut to = |count| {
        let more = MorePartitions {
            topic: "t".to_owned(),
            count,
            assignments: None,
        };
        let create = CreatePartitions {
            topics: vec![more],
            validate_only: false,
        };
        match manage(&mut world, Manage::CreatePartitions(create)) {
            Managed::Checked(mut answers) => answers.remove(0).map_err(|refusal| refusal.kind),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(to(2), Err(ErrorKind::InvalidPartitions));
    assert_eq!(to(1), Err(ErrorKind::InvalidPartitions));
    assert_eq!(to(5), Ok(()));
    assert_eq!(to(5), Err(ErrorKind::InvalidPartitions));
}

#[test]
fn a_partition_stays_where_it_is_and_its_only_replica_leads() {
    let mut world = World::new();
    let to = |index, replicas| Reassign {
        topic: "t".to_owned(),
        index,
        replicas,
    };
    let wanted = vec![
        to(0, Some(vec![1])),
        to(0, Some(vec![2])),
        to(0, None),
        to(9, None),
    ];
    let Managed::Checked(answers) = manage(&mut world, Manage::Reassign(wanted)) else {
        panic!("another answer");
    };
    let kinds = answers
        .into_iter()
        .map(|answer| answer.map_err(|refusal| refusal.kind));
    let expected = [
        Ok(()),
        Err(ErrorKind::InvalidReplicaAssignment),
        Err(ErrorKind::NoReassignmentInProgress),
        Err(ErrorKind::UnknownTopicOrPartition),
    ];
    assert!(kinds.eq(expected));
    let mut elect = |partitions| {
        let elect = ElectLeaders {
            partitions,
            is_unclean: false,
        };
        match manage(&mut world, Manage::ElectLeaders(elect)) {
            Managed::Elected(answers) => answers,
            other => panic!("{other:?}"),
        }
    };
    assert!(
        elect(None).is_empty(),
        "where nothing is needed nothing is told"
    );
    let told = elect(Some(vec![("t".to_owned(), 0)]));
    assert_eq!(told.len(), 1);
    let kind = told[0].2.as_ref().map_err(|refusal| refusal.kind);
    assert_eq!(kind, Err(ErrorKind::ElectionNotNeeded));
}
