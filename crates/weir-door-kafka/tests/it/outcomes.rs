//! Made-up outcomes: one that says yes and one that says no for every request.

use bytes::Bytes;
use weir_broker::api::{
    Broker, ClusterMetadata, CreatedTopic, EpochEnd, Fetched, FetchedBatches, FetchedOffset,
    JoinRefused, Joined, JoinedMember, ListedOffset, Outcome, PartitionMetadata, Produced, Request,
    Synced, TopicDescription, TopicMetadata, TopicRef,
};
use weir_model::{ErrorKind, Offset, ProducerId, TopicId, TopicName};

use crate::{
    access_samples, admin_samples, group_samples, samples::TOPIC_ID, share_samples, transactions,
};

/// `kind` says no.
// Table: one arm per request.
pub(crate) fn outcome(request: &Request, kind: Option<ErrorKind>) -> Outcome {
    fn or<T>(kind: Option<ErrorKind>, value: T) -> Result<T, ErrorKind> {
        kind.map_or(Ok(value), Err)
    }
    match request {
        Request::Produce(produce) => {
            let produced = (0..).zip(&produce.partitions).map(|(at, _)| Produced {
                base_offset: or(kind, Offset(10 + at)),
                log_start: Offset(3),
                ..Produced::default()
            });
            Outcome::Produce(produced.collect())
        }
        Request::Fetch(fetch) => {
            let fetched = fetch.partitions.iter().map(|_| Fetched {
                aborted: Vec::new(),
                last_stable: Offset(20),
                batches: or(
                    kind,
                    FetchedBatches {
                        chunks: vec![Bytes::from_static(b"first"), Bytes::from_static(b"second")],
                        size_bytes: 11,
                    },
                ),
                high_watermark: Offset(20),
                log_start: Offset(3),
                ..Fetched::default()
            });
            Outcome::Fetch(fetched.collect())
        }
        Request::ListOffsets(list) => {
            let listed = ListedOffset {
                offset: Some(Offset(9)),
                timestamp_ms: 5,
                leader_epoch: 2,
            };
            Outcome::ListOffsets(list.wanted.iter().map(|_| or(kind, listed)).collect())
        }
        Request::EndOfEpoch(asked) => {
            let found = Some(EpochEnd {
                epoch: 2,
                end: Offset(9),
            });
            Outcome::EndOfEpoch(asked.iter().map(|_| or(kind, found)).collect())
        }
        Request::Metadata(asked) => {
            let topics = asked.topics.clone().unwrap_or_default();
            Outcome::Metadata(metadata(topics, kind))
        }
        Request::CreateTopics(create) => {
            let created = CreatedTopic {
                id: Some(TopicId(TOPIC_ID)),
                partition_count: 3,
                replication_factor: 1,
                configs: admin_samples::entries(),
            };
            let topics = create.topics.iter();
            let created = topics.map(|_| or(kind, created.clone()).map_err(Into::into));
            Outcome::CreateTopics(created.collect())
        }
        Request::Manage(manage) => Outcome::Managed(admin_samples::managed(manage, kind)),
        Request::InitProducerId(_) => Outcome::ProducerId(or(kind, (ProducerId(4), 0))),
        Request::FindCoordinator(groups) => {
            Outcome::Coordinators(groups.iter().map(|_| or(kind, broker())).collect())
        }
        Request::JoinGroup(_) => Outcome::Join(or(kind, joined()).map_err(|error| JoinRefused {
            error,
            member: "member".into(),
        })),
        Request::SyncGroup(_) => Outcome::Sync(or(
            kind,
            Synced {
                protocol_type: "consumer".into(),
                protocol: "range".into(),
                assignment: Bytes::from_static(b"mine"),
            },
        )),
        Request::Heartbeat(_) => Outcome::Heartbeat(or(kind, ())),
        Request::LeaveGroup(leave) => {
            Outcome::Leave(or(kind, leave.members.iter().map(|_| Ok(())).collect()))
        }
        Request::OffsetCommit(commit) => {
            Outcome::OffsetCommit(commit.offsets.iter().map(|_| or(kind, ())).collect())
        }
        Request::OffsetFetch(groups) => {
            let groups = groups.iter().map(|group| {
                let topic = if group.tells_ids {
                    TopicRef::Id(TopicId(TOPIC_ID))
                } else {
                    TopicRef::Name(TopicName::new("topic").unwrap())
                };
                let all = vec![(topic.clone(), 0), (topic, 1)];
                let asked = group.partitions.clone().unwrap_or(all).into_iter();
                let offsets = asked.map(|(topic, index)| FetchedOffset {
                    error: None,
                    topic,
                    index,
                    offset: Some(8),
                    leader_epoch: 2,
                    metadata: "note".into(),
                });
                or(kind, offsets.collect())
            });
            Outcome::OffsetFetch(groups.collect())
        }
        Request::ListGroups(_)
        | Request::DescribeGroups(_)
        | Request::ConsumerHeartbeat(_)
        | Request::DescribeConsumerGroups(_)
        | Request::ShareHeartbeat(_)
        | Request::DescribeShareGroups(_)
        | Request::DeleteGroups(_)
        | Request::DeleteOffsets(_) => group_samples::outcome(request, kind),
        Request::AddPartitions(_)
        | Request::AddOffsets(_)
        | Request::EndTransaction(_)
        | Request::TransactionOffsetCommit(_)
        | Request::WriteMarkers(_)
        | Request::DescribeProducers(_)
        | Request::DescribeTransactions(_)
        | Request::ListTransactions(_) => transactions::outcome(request, kind),
        Request::Share(_) | Request::ShareAdmin(_) => share_samples::outcome(request, kind),
        Request::ChangeAccess(changes) => access_samples::outcome(changes, kind),
        Request::Queue(_) => unreachable!("Kafka has no queues"),
    }
}

fn broker() -> Broker {
    Broker {
        node: 1,
        host: "localhost".into(),
        port: 9092,
        tls: None,
        rack: None,
        is_fenced: false,
    }
}

fn metadata(topics: Vec<TopicRef>, kind: Option<ErrorKind>) -> ClusterMetadata {
    let description = TopicDescription {
        name: TopicName::new("topic").unwrap(),
        id: TopicId(TOPIC_ID),
        partitions: vec![PartitionMetadata {
            leader: Some(1),
            leader_epoch: 2,
            replicas: vec![1, 2],
            in_sync: vec![1],
            offline: vec![2],
        }],
    };
    let topics = topics.into_iter().map(|topic| TopicMetadata {
        topic,
        result: kind.map_or_else(|| Ok(description.clone()), Err),
    });
    ClusterMetadata {
        is_cut_off: false,
        cluster_id: "AAAAAAAAAAAAAAAAAAAAAA".into(),
        controller: Some(1),
        brokers: vec![broker()],
        topics: topics.collect(),
    }
}

fn joined() -> Joined {
    Joined {
        skip_assignment: false,
        generation: 4,
        protocol_type: "consumer".into(),
        protocol: "range".into(),
        leader: "member".into(),
        member: "member".into(),
        members: vec![JoinedMember {
            member: "member".into(),
            instance: None,
            metadata: Bytes::from_static(b"topics"),
        }],
    }
}
