//! What sessions see while the leader of their queue is lost.

use std::collections::BTreeMap;

use weir_broker::{
    api::queues::{Message, Publish, QueueOutcome, QueueRequest, Settlement, Verdict},
    steward::ClusterStatus,
};
use weir_model::NodeId;

use crate::{
    nodes::{Cluster, status_of},
    queues::{Client, body, message},
};

const MESSAGES_COUNT: u32 = 60;

fn leader(status: &ClusterStatus) -> Option<NodeId> {
    let mut shards = status.groups.iter().filter(|group| group.id == 1);
    shards.find_map(|group| group.leader).map(NodeId)
}

fn three() -> Cluster {
    let mut cluster = Cluster::found(1);
    cluster.join();
    cluster.join();
    cluster.until("three voters", |cluster| {
        let mut all = cluster.nodes.values();
        all.all(|node| {
            let status = status_of(node);
            status.groups.iter().all(|group| group.voters.len() == 3)
        })
    });
    cluster
}

fn numbered(number: u32) -> Message {
    Message {
        body: number.to_string().into(),
        ..message("t", "")
    }
}

#[test]
fn no_message_is_lost_or_comes_twice_when_the_leader_of_its_queue_is_lost() {
    let mut cluster = three();
    let lost = leader(&status_of(&cluster.nodes[&NodeId(1)])).unwrap();
    let at = cluster
        .nodes
        .keys()
        .copied()
        .find(|id| *id != lost)
        .unwrap();
    let mut client = Client::open(&mut cluster, at);
    client.declare(&mut cluster, "t");
    client.consume(&mut cluster, 1, "t", false);
    let mut tickets = BTreeMap::new();
    let mut seen = BTreeMap::new();
    let mut next = 0;
    for round in 0..2_000 {
        if round == 20 {
            cluster.set_up(lost, false);
        }
        if next < MESSAGES_COUNT {
            let publish = QueueRequest::Publish(Publish {
                session: client.session(),
                messages: vec![numbered(next)],
                is_atomic: false,
            });
            tickets.insert(client.submit(&cluster, publish), next);
            next += 1;
        }
        cluster.round();
        for (ticket, outcome) in client.hear_all() {
            match outcome {
                QueueOutcome::Published(verdicts) => {
                    assert_eq!(verdicts, [Verdict::Stored]);
                    assert!(tickets.remove(&ticket).is_some());
                }
                QueueOutcome::Done => {}
                other => panic!("{other:?}"),
            }
        }
        for delivered in client.told_messages() {
            *seen.entry(body(&delivered)).or_insert(0) += 1;
            assert!(!delivered.is_redelivered);
            let settle = QueueRequest::Settle {
                session: client.session(),
                deliveries: vec![(delivered.id, Settlement::Ack)],
            };
            client.submit(&cluster, settle);
        }
        if next == MESSAGES_COUNT && tickets.is_empty() && seen.len() == next as usize {
            break;
        }
    }
    assert!(tickets.is_empty(), "{tickets:?}");
    let all = (0..MESSAGES_COUNT).map(|number| (number.to_string(), 1));
    assert_eq!(seen, all.collect());
    cluster.rounds(100);
    drop(client);
    cluster.rounds(50);
    let mut other = Client::open(&mut cluster, at);
    assert_eq!(other.get(&mut cluster, true), None);
}
