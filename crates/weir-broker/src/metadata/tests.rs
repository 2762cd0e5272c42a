// Long: one table of commands serves all tests of the state machine.
use std::{collections::BTreeMap, sync::Arc};

use uuid::Uuid;
use weir_log::Millis;
use weir_model::{ErrorKind, GroupId, NodeId, PartitionId, ProducerId, Term, TopicId, TopicName};

use super::{
    CreateTopic, MetadataCommand as Command, MetadataOutcome as Outcome, MetadataState, NodeRecord,
    NodeState,
    config_command::AlterResource,
    grow::CreatePartitions,
    nodes::MAX_ADDRESS_BYTES,
    placed::{PlaceGroup, Placement},
    reserved::is_reserved,
    state::{MAX_NODES, MAX_PARTITIONS_PER_TOPIC, MAX_PRODUCER_ID_BLOCK_COUNT, MAX_SERIAL},
};
use crate::{
    Applied,
    api::{
        TopicRef,
        admin::{ConfigChange, ConfigOp, ConfigResource},
    },
    encoding::{DecodeError, Reader, Writer, trial},
};

const AT: Applied = Applied {
    group: GroupId::METADATA,
    index: 1,
    term: Term(1),
    now: Millis(5),
    elapsed: Millis(5),
};

fn name(text: &str) -> TopicName {
    TopicName::new(text).unwrap()
}

fn id(number: u128) -> TopicId {
    TopicId(Uuid::from_u128(number))
}

fn node(number: u64) -> NodeRecord {
    NodeRecord {
        id: NodeId(number),
        incarnation: 0,
        peer_address: format!("10.0.0.{number}:9192"),
        kafka_host: "localhost".to_owned(),
        kafka_port: 9092,
        rack: Some("east".to_owned()),
        state: NodeState::Active,
    }
}

fn admit(incarnation: u128) -> Command {
    Command::AdmitNode {
        incarnation,
        peer_address: "10.0.0.9:9192".to_owned(),
        kafka_host: "localhost".to_owned(),
        kafka_port: 9093,
    }
}

fn topic(text: &str, number: u128) -> CreateTopic {
    CreateTopic {
        name: name(text),
        id: id(number),
        partitions: vec![GroupId(1), GroupId(2), GroupId(1)],
        replication_factor: 1,
        configs: BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]),
        created: Millis(4),
    }
}

fn commands() -> Vec<Command> {
    vec![
        Command::NameCluster {
            cluster_id: "weir".to_owned(),
        },
        Command::RegisterNode(node(1)),
        admit(77),
        admit(78),
        Command::SetNodeState {
            node: NodeId(2),
            state: NodeState::Draining,
        },
        Command::RemoveNode { node: NodeId(3) },
        Command::CreateTopic(topic("b", 2)),
        Command::CreateTopic(topic("a", 1)),
        Command::DeleteTopic { id: id(2) },
        Command::CreateTopic(topic("b", 3)),
        Command::AllocateProducerIds {
            node: NodeId(1),
            count: 1000,
        },
        Command::CreatePartitions(grow(1, 3, &[2])),
        Command::AlterConfigs(alter(ConfigResource::Broker(None), "log.retention.ms", "9")),
        Command::AlterConfigs(alter(
            ConfigResource::Group("g".to_owned()),
            "consumer.session.timeout.ms",
            "50000",
        )),
        place(2, &[1]),
    ]
}

fn place(group: u32, nodes: &[u64]) -> Command {
    Command::PlaceGroup(PlaceGroup {
        group: GroupId(group),
        placement: Placement {
            nodes: nodes.iter().copied().map(NodeId).collect(),
            before: vec![NodeId(1), NodeId(2)],
        },
    })
}

fn grow(topic: u128, from_count: u32, groups: &[u32]) -> CreatePartitions {
    CreatePartitions {
        topic: id(topic),
        from_count,
        groups: groups.iter().copied().map(GroupId).collect(),
    }
}

fn alter(resource: ConfigResource, name: &str, value: &str) -> AlterResource {
    AlterResource {
        resource,
        is_whole: false,
        changes: vec![ConfigChange {
            name: name.to_owned(),
            op: ConfigOp::Set,
            value: Some(value.to_owned()),
        }],
    }
}

fn state() -> MetadataState {
    let mut state = MetadataState::new();
    for command in commands() {
        let outcome = state.apply(&AT, command);
        assert!(!matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    }
    state
}

#[test]
fn a_topic_is_found_by_name_id_and_serial_and_serials_are_not_used_again() {
    let topology = state().topology();
    let found = topology.by_name(&name("b")).unwrap();
    assert_eq!(
        (found.serial, found.id, found.created),
        (3, id(3), Millis(4))
    );
    assert_eq!(found.settings.retention_ms, None);
    assert!(Arc::ptr_eq(found, topology.by_id(id(3)).unwrap()));
    assert!(Arc::ptr_eq(found, topology.by_serial(3).unwrap()));
    assert!(topology.by_id(id(2)).is_none() && topology.by_serial(1).is_none());
    let names: Vec<&str> = topology.topics().map(|topic| topic.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(
        topology.load(),
        &BTreeMap::from([(GroupId(1), 4), (GroupId(2), 3)])
    );
    assert_eq!((topology.cluster_id(), topology.nodes().len()), ("weir", 2));
}

#[test]
fn a_partition_is_found_with_its_group_or_the_right_error() {
    let topology = state().topology();
    let by_name = |text: &str| TopicRef::Name(name(text));
    let cases = [
        (by_name("b"), 1, Ok((PartitionId::new(3, 1), GroupId(2)))),
        (
            TopicRef::Id(id(1)),
            2,
            Ok((PartitionId::new(2, 2), GroupId(1))),
        ),
        (by_name("b"), 3, Err(ErrorKind::UnknownTopicOrPartition)),
        (by_name("b"), -1, Err(ErrorKind::UnknownTopicOrPartition)),
        (by_name("c"), 0, Err(ErrorKind::UnknownTopicOrPartition)),
        (TopicRef::Id(id(2)), 0, Err(ErrorKind::UnknownTopicId)),
    ];
    for (topic, index, expected) in cases {
        assert_eq!(
            topology.partition(&topic, index),
            expected,
            "{topic:?} {index}"
        );
    }
}

#[test]
// Table: one line a command that is refused.
fn a_refused_command_changes_nothing() {
    use ErrorKind as E;
    let with = |change: fn(&mut CreateTopic)| {
        let mut new = topic("new", 9);
        change(&mut new);
        Command::CreateTopic(new)
    };
    let mut nameless = node(2);
    nameless.kafka_host.clear();
    let far = NodeRecord {
        peer_address: "x".repeat(MAX_ADDRESS_BYTES + 1),
        ..node(1)
    };
    let with_state = |node| Command::SetNodeState {
        node: NodeId(node),
        state: NodeState::Draining,
    };
    let cases = [
        (with(|t| t.name = name("a")), E::TopicExists),
        (with(|t| t.id = id(1)), E::InvalidRequest),
        (with(|t| t.id = id(0)), E::InvalidRequest),
        (with(|t| t.partitions.clear()), E::InvalidPartitions),
        (
            with(|t| t.partitions = vec![GroupId(1); MAX_PARTITIONS_PER_TOPIC + 1]),
            E::InvalidPartitions,
        ),
        (
            with(|t| t.replication_factor = 0),
            E::InvalidReplicationFactor,
        ),
        (
            with(|t| t.replication_factor = 3),
            E::InvalidReplicationFactor,
        ),
        (
            with(|t| drop(t.configs.insert("x".to_owned(), String::new()))),
            E::InvalidConfig,
        ),
        (
            with(|t| t.name = name("__consumer_offsets")),
            E::InvalidTopic,
        ),
        (Command::DeleteTopic { id: id(2) }, E::UnknownTopicId),
        (
            Command::CreatePartitions(grow(9, 3, &[1])),
            E::UnknownTopicOrPartition,
        ),
        (
            Command::CreatePartitions(grow(1, 2, &[1])),
            E::InvalidPartitions,
        ),
        (
            Command::CreatePartitions(grow(1, 4, &[])),
            E::InvalidPartitions,
        ),
        (
            Command::AlterConfigs(alter(
                ConfigResource::Topic("no".to_owned()),
                "segment.ms",
                "1",
            )),
            E::UnknownTopicOrPartition,
        ),
        (
            Command::AlterConfigs(alter(
                ConfigResource::Topic("a".to_owned()),
                "segment.ms",
                "0",
            )),
            E::InvalidConfig,
        ),
        (
            Command::AlterConfigs(alter(ConfigResource::Broker(Some(9)), "segment.ms", "1")),
            E::InvalidRequest,
        ),
        (place(1, &[]), E::InvalidReplicaAssignment),
        (place(1, &[1, 1]), E::InvalidReplicaAssignment),
        (place(1, &[9]), E::InvalidReplicaAssignment),
        // It drains.
        (place(1, &[1, 2]), E::InvalidReplicaAssignment),
        // These carry nothing.
        (place(0, &[1]), E::InvalidReplicaAssignment),
        (place(3, &[1]), E::InvalidReplicaAssignment),
        (Command::RegisterNode(node(0)), E::InvalidRequest),
        (Command::RegisterNode(nameless), E::InvalidRequest),
        (Command::RegisterNode(far), E::InvalidRequest),
        (Command::RegisterNode(node(3)), E::InvalidRequest),
        (Command::RegisterNode(node(4)), E::InvalidRequest),
        (admit(0), E::InvalidRequest),
        (with_state(3), E::InvalidRequest),
        (with_state(4), E::InvalidRequest),
        (Command::RemoveNode { node: NodeId(0) }, E::InvalidRequest),
        (Command::RemoveNode { node: NodeId(4) }, E::InvalidRequest),
        (
            Command::AllocateProducerIds {
                node: NodeId(1),
                count: 0,
            },
            E::InvalidRequest,
        ),
        (
            Command::AllocateProducerIds {
                node: NodeId(1),
                count: MAX_PRODUCER_ID_BLOCK_COUNT + 1,
            },
            E::InvalidRequest,
        ),
    ];
    let mut state = state();
    let before = state.fingerprint();
    for (command, error) in cases {
        let shown = format!("{command:.100?}");
        assert_eq!(
            state.apply(&AT, command),
            Outcome::Refused(error),
            "{shown}"
        );
        assert_eq!(state.fingerprint(), before, "{shown}");
    }
    assert!(matches!(
        state.apply(
            &AT,
            with(|t| t.partitions = vec![GroupId(1); MAX_PARTITIONS_PER_TOPIC])
        ),
        Outcome::TopicCreated(_)
    ));
}

#[test]
fn the_last_node_is_taken_and_one_more_is_not() {
    let mut state = MetadataState::new();
    state.apply(&AT, Command::RegisterNode(node(1)));
    let last = u64::try_from(MAX_NODES).unwrap();
    for number in 2..=last {
        let outcome = state.apply(&AT, admit(number.into()));
        assert_eq!(outcome, Outcome::NodeAdmitted(NodeId(number)));
    }
    let past = state.apply(&AT, admit(u128::from(last) + 1));
    assert_eq!(past, Outcome::Refused(ErrorKind::Overloaded));
    let again = state.apply(&AT, admit(last.into()));
    assert_eq!(again, Outcome::NodeAdmitted(NodeId(last)));
}

#[test]
fn an_incarnation_keeps_its_id_and_a_removed_id_never_comes_back() {
    let mut state = MetadataState::new();
    let early = state.apply(&AT, admit(5));
    assert_eq!(early, Outcome::Refused(ErrorKind::NotLeader));
    state.apply(&AT, Command::RegisterNode(node(1)));
    for _ in 0..2 {
        let outcome = state.apply(&AT, admit(5));
        assert_eq!(outcome, Outcome::NodeAdmitted(NodeId(2)));
    }
    for _ in 0..2 {
        let outcome = state.apply(&AT, Command::RemoveNode { node: NodeId(2) });
        assert_eq!(outcome, Outcome::NodeRemoved(NodeId(2)));
    }
    let mut state = MetadataState::decode(&state.encode()).unwrap();
    let gone = state.apply(&AT, Command::RegisterNode(node(2)));
    assert_eq!(gone, Outcome::Refused(ErrorKind::InvalidRequest));
    let outcome = state.apply(&AT, admit(5));
    assert_eq!(outcome, Outcome::NodeAdmitted(NodeId(3)));
}

#[test]
fn the_founder_registers_once_and_the_last_node_stays() {
    let mut state = MetadataState::new();
    state.apply(&AT, Command::RegisterNode(node(1)));
    let alone = state.apply(&AT, Command::RemoveNode { node: NodeId(1) });
    assert_eq!(alone, Outcome::Refused(ErrorKind::InvalidRequest));
    state.apply(&AT, admit(5));
    let gone = state.apply(&AT, Command::RemoveNode { node: NodeId(1) });
    assert_eq!(gone, Outcome::NodeRemoved(NodeId(1)));
    let back = state.apply(&AT, Command::RegisterNode(node(1)));
    assert_eq!(back, Outcome::Refused(ErrorKind::InvalidRequest));
}

#[test]
fn a_node_that_registers_changes_its_addresses_alone() {
    let mut state = state();
    let moved = NodeRecord {
        kafka_port: 1,
        ..node(2)
    };
    state.apply(&AT, Command::RegisterNode(moved));
    let expected = NodeRecord {
        kafka_port: 1,
        incarnation: 77,
        state: NodeState::Draining,
        ..node(2)
    };
    assert_eq!(state.topology().nodes()[&NodeId(2)], expected);
}

#[test]
fn a_topic_that_is_created_again_under_its_id_is_there() {
    let mut state = state();
    let before = state.fingerprint();
    let again = state.apply(&AT, Command::CreateTopic(topic("b", 3)));
    assert!(matches!(again, Outcome::TopicCreated(topic) if topic.serial == 3));
    assert_eq!(state.fingerprint(), before);
}

#[test]
fn outcomes_come_back_and_damage_is_an_error() {
    let mut state = MetadataState::new();
    let mut outcomes: Vec<Outcome> = commands()
        .into_iter()
        .map(|command| state.apply(&AT, command))
        .collect();
    outcomes.push(Outcome::Refused(ErrorKind::InvalidConfig));
    let decode = |bytes: &[u8]| {
        let mut reader = Reader::new(bytes);
        let outcome = Outcome::read(&mut reader)?;
        reader.finish()?;
        Ok(outcome)
    };
    for outcome in outcomes {
        let mut writer = Writer::new();
        outcome.write(&mut writer);
        let bytes = writer.finish();
        assert_eq!(decode(&bytes), Ok(outcome));
        trial::damage(&bytes, decode);
    }
}

#[test]
fn the_first_cluster_id_stays() {
    let mut state = state();
    let again = Command::NameCluster {
        cluster_id: "other".to_owned(),
    };
    assert_eq!(
        state.apply(&AT, again),
        Outcome::ClusterNamed("weir".into())
    );
}

#[test]
fn producer_id_blocks_follow_each_other_and_end() {
    let mut state = state();
    let ask = || Command::AllocateProducerIds {
        node: NodeId(2),
        count: 10,
    };
    for first in [1000, 1010] {
        let expected = Outcome::ProducerIds {
            node: NodeId(2),
            first: ProducerId(first),
            count: 10,
        };
        assert_eq!(state.apply(&AT, ask()), expected);
    }
    state.next_producer_id = i64::MAX - 9;
    assert_eq!(
        state.apply(&AT, ask()),
        Outcome::Refused(ErrorKind::Overloaded)
    );
}

#[test]
fn the_last_serial_is_used_and_none_after_it() {
    let mut state = state();
    state.next_serial = MAX_SERIAL;
    let last = state.apply(&AT, Command::CreateTopic(topic("last", 50)));
    assert!(matches!(last, Outcome::TopicCreated(topic) if topic.serial == MAX_SERIAL));
    let past = state.apply(&AT, Command::CreateTopic(topic("past", 51)));
    assert_eq!(past, Outcome::Refused(ErrorKind::Overloaded));
    assert!(MetadataState::decode(&state.encode()).is_ok());
}

#[test]
fn a_view_stays_as_it_was_and_shares_its_topics_with_the_next() {
    let mut state = state();
    let before = state.topology();
    for number in 100..400_u128 {
        state.apply(
            &AT,
            Command::CreateTopic(topic(&format!("t{number}"), number)),
        );
        let view = state.topology();
        assert!(Arc::ptr_eq(
            view.by_serial(2).unwrap(),
            before.by_serial(2).unwrap()
        ));
    }
    assert_eq!(
        (before.topic_count(), state.topology().topic_count()),
        (2, 302)
    );
}

#[test]
fn commands_come_back_and_damage_is_an_error() {
    for command in commands() {
        let bytes = command.encode();
        assert_eq!(Command::decode(&bytes), Ok(command));
        trial::damage(&bytes, Command::decode);
    }
    for tag in [0, 9, 255] {
        assert!(matches!(
            Command::decode(&[tag, 0, 0]),
            Err(DecodeError::Unknown { at: 0, found, .. }) if found == u64::from(tag)
        ));
    }
}

#[test]
fn a_checkpoint_comes_back_and_damage_is_an_error() {
    let state = state();
    let bytes = state.encode();
    let mut back = MetadataState::decode(&bytes).unwrap();
    assert_eq!(
        (back.encode(), back.fingerprint()),
        (bytes.clone(), state.fingerprint())
    );
    let next = back.apply(&AT, Command::CreateTopic(topic("c", 4)));
    assert!(matches!(next, Outcome::TopicCreated(topic) if topic.serial == 4));
    trial::damage(&bytes, MetadataState::decode);
}

#[test]
fn settings_change_with_their_topic_and_with_what_all_nodes_have() {
    let mut state = state();
    let of = |state: &MetadataState, topic: &str| {
        let topology = state.topology();
        topology.by_name(&name(topic)).unwrap().settings.clone()
    };
    state.apply(
        &AT,
        Command::CreateTopic(CreateTopic {
            configs: BTreeMap::new(),
            ..topic("c", 4)
        }),
    );
    assert_eq!(of(&state, "c").retention_ms, Some(9));
    assert_eq!(of(&state, "a").retention_ms, None);
    let own = alter(ConfigResource::Topic("c".to_owned()), "retention.ms", "7");
    assert_eq!(
        state.apply(&AT, Command::AlterConfigs(own)),
        Outcome::ConfigsAltered
    );
    assert_eq!(of(&state, "c").retention_ms, Some(7));
    let all = alter(ConfigResource::Broker(None), "log.segment.bytes", "5000");
    state.apply(&AT, Command::AlterConfigs(all));
    let back = MetadataState::decode(&state.encode()).unwrap();
    for state in [&state, &back] {
        assert_eq!(
            (of(state, "a").segment_bytes, of(state, "c").segment_bytes),
            (5000, 5000)
        );
    }
    let none = AlterResource {
        resource: ConfigResource::Broker(None),
        is_whole: true,
        changes: Vec::new(),
    };
    state.apply(&AT, Command::AlterConfigs(none));
    assert_eq!(of(&state, "a").segment_bytes, 1 << 30);
}

#[test]
fn a_topic_grows_once_by_a_command_that_comes_twice() {
    let mut state = state();
    let more = grow(1, 4, &[1, 2]);
    for _ in 0..2 {
        let outcome = state.apply(&AT, Command::CreatePartitions(more.clone()));
        assert_eq!(outcome, Outcome::PartitionsCreated);
        let topology = state.topology();
        assert_eq!(topology.by_id(id(1)).unwrap().partitions.len(), 6);
        assert_eq!(topology.load()[&GroupId(1)], 5);
    }
}

#[test]
fn names_that_metrics_cannot_tell_apart_do_not_stand_together() {
    let mut state = state();
    let create = |state: &mut MetadataState, text: &str, number| {
        state.apply(&AT, Command::CreateTopic(topic(text, number)))
    };
    assert!(matches!(
        create(&mut state, "x.y", 10),
        Outcome::TopicCreated(_)
    ));
    let refused = Outcome::Refused(ErrorKind::InvalidTopic);
    assert_eq!(create(&mut state, "x_y", 11), refused);
    state.apply(&AT, Command::DeleteTopic { id: id(10) });
    assert!(matches!(
        create(&mut state, "x_y", 12),
        Outcome::TopicCreated(_)
    ));
    assert_eq!(create(&mut state, "x.y", 13), refused);
    assert!(is_reserved("__transaction_state") && !is_reserved("__mine"));
}

#[test]
fn only_topics_that_were_there_count_as_deleted() {
    let topology = state().topology();
    assert_eq!(topology.deleted_count(), 1);
    let deleted: Vec<u64> = (0..6)
        .filter(|serial| topology.is_deleted(*serial))
        .collect();
    assert_eq!(deleted, [0, 1]);
}

#[test]
fn replicas_that_apply_the_same_have_the_same_fingerprint() {
    let mut other = state();
    assert_eq!(other.fingerprint(), state().fingerprint());
    other.apply(&AT, admit(79));
    assert_ne!(other.fingerprint(), state().fingerprint());
}

#[test]
fn a_group_is_wanted_on_nodes_until_one_of_them_drains_or_goes() {
    let leaves = [
        Command::SetNodeState {
            node: NodeId(2),
            state: NodeState::Draining,
        },
        Command::RemoveNode { node: NodeId(2) },
    ];
    for leave in leaves {
        let mut state = MetadataState::new();
        for command in [Command::RegisterNode(node(1)), admit(7), admit(8)] {
            state.apply(&AT, command);
        }
        state.apply(&AT, Command::CreateTopic(topic("t", 1)));
        for command in [place(1, &[2, 1]), place(2, &[3, 1]), place(2, &[1, 3])] {
            assert_eq!(state.apply(&AT, command), Outcome::GroupPlaced);
        }
        let wanted = |state: &MetadataState, group| {
            let topology = state.topology();
            let placement = topology.placement(GroupId(group));
            placement.map(|placement| placement.nodes.clone())
        };
        assert_eq!(wanted(&state, 1), Some(vec![NodeId(2), NodeId(1)]));
        state.apply(&AT, leave);
        assert_eq!(wanted(&state, 1), None);
        assert_eq!(wanted(&state, 2), Some(vec![NodeId(1), NodeId(3)]));
    }
}
