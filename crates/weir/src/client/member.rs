//! A member of a classic consumer group, with Kafka's range assignor.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use kafka_protocol::{
    error::ResponseError,
    messages::{
        ConsumerProtocolAssignment, ConsumerProtocolSubscription, GroupId, HeartbeatRequest,
        JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
        consumer_protocol_assignment::TopicPartition, join_group_request::JoinGroupRequestProtocol,
        leave_group_request::MemberIdentity, sync_group_request::SyncGroupRequestAssignment,
    },
    protocol::{Decodable, Encodable, StrBytes},
};

use super::{
    Client, ClientError, To,
    cluster::{text, topic_name},
    error::check,
    groups::assigned,
    offsets::Place,
};

const JOIN_VERSION: i16 = 5;
const SYNC_VERSION: i16 = 3;
const HEARTBEAT_VERSION: i16 = 3;
const LEAVE_VERSION: i16 = 3;
/// The version of the consumer protocol's messages that every client reads.
const PROTOCOL_VERSION: i16 = 0;
/// A member that says nothing for so long is taken for dead, in ms.
const SESSION_MS: i32 = 30_000;
/// How long others may take to join again, in ms.
const REBALANCE_MS: i32 = 60_000;
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);

/// One member.
pub(crate) struct GroupMember {
    group: String,
    topics: Vec<String>,
    id: String,
    generation: i32,
    beaten_at: Instant,
}

/// Members and the topics that they want.
type Wishes = BTreeMap<String, Vec<String>>;

impl GroupMember {
    /// A member that has not joined yet.
    pub(crate) fn new(group: &str, topics: &[String]) -> Self {
        Self {
            group: group.to_owned(),
            topics: topics.to_vec(),
            id: String::new(),
            generation: -1,
            beaten_at: Instant::now(),
        }
    }

    /// What commits are signed with.
    pub(crate) fn signature(&self) -> (&str, i32, &str) {
        (&self.group, self.generation, &self.id)
    }

    /// Whether the group knows it.
    pub(crate) fn has_joined(&self) -> bool {
        self.generation >= 0
    }

    /// Joins, or joins again; gives what this member is to read.
    pub(crate) fn join(&mut self, client: &mut Client) -> Result<Vec<Place>, ClientError> {
        client.retried(|client| {
            loop {
                match self.try_join(client) {
                    Err(error) => match error.refusal() {
                        // The id came with the refusal.
                        Some(ResponseError::MemberIdRequired) if !self.id.is_empty() => {}
                        Some(ResponseError::UnknownMemberId) => self.id.clear(),
                        Some(ResponseError::IllegalGeneration) => {}
                        Some(ResponseError::RebalanceInProgress) => {}
                        Some(_) | None => return Err(error),
                    },
                    joined => return joined,
                }
            }
        })
    }

    fn try_join(&mut self, client: &mut Client) -> Result<Vec<Place>, ClientError> {
        let joined = self.ask_to_join(client)?;
        let assignments = if joined.leader.as_str() == self.id {
            self.assign(client, &joined)?
        } else {
            Vec::new()
        };
        let request = SyncGroupRequest::default()
            .with_group_id(GroupId(text(&self.group)))
            .with_generation_id(joined.generation_id)
            .with_member_id(text(&self.id))
            .with_assignments(assignments);
        let answer = client.ask(To::Coordinator(&self.group), &request, SYNC_VERSION)?;
        check(answer.error_code, &self.what(), None)?;
        self.generation = joined.generation_id;
        self.beaten_at = Instant::now();
        Ok(assigned(answer.assignment))
    }

    fn ask_to_join(&mut self, client: &mut Client) -> Result<JoinGroupResponse, ClientError> {
        let topics = self.topics.iter().map(|topic| text(topic)).collect();
        let subscription = ConsumerProtocolSubscription::default().with_topics(topics);
        let range = JoinGroupRequestProtocol::default()
            .with_name(StrBytes::from_static_str("range"))
            .with_metadata(encoded(&subscription));
        let request = JoinGroupRequest::default()
            .with_group_id(GroupId(text(&self.group)))
            .with_session_timeout_ms(SESSION_MS)
            .with_rebalance_timeout_ms(REBALANCE_MS)
            .with_member_id(text(&self.id))
            .with_protocol_type(StrBytes::from_static_str("consumer"))
            .with_protocols(vec![range]);
        let answer = client.ask(To::Coordinator(&self.group), &request, JOIN_VERSION)?;
        if !answer.member_id.is_empty() {
            self.id = answer.member_id.to_string();
        }
        check(answer.error_code, &self.what(), None)?;
        Ok(answer)
    }

    /// The leader's part: who reads what.
    fn assign(
        &self,
        client: &mut Client,
        joined: &JoinGroupResponse,
    ) -> Result<Vec<SyncGroupRequestAssignment>, ClientError> {
        let members = joined.members.iter();
        let wishes: Wishes = members
            .map(|member| {
                (
                    member.member_id.to_string(),
                    wished(member.metadata.clone()),
                )
            })
            .collect();
        let mut topics: Vec<&str> = wishes.values().flatten().map(String::as_str).collect();
        topics.sort_unstable();
        topics.dedup();
        let metadata = client.metadata(Some(&topics), false)?;
        let counts: BTreeMap<String, usize> = metadata
            .topics
            .into_iter()
            .filter(|topic| topic.error_code == 0)
            .map(|topic| {
                let name = topic
                    .name
                    .map_or_else(String::new, |name| name.0.to_string());
                (name, topic.partitions.len())
            })
            .collect();
        let assigned = range(&wishes, &counts).into_iter().map(|(member, places)| {
            let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
            for (topic, index) in places {
                topics.entry(topic).or_default().push(index);
            }
            let topics = topics.into_iter().map(|(name, partitions)| {
                TopicPartition::default()
                    .with_topic(topic_name(&name))
                    .with_partitions(partitions)
            });
            let assignment =
                ConsumerProtocolAssignment::default().with_assigned_partitions(topics.collect());
            SyncGroupRequestAssignment::default()
                .with_member_id(text(&member))
                .with_assignment(encoded(&assignment))
        });
        Ok(assigned.collect())
    }

    /// Says that it lives, when it is time to. `false`: it has to join again.
    pub(crate) fn beat(&mut self, client: &mut Client) -> Result<bool, ClientError> {
        if self.beaten_at.elapsed() < HEARTBEAT_INTERVAL {
            return Ok(true);
        }
        let request = HeartbeatRequest::default()
            .with_group_id(GroupId(text(&self.group)))
            .with_generation_id(self.generation)
            .with_member_id(text(&self.id));
        let what = self.what();
        let beaten = client.retried(|client| {
            let answer = client.ask(To::Coordinator(&self.group), &request, HEARTBEAT_VERSION)?;
            check(answer.error_code, &what, None)
        });
        self.beaten_at = Instant::now();
        match beaten {
            Ok(()) => Ok(true),
            Err(error) if must_rejoin(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Leaves, so that the others need not wait for its silence to be noticed.
    pub(crate) fn leave(&self, client: &mut Client) -> Result<(), ClientError> {
        let request = LeaveGroupRequest::default()
            .with_group_id(GroupId(text(&self.group)))
            .with_members(vec![
                MemberIdentity::default().with_member_id(text(&self.id)),
            ]);
        let answer = client.ask(To::Coordinator(&self.group), &request, LEAVE_VERSION)?;
        check(answer.error_code, &self.what(), None)
    }

    fn what(&self) -> String {
        format!("group {}", self.group)
    }
}

/// Whether the group goes on without this member until it joins again.
pub(crate) fn must_rejoin(error: &ClientError) -> bool {
    matches!(
        error.refusal(),
        Some(
            ResponseError::RebalanceInProgress
                | ResponseError::IllegalGeneration
                | ResponseError::UnknownMemberId
        )
    )
}

fn encoded(message: &impl Encodable) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(PROTOCOL_VERSION);
    message
        .encode(&mut bytes, PROTOCOL_VERSION)
        .expect("names and numbers fit into the first version");
    bytes.freeze()
}

fn wished(mut metadata: Bytes) -> Vec<String> {
    if metadata.remaining() < 2 {
        return Vec::new();
    }
    /// The last version of the schema.
    const LAST_VERSION: i16 = 3;
    let version = metadata.get_i16().clamp(0, LAST_VERSION);
    let decoded = ConsumerProtocolSubscription::decode(&mut metadata, version);
    let topics = decoded.map(|decoded| decoded.topics).unwrap_or_default();
    topics.iter().map(ToString::to_string).collect()
}

/// Kafka's range assignor: each topic's partitions in ranges over the members that want it.
fn range(wishes: &Wishes, counts: &BTreeMap<String, usize>) -> BTreeMap<String, Vec<Place>> {
    let mut assigned: BTreeMap<String, Vec<Place>> = wishes
        .keys()
        .map(|member| (member.clone(), Vec::new()))
        .collect();
    for (topic, count) in counts {
        let wants = |member: &&String| wishes[*member].contains(topic);
        let members: Vec<&String> = wishes.keys().filter(wants).collect();
        if members.is_empty() {
            continue;
        }
        let (share, more) = (count / members.len(), count % members.len());
        let mut next = 0_i32;
        for (at, member) in members.into_iter().enumerate() {
            let own = share + usize::from(at < more);
            let places = assigned.get_mut(member).expect("every member has a place");
            for _ in 0..own {
                places.push((topic.clone(), next));
                next += 1;
            }
        }
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(of: &[(&str, &[&str])]) -> Wishes {
        let owned = |topics: &[&str]| topics.iter().map(|&topic| topic.to_owned()).collect();
        of.iter()
            .map(|(member, topics)| ((*member).to_owned(), owned(topics)))
            .collect()
    }

    #[test]
    fn ranges_cover_every_partition_once_and_only_those_who_want_it() {
        let wishes = wishes(&[("a", &["t", "u"]), ("b", &["t"]), ("c", &["t", "u"])]);
        let counts = BTreeMap::from([
            ("t".to_owned(), 4),
            ("u".to_owned(), 1),
            ("v".to_owned(), 2),
        ]);
        let assigned = range(&wishes, &counts);
        let place = |topic: &str, index| (topic.to_owned(), index);
        assert_eq!(assigned["a"], [place("t", 0), place("t", 1), place("u", 0)]);
        assert_eq!(assigned["b"], [place("t", 2)]);
        assert_eq!(assigned["c"], [place("t", 3)]);
    }

    #[test]
    fn subscriptions_and_assignments_read_back_and_garbage_is_nothing() {
        let topics = vec![text("t"), text("u")];
        let subscription = ConsumerProtocolSubscription::default().with_topics(topics);
        assert_eq!(wished(encoded(&subscription)), ["t", "u"]);
        for garbage in [&b""[..], b"\0", b"\0\0\xff\xff\xff"] {
            assert!(wished(Bytes::copy_from_slice(garbage)).is_empty());
            assert!(assigned(Bytes::copy_from_slice(garbage)).is_empty());
        }
    }
}
