//! No bytes from a Kafka client make a session panic whatever the node answers, in whichever order,
//! and what it is asked for and does not answer.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use weir_broker::{
    Ticket,
    access::{AccessView, TopicNames},
    api::{
        Broker, ClusterMetadata, Fetch, Fetched, FetchedBatches, FetchedOffset, Join, JoinRefused,
        Joined, JoinedMember, ListedOffset, Metadata, OffsetFetch, Outcome, PartitionMetadata,
        Produced, Request, Synced, TopicDescription, TopicMetadata, TopicRef,
    },
};
use weir_door::{Connection, Entropy, Millis, Session};
use weir_door_kafka::{KafkaConfig, KafkaSession, session::connection::Shared};
use weir_model::{ErrorKind, Offset, ProducerId, TopicId, TopicName};

const NOW: Millis = Millis(1_000);
/// Errors that the node answers with.
const ERRORS: [ErrorKind; 6] = [
    ErrorKind::Overloaded,
    ErrorKind::UnknownTopicOrPartition,
    ErrorKind::NotCoordinator,
    ErrorKind::CoordinatorLoading,
    ErrorKind::InvalidRequest,
    ErrorKind::MemberIdRequired,
];

/// Always the same.
struct Fixed;

impl Entropy for Fixed {
    fn next_u64(&self) -> u64 {
        7
    }
}

impl TopicNames for Fixed {
    fn name_of(&self, id: TopicId) -> Option<TopicName> {
        TopicName::new(&format!("t{}", id.0.as_u128() % 4)).ok()
    }

    fn is_known(&self, name: &TopicName) -> bool {
        name.as_str().len() < 4
    }

    fn partition_count(&self, _topic: &TopicRef) -> usize {
        1
    }

    fn default_partition_count(&self) -> usize {
        1
    }
}

/// The node, and what decides how it answers.
struct Node {
    choices: Vec<u8>,
    waiting: Vec<(Ticket, Request)>,
}

impl Node {
    fn choice(&mut self) -> u8 {
        self.choices.pop().unwrap_or(7)
    }

    fn or_error<T>(&mut self, value: T) -> Result<T, ErrorKind> {
        let choice = self.choice();
        match ERRORS.get(usize::from(choice)) {
            Some(error) => Err(*error),
            None => Ok(value),
        }
    }

    fn fetched(&mut self, fetch: &Fetch) -> Vec<Fetched> {
        let fetched = fetch.partitions.iter().map(|_| {
            let chunk = Bytes::from(vec![7; usize::from(self.choice())]);
            let batches = FetchedBatches {
                size_bytes: chunk.len(),
                chunks: vec![chunk],
            };
            Fetched {
                batches: self.or_error(batches),
                high_watermark: Offset(9),
                last_stable: Offset(8),
                ..Fetched::default()
            }
        });
        fetched.collect()
    }

    fn metadata(&mut self, asked: &Metadata) -> ClusterMetadata {
        let described = |topic: &TopicRef| match topic {
            TopicRef::Name(name) => name.clone(),
            TopicRef::Id(_) => TopicName::new("t").expect("a name"),
        };
        let topics = asked.topics.iter().flatten().map(|topic| {
            let description = TopicDescription {
                name: described(topic),
                id: TopicId(Default::default()),
                partitions: vec![PartitionMetadata {
                    leader: (self.choice() % 2 == 0).then_some(1),
                    leader_epoch: 1,
                    replicas: vec![1],
                    in_sync: vec![1],
                    offline: Vec::new(),
                }],
            };
            TopicMetadata {
                topic: topic.clone(),
                result: self.or_error(description),
            }
        });
        let topics = topics.collect();
        ClusterMetadata {
            is_cut_off: self.choice() == 0,
            cluster_id: "AAAAAAAAAAAAAAAAAAAAAA".into(),
            controller: Some(1),
            topics,
            brokers: vec![broker()],
        }
    }

    fn joined(&mut self, join: &Join) -> Result<Joined, JoinRefused> {
        let member = "member".to_owned();
        let (protocol, metadata) = join.protocols.first().cloned().unwrap_or_default();
        let joined = Joined {
            skip_assignment: self.choice() == 0,
            generation: 1,
            protocol_type: join.protocol_type.clone(),
            protocol,
            leader: member.clone(),
            members: vec![JoinedMember {
                member: member.clone(),
                instance: None,
                metadata,
            }],
            member: member.clone(),
        };
        self.or_error(joined)
            .map_err(|error| JoinRefused { error, member })
    }

    fn offsets(&mut self, asked: &[OffsetFetch]) -> Outcome {
        let groups = asked.iter().map(|group| {
            let partitions = group.partitions.iter().flatten();
            let offsets = partitions.map(|(topic, index)| FetchedOffset {
                topic: topic.clone(),
                index: *index,
                offset: None,
                leader_epoch: -1,
                metadata: String::new(),
                error: None,
            });
            let offsets = offsets.collect();
            self.or_error(offsets)
        });
        Outcome::OffsetFetch(groups.collect())
    }

    /// `None`: it never answers.
    fn outcome(&mut self, request: &Request) -> Option<Outcome> {
        Some(match request {
            Request::Produce(produce) => {
                let produced = produce.partitions.iter().map(|_| Produced {
                    base_offset: self.or_error(Offset(5)),
                    ..Produced::default()
                });
                Outcome::Produce(produced.collect())
            }
            Request::Fetch(fetch) => Outcome::Fetch(self.fetched(fetch)),
            Request::ListOffsets(asked) => {
                let listed = asked.wanted.iter().map(|_| {
                    self.or_error(ListedOffset {
                        offset: Some(Offset(3)),
                        timestamp_ms: -1,
                        leader_epoch: 1,
                    })
                });
                Outcome::ListOffsets(listed.collect())
            }
            Request::EndOfEpoch(asked) => {
                let ends = asked.iter().map(|_| self.or_error(None));
                Outcome::EndOfEpoch(ends.collect())
            }
            Request::Metadata(asked) => Outcome::Metadata(self.metadata(asked)),
            Request::InitProducerId(_) => Outcome::ProducerId(self.or_error((ProducerId(7), 0))),
            Request::FindCoordinator(groups) => {
                let found = groups.iter().map(|_| self.or_error(broker()));
                Outcome::Coordinators(found.collect())
            }
            Request::JoinGroup(join) => Outcome::Join(self.joined(join)),
            Request::SyncGroup(sync) => Outcome::Sync(self.or_error(Synced {
                protocol_type: sync.protocol_type.clone().unwrap_or_default(),
                protocol: sync.protocol.clone().unwrap_or_default(),
                assignment: Bytes::from_static(b"assignment"),
            })),
            Request::Heartbeat(_) => Outcome::Heartbeat(self.or_error(())),
            Request::LeaveGroup(leave) => {
                let left = leave.members.iter().map(|_| Ok(())).collect();
                Outcome::Leave(self.or_error(left))
            }
            Request::OffsetCommit(commit) => {
                let kept = commit.offsets.iter().map(|_| self.or_error(()));
                Outcome::OffsetCommit(kept.collect())
            }
            Request::OffsetFetch(asked) => self.offsets(asked),
            Request::AddOffsets(_) => Outcome::AddOffsets(self.or_error(())),
            Request::DeleteGroups(groups) => {
                let deleted = groups.iter().map(|_| self.or_error(()));
                Outcome::DeleteGroups(deleted.collect())
            }
            Request::ListGroups(_) => Outcome::ListGroups(self.or_error(Vec::new())),
            _ => return None,
        })
    }

    /// Answers some of what it was asked, not always in order.
    fn serve(&mut self, session: &mut KafkaSession) {
        loop {
            while let Some(request) = session.poll_request() {
                self.waiting.push(request);
            }
            let Some(last) = self.waiting.len().checked_sub(1) else {
                return;
            };
            let at = usize::from(self.choice()).min(last);
            let (ticket, request) = self.waiting.remove(at);
            if let Some(outcome) = self.outcome(&request) {
                session.complete(NOW, ticket, outcome);
            }
        }
    }
}

fn broker() -> Broker {
    Broker {
        node: 1,
        host: "127.0.0.1".into(),
        port: 9_092,
        tls: None,
        rack: None,
        is_fenced: false,
    }
}

fn play<'a>(frames: impl IntoIterator<Item = &'a [u8]>, choices: &[u8]) {
    let connection = Connection {
        peer: ([127, 0, 0, 1], 5).into(),
        local: ([127, 0, 0, 1], 9092).into(),
        number: 0,
        tls: None,
    };
    let shared = Shared::new(AccessView::open(), Arc::new(Fixed), Arc::new(Fixed));
    let mut session = KafkaSession::sharing(connection, KafkaConfig::default(), &shared);
    let mut node = Node {
        choices: choices.to_vec(),
        waiting: Vec::new(),
    };
    for frame in frames {
        session.receive(NOW, Bytes::copy_from_slice(frame));
        node.serve(&mut session);
        let mut sent = Vec::new();
        loop {
            let moved_bytes = session.poll_transmit(&mut sent, 1 << 20);
            if moved_bytes == 0 {
                break;
            }
            session.note_written(moved_bytes);
        }
    }
    if let Some(due) = session.poll_timeout() {
        session.handle_timeout(due);
    }
    session.held_bytes();
}

fuzz_target!(|bytes: &[u8]| {
    let (choices, bytes) = bytes.split_at(bytes.len().min(8));
    play([bytes], choices);
    // Lengths are hard to guess: here the bytes are bodies of frames, by their first two octets.
    let mut frames = Vec::new();
    let mut rest = bytes;
    while let Some((length, more)) = rest.split_first_chunk::<2>() {
        let (body, more) = more.split_at(more.len().min(usize::from(u16::from_be_bytes(*length) % 512)));
        rest = more;
        let length = u32::try_from(body.len()).expect("below 512").to_be_bytes();
        frames.push([&length[..], body].concat());
    }
    play(frames.iter().map(Vec::as_slice), choices);
});
