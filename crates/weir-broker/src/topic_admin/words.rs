//! The words: tag `TOPIC_ADMIN`, then JSON; the answer is JSON alone. Keys are only added, never
//! renamed.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    api::admin::{ConfigEntry, ConfigSource},
    call::TOPIC_ADMIN,
    json_call::{self, AdminError},
    refusal::Refusal,
};

/// Longest request that is read, in bytes: a topic has 100,000 partitions at most.
pub const MAX_TOPIC_ADMIN_REQUEST_BYTES: usize = 1 << 20;

/// What is asked of a leader or a coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are Kafka's words")]
pub enum TopicAdminRequest {
    /// Offsets of partitions that the node leads. Answered by offsets.
    Offsets {
        topic: String,
        partitions: Vec<i32>,
        at: OffsetAt,
    },
    /// Moves the start of a partition up; -1: to its end. Answered by an offset, the new start.
    DeleteRecords {
        topic: String,
        partition: i32,
        offset: i64,
    },
    /// Settings of the node itself. Answered by settings.
    DescribeNode,
    /// Answered by the groups that the node coordinates.
    ListGroups,
    /// Answered by a group.
    DescribeGroup { group: String },
    /// Takes a group without members away, with its offsets.
    DeleteGroup { group: String },
    /// Sets offsets of a group without members.
    CommitOffsets {
        group: String,
        offsets: Vec<PlaceRow>,
    },
    /// Forgets a group's offsets in partitions.
    DeleteOffsets {
        group: String,
        places: Vec<(String, i32)>,
    },
}

/// Which offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OffsetAt {
    /// The first.
    Earliest,
    /// Behind the last.
    Latest,
    /// The first at this time or later, in ms since 1970.
    TimestampMs(i64),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each has what its name says")]
pub enum TopicAdminAnswer {
    Offsets {
        rows: Vec<OffsetRow>,
    },
    Offset {
        offset: u64,
    },
    Groups {
        rows: Vec<ListedGroupRow>,
    },
    Group(GroupRow),
    Configs {
        rows: Vec<ConfigRow>,
    },
    /// It is so.
    Done,
    /// It is not so.
    Refused(Refusal),
}

/// An offset of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetRow {
    /// The partition's index.
    pub partition: i32,
    /// `None`: there is none, or it is not known.
    pub offset: Option<u64>,
    /// Why it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
}

/// A setting as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigRow {
    /// Its name, which is Kafka's.
    pub name: String,
    /// Its value; `None`: null, or not to be shown.
    pub value: Option<String>,
    /// Where that comes from: `topic`, `group`, `node`, `all_nodes`, `file`, `client_metrics` or `default`.
    pub source: String,
    /// Whether it cannot be changed while the node runs.
    pub read_only: bool,
    /// Whether values are kept from readers.
    pub sensitive: bool,
    /// One sentence for people.
    pub doc: String,
}

/// A consumer group in a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ListedGroupRow {
    /// Its name.
    pub group: String,
    /// `classic`, `consumer` or `share`.
    pub kind: String,
    /// Such as `consumer`; empty where only offsets were committed.
    pub protocol_type: String,
    /// Where it stands, such as `stable`.
    pub state: String,
}

/// A consumer group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ConsumerGroup")]
pub struct GroupRow {
    /// Its name.
    pub group: String,
    /// `classic`, `consumer` or `share`.
    pub kind: String,
    /// Where it stands, such as `stable`.
    pub state: String,
    /// Its members.
    pub members: Vec<MemberRow>,
    /// Where it has committed. A share group's places are not among them.
    pub offsets: Vec<PlaceRow>,
}

/// A member of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberRow {
    /// Its id.
    pub member: String,
    /// Its instance id.
    pub instance: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where its client connects from.
    pub client_host: String,
    /// Partitions that it reads: topic and index.
    pub assigned: Vec<(String, i32)>,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct PlaceRow {
    /// The topic.
    pub topic: String,
    /// The partition's index.
    pub partition: i32,
    /// The next offset to read.
    pub offset: i64,
}

impl From<ConfigEntry> for ConfigRow {
    fn from(entry: ConfigEntry) -> Self {
        let source = match entry.source {
            ConfigSource::Topic => "topic",
            ConfigSource::Broker => "node",
            ConfigSource::AllBrokers => "all_nodes",
            ConfigSource::Static => "file",
            ConfigSource::Default => "default",
            ConfigSource::ClientMetrics => "client_metrics",
            ConfigSource::Group => "group",
        };
        Self {
            name: entry.name.to_owned(),
            value: entry.value,
            source: source.to_owned(),
            read_only: entry.is_read_only,
            sensitive: entry.is_sensitive,
            doc: entry.doc.to_owned(),
        }
    }
}

impl TopicAdminRequest {
    /// The call for [`PeerPort::call`](crate::PeerPort::call) or
    /// [`Node::take_call`](crate::Node::take_call).
    pub fn to_call(&self) -> Bytes {
        json_call::to_call(TOPIC_ADMIN, self)
    }

    /// What follows the tag.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, AdminError> {
        json_call::read_request(bytes, MAX_TOPIC_ADMIN_REQUEST_BYTES)
    }
}

impl TopicAdminAnswer {
    /// The answer to a call.
    pub fn decode(bytes: &[u8]) -> Result<Self, AdminError> {
        json_call::read_answer(bytes)
    }

    pub(crate) fn encode(&self) -> Bytes {
        json_call::to_answer(self)
    }

    pub(crate) fn refused(why: impl Into<Refusal>) -> Self {
        Self::Refused(why.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requests_words_stay_and_every_cut_is_refused() {
        let requests = [
            (
                TopicAdminRequest::Offsets {
                    topic: "t".to_owned(),
                    partitions: vec![0, 7],
                    at: OffsetAt::TimestampMs(5),
                },
                r#"{"request":"offsets","topic":"t","partitions":[0,7],"at":{"timestamp_ms":5}}"#,
            ),
            (
                TopicAdminRequest::ListGroups,
                r#"{"request":"list_groups"}"#,
            ),
        ];
        for (request, words) in requests {
            let call = request.to_call();
            assert_eq!((call[0], &call[1..]), (TOPIC_ADMIN, words.as_bytes()));
            assert_eq!(TopicAdminRequest::decode(&call[1..]).unwrap(), request);
            for cut in 1..call.len() {
                assert!(TopicAdminRequest::decode(&call[1..cut]).is_err(), "{cut}");
            }
        }
        let long = vec![b' '; MAX_TOPIC_ADMIN_REQUEST_BYTES + 1];
        let decoded = TopicAdminRequest::decode(&long);
        assert!(matches!(decoded, Err(AdminError::TooLong)));
    }

    #[test]
    fn a_refusal_reads_back() {
        let refused = TopicAdminAnswer::refused("no".to_owned());
        assert_eq!(
            TopicAdminAnswer::decode(&refused.encode()).unwrap(),
            refused
        );
    }
}
