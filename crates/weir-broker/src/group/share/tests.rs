//! What a share group promises its members.

use std::collections::{BTreeMap, BTreeSet};

use weir_log::Millis;
use weir_model::{ErrorKind, TopicId};

use super::{ShareAction, ShareCoordinator};
use crate::{
    api::{ConsumerBeat, GroupPhase, Refused, ShareHeartbeat},
    configs::group::GroupSettings,
    group::{Catalogue, GroupConfig, GroupTable, GroupTopic},
};

const GROUP: &str = "g";

/// Topics by serial number, all of them known.
#[derive(Default)]
struct Topics {
    by_serial: BTreeMap<u64, GroupTopic>,
    revision: u64,
}

impl Catalogue for Topics {
    fn revision(&self) -> u64 {
        self.revision
    }

    fn by_name(&self, name: &str) -> Option<(u64, GroupTopic)> {
        let mut topics = self.by_serial.iter();
        let found = topics.find(|(_, topic)| topic.name == name)?;
        Some((*found.0, found.1.clone()))
    }

    fn by_serial(&self, serial: u64) -> Option<GroupTopic> {
        self.by_serial.get(&serial).cloned()
    }

    fn is_behind(&self, _: u64) -> bool {
        false
    }

    fn each(&self, _: &mut dyn FnMut(u64, &str)) {}

    fn settings(&self, _: &str) -> GroupSettings {
        GroupSettings::resolve(&BTreeMap::new())
    }
}

struct World {
    coordinator: ShareCoordinator<()>,
    topics: Topics,
    table: GroupTable,
    now: Millis,
}

impl World {
    fn with_topic(name: &str, partition_count: u32) -> Self {
        let mut world = Self {
            coordinator: ShareCoordinator::new(GroupConfig::default()),
            topics: Topics::default(),
            table: GroupTable::default(),
            now: Millis(0),
        };
        world.create(name, partition_count);
        world
    }

    fn create(&mut self, name: &str, partition_count: u32) {
        self.topics.revision += 1;
        let serial = self.topics.revision;
        let topic = GroupTopic {
            id: TopicId(uuid::Uuid::from_u128(serial.into())),
            name: name.to_owned(),
            partition_count,
            is_read: true,
        };
        self.topics.by_serial.insert(serial, topic);
    }

    /// Carries out what the coordinator wants; gives the last answer.
    fn carry_out(
        &mut self,
        actions: Vec<ShareAction<()>>,
    ) -> Option<Result<ConsumerBeat, Refused>> {
        let (mut actions, mut last) = (actions, None);
        while !actions.is_empty() {
            let mut more = Vec::new();
            for action in actions {
                match action {
                    ShareAction::Answer((), answer) => last = Some(answer),
                    ShareAction::Store { store, change } => {
                        let id = change.group.clone();
                        let result = self.table.change_share(change);
                        let bytes = self.table.encode();
                        assert_eq!(GroupTable::decode(&bytes).as_ref(), Ok(&self.table));
                        let record = self.table.share(&id);
                        let (topics, now) = (&self.topics, self.now);
                        let at = (id.as_str(), store);
                        self.coordinator
                            .stored(now, topics, at, result, record, &mut more);
                    }
                }
            }
            actions = more;
        }
        last
    }

    fn beat(
        &mut self,
        member: &str,
        epoch: i32,
        topics: Option<&[&str]>,
    ) -> Result<ConsumerBeat, Refused> {
        let beat = ShareHeartbeat {
            group: GROUP.to_owned(),
            member: member.to_owned(),
            epoch,
            topics: topics.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
            ..ShareHeartbeat::default()
        };
        let mut actions = Vec::new();
        let (now, known) = (self.now, &self.topics);
        self.coordinator
            .heartbeat(now, known, beat, (), &mut actions);
        self.carry_out(actions).expect("a heartbeat is answered")
    }

    fn join(&mut self, member: &str) -> ConsumerBeat {
        self.beat(member, 0, Some(&["t"])).unwrap()
    }

    fn refusal(&mut self, member: &str, epoch: i32) -> ErrorKind {
        self.beat(member, epoch, None).unwrap_err().error
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
        let mut actions = Vec::new();
        let (now, topics) = (self.now, &self.topics);
        self.coordinator.handle_timeout(now, topics, &mut actions);
        self.carry_out(actions);
    }
}

fn indexes(beat: &ConsumerBeat) -> Vec<i32> {
    let topics = beat.assignment.iter().flatten();
    topics.flat_map(|(_, indexes)| indexes.clone()).collect()
}

#[test]
fn members_share_partitions_where_they_are_more() {
    let mut world = World::with_topic("t", 2);
    assert_eq!(indexes(&world.join("a")), [0, 1]);
    let mut epochs = BTreeMap::new();
    for member in ["a", "b", "c", "d", "e"] {
        let epoch = world.join(member).epoch;
        epochs.insert(member, epoch);
    }
    let mut readers: BTreeMap<i32, BTreeSet<&str>> = BTreeMap::new();
    for (member, epoch) in &epochs {
        let beat = world.beat(member, *epoch, Some(&["t"])).unwrap();
        let own = indexes(&beat);
        assert_eq!(own.len(), 1, "{member}");
        readers.entry(own[0]).or_default().insert(member);
    }
    let counts: Vec<usize> = readers.values().map(BTreeSet::len).collect();
    assert_eq!(counts.iter().sum::<usize>(), 5);
    assert!(counts.iter().all(|count| *count >= 2), "{readers:?}");
}

#[test]
fn a_member_is_told_of_its_assignment_once_and_again_where_it_did_not_hear() {
    let mut world = World::with_topic("t", 4);
    let first = world.join("a").epoch;
    assert_eq!(world.beat("a", first, None).unwrap().assignment, None);
    world.join("b");
    let told = world.beat("a", first, None).unwrap();
    assert!(told.epoch > first);
    assert_eq!(indexes(&told).len(), 2);
    let again = world.beat("a", first, None).unwrap();
    assert_eq!(again, told, "the answer was lost");
    assert_eq!(world.beat("a", told.epoch, None).unwrap().assignment, None);
}

#[test]
fn a_heartbeat_of_another_epoch_is_fenced() {
    let mut world = World::with_topic("t", 1);
    let epoch = world.join("a").epoch;
    assert_eq!(world.refusal("a", epoch + 1), ErrorKind::FencedMemberEpoch);
    assert_eq!(world.refusal("b", epoch), ErrorKind::UnknownMember);
    assert_eq!(world.refusal("b", -2), ErrorKind::InvalidRequest);
    assert_eq!(
        world.refusal("b", 0),
        ErrorKind::InvalidRequest,
        "it reads nothing"
    );
}

#[test]
fn a_member_that_leaves_or_is_silent_is_gone() {
    let mut world = World::with_topic("t", 4);
    let epoch = world.join("a").epoch;
    world.join("b");
    assert_eq!(world.beat("b", -1, None).unwrap().epoch, -1);
    assert_eq!(indexes(&world.beat("a", epoch, None).unwrap()).len(), 4);
    world.pass(44_999);
    assert_eq!(world.coordinator.phase(GROUP), GroupPhase::Stable);
    world.pass(1);
    assert_eq!(world.coordinator.phase(GROUP), GroupPhase::Empty);
    assert!(world.coordinator.forget(GROUP));
}

#[test]
fn a_group_that_has_members_is_not_forgotten() {
    let mut world = World::with_topic("t", 1);
    world.join("a");
    assert!(!world.coordinator.forget(GROUP));
}

#[test]
fn topics_that_come_later_or_grow_are_assigned_with_the_next_heartbeat() {
    let mut world = World::with_topic("t", 1);
    let joined = world.beat("a", 0, Some(&["t", "u"])).unwrap();
    assert_eq!(indexes(&joined), [0]);
    world.create("u", 2);
    let told = world.beat("a", joined.epoch, None).unwrap();
    assert_eq!(indexes(&told), [0, 0, 1]);
}

#[test]
fn a_topic_that_nobody_reads_any_more_stays_the_groups() {
    let mut world = World::with_topic("t", 1);
    world.create("u", 1);
    let epoch = world.beat("a", 0, Some(&["t", "u"])).unwrap().epoch;
    world.beat("a", epoch, Some(&["u"])).unwrap();
    let topics = world.coordinator.topics(GROUP);
    let topics: Vec<_> = topics
        .map(|(_, topic)| (&topic.name[..], topic.is_read))
        .collect();
    assert_eq!(topics, [("t", false), ("u", true)]);
}

#[test]
fn the_next_leader_goes_on_with_what_is_stored() {
    let mut world = World::with_topic("t", 2);
    let epoch = world.join("a").epoch;
    let mut actions = Vec::new();
    world.coordinator.unload(&mut actions);
    let records = world.table.share_groups();
    world.coordinator.restore(world.now, &world.topics, records);
    assert_eq!(world.beat("a", epoch, None).unwrap().epoch, epoch);
}

#[test]
fn a_change_of_an_earlier_leader_is_not_applied() {
    let mut world = World::with_topic("t", 2);
    world.join("a");
    let beat = ShareHeartbeat {
        group: GROUP.to_owned(),
        member: "b".to_owned(),
        topics: Some(vec!["t".to_owned()]),
        ..ShareHeartbeat::default()
    };
    let mut actions = Vec::new();
    let (now, topics) = (world.now, &world.topics);
    world
        .coordinator
        .heartbeat(now, topics, beat, (), &mut actions);
    let [ShareAction::Store { change, .. }] = &actions[..] else {
        panic!("{actions:?}");
    };
    let mut stale = change.clone();
    stale.based_on -= 1;
    assert_eq!(
        world.table.change_share(stale),
        Err(ErrorKind::NotCoordinator)
    );
}
