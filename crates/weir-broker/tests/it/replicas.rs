//! What clients hear from leaders and from those that follow them.

use bytes::Bytes;
use weir_broker::{
    Mailbox, Reply, Ticket,
    api::{
        AckLevel, Backend, CreateTopics, EndOfEpoch, EpochEnd, Fetch, FetchPartition, Fetched,
        NewTopic, Outcome, Produce, ProducePartition, Produced, ReadFrom, Request, TopicRef,
    },
};
use weir_model::{
    ErrorKind, GroupId, NodeId, Offset, TopicName,
    batch::{HEADER_BYTES, MAGIC, PATCHED_BYTES, mend_crc, patched_head},
    record::write_record,
};

use crate::nodes::Cluster;

/// The group of the one partition.
const GROUP: GroupId = GroupId(1);

/// Rounds after which a cluster without news stays as it is: ten seconds.
const SETTLE_ROUNDS: usize = 500;

struct World {
    cluster: Cluster,
}

impl World {
    /// Three nodes, each with a copy of the topic `t` of one partition.
    fn new(configs: &[(&str, &str)]) -> Self {
        let mut cluster = Cluster::found(1);
        cluster.join();
        cluster.join();
        let mut world = Self { cluster };
        world.wait_in_sync(3);
        let configs = configs.iter();
        let topic = NewTopic {
            name: "t".to_owned(),
            partition_count: Some(1),
            replication_factor: Some(3),
            assignments: None,
            configs: configs
                .map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())))
                .collect(),
        };
        let create = CreateTopics {
            topics: vec![topic],
            validate_only: false,
        };
        let Outcome::CreateTopics(created) = world.ask(1, Request::CreateTopics(create)) else {
            panic!("another answer");
        };
        assert!(created[0].is_ok());
        world.cluster.until("all know the topic", |cluster| {
            let knows = |node: &std::sync::Arc<weir_broker::Node>| !topics_of(node).is_empty();
            cluster.nodes.values().all(knows)
        });
        // The steward may still spread leaders.
        for _ in 0..SETTLE_ROUNDS {
            world.cluster.round();
        }
        world
    }

    fn wait_in_sync(&mut self, count: usize) {
        self.cluster.until("replicas keep up", |cluster| {
            let nodes = cluster.nodes.values();
            let mut leaders = nodes.filter(|node| {
                let leader = node.leader_of(GROUP);
                leader.is_some_and(|(leader, _)| leader == node.id())
            });
            leaders.any(|leader| leader.in_sync_of(GROUP).len() == count)
        });
    }

    fn ask(&mut self, node: u64, request: Request) -> Outcome {
        let mailbox = Mailbox::new(Box::new(|| {}));
        let reply = Reply::new(mailbox.clone(), Ticket(0));
        self.cluster.nodes[&NodeId(node)].submit(request, reply);
        let mut answers = Vec::new();
        self.cluster.until("an answer", |_| {
            mailbox.take(&mut answers);
            !answers.is_empty()
        });
        answers.remove(0).1
    }

    /// Who leads, in the eyes of those that are up, and in which epoch.
    fn leader(&self, of: u64) -> (u64, i32) {
        let (node, term) = self.cluster.nodes[&NodeId(of)].leader_of(GROUP).unwrap();
        (node.0, term.leader_epoch())
    }

    fn produce(&mut self, node: u64, ack: AckLevel) -> Produced {
        let partition = ProducePartition {
            topic: topic(),
            index: 0,
            batch: batch(),
        };
        let request = Request::Produce(Produce {
            transaction: None,
            ack,
            timeout_ms: 10_000,
            partitions: vec![partition],
        });
        let Outcome::Produce(mut produced) = self.ask(node, request) else {
            panic!("another answer");
        };
        produced.remove(0)
    }

    fn fetch(&mut self, node: u64, offset: i64, last_epoch: i32, from: ReadFrom) -> Fetched {
        self.fetch_knowing(-1, node, offset, last_epoch, from)
    }

    /// From a client that knows of a leader of that epoch.
    fn fetch_knowing(
        &mut self,
        leader_epoch: i32,
        node: u64,
        offset: i64,
        last_epoch: i32,
        from: ReadFrom,
    ) -> Fetched {
        let request = Request::Fetch(Fetch {
            committed_only: false,
            min_bytes: 0,
            max_bytes: 1 << 20,
            max_wait_ms: 0,
            room: None,
            from,
            partitions: vec![FetchPartition {
                topic: topic(),
                index: 0,
                offset,
                max_bytes: 1 << 20,
                leader_epoch,
                last_epoch,
            }],
        });
        let Outcome::Fetch(mut fetched) = self.ask(node, request) else {
            panic!("another answer");
        };
        fetched.remove(0)
    }

    fn end_of_epoch(&mut self, node: u64, epoch: i32) -> Result<Option<EpochEnd>, ErrorKind> {
        let wanted = EndOfEpoch {
            topic: topic(),
            index: 0,
            leader_epoch: -1,
            epoch,
        };
        let Outcome::EndOfEpoch(mut ends) = self.ask(node, Request::EndOfEpoch(vec![wanted]))
        else {
            panic!("another answer");
        };
        ends.remove(0)
    }
}

fn topics_of(node: &std::sync::Arc<weir_broker::Node>) -> Vec<TopicRef> {
    let mailbox = Mailbox::new(Box::new(|| {}));
    let all = weir_broker::api::Metadata {
        topics: None,
        auto_create: false,
    };
    node.submit(
        Request::Metadata(all),
        Reply::new(mailbox.clone(), Ticket(0)),
    );
    let mut answers = Vec::new();
    mailbox.take(&mut answers);
    match answers.pop() {
        Some((_, Outcome::Metadata(found))) => found.topics.into_iter().map(|t| t.topic).collect(),
        other => panic!("{other:?}"),
    }
}

fn topic() -> TopicRef {
    TopicRef::Name(TopicName::new("t").unwrap())
}

fn rack(node: u64) -> ReadFrom {
    ReadFrom::Any {
        rack: format!("rack-{node}"),
    }
}

fn batch() -> Bytes {
    let mut bytes = vec![0; HEADER_BYTES];
    write_record(0, 0, Some(b"key"), Some(b"value"), &mut bytes);
    let head = patched_head(Offset(0), bytes.len(), -1);
    bytes[..PATCHED_BYTES].copy_from_slice(&head);
    bytes[16] = MAGIC.to_be_bytes()[0];
    bytes[43..57].fill(0xff);
    bytes[57..61].copy_from_slice(&1_i32.to_be_bytes());
    mend_crc(&mut bytes);
    bytes.into()
}

#[test]
fn a_client_in_a_followers_rack_is_sent_there_and_served_there() {
    let mut world = World::new(&[]);
    let (leader, _) = world.leader(1);
    let follower = leader % 3 + 1;
    for at in 0..3 {
        let produced = world.produce(leader, AckLevel::Majority);
        assert_eq!(produced.base_offset, Ok(Offset(at)));
    }
    for _ in 0..SETTLE_ROUNDS {
        world.cluster.round();
    }
    let sent = world.fetch(leader, 0, -1, rack(follower));
    assert_eq!(sent.preferred, Some(i32::try_from(follower).unwrap()));
    assert_eq!(sent.batches.unwrap().size_bytes, 0);
    for from in [rack(leader), rack(9), ReadFrom::Leader] {
        let own = world.fetch(leader, 0, -1, from);
        assert_eq!(own.preferred, None);
        assert!(own.batches.unwrap().size_bytes > 0);
    }
    let near = world.fetch(follower, 0, -1, rack(follower));
    assert_eq!((near.preferred, near.high_watermark), (None, Offset(3)));
    assert!(near.batches.unwrap().size_bytes > 0);
    let early = world.fetch(follower, 4, -1, rack(follower));
    assert_eq!(early.batches.unwrap_err(), ErrorKind::OffsetNotAvailable);
    let elsewhere = world.fetch(follower, 0, -1, ReadFrom::Leader);
    assert_eq!(elsewhere.batches.unwrap_err(), ErrorKind::NotLeader);
    let hint = elsewhere.leader.unwrap();
    assert_eq!(hint.broker.node, i32::try_from(leader).unwrap());
    let rack = hint.broker.rack;
    assert_eq!(rack, Some(format!("rack-{leader}")));
}

/// Leadership moves to a node and back while librdkafka moves a consumer's partition there: it stays
/// with that node, under the epoch of the one that leads.
#[test]
fn a_client_that_knows_who_leads_is_served_where_it_asks_and_another_is_told_who_leads() {
    let mut world = World::new(&[]);
    let (leader, epoch) = world.leader(1);
    let follower = leader % 3 + 1;
    assert!(
        world
            .produce(leader, AckLevel::Majority)
            .base_offset
            .is_ok()
    );
    for _ in 0..SETTLE_ROUNDS {
        world.cluster.round();
    }
    let nowhere = || ReadFrom::Any {
        rack: String::new(),
    };
    let served = world.fetch_knowing(epoch, follower, 0, -1, nowhere());
    assert!(served.batches.unwrap().size_bytes > 0);
    for (known, error) in [
        (-1, ErrorKind::NotLeader),
        (epoch - 1, ErrorKind::FencedLeaderEpoch),
    ] {
        let told = world.fetch_knowing(known, follower, 0, -1, nowhere());
        assert_eq!(told.batches.unwrap_err(), error);
        let instead = told.leader.unwrap().broker.node;
        assert_eq!(instead, i32::try_from(leader).unwrap());
    }
}

#[test]
fn a_leader_epoch_ends_where_the_next_leader_began() {
    let mut world = World::new(&[]);
    let (old, old_epoch) = world.leader(1);
    for _ in 0..3 {
        assert!(world.produce(old, AckLevel::Majority).base_offset.is_ok());
    }
    assert_eq!(
        world.end_of_epoch(old, old_epoch),
        Ok(Some(EpochEnd {
            epoch: old_epoch,
            end: Offset(3)
        }))
    );
    world.cluster.set_up(NodeId(old), false);
    let witness = old % 3 + 1;
    world.cluster.until("another leads", |cluster| {
        let leader = cluster.nodes[&NodeId(witness)].leader_of(GROUP);
        leader.is_some_and(|(leader, _)| leader.0 != old)
    });
    let (new, new_epoch) = world.leader(witness);
    assert!(new_epoch > old_epoch);
    let before = world.end_of_epoch(new, old_epoch).unwrap().unwrap();
    assert_eq!((before.epoch, before.end), (old_epoch, Offset(3)));
    assert!(world.produce(new, AckLevel::Majority).base_offset.is_ok());
    let after = world.end_of_epoch(new, old_epoch).unwrap().unwrap();
    assert_eq!((after.epoch, after.end), (old_epoch, Offset(3)));
    let own = world.end_of_epoch(new, new_epoch).unwrap().unwrap();
    assert_eq!((own.epoch, own.end), (new_epoch, Offset(4)));
    assert_eq!(world.end_of_epoch(new, new_epoch + 1), Ok(None));
    // One that read offset 3 from the old leader, which nobody else has.
    let parted = world.fetch(new, 4, old_epoch, ReadFrom::Leader);
    assert_eq!(parted.diverging, Some(before));
    assert_eq!(parted.batches.unwrap().size_bytes, 0);
    let sound = world.fetch(new, 3, old_epoch, ReadFrom::Leader);
    assert_eq!(sound.diverging, None);
    assert!(sound.batches.unwrap().size_bytes > 0);
    let never = world.fetch(new, 3, new_epoch + 1, ReadFrom::Leader);
    assert_eq!(never.batches.unwrap_err(), ErrorKind::OffsetOutOfRange);
}

#[test]
fn a_topic_that_wants_more_copies_than_keep_up_refuses_who_waits_for_them() {
    let mut world = World::new(&[("min.insync.replicas", "3")]);
    let (leader, _) = world.leader(1);
    assert!(world.produce(leader, AckLevel::InSync).base_offset.is_ok());
    let lost = leader % 3 + 1;
    world.cluster.set_up(NodeId(lost), false);
    world.wait_in_sync(2);
    let still = world.leader(leader).0;
    assert_eq!(still, leader);
    let refused = world.produce(leader, AckLevel::InSync);
    assert_eq!(refused.base_offset, Err(ErrorKind::NotEnoughReplicas));
    assert!(
        world
            .produce(leader, AckLevel::Majority)
            .base_offset
            .is_ok()
    );
    let follower = 6 - leader - lost;
    let elsewhere = world.produce(follower, AckLevel::InSync);
    assert_eq!(elsewhere.base_offset, Err(ErrorKind::NotLeader));
    let hint = elsewhere.leader.unwrap();
    assert_eq!(hint.broker.node, i32::try_from(leader).unwrap());
}
