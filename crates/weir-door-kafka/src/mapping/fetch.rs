//! Fetch 4 to 18, with fetch sessions (KIP-227): see [`crate::session::fetch_cache`].

use kafka_protocol::{
    messages::{
        FetchRequest,
        fetch_request::{FetchPartition as WirePartition, ForgottenTopic},
    },
    protocol::StrBytes,
};
use uuid::Uuid;
use weir_broker::api::{Broker, Fetch, FetchPartition, Fetched, ReadFrom, Request, TopicRef};

use super::{
    grouped::{Grouped, by_id, by_name},
    plan::{Answer, Client, MapError, Mapped, Plan},
};
use crate::{
    codec::{
        fetch_response::{self, FetchAnswer, ID_FROM, PartitionAnswer, TopicAnswer},
        header::Head,
    },
    session::{
        fetch_cache::Refused,
        fetch_session::{Key, Misfit},
    },
    wire_code::{self, Surface},
};

/// Isolation level `read_committed`.
const READ_COMMITTED: i8 = 1;
/// The epoch of a request that opens a session.
const INITIAL_EPOCH: i32 = 0;
/// The epoch of a request without one, or that ends one.
const FINAL_EPOCH: i32 = -1;
/// First version of clients that may be sent to another replica.
const RACK_FROM: i16 = 11;
/// First version whose answers tell who leads instead (KIP-951).
const LEADER_FROM: i16 = 16;

/// What is kept of a Fetch until its outcome is there.
#[derive(Debug)]
pub struct Fetching {
    /// Isolation level read_committed.
    lists_aborted: bool,
    shape: Shape,
}

/// How the answer is put together.
#[derive(Debug)]
enum Shape {
    /// All partitions in the request's order, under its own words for them.
    Whole {
        grouped: Grouped,
        /// The session that was opened; 0: none.
        session_id: i32,
        /// The session's words for the partitions; empty where there is none.
        keys: Vec<Key>,
    },
    /// What the session's client has not heard yet.
    News { session_id: i32, keys: Vec<Key> },
}

/// Maps a request.
pub fn map(head: &Head, request: FetchRequest, client: &Client) -> Result<Mapped, MapError> {
    if matches!(request.session_epoch, INITIAL_EPOCH | FINAL_EPOCH) {
        return map_whole(head, request, client);
    }
    map_news(head, request, client)
}

fn map_whole(head: &Head, request: FetchRequest, client: &Client) -> Result<Mapped, MapError> {
    if request.session_id != 0 {
        client.fetches.close();
    }
    let limits = Limits::of(head, &request, client);
    let mut grouped = Grouped::default();
    let mut partitions = Vec::new();
    let mut all_named = true;
    for topic in request.topics {
        let asked = named(head, &topic.topic, topic.topic_id);
        all_named &= asked.is_ok();
        grouped.topic(topic.topic.0, topic.topic_id);
        for partition in topic.partitions {
            grouped.partition(partition.partition, asked.as_ref().err().copied());
            if let Ok(topic) = &asked {
                partitions.push(wanted(topic.clone(), &partition, client));
            }
        }
    }
    let opens = request.session_epoch == INITIAL_EPOCH && all_named && !partitions.is_empty();
    let by_id = head.version >= ID_FROM;
    let session_id = opens
        .then(|| client.fetches.open(by_id, &partitions, client.now))
        .flatten();
    let keys = match session_id {
        Some(_) => partitions.iter().map(key).collect(),
        None => Vec::new(),
    };
    let shape = Shape::Whole {
        grouped,
        session_id: session_id.unwrap_or(0),
        keys,
    };
    limits.ask(head, client, partitions, shape)
}

fn map_news(head: &Head, request: FetchRequest, client: &Client) -> Result<Mapped, MapError> {
    let limits = Limits::of(head, &request, client);
    let (id, epoch) = (request.session_id, request.session_epoch);
    let mut changed = Vec::new();
    for topic in request.topics {
        let Ok(asked) = named(head, &topic.topic, topic.topic_id) else {
            // No session has such a topic: the client begins anew, and is served without one.
            client.fetches.close();
            return refuse(head, wire_code::FETCH_SESSION_ID_NOT_FOUND);
        };
        let partitions = topic.partitions.iter();
        changed.extend(partitions.map(|each| wanted(asked.clone(), each, client)));
    }
    let forgotten = forgotten(head, request.forgotten_topics_data);
    let by_id = head.version >= ID_FROM;
    let fetches = &client.fetches;
    match fetches.update(id, epoch, by_id, &forgotten, &changed, client.now) {
        Ok(partitions) => {
            let shape = Shape::News {
                session_id: if partitions.is_empty() { 0 } else { id },
                keys: partitions.iter().map(key).collect(),
            };
            limits.ask(head, client, partitions, shape)
        }
        Err(Refused::NotFound | Refused::Misfit(Misfit::TooMany)) => {
            refuse(head, wire_code::FETCH_SESSION_ID_NOT_FOUND)
        }
        Err(Refused::Misfit(Misfit::Epoch)) => refuse(head, wire_code::INVALID_FETCH_SESSION_EPOCH),
        Err(Refused::Misfit(Misfit::TopicIds)) => {
            refuse(head, wire_code::FETCH_SESSION_TOPIC_ID_ERROR)
        }
    }
}

fn named(head: &Head, name: &str, id: Uuid) -> Result<TopicRef, i16> {
    if head.version >= ID_FROM {
        by_id(id)
    } else {
        by_name(name)
    }
}

fn key(partition: &FetchPartition) -> Key {
    (partition.topic.clone(), partition.index)
}

fn wanted(topic: TopicRef, partition: &WirePartition, client: &Client) -> FetchPartition {
    FetchPartition {
        topic,
        index: partition.partition,
        offset: partition.fetch_offset,
        max_bytes: limited(partition.partition_max_bytes, client),
        leader_epoch: partition.current_leader_epoch,
        last_epoch: partition.last_fetched_epoch,
    }
}

/// What no topic can be called is in no session either.
fn forgotten(head: &Head, topics: Vec<ForgottenTopic>) -> Vec<Key> {
    let mut keys = Vec::new();
    for topic in topics {
        if let Ok(asked) = named(head, &topic.topic, topic.topic_id) {
            let indexes = topic.partitions.into_iter();
            keys.extend(indexes.map(|index| (asked.clone(), index)));
        }
    }
    keys
}

fn limited(bytes: i32, client: &Client) -> usize {
    usize::try_from(bytes)
        .unwrap_or(0)
        .min(client.max_fetch_bytes)
}

/// What a request says besides its partitions.
struct Limits {
    min_bytes: usize,
    max_bytes: usize,
    max_wait_ms: u64,
    from: ReadFrom,
    lists_aborted: bool,
}

impl Limits {
    fn of(head: &Head, request: &FetchRequest, client: &Client) -> Self {
        let from = if head.version >= RACK_FROM {
            ReadFrom::Any {
                rack: request.rack_id.to_string(),
            }
        } else {
            ReadFrom::Leader
        };
        Self {
            min_bytes: limited(request.min_bytes, client),
            max_bytes: limited(request.max_bytes, client),
            max_wait_ms: u64::try_from(request.max_wait_ms).unwrap_or(0),
            from,
            lists_aborted: request.isolation_level == READ_COMMITTED,
        }
    }

    fn ask(
        self,
        head: &Head,
        client: &Client,
        partitions: Vec<FetchPartition>,
        shape: Shape,
    ) -> Result<Mapped, MapError> {
        let fetching = Fetching {
            lists_aborted: self.lists_aborted,
            shape,
        };
        if partitions.is_empty() {
            let answer = answer(head, fetching, Vec::new(), client)?;
            return Ok(Mapped::Answered(answer));
        }
        let asked = Fetch {
            min_bytes: self.min_bytes,
            max_bytes: self.max_bytes,
            max_wait_ms: self.max_wait_ms,
            room: None,
            from: self.from,
            committed_only: self.lists_aborted,
            partitions,
        };
        Ok(Mapped::Ask(Request::Fetch(asked), Plan::Fetch(fetching)))
    }
}

fn refuse(head: &Head, error_code: i16) -> Result<Mapped, MapError> {
    let answer = FetchAnswer {
        error_code,
        session_id: 0,
        topics: Vec::new(),
        nodes: Vec::new(),
    };
    let chunks = fetch_response::encode(head, answer)?;
    Ok(Mapped::Answered(Answer::Frame(chunks)))
}

/// The answer to a client that is held: nothing, and a session that it opens is none (KIP-219).
pub fn throttled(head: &Head, fetching: &Fetching, client: &Client) -> Result<Answer, MapError> {
    let session_id = match &fetching.shape {
        Shape::Whole { session_id, .. } => {
            if *session_id != 0 {
                client.fetches.close();
            }
            0
        }
        Shape::News { session_id, .. } => *session_id,
    };
    let answer = FetchAnswer {
        error_code: wire_code::NONE,
        session_id,
        topics: Vec::new(),
        nodes: Vec::new(),
    };
    Ok(Answer::Frame(fetch_response::encode(head, answer)?))
}

/// Maps the outcome.
pub fn answer(
    head: &Head,
    fetching: Fetching,
    mut outcome: Vec<Fetched>,
    client: &Client,
) -> Result<Answer, MapError> {
    let mut nodes = Vec::new();
    for fetched in &mut outcome {
        point_elsewhere(head, fetched, &mut nodes);
    }
    let lists_aborted = fetching.lists_aborted;
    let (session_id, topics) = match fetching.shape {
        Shape::Whole {
            grouped,
            session_id,
            keys,
        } => {
            if session_id != 0 {
                client.fetches.tell(session_id, &keys, &outcome);
            }
            let topics = grouped.regroup(
                outcome,
                |index, outcome| partition(index, lists_aborted, outcome),
                |name, id, partitions| TopicAnswer {
                    name,
                    id,
                    partitions,
                },
            );
            (session_id, topics)
        }
        Shape::News { session_id, keys } => {
            let told = client.fetches.tell(session_id, &keys, &outcome);
            let news = keys.into_iter().zip(outcome).zip(told);
            let news = news.filter_map(|(answer, is_told)| is_told.then_some(answer));
            (session_id, regroup(news, lists_aborted))
        }
    };
    let answer = FetchAnswer {
        error_code: wire_code::NONE,
        session_id,
        topics,
        nodes,
    };
    Ok(Answer::Frame(fetch_response::encode(head, answer)?))
}

/// Notes the address of the node that leads instead, and says nothing of it to clients that would
/// not look there.
fn point_elsewhere(head: &Head, fetched: &mut Fetched, nodes: &mut Vec<Broker>) {
    if head.version < LEADER_FROM {
        fetched.leader = None;
    }
    if let Some(leader) = &fetched.leader
        && nodes.iter().all(|node| node.node != leader.broker.node)
    {
        nodes.push(leader.broker.clone());
    }
}

/// Puts partitions of one topic that stand side by side together.
fn regroup(news: impl Iterator<Item = (Key, Fetched)>, lists_aborted: bool) -> Vec<TopicAnswer> {
    let mut topics: Vec<(TopicRef, TopicAnswer)> = Vec::new();
    for ((topic, index), fetched) in news {
        let answer = partition(index, lists_aborted, Ok(fetched));
        match topics.last_mut() {
            Some((last, answers)) if *last == topic => answers.partitions.push(answer),
            Some(_) | None => {
                let (name, id) = match &topic {
                    TopicRef::Name(name) => (name.as_str().to_owned(), Uuid::nil()),
                    TopicRef::Id(id) => (String::new(), id.0),
                };
                let answers = TopicAnswer {
                    name: StrBytes::from_string(name),
                    id,
                    partitions: vec![answer],
                };
                topics.push((topic, answers));
            }
        }
    }
    topics.into_iter().map(|(_, answers)| answers).collect()
}

fn partition(index: i32, lists_aborted: bool, outcome: Result<Fetched, i16>) -> PartitionAnswer {
    let mut answer = PartitionAnswer {
        index,
        error_code: wire_code::NONE,
        high_watermark: -1,
        log_start: -1,
        last_stable: -1,
        aborted: lists_aborted.then(Vec::new),
        preferred: -1,
        diverging: None,
        leader: None,
        chunks: Vec::new(),
    };
    match outcome {
        Ok(fetched) => {
            let leader = fetched.leader.as_deref();
            answer.leader = leader.map(|leader| (leader.broker.node, leader.epoch));
            let diverging = fetched.diverging;
            answer.diverging = diverging.map(|end| (end.epoch, end.end.wire()));
            answer.preferred = fetched.preferred.unwrap_or(-1);
            match fetched.batches {
                Ok(batches) => {
                    answer.high_watermark = fetched.high_watermark.wire();
                    answer.log_start = fetched.log_start.wire();
                    answer.last_stable = fetched.last_stable.wire();
                    answer.aborted = lists_aborted.then_some(fetched.aborted);
                    answer.chunks = batches.chunks;
                }
                Err(kind) => answer.error_code = wire_code::of(kind, Surface::Read),
            }
        }
        Err(code) => answer.error_code = code,
    }
    answer
}
