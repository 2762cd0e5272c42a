//! What clients hear from a node that does not lead.

use std::sync::Arc;

use weir_broker::{
    Mailbox, Node, Reply, Ticket,
    api::{Backend, CreateTopics, Heartbeat, Metadata, NewTopic, OffsetFetch, Outcome, Request},
};
use weir_model::{ErrorKind, NodeId};

use crate::cluster::Cluster;

fn ask(cluster: &mut Cluster, at: usize, request: Request) -> Outcome {
    let mailbox = Mailbox::new(Box::new(|| {}));
    let node: Arc<Node> = Arc::clone(&cluster.members[at].node);
    node.submit(request, Reply::new(Arc::clone(&mailbox), Ticket(0)));
    cluster.settle();
    let mut answers = Vec::new();
    mailbox.take(&mut answers);
    answers.pop().unwrap().1
}

fn heartbeat() -> Request {
    Request::Heartbeat(Heartbeat {
        group: "g".to_owned(),
        generation: 1,
        member: "m".to_owned(),
        instance: None,
    })
}

fn topic(replication_factor: Option<u16>) -> Request {
    Request::CreateTopics(CreateTopics {
        topics: vec![NewTopic {
            name: "t".to_owned(),
            partition_count: Some(2),
            replication_factor,
            configs: Vec::new(),
            assignments: None,
        }],
        validate_only: false,
    })
}

fn all_topics() -> Request {
    Request::Metadata(Metadata {
        topics: None,
        auto_create: false,
    })
}

#[test]
fn a_node_that_follows_sends_group_members_to_the_coordinator() {
    let mut cluster = Cluster::founded().with_joined();
    let answer = ask(&mut cluster, 1, heartbeat());
    assert!(matches!(
        answer,
        Outcome::Heartbeat(Err(ErrorKind::NotCoordinator))
    ));
    let wanted = OffsetFetch {
        require_stable: false,
        group: "g".to_owned(),
        member: None,
        tells_ids: false,
        partitions: None,
    };
    let answer = ask(&mut cluster, 1, Request::OffsetFetch(vec![wanted]));
    let Outcome::OffsetFetch(answers) = answer else {
        panic!("another answer");
    };
    assert_eq!(answers, [Err(ErrorKind::NotCoordinator)]);
    cluster.members[1].node.peer_changed(NodeId(1), false);
    let answer = ask(&mut cluster, 1, heartbeat());
    assert!(matches!(
        answer,
        Outcome::Heartbeat(Err(ErrorKind::CoordinatorLoading))
    ));
}

#[test]
fn a_topic_has_as_many_copies_as_there_are_nodes_at_most() {
    let mut cluster = Cluster::founded().with_joined();
    let Outcome::CreateTopics(refused) = ask(&mut cluster, 0, topic(Some(3))) else {
        panic!("another answer");
    };
    assert_eq!(
        refused[0].as_ref().err().map(|refusal| refusal.kind),
        Some(ErrorKind::InvalidReplicationFactor)
    );
    let Outcome::CreateTopics(created) = ask(&mut cluster, 0, topic(None)) else {
        panic!("another answer");
    };
    assert_eq!(created[0].as_ref().unwrap().replication_factor, 2);
    let Outcome::Metadata(metadata) = ask(&mut cluster, 0, all_topics()) else {
        panic!("another answer");
    };
    assert_eq!((metadata.controller, metadata.brokers.len()), (Some(1), 2));
    let described = metadata.topics[0].result.as_ref().unwrap();
    assert!(
        described
            .partitions
            .iter()
            .all(|partition| { partition.leader == Some(1) && partition.in_sync.contains(&1) })
    );
}
