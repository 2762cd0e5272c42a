use super::world::*;
use crate::{
    encoding::trial,
    group::{ConsumerRecord, GroupCommand, GroupRecord, GroupTable},
};

fn record() -> ConsumerRecord {
    let mut world = World::new();
    world.topics.create("t", 3);
    world.topics.create("u", 2);
    let (mut one, mut two) = (Client::new("one", &["t", "u"]), Client::new("two", &[]));
    one.instance = Some("i".to_owned());
    two.pattern = Some("t|u".to_owned());
    world.round(&mut one);
    let mut joins = two.full();
    joins.assignor = Some("range".to_owned());
    joins.rack = Some("r".to_owned());
    world.ask(joins).unwrap();
    world.ask(one.short()).unwrap();
    let record = world.table.consumer(GROUP).unwrap().clone();
    assert!(!record.members["one"].revoking.is_empty());
    record
}

#[test]
fn changes_come_back_and_damage_is_an_error() {
    let mut world = World::new();
    world.topics.create("t", 2);
    world.stores_at_once = false;
    let one = Client::new("one", &["t"]);
    for beat in [one.full(), one.leaving(-1)] {
        world.send(beat);
        let command = world.stores.front().unwrap().1.clone();
        let bytes = command.encode();
        assert_eq!(GroupCommand::decode(&bytes), Ok(command));
        trial::damage(&bytes, GroupCommand::decode);
        world.stored(Ok(()));
    }
}

#[test]
fn a_table_with_groups_of_both_kinds_comes_back_and_damage_is_an_error() {
    let mut world = World::new();
    world.topics.create("t", 3);
    world.round(&mut Client::new("one", &["t"]));
    let mut table = world.table;
    table.apply(GroupRecord {
        group: "classic".to_owned(),
        generation: 1,
        since: Millis(1),
        protocol_type: String::new(),
        protocol: None,
        leader: None,
        must_rebalance: false,
        members: Vec::new(),
    });
    let bytes = table.encode();
    assert_eq!((table.records().count(), table.consumers().count()), (1, 1));
    assert_eq!(GroupTable::decode(&bytes), Ok(table));
    trial::damage(&bytes, GroupTable::decode);
}

#[test]
fn a_record_comes_back_but_not_with_a_partition_of_two_members() {
    let read = |record: &ConsumerRecord| {
        let mut writer = crate::encoding::Writer::new();
        record.write(&mut writer);
        let bytes = writer.finish();
        ConsumerRecord::read(&mut crate::encoding::Reader::new(&bytes))
    };
    let good = record();
    assert_eq!(read(&good), Ok(good.clone()));
    let mut wrong = good.clone();
    let taken = wrong.members["one"].revoking[0];
    wrong.members.get_mut("two").unwrap().assigned = vec![taken];
    assert!(read(&wrong).is_err());
    let mut wrong = good;
    wrong.target_epoch = wrong.epoch + 1;
    assert!(read(&wrong).is_err());
}

#[test]
fn a_group_is_of_one_kind_at_a_time() {
    let mut world = World::new();
    world.topics.create("t", 1);
    world.round(&mut Client::new("one", &["t"]));
    let mut table = world.table;
    let classic = GroupRecord {
        group: GROUP.to_owned(),
        generation: 1,
        since: Millis(1),
        protocol_type: "consumer".to_owned(),
        protocol: None,
        leader: None,
        must_rebalance: false,
        members: Vec::new(),
    };
    table.apply(classic);
    assert!(table.consumer(GROUP).is_none() && table.get(GROUP).is_some());
    assert_eq!(table.count(), 1);
}
