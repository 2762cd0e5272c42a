//! What people ask of queues, and policies that hold at once.

use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};
use weir_broker::{
    api::queues::Verdict,
    audit::Requester,
    queue_admin::{QueueAdminAnswer, QueueAdminRequest, QueueRow},
};
use weir_model::NodeId;

use crate::{
    nodes::Cluster,
    queues::{Client, message},
};

const FOUNDER: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);

fn ask(cluster: &mut Cluster, at: NodeId, request: QueueAdminRequest) -> QueueAdminAnswer {
    let heard = Arc::new(Mutex::new(None));
    let said = Arc::clone(&heard);
    let done = move |answer| *said.lock().unwrap() = Some(answer);
    cluster.nodes[&at].queue_admin(&Requester::default(), request, Box::new(done));
    for _ in 0..500 {
        cluster.round();
        if let Some(answer) = heard.lock().unwrap().take() {
            return answer;
        }
    }
    panic!("no answer");
}

fn slash() -> String {
    "/".to_owned()
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(map) = value else {
        panic!("no object");
    };
    map
}

fn declare(name: &str, arguments: Value) -> QueueAdminRequest {
    QueueAdminRequest::DeclareQueue {
        vhost: slash(),
        name: name.to_owned(),
        durable: true,
        auto_delete: false,
        arguments: object(arguments),
    }
}

fn policy(name: &str, operator: bool, definition: Value) -> QueueAdminRequest {
    QueueAdminRequest::DeclarePolicy {
        vhost: slash(),
        operator,
        name: name.to_owned(),
        pattern: "^q".to_owned(),
        apply_to: "queues".to_owned(),
        priority: 0,
        definition: object(definition),
    }
}

fn queues(cluster: &mut Cluster) -> Vec<QueueRow> {
    let list = QueueAdminRequest::ListQueues {
        vhost: slash(),
        after: None,
        only: None,
    };
    match ask(cluster, OTHER, list) {
        QueueAdminAnswer::Queues { rows } => rows,
        other => panic!("{other:?}"),
    }
}

fn two() -> Cluster {
    let mut cluster = Cluster::found(2);
    cluster.join();
    cluster
}

#[test]
fn queues_are_made_listed_looked_at_moved_and_deleted_from_any_node() {
    let mut cluster = two();
    for (at, name) in [(FOUNDER, "a"), (OTHER, "b")] {
        let answer = ask(&mut cluster, at, declare(name, json!({"x-max-length": 10})));
        assert_eq!(answer, QueueAdminAnswer::Done);
    }
    cluster.rounds(5);
    let mut client = Client::open(&mut cluster, OTHER);
    let messages = vec![
        message("a", "one"),
        message("a", "two"),
        message("a", "three"),
    ];
    assert_eq!(
        client.publish(&mut cluster, messages),
        [const { Verdict::Stored }; 3]
    );
    let peek = QueueAdminRequest::Peek {
        vhost: slash(),
        name: "a".to_owned(),
        count: 2,
    };
    let QueueAdminAnswer::Messages { rows } = ask(&mut cluster, OTHER, peek) else {
        panic!("no messages");
    };
    let bodies: Vec<&str> = rows.iter().map(|row| row.body.as_str()).collect();
    assert_eq!(bodies, ["one", "two"]);
    let shift = QueueAdminRequest::MoveMessages {
        vhost: slash(),
        source: "a".to_owned(),
        destination: "b".to_owned(),
        count: 2,
    };
    let answer = ask(&mut cluster, FOUNDER, shift);
    assert_eq!(answer, QueueAdminAnswer::Counted { messages: 2 });
    let ready: Vec<(String, u64)> = queues(&mut cluster)
        .into_iter()
        .map(|row| (row.name, row.figures.unwrap().ready))
        .collect();
    assert_eq!(ready, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    let purge = QueueAdminRequest::PurgeQueue {
        vhost: slash(),
        name: "b".to_owned(),
    };
    let answer = ask(&mut cluster, OTHER, purge);
    assert_eq!(answer, QueueAdminAnswer::Counted { messages: 2 });
    let delete = QueueAdminRequest::DeleteQueue {
        vhost: slash(),
        name: "b".to_owned(),
        if_unused: true,
        if_empty: true,
    };
    assert!(matches!(
        ask(&mut cluster, OTHER, delete),
        QueueAdminAnswer::Counted { .. }
    ));
    assert_eq!(queues(&mut cluster).len(), 1);
}

#[test]
fn a_policy_holds_at_once_for_queues_that_are_there_and_the_operators_caps_it() {
    let mut cluster = two();
    for name in ["q1", "q2", "r"] {
        ask(&mut cluster, OTHER, declare(name, json!({})));
    }
    let set = policy(
        "short",
        false,
        json!({"max-length": 2, "overflow": "reject-publish"}),
    );
    assert_eq!(ask(&mut cluster, OTHER, set), QueueAdminAnswer::Done);
    cluster.rounds(20);
    let mut client = Client::open(&mut cluster, FOUNDER);
    for (name, kept_count) in [("q1", 2), ("q2", 2), ("r", 4)] {
        let messages = (0..4).map(|_| message(name, "x")).collect();
        let verdicts = client.publish(&mut cluster, messages);
        let stored = verdicts
            .iter()
            .filter(|verdict| **verdict == Verdict::Stored);
        assert_eq!(stored.count(), kept_count, "{name}: {verdicts:?}");
    }
    let set = policy("cap", true, json!({"max-length": 1}));
    assert_eq!(ask(&mut cluster, FOUNDER, set), QueueAdminAnswer::Done);
    let delete = QueueAdminRequest::DeletePolicy {
        vhost: slash(),
        operator: false,
        name: "short".to_owned(),
    };
    assert_eq!(ask(&mut cluster, FOUNDER, delete), QueueAdminAnswer::Done);
    cluster.rounds(20);
    let rows = queues(&mut cluster);
    assert_eq!(rows[0].policy, None);
    assert_eq!(rows[0].operator_policy.as_deref(), Some("cap"));
    assert_eq!(rows[2].operator_policy, None);
    // Over the limit, and back to dropping the oldest.
    client.publish(&mut cluster, vec![message("q1", "y")]);
    cluster.rounds(10);
    let ready: Vec<u64> = queues(&mut cluster)
        .iter()
        .map(|row| row.figures.unwrap().ready)
        .collect();
    assert_eq!(ready[0], 1);
    assert_eq!(ready[2], 4);
}

#[test]
fn virtual_hosts_keep_their_queues_apart() {
    let mut cluster = two();
    let make = QueueAdminRequest::DeclareVhost {
        name: "v".to_owned(),
        description: "another".to_owned(),
        default_queue_type: Some("quorum".to_owned()),
    };
    assert_eq!(ask(&mut cluster, OTHER, make), QueueAdminAnswer::Done);
    let inside = QueueAdminRequest::DeclareQueue {
        vhost: "v".to_owned(),
        name: "q".to_owned(),
        durable: true,
        auto_delete: false,
        arguments: Map::new(),
    };
    assert_eq!(ask(&mut cluster, OTHER, inside), QueueAdminAnswer::Done);
    assert_eq!(queues(&mut cluster), []);
    let list = QueueAdminRequest::ListQueues {
        vhost: "v".to_owned(),
        after: None,
        only: None,
    };
    let QueueAdminAnswer::Queues { rows } = ask(&mut cluster, OTHER, list.clone()) else {
        panic!("no rows");
    };
    assert_eq!((rows.len(), rows[0].kind.as_str()), (1, "quorum"));
    let delete = QueueAdminRequest::DeleteVhost {
        name: "v".to_owned(),
    };
    assert_eq!(ask(&mut cluster, FOUNDER, delete), QueueAdminAnswer::Done);
    cluster.rounds(5);
    assert!(matches!(
        ask(&mut cluster, OTHER, list),
        QueueAdminAnswer::Refused { .. }
    ));
}

#[test]
fn a_policy_that_says_nothing_that_is_understood_is_refused() {
    let mut cluster = two();
    for wrong in [
        policy("p", false, json!({})),
        policy("p", false, json!({"max-length": "many"})),
        policy("p", true, json!({"alternate-exchange": "e"})),
    ] {
        let answer = ask(&mut cluster, FOUNDER, wrong);
        assert!(
            matches!(answer, QueueAdminAnswer::Refused { .. }),
            "{answer:?}"
        );
    }
}
