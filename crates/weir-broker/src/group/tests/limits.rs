use weir_model::PartitionId;

use super::world::*;
use crate::group::{
    CommitOffsets, OffsetTable, StoredOffset,
    config::MAX_GROUPS,
    offsets::{MAX_OFFSET_GROUPS, MAX_OFFSETS_PER_GROUP},
};

#[test]
fn the_last_group_is_taken_and_one_more_is_not() {
    let mut world = World::new();
    for number in 0..MAX_GROUPS {
        let mut join = join("", None);
        join.group = number.to_string();
        let token = world.join(join);
        assert_eq!(world.joined(token).generation, 1);
    }
    let token = world.join(join("", None));
    assert_eq!(world.refused(token), ErrorKind::Overloaded);
}

#[test]
fn the_last_waiting_id_is_given_out_and_one_more_is_not() {
    let mut world = World::with(GroupConfig {
        max_member_count: 2,
        ..GroupConfig::default()
    });
    let mut first = join("", None);
    first.require_known_member = true;
    for error in [
        ErrorKind::MemberIdRequired,
        ErrorKind::MemberIdRequired,
        ErrorKind::GroupMaxSizeReached,
    ] {
        let token = world.join(first.clone());
        assert_eq!(world.refused(token), error);
    }
}

fn place() -> StoredOffset {
    StoredOffset {
        offset: 1,
        leader_epoch: 0,
        metadata: "".into(),
        committed: Millis(0),
    }
}

#[test]
fn the_last_offset_of_a_group_is_kept_and_one_more_is_not() {
    let mut table = OffsetTable::default();
    let partition = |number: usize| PartitionId(u64::try_from(number).unwrap());
    let commit = |numbers: std::ops::RangeInclusive<usize>| CommitOffsets {
        group: GROUP.to_owned(),
        offsets: numbers.map(|number| (partition(number), place())).collect(),
    };
    let answers = table.apply(commit(1..=MAX_OFFSETS_PER_GROUP));
    assert!(answers.iter().all(Result::is_ok));
    let past = MAX_OFFSETS_PER_GROUP..=MAX_OFFSETS_PER_GROUP + 1;
    assert_eq!(
        table.apply(commit(past)),
        [Ok(()), Err(ErrorKind::Overloaded)]
    );
}

#[test]
fn the_last_group_with_offsets_is_kept_and_one_more_is_not() {
    let mut table = OffsetTable::default();
    let mut commit = |number: usize| {
        table.apply(CommitOffsets {
            group: number.to_string(),
            offsets: vec![(PartitionId(0), place())],
        })
    };
    for number in 0..MAX_OFFSET_GROUPS {
        assert_eq!(commit(number), [Ok(())]);
    }
    assert_eq!(commit(MAX_OFFSET_GROUPS), [Err(ErrorKind::Overloaded)]);
    assert_eq!(commit(0), [Ok(())]);
}
