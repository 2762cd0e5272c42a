//! What administrators change on one node is so on all of them.

use std::sync::Arc;

use weir_broker::{
    Mailbox, Reply, Ticket,
    api::{
        AckLevel, Backend, ClusterMetadata, CreateTopics, Metadata, NewTopic, Outcome, Produce,
        ProducePartition, Request, TopicRef,
        admin::{
            AlterConfigs, ConfigChange, ConfigOp, ConfigResource, DeleteRecords, DescribeConfigs,
            ElectLeaders, Manage, Managed, Moving, Reassign,
        },
    },
};
use weir_model::{ErrorKind, NodeId, Offset, TopicName};

use crate::{nodes::Cluster, produce::sound};

const PARTITIONS: i32 = 4;

pub(crate) fn topic() -> TopicRef {
    TopicRef::Name(TopicName::new("t").unwrap())
}

pub(crate) fn ask(cluster: &mut Cluster, node: u64, request: Request) -> Outcome {
    let mailbox = Mailbox::new(Box::new(|| {}));
    let reply = Reply::new(Arc::clone(&mailbox), Ticket(0));
    cluster.nodes[&NodeId(node)].submit(request, reply);
    let mut answers = Vec::new();
    cluster.until("an answer", |_| {
        mailbox.take(&mut answers);
        !answers.is_empty()
    });
    answers.pop().unwrap().1
}

fn manage(cluster: &mut Cluster, node: u64, manage: Manage) -> Managed {
    match ask(cluster, node, Request::Manage(manage)) {
        Outcome::Managed(managed) => managed,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn create(cluster: &mut Cluster, node: u64) {
    let topic = NewTopic {
        name: "t".to_owned(),
        partition_count: Some(PARTITIONS.unsigned_abs()),
        replication_factor: None,
        configs: Vec::new(),
        assignments: None,
    };
    let create = CreateTopics {
        topics: vec![topic],
        validate_only: false,
    };
    let Outcome::CreateTopics(created) = ask(cluster, node, Request::CreateTopics(create)) else {
        panic!("another answer");
    };
    assert!(created[0].is_ok(), "{created:?}");
}

/// Leaders of all partitions, as node 1 tells them; `None` where one has none, or the topic is not there.
fn leaders(cluster: &mut Cluster) -> Option<Vec<(i32, Vec<i32>)>> {
    leaders_by(cluster, 1)
}

fn leaders_by(cluster: &mut Cluster, node: u64) -> Option<Vec<(i32, Vec<i32>)>> {
    let wanted = Metadata {
        topics: Some(vec![topic()]),
        auto_create: false,
    };
    let Outcome::Metadata(told) = ask(cluster, node, Request::Metadata(wanted)) else {
        panic!("another answer");
    };
    let description = told.topics[0].result.as_ref().ok()?;
    let partitions = description.partitions.iter();
    partitions
        .map(|each| Some((each.leader?, each.replicas.clone())))
        .collect()
}

/// Sends a batch to each partition, wherever that is led.
fn produce(cluster: &mut Cluster) -> Vec<Offset> {
    let mut offsets = Vec::new();
    for index in 0..PARTITIONS {
        let mut node = 0;
        let offset = loop {
            node = node % 3 + 1;
            let partition = ProducePartition {
                topic: topic(),
                index,
                batch: sound(),
            };
            let produce = Produce {
                transaction: None,
                ack: AckLevel::Majority,
                timeout_ms: 1_000,
                partitions: vec![partition],
            };
            let Outcome::Produce(answers) = ask(cluster, node, Request::Produce(produce)) else {
                panic!("another answer");
            };
            match answers[0].base_offset {
                Ok(offset) => break offset,
                Err(error) => assert!(error.retriable(), "{error:?}"),
            }
        };
        offsets.push(offset);
    }
    offsets
}

pub(crate) fn three() -> Cluster {
    let mut cluster = Cluster::found(3);
    cluster.join();
    cluster.join();
    cluster.until("three vote everywhere", |cluster| {
        let status = crate::nodes::status_of(&cluster.nodes[&NodeId(1)]);
        status.groups.iter().all(|group| group.voters.len() == 3)
    });
    cluster
}

#[test]
fn a_deleted_topics_files_go_from_all_nodes_also_from_one_that_was_down() {
    let mut cluster = three();
    create(&mut cluster, 2);
    assert_eq!(produce(&mut cluster), vec![Offset(0); 4]);
    cluster.checkpoint();
    cluster.until("all partitions have files everywhere", |cluster| {
        (0..3).all(|at| cluster.partition_dirs(at) == 4)
    });
    cluster.set_up(NodeId(3), false);
    let deleted = manage(&mut cluster, 2, Manage::DeleteTopics(vec![topic()]));
    assert!(matches!(deleted, Managed::DeletedTopics(answers) if answers[0].is_ok()));
    cluster.until("two nodes are clean", |cluster| {
        (0..2).all(|at| cluster.partition_dirs(at) == 0)
    });
    assert_eq!(cluster.partition_dirs(2), 4);
    cluster.set_up(NodeId(3), true);
    cluster.until("the third is clean", |cluster| {
        cluster.partition_dirs(2) == 0
    });
    create(&mut cluster, 1);
    assert_eq!(produce(&mut cluster), vec![Offset(0); 4]);
}

#[test]
fn settings_are_the_same_everywhere_once_they_are_answered() {
    let mut cluster = three();
    create(&mut cluster, 1);
    let change = ConfigChange {
        name: "retention.ms".to_owned(),
        op: ConfigOp::Set,
        value: Some("5".to_owned()),
    };
    let own = ConfigResource::Topic("t".to_owned());
    let alter = AlterConfigs {
        resources: vec![(own.clone(), vec![change])],
        is_whole: false,
        validate_only: false,
    };
    let altered = manage(&mut cluster, 3, Manage::AlterConfigs(alter));
    assert!(matches!(altered, Managed::Checked(answers) if answers == [Ok(())]));
    let told = |cluster: &mut Cluster, node| {
        let wanted = DescribeConfigs {
            resource: own.clone(),
            names: Some(vec!["retention.ms".to_owned()]),
        };
        match manage(cluster, node, Manage::DescribeConfigs(vec![wanted])) {
            Managed::Configs(answers) => answers[0].as_ref().unwrap()[0].value.clone(),
            other => panic!("{other:?}"),
        }
    };
    // The node that answered has it already; the others hear of it.
    assert_eq!(told(&mut cluster, 3).as_deref(), Some("5"));
    for node in [1, 2] {
        let mut rounds_count = 0;
        while told(&mut cluster, node).as_deref() != Some("5") {
            rounds_count += 1;
            assert!(rounds_count < 1_000, "node {node}");
            cluster.round();
        }
    }
}

#[test]
fn records_are_deleted_by_the_leader_alone() {
    let mut cluster = three();
    create(&mut cluster, 1);
    produce(&mut cluster);
    let mut trimmed = Vec::new();
    for node in 1..=3 {
        let wanted = DeleteRecords {
            topic: topic(),
            index: 0,
            offset: -1,
        };
        match manage(&mut cluster, node, Manage::DeleteRecords(vec![wanted])) {
            Managed::DeletedRecords(answers) => trimmed.extend(answers),
            other => panic!("{other:?}"),
        }
    }
    trimmed.sort_by_key(|answer| answer.is_err());
    let elsewhere = Err(ErrorKind::NotLeader);
    assert_eq!(trimmed, [Ok(Offset(2)), elsewhere, elsewhere]);
}

#[test]
fn an_election_makes_the_first_replica_of_each_partition_its_leader() {
    let mut cluster = three();
    create(&mut cluster, 1);
    let elect = ElectLeaders {
        partitions: None,
        is_unclean: false,
    };
    let Managed::Elected(answers) = manage(&mut cluster, 1, Manage::ElectLeaders(elect)) else {
        panic!("another answer");
    };
    assert!(
        answers.iter().all(|(_, _, elected)| elected.is_ok()),
        "{answers:?}"
    );
    let leaders = leaders(&mut cluster).unwrap();
    assert!(
        leaders
            .iter()
            .all(|(leader, replicas)| replicas.first() == Some(leader))
    );
    let first: std::collections::BTreeSet<i32> = leaders.iter().map(|each| each.0).collect();
    assert_eq!(first.len(), 3, "preferred leaders are spread");
}

#[test]
fn metadata_that_is_asked_for_just_when_a_leader_is_lost_names_the_next_one() {
    let mut cluster = three();
    create(&mut cluster, 2);
    produce(&mut cluster);
    let is_led_by_1 = |told: Vec<(i32, Vec<i32>)>| told.iter().any(|(leader, _)| *leader == 1);
    assert!(leaders_by(&mut cluster, 2).is_some_and(is_led_by_1));
    cluster.set_up(NodeId(1), false);
    let told = leaders_by(&mut cluster, 2).expect("the next leaders");
    assert!(!is_led_by_1(told));
}

#[test]
fn metadata_does_not_wait_for_long_where_nobody_can_be_elected() {
    let mut cluster = three();
    create(&mut cluster, 2);
    cluster.set_up(NodeId(1), false);
    cluster.set_up(NodeId(3), false);
    assert_eq!(leaders_by(&mut cluster, 2), None);
}

#[test]
fn clients_are_told_which_nodes_and_replicas_are_down() {
    let mut cluster = three();
    create(&mut cluster, 1);
    cluster.set_up(NodeId(3), false);
    let wanted = || {
        Request::Metadata(Metadata {
            topics: Some(vec![topic()]),
            auto_create: false,
        })
    };
    let fenced = |told: &ClusterMetadata| -> Vec<_> {
        let brokers = told.brokers.iter();
        brokers.map(|each| (each.node, each.is_fenced)).collect()
    };
    let pass_rounds = |cluster: &mut Cluster, count| {
        let mut round_count = 0;
        cluster.until("time to have passed", |_| {
            round_count += 1;
            round_count > count
        });
    };
    pass_rounds(&mut cluster, 50);
    let Outcome::Metadata(told) = ask(&mut cluster, 1, wanted()) else {
        panic!("another answer");
    };
    assert_eq!(fenced(&told), [(1, false), (2, false), (3, false)]);
    pass_rounds(&mut cluster, 500);
    let Outcome::Metadata(told) = ask(&mut cluster, 1, wanted()) else {
        panic!("another answer");
    };
    assert_eq!(fenced(&told), [(1, false), (2, false), (3, true)]);
    let topic = told.topics[0].result.as_ref().unwrap();
    assert!(topic.partitions.iter().all(|each| each.offline == [3]));
}

#[test]
fn every_replica_tells_a_partitions_producers_whoever_leads() {
    let mut cluster = three();
    create(&mut cluster, 1);
    produce(&mut cluster);
    for node in 1..=3 {
        let wanted = vec![(topic(), 0), (topic(), 9)];
        let request = Request::DescribeProducers(wanted);
        let Outcome::DescribeProducers(told) = ask(&mut cluster, node, request) else {
            panic!("another answer");
        };
        assert!(told[0].is_ok(), "node {node}: {told:?}");
        let unknown = Some(&ErrorKind::UnknownTopicOrPartition);
        assert_eq!(told[1].as_ref().err(), unknown);
    }
}

fn reassign(
    cluster: &mut Cluster,
    node: u64,
    index: i32,
    to: Option<Vec<i32>>,
) -> Result<(), ErrorKind> {
    let wanted = Reassign {
        topic: "t".to_owned(),
        index,
        replicas: to,
    };
    match manage(cluster, node, Manage::Reassign(vec![wanted])) {
        Managed::Checked(mut answers) => answers.remove(0).map_err(|refusal| refusal.kind),
        other => panic!("{other:?}"),
    }
}

/// What moves, as any node tells it: the metadata is the same on all of them in the end.
fn moving(cluster: &mut Cluster) -> Vec<(String, i32, Moving)> {
    match manage(cluster, 1, Manage::ListMoving(None)) {
        Managed::Moving(told) => told,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_partition_moves_with_its_group_to_the_nodes_that_are_named_and_a_cancelled_move_goes_back() {
    let mut cluster = three();
    create(&mut cluster, 1);
    assert_eq!(produce(&mut cluster), vec![Offset(0); 4]);
    let before = leaders(&mut cluster).unwrap()[0].1.clone();
    cluster.join();
    assert_eq!(reassign(&mut cluster, 2, 0, Some(before)), Ok(()));
    assert_eq!(moving(&mut cluster), []);
    let wrong = Err(ErrorKind::InvalidReplicaAssignment);
    assert_eq!(reassign(&mut cluster, 2, 0, Some(vec![1])), wrong);
    assert_eq!(reassign(&mut cluster, 2, 0, Some(vec![1, 2, 9])), wrong);
    let none = Err(ErrorKind::NoReassignmentInProgress);
    assert_eq!(reassign(&mut cluster, 2, 0, None), none);

    let to = vec![4, 3, 1];
    assert_eq!(reassign(&mut cluster, 2, 0, Some(to.clone())), Ok(()));
    assert_eq!(reassign(&mut cluster, 2, 0, Some(to.clone())), Ok(()));
    cluster.until("it is there", |cluster| {
        let status = crate::nodes::status_of(&cluster.nodes[&NodeId(1)]);
        status.groups.iter().any(|group| {
            let voters: std::collections::BTreeSet<u64> = group.voters.iter().copied().collect();
            voters == [1, 3, 4].into()
        })
    });
    assert_eq!(leaders(&mut cluster).unwrap()[0].1, to, "in this order");
    assert_eq!(moving(&mut cluster), []);
    assert_eq!(produce(&mut cluster), vec![Offset(2); 4]);

    // A node that is down holds the move up; it is told, and taken back.
    cluster.set_up(NodeId(2), false);
    let away = vec![2, 3, 1];
    assert_eq!(reassign(&mut cluster, 1, 0, Some(away)), Ok(()));
    let told = moving(&mut cluster);
    let expected = Moving {
        replicas: vec![2, 3, 1, 4],
        adding: vec![2],
        removing: vec![4],
    };
    let first = told.iter().find(|(_, index, _)| *index == 0).unwrap();
    assert_eq!((first.0.as_str(), &first.2), ("t", &expected));
    assert_eq!(reassign(&mut cluster, 1, 0, None), Ok(()));
    assert_eq!(moving(&mut cluster), []);
    cluster.set_up(NodeId(2), true);
    let back = loop {
        match leaders(&mut cluster) {
            Some(leaders) => break leaders,
            None => cluster.round(),
        }
    };
    assert_eq!(back[0].1, to);
}
