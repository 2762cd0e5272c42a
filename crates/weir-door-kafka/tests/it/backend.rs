//! A node in memory: enough of one for real clients to produce, fetch and form a group of one.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use uuid::Uuid;
use weir_broker::{
    Reply,
    api::{
        Backend, Broker, ClusterMetadata, CreatedTopic, Fetch, FetchPartition, Fetched,
        FetchedBatches, FetchedOffset, Join, JoinRefused, Joined, JoinedMember, ListOffset,
        ListedOffset, Metadata, OffsetFetch, OffsetSpec, Outcome, PartitionMetadata, Produce,
        Produced, Request, Sync, Synced, TopicDescription, TopicMetadata, TopicRef,
    },
};
use weir_model::{
    ErrorKind, Offset, ProducerId, TopicId, TopicName,
    batch::{BatchHeader, Codec, HEADER_BYTES},
    record::check_dense,
};

#[derive(Default)]
struct State {
    /// Batches with the offset after them.
    topics: BTreeMap<String, (Uuid, Vec<(u64, Bytes)>)>,
    offsets: BTreeMap<(String, String), i64>,
}

/// The node.
#[derive(Clone, Default)]
pub(crate) struct Scripted {
    state: Arc<Mutex<State>>,
    /// The port that its door listens on.
    pub(crate) port: Arc<AtomicU16>,
}

impl Backend for Scripted {
    fn submit(&self, request: Request, reply: Reply) {
        if let Request::Fetch(fetch) = &request
            && self.is_at_end(fetch)
        {
            let (node, wait) = (
                self.clone(),
                Duration::from_millis(fetch.max_wait_ms.min(500)),
            );
            let fetch = fetch.clone();
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                reply.send(node.answer(Request::Fetch(fetch)));
            });
            return;
        }
        reply.send(self.answer(request));
    }
}

impl Scripted {
    // Table: one arm per request.
    fn answer(&self, request: Request) -> Outcome {
        match request {
            Request::Produce(produce) => self.produce(&produce),
            Request::Fetch(fetch) => Outcome::Fetch(
                fetch
                    .partitions
                    .iter()
                    .map(|each| self.read(each))
                    .collect(),
            ),
            Request::EndOfEpoch(asked) => {
                let known = asked.iter().map(|_| Ok(None));
                Outcome::EndOfEpoch(known.collect())
            }
            Request::ListOffsets(asked) => {
                Outcome::ListOffsets(asked.wanted.iter().map(|each| self.list(each)).collect())
            }
            Request::Metadata(asked) => self.describe(asked),
            Request::CreateTopics(create) => {
                let created = create.topics.iter().map(|topic| {
                    let name = TopicRef::Name(TopicName::new(&topic.name).unwrap());
                    let (_, id) = self.topic(&name, true).unwrap();
                    Ok(CreatedTopic {
                        id: Some(TopicId(id)),
                        partition_count: 1,
                        replication_factor: 1,
                        configs: Vec::new(),
                    })
                });
                Outcome::CreateTopics(created.collect())
            }
            // No client under test looks after a cluster.
            Request::Manage(_) => Outcome::Heartbeat(Err(ErrorKind::InvalidRequest)),
            Request::InitProducerId(_) => Outcome::ProducerId(Ok((ProducerId(7), 0))),
            Request::FindCoordinator(groups) => {
                Outcome::Coordinators(groups.iter().map(|_| Ok(self.broker())).collect())
            }
            Request::JoinGroup(join) => Outcome::Join(join_alone(join)),
            Request::SyncGroup(sync) => Outcome::Sync(Ok(sync_alone(sync))),
            Request::Heartbeat(_) => Outcome::Heartbeat(Ok(())),
            Request::LeaveGroup(leave) => {
                Outcome::Leave(Ok(leave.members.iter().map(|_| Ok(())).collect()))
            }
            Request::OffsetCommit(commit) => {
                let mut state = self.state.lock().unwrap();
                let kept = commit.offsets.iter().map(|offset| {
                    let key = (commit.group.clone(), named(&offset.topic));
                    state.offsets.insert(key, offset.offset);
                    Ok(())
                });
                Outcome::OffsetCommit(kept.collect())
            }
            Request::OffsetFetch(asked) => self.kept(asked),
            request @ (Request::ListGroups(_)
            | Request::DescribeGroups(_)
            | Request::ConsumerHeartbeat(_)
            | Request::DescribeConsumerGroups(_)
            | Request::ShareHeartbeat(_)
            | Request::DescribeShareGroups(_)
            | Request::DeleteGroups(_)
            | Request::DeleteOffsets(_)) => crate::group_samples::outcome(&request, None),
            request @ (Request::AddPartitions(_)
            | Request::AddOffsets(_)
            | Request::EndTransaction(_)
            | Request::TransactionOffsetCommit(_)
            | Request::WriteMarkers(_)
            | Request::DescribeProducers(_)
            | Request::DescribeTransactions(_)
            | Request::ListTransactions(_)) => crate::transactions::outcome(&request, None),
            request @ (Request::Share(_) | Request::ShareAdmin(_)) => {
                crate::share_samples::outcome(&request, None)
            }
            Request::ChangeAccess(changes) => crate::access_samples::outcome(&changes, None),
            Request::Queue(_) => unreachable!("Kafka has no queues"),
        }
    }

    fn kept(&self, asked: Vec<OffsetFetch>) -> Outcome {
        let state = self.state.lock().unwrap();
        let groups = asked.into_iter().map(|group| {
            let partitions = group.partitions.unwrap_or_default().into_iter();
            let offsets = partitions.map(|(topic, index)| FetchedOffset {
                error: None,
                index,
                offset: state
                    .offsets
                    .get(&(group.group.clone(), named(&topic)))
                    .copied(),
                topic,
                leader_epoch: -1,
                metadata: String::new(),
            });
            Ok(offsets.collect())
        });
        Outcome::OffsetFetch(groups.collect())
    }

    fn broker(&self) -> Broker {
        Broker {
            node: 1,
            host: "127.0.0.1".into(),
            port: self.port.load(Ordering::Relaxed),
            tls: None,
            rack: None,
            is_fenced: false,
        }
    }

    fn topic(&self, topic: &TopicRef, create: bool) -> Option<(String, Uuid)> {
        let mut state = self.state.lock().unwrap();
        match topic {
            TopicRef::Name(name) => {
                let name = name.as_str().to_owned();
                let next = Uuid::from_u128(state.topics.len() as u128 + 1);
                if create {
                    state
                        .topics
                        .entry(name.clone())
                        .or_insert((next, Vec::new()));
                }
                state.topics.get(&name).map(|(id, _)| (name.clone(), *id))
            }
            TopicRef::Id(id) => {
                let mut all = state.topics.iter();
                let found = all.find(|(_, (each, _))| *each == id.0);
                found.map(|(name, (id, _))| (name.clone(), *id))
            }
        }
    }

    fn produce(&self, produce: &Produce) -> Outcome {
        let produced = produce.partitions.iter().map(|partition| {
            let Some((name, _)) = self.topic(&partition.topic, false) else {
                return Produced {
                    base_offset: Err(ErrorKind::UnknownTopicOrPartition),
                    ..Produced::default()
                };
            };
            let mut state = self.state.lock().unwrap();
            let (_, batches) = state.topics.get_mut(&name).unwrap();
            let base = batches.last().map_or(0, |(next, _)| *next);
            let header = BatchHeader::parse(&partition.batch).unwrap();
            if header.codec == Codec::None {
                let body = &partition.batch[HEADER_BYTES..];
                check_dense(body, header.record_count).expect("what a client sends is sound");
            }
            let mut bytes = BytesMut::from(&partition.batch[..]);
            bytes[..8].copy_from_slice(&base.to_be_bytes());
            let delta = i32::from_be_bytes(bytes[23..27].try_into().unwrap());
            batches.push((base + u64::try_from(delta).unwrap() + 1, bytes.freeze()));
            Produced {
                base_offset: Ok(Offset(base)),
                ..Produced::default()
            }
        });
        Outcome::Produce(produced.collect())
    }

    fn is_at_end(&self, fetch: &Fetch) -> bool {
        fetch.partitions.iter().all(|partition| {
            let fetched = self.read(partition);
            fetched
                .batches
                .is_ok_and(|batches| batches.chunks.is_empty())
        })
    }

    fn read(&self, partition: &FetchPartition) -> Fetched {
        let Some((name, _)) = self.topic(&partition.topic, false) else {
            return Fetched {
                aborted: Vec::new(),
                last_stable: Offset(0),
                batches: Err(ErrorKind::UnknownTopicId),
                ..Fetched::default()
            };
        };
        let state = self.state.lock().unwrap();
        let (_, batches) = &state.topics[&name];
        let from = u64::try_from(partition.offset).unwrap();
        let mut chunks: Vec<Bytes> = Vec::new();
        let mut size_bytes = 0;
        for (_, bytes) in batches.iter().filter(|(next, _)| *next > from) {
            if !chunks.is_empty() && size_bytes + bytes.len() > partition.max_bytes {
                break;
            }
            size_bytes += bytes.len();
            chunks.push(bytes.clone());
        }
        Fetched {
            aborted: Vec::new(),
            batches: Ok(FetchedBatches { chunks, size_bytes }),
            high_watermark: Offset(batches.last().map_or(0, |(next, _)| *next)),
            last_stable: Offset(batches.last().map_or(0, |(next, _)| *next)),
            ..Fetched::default()
        }
    }

    fn list(&self, asked: &ListOffset) -> Result<ListedOffset, ErrorKind> {
        let unknown = ErrorKind::UnknownTopicOrPartition;
        let (name, _) = self.topic(&asked.topic, false).ok_or(unknown)?;
        let state = self.state.lock().unwrap();
        let (_, batches) = &state.topics[&name];
        let offset = match asked.at {
            OffsetSpec::Earliest | OffsetSpec::EarliestLocal | OffsetSpec::Timestamp(_) => 0,
            OffsetSpec::LatestTiered | OffsetSpec::EarliestPendingUpload => {
                return Err(ErrorKind::InvalidRequest);
            }
            OffsetSpec::Latest | OffsetSpec::MaxTimestamp => {
                batches.last().map_or(0, |(next, _)| *next)
            }
        };
        Ok(ListedOffset {
            offset: Some(Offset(offset)),
            timestamp_ms: -1,
            leader_epoch: 1,
        })
    }

    fn describe(&self, asked: Metadata) -> Outcome {
        let topics = asked.topics.unwrap_or_else(|| {
            let state = self.state.lock().unwrap();
            let names = state.topics.keys();
            names
                .map(|name| TopicRef::Name(TopicName::new(name).unwrap()))
                .collect()
        });
        let topics = topics.into_iter().map(|topic| {
            let found = self.topic(&topic, asked.auto_create);
            let result = found.map(|(name, id)| TopicDescription {
                name: TopicName::new(&name).unwrap(),
                id: TopicId(id),
                partitions: vec![PartitionMetadata {
                    leader: Some(1),
                    leader_epoch: 1,
                    replicas: vec![1],
                    in_sync: vec![1],
                    offline: Vec::new(),
                }],
            });
            TopicMetadata {
                topic,
                result: result.ok_or(ErrorKind::UnknownTopicOrPartition),
            }
        });
        Outcome::Metadata(ClusterMetadata {
            is_cut_off: false,
            cluster_id: "AAAAAAAAAAAAAAAAAAAAAA".into(),
            controller: Some(1),
            topics: topics.collect(),
            brokers: vec![self.broker()],
        })
    }
}

fn join_alone(join: Join) -> Result<Joined, JoinRefused> {
    if join.member.is_empty() && join.require_known_member {
        return Err(JoinRefused {
            error: ErrorKind::MemberIdRequired,
            member: format!("{}-1", join.client_id),
        });
    }
    let member = if join.member.is_empty() {
        format!("{}-1", join.client_id)
    } else {
        join.member
    };
    let (protocol, metadata) = join.protocols[0].clone();
    Ok(Joined {
        skip_assignment: false,
        generation: 1,
        protocol_type: join.protocol_type,
        protocol,
        leader: member.clone(),
        members: vec![JoinedMember {
            member: member.clone(),
            instance: None,
            metadata,
        }],
        member,
    })
}

fn sync_alone(sync: Sync) -> Synced {
    Synced {
        protocol_type: sync.protocol_type.unwrap_or_default(),
        protocol: sync.protocol.unwrap_or_default(),
        assignment: sync
            .assignments
            .first()
            .map_or_else(Bytes::new, |each| each.1.clone()),
    }
}

fn named(topic: &TopicRef) -> String {
    match topic {
        TopicRef::Name(name) => name.to_string(),
        TopicRef::Id(id) => id.to_string(),
    }
}
