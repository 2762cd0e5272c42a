//! What members of share groups hear of partitions that are led elsewhere, and what administrators
//! may ask at once.

use weir_broker::api::{
    Metadata, Outcome, Request, ShareHeartbeat,
    share::{ShareAdmin, ShareAdminAnswer, ShareFetch, SharePart, ShareRequest, SharedPartition},
};
use weir_model::{ErrorKind, NodeId, TopicId, TopicName};

use crate::{
    admin_cluster::{ask, create, three, topic},
    nodes::Cluster,
};

/// Places of one request, which a stack of [`STACK_BYTES`] would not bear inside of each other.
const PLACES_COUNT: usize = 1_500;
const STACK_BYTES: usize = 256 << 10;

fn topic_id(cluster: &mut Cluster, node: u64) -> TopicId {
    let wanted = Metadata {
        topics: Some(vec![topic()]),
        auto_create: false,
    };
    let Outcome::Metadata(told) = ask(cluster, node, Request::Metadata(wanted)) else {
        panic!("another answer");
    };
    told.topics[0].result.as_ref().unwrap().id
}

/// What a new member hears of partition 0.
fn fetch(cluster: &mut Cluster, node: u64, id: TopicId) -> SharedPartition {
    let part = SharePart {
        topic: id,
        index: 0,
        acks: Vec::new(),
    };
    let request = ShareRequest {
        group: "g".to_owned(),
        member: "m".to_owned(),
        epoch: 0,
        renews: false,
        partitions: vec![part],
        fetch: Some(ShareFetch {
            min_bytes: 1,
            max_bytes: 1 << 20,
            max_wait_ms: 100,
            max_records: 10,
            by_records: false,
            forgotten: Vec::new(),
        }),
    };
    match ask(cluster, node, Request::Share(request)) {
        Outcome::Share(Ok(mut answer)) => answer.partitions.remove(0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_member_hears_who_leads_and_never_that_a_coordinator_is_elsewhere() {
    let mut cluster = three();
    create(&mut cluster, 1);
    let id = topic_id(&mut cluster, 1);
    let mut served = 0;
    for node in 1..=3 {
        let told = fetch(&mut cluster, node, id);
        match told.batches {
            Ok(_) => served += 1,
            Err(error) => assert_eq!((error, told.leader.is_some()), (ErrorKind::NotLeader, true)),
        }
    }
    assert_eq!(served, 1);
    // Nobody leads where one node of three is left.
    cluster.set_up(NodeId(2), false);
    cluster.set_up(NodeId(3), false);
    cluster.rounds(1_000);
    let told = fetch(&mut cluster, 1, id);
    assert_eq!(told.batches.err(), Some(ErrorKind::NotLeader));
    assert!(told.leader.is_none());
}

fn beat(cluster: &mut Cluster, epoch: i32) {
    let beat = ShareHeartbeat {
        group: "g".to_owned(),
        member: "m".to_owned(),
        epoch,
        rack: None,
        topics: (epoch == 0).then(|| vec!["t".to_owned()]),
        client_id: "c".to_owned(),
        client_host: "h".to_owned(),
    };
    match ask(cluster, 1, Request::ShareHeartbeat(beat)) {
        Outcome::ConsumerBeat(Ok(_)) => {}
        other => panic!("{other:?}"),
    }
}

fn move_in_many_places() {
    let mut cluster = Cluster::found(1);
    create(&mut cluster, 1);
    beat(&mut cluster, 0);
    beat(&mut cluster, -1);
    let place = (TopicName::new("t").unwrap(), 0, 0);
    let alter = Request::ShareAdmin(ShareAdmin::Alter {
        group: "g".to_owned(),
        places: vec![place; PLACES_COUNT],
    });
    match ask(&mut cluster, 1, alter) {
        Outcome::ShareAdmin(ShareAdminAnswer::Changed(Ok(answers))) => {
            assert_eq!(answers.len(), PLACES_COUNT);
            assert!(answers.iter().all(Result::is_ok));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_places_that_an_administrator_names_take_no_stack() {
    let small = std::thread::Builder::new().stack_size(STACK_BYTES);
    let moved = small.spawn(move_in_many_places).unwrap().join();
    assert!(moved.is_ok());
}
