use std::collections::BTreeSet;

use weir_model::PartitionId;

use super::world::*;
use crate::{
    encoding::{DecodeError, trial},
    group::{
        CommitOffsets, GroupCommand, GroupTable, MemberRecord, OffsetTable, StoredOffset,
        offsets::{MAX_OFFSET_METADATA_BYTES, check_metadata},
    },
};

fn record(group: &str) -> GroupRecord {
    let member = |id: &str, instance: Option<&str>| MemberRecord {
        member: id.to_owned(),
        instance: instance.map(str::to_owned),
        client_id: "c".to_owned(),
        client_host: "h".to_owned(),
        session_timeout_ms: 1,
        rebalance_timeout_ms: 2,
        metadata: bytes("m"),
        assignment: bytes("a"),
    };
    GroupRecord {
        group: group.to_owned(),
        generation: 7,
        since: Millis(3),
        protocol_type: "consumer".to_owned(),
        protocol: Some("range".to_owned()),
        leader: Some("x".to_owned()),
        must_rebalance: false,
        members: vec![member("z", Some("i")), member("x", None)],
    }
}

fn commit(group: &str, offset: i64, metadata: &str) -> CommitOffsets {
    let stored = |offset| StoredOffset {
        offset,
        leader_epoch: -1,
        metadata: metadata.into(),
        committed: Millis(9),
    };
    CommitOffsets {
        group: group.to_owned(),
        offsets: vec![
            (PartitionId::new(2, 1), stored(offset)),
            (PartitionId::new(1, 0), stored(offset + 1)),
        ],
    }
}

#[test]
fn commands_come_back_and_damage_is_an_error() {
    let commands = [
        GroupCommand::PutGroup(record("g")),
        GroupCommand::CommitOffsets(commit("g", 5, "note")),
        GroupCommand::DeleteGroup("g".to_owned()),
        GroupCommand::ForgetOffsets {
            group: "g".to_owned(),
            places: vec![(PartitionId::new(1, 0), Millis(9))],
        },
    ];
    for command in commands {
        let bytes = command.encode();
        assert_eq!(GroupCommand::decode(&bytes), Ok(command));
        trial::damage(&bytes, GroupCommand::decode);
    }
    assert!(matches!(
        GroupCommand::decode(&[99]),
        Err(DecodeError::Unknown {
            at: 0,
            found: 99,
            ..
        })
    ));
}

#[test]
fn a_group_without_its_leader_does_not_decode() {
    for change in [
        |record: &mut GroupRecord| record.leader = Some("y".to_owned()),
        |record: &mut GroupRecord| record.leader = None,
        |record: &mut GroupRecord| record.protocol = None,
        |record: &mut GroupRecord| record.generation = -1,
    ] {
        let mut wrong = record("g");
        change(&mut wrong);
        let decoded = GroupCommand::decode(&GroupCommand::PutGroup(wrong).encode());
        assert!(matches!(
            decoded,
            Err(DecodeError::Value { what: "group", .. })
        ));
    }
}

#[test]
fn the_group_table_keeps_the_last_record_and_comes_back() {
    let mut table = GroupTable::default();
    table.apply(record("b"));
    table.apply(record("a"));
    let mut last = record("b");
    last.generation = 8;
    table.apply(last.clone());
    let bytes = table.encode();
    assert_eq!(
        table.records().cloned().collect::<Vec<_>>(),
        [record("a"), last]
    );
    assert_eq!(GroupTable::decode(&bytes), Ok(table));
    trial::damage(&bytes, GroupTable::decode);
}

#[test]
fn an_offset_below_zero_is_kept_as_the_client_gave_it() {
    let mut table = OffsetTable::default();
    let partition = PartitionId::new(2, 1);
    assert_eq!(table.apply(commit("g", -2, "")), [Ok(()), Ok(())]);
    let reread = OffsetTable::decode(&table.encode()).unwrap();
    assert_eq!(reread.fetch("g", partition).unwrap().offset, -2);
}

#[test]
fn the_last_offset_counts_and_too_much_metadata_is_refused_alone() {
    let mut table = OffsetTable::default();
    let partition = PartitionId::new(2, 1);
    assert_eq!(table.apply(commit("g", 5, "")), [Ok(()), Ok(())]);
    table.apply(commit("g", 3, "n"));
    assert_eq!(table.fetch("g", partition).unwrap().offset, 3);
    assert_eq!(table.fetch("h", partition), None);
    assert_eq!(table.fetch("g", PartitionId::new(2, 0)), None);
    let mut mixed = commit("g", 10, "");
    mixed.offsets[0].1.metadata = "x".repeat(MAX_OFFSET_METADATA_BYTES + 1).into();
    let answers = table.apply(mixed);
    assert_eq!(answers, [Err(ErrorKind::OffsetMetadataTooLarge), Ok(())]);
    let kept: Vec<i64> = table
        .fetch_all("g")
        .map(|(_, stored)| stored.offset)
        .collect();
    assert_eq!(kept, [11, 3]);
    assert_eq!(
        check_metadata(&"x".repeat(MAX_OFFSET_METADATA_BYTES)),
        Ok(())
    );
    table.forget_topics(&BTreeSet::from([2]));
    assert_eq!(table.fetch("g", partition), None);
    assert_eq!(table.fetch_all("g").count(), 1);
    table.forget_topics(&BTreeSet::from([1]));
    assert_eq!(table, OffsetTable::default());
}

#[test]
fn a_place_is_forgotten_only_while_it_is_the_one_that_was_seen() {
    let mut table = OffsetTable::default();
    table.apply(commit("g", 5, "note"));
    let (first, second) = (PartitionId::new(1, 0), PartitionId::new(2, 1));
    table.forget("g", &[(first, Millis(9)), (second, Millis(8))]);
    assert_eq!(table.fetch("g", first), None);
    assert!(table.fetch("g", second).is_some());
    table.forget("h", &[(first, Millis(9))]);
    table.forget_group("g");
    assert_eq!(table, OffsetTable::default());
}

#[test]
fn the_memory_that_is_counted_follows_what_is_kept() {
    let mut table = OffsetTable::default();
    table.apply(commit("g", 5, "note"));
    let before = table.held_bytes();
    table.apply(commit("g", 6, "note!"));
    assert_eq!(table.held_bytes(), before + 2);
    table.apply(commit("h", 6, ""));
    assert_eq!(
        OffsetTable::decode(&table.encode()).unwrap().held_bytes(),
        table.held_bytes()
    );
    let mut refused = commit("i", 1, "");
    refused.offsets.truncate(1);
    refused.offsets[0].1.metadata = "x".repeat(MAX_OFFSET_METADATA_BYTES + 1).into();
    let unchanged = table.held_bytes();
    assert_eq!(
        table.apply(refused),
        [Err(ErrorKind::OffsetMetadataTooLarge)]
    );
    assert!(!table.contains("i"));
    assert_eq!(table.held_bytes(), unchanged);
    table.forget_group("g");
    table.forget_group("h");
    assert_eq!(table.held_bytes(), 0);
}

#[test]
fn the_offset_table_comes_back_and_damage_is_an_error() {
    let mut table = OffsetTable::default();
    table.apply(commit("g", 5, "note"));
    table.apply(commit("h", 6, ""));
    let bytes = table.encode();
    assert_eq!(OffsetTable::decode(&bytes), Ok(table));
    trial::damage(&bytes, OffsetTable::decode);
}
