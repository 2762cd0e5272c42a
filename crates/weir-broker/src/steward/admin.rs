//! What a person may ask of the cluster, at whichever node: tag `ADMIN`, then JSON; the answer is
//! JSON alone. Keys are only added, never renamed: scripts read them.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    call::ADMIN,
    json_call::{self, AdminError},
};

/// Longest request that is read, in bytes.
pub const MAX_ADMIN_REQUEST_BYTES: usize = 4 << 10;

/// A request about the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum AdminRequest {
    /// What the node that is asked knows of the cluster.
    Status,
    /// Move all replicas and all leadership off a node; it stays a member.
    Drain {
        /// The node.
        node: u64,
    },
    /// Give a drained node its share again.
    Add {
        /// The node.
        node: u64,
    },
    /// Take a node out of the cluster for good: it is empty, or lost.
    Remove {
        /// The node.
        node: u64,
    },
    /// Let another of its voters lead a group.
    Transfer {
        /// The group.
        group: u32,
        /// Who is to lead.
        node: u64,
    },
    /// Spread leaders evenly now, not bit by bit.
    Balance,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum AdminAnswer {
    /// To [`AdminRequest::Status`].
    Status(ClusterStatus),
    /// It is done, or durably decided and under way.
    Done {
        /// What happens, in a sentence.
        message: String,
    },
    /// Nothing changed.
    Refused {
        /// Why, and what to do.
        reason: String,
    },
    /// Nothing changed: something is in the way that passes by itself, such as an election.
    NotYet {
        /// What is in the way.
        reason: String,
    },
}

impl AdminAnswer {
    /// Why nothing was done.
    pub(super) fn refusal(&self) -> Option<&str> {
        match self {
            Self::Refused { reason } | Self::NotYet { reason } => Some(reason),
            Self::Status(_) | Self::Done { .. } => None,
        }
    }
}

/// The cluster as one node knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterStatus {
    /// The cluster's id, as Kafka clients see it.
    pub cluster_id: String,
    /// The node that answered.
    pub answered_by: u64,
    /// The node that leads the metadata group, and so looks after the cluster.
    pub steward: Option<u64>,
    /// All nodes, by id.
    pub nodes: Vec<NodeStatus>,
    /// All groups, by id; 0 is the metadata group.
    pub groups: Vec<GroupRow>,
}

/// A node's state, as people set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeStanding {
    /// It carries its share.
    Active,
    /// It is to carry nothing.
    Draining,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeStatus {
    /// The node.
    pub id: u64,
    /// What people want of it.
    pub state: NodeStanding,
    /// Whether the node that answered hears it.
    pub is_up: bool,
    /// Whether its disk is slow: it leads nothing as long as others can.
    pub is_slow: bool,
    /// Whether its disk is full: what it leads takes no writes.
    pub is_full: bool,
    /// `host:port` for other nodes.
    pub peer_address: String,
    /// `host:port` for Kafka clients.
    pub kafka_address: String,
    /// Groups that it leads.
    pub led_group_count: u32,
    /// Groups that it votes in.
    pub voter_count: u32,
    /// Groups that it follows without a vote.
    pub learner_count: u32,
    /// Replicas of it that are not up to date, or not known to be.
    pub catching_up_count: u32,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupRow {
    /// The group.
    pub id: u32,
    /// Who leads, where it is known.
    pub leader: Option<u64>,
    /// In which term.
    pub term: u64,
    /// Nodes that vote.
    pub voters: Vec<u64>,
    /// Nodes that follow without a vote.
    pub learners: Vec<u64>,
    /// Whether its members are changing at the moment.
    pub is_changing: bool,
    /// Last entry of the leader's log.
    pub last_index: u64,
    /// The replicas that follow, by node.
    pub followers: Vec<FollowerRow>,
}

/// A replica that follows, as its leader knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FollowerRow {
    /// Where it is.
    pub node: u64,
    /// Entries of the leader's log that it is not known to have.
    pub lag_count: u64,
    /// Whether the leader heard of it lately.
    pub is_active: bool,
    /// Whether it takes over a checkpoint.
    pub is_behind: bool,
}

impl AdminRequest {
    /// The call for [`PeerPort::call`](crate::PeerPort::call) or
    /// [`Node::take_call`](crate::Node::take_call).
    pub fn to_call(&self) -> Bytes {
        json_call::to_call(ADMIN, self)
    }

    /// What follows the tag.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, AdminError> {
        json_call::read_request(bytes, MAX_ADMIN_REQUEST_BYTES)
    }
}

impl AdminAnswer {
    /// The answer to a call.
    pub fn decode(bytes: &[u8]) -> Result<Self, AdminError> {
        json_call::read_answer(bytes)
    }

    pub(crate) fn encode(&self) -> Bytes {
        json_call::to_answer(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUESTS: [(AdminRequest, &str); 6] = [
        (AdminRequest::Status, r#"{"request":"status"}"#),
        (
            AdminRequest::Drain { node: 2 },
            r#"{"request":"drain","node":2}"#,
        ),
        (
            AdminRequest::Add { node: 2 },
            r#"{"request":"add","node":2}"#,
        ),
        (
            AdminRequest::Remove { node: 2 },
            r#"{"request":"remove","node":2}"#,
        ),
        (
            AdminRequest::Transfer { group: 7, node: 2 },
            r#"{"request":"transfer","group":7,"node":2}"#,
        ),
        (AdminRequest::Balance, r#"{"request":"balance"}"#),
    ];

    #[test]
    fn a_requests_words_stay_and_every_cut_is_refused() {
        for (request, words) in REQUESTS {
            let call = request.to_call();
            assert_eq!((call[0], &call[1..]), (ADMIN, words.as_bytes()));
            assert_eq!(AdminRequest::decode(&call[1..]).unwrap(), request);
            for cut in 1..call.len() {
                assert!(AdminRequest::decode(&call[1..cut]).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_request_past_its_limit_is_refused_and_one_at_it_is_read() {
        let mut words = br#"{"request":"status"}"#.to_vec();
        words.resize(MAX_ADMIN_REQUEST_BYTES, b' ');
        assert_eq!(AdminRequest::decode(&words).unwrap(), AdminRequest::Status);
        words.push(b' ');
        assert!(matches!(
            AdminRequest::decode(&words),
            Err(AdminError::TooLong)
        ));
    }

    #[test]
    fn an_answer_reads_back() {
        let answer = AdminAnswer::Status(ClusterStatus {
            groups: vec![GroupRow {
                id: 1,
                leader: None,
                term: 4,
                voters: vec![1],
                learners: vec![2],
                is_changing: true,
                last_index: 9,
                followers: vec![FollowerRow {
                    node: 2,
                    lag_count: 8,
                    is_active: true,
                    is_behind: false,
                }],
            }],
            ..ClusterStatus::default()
        });
        assert_eq!(AdminAnswer::decode(&answer.encode()).unwrap(), answer);
        let words = AdminAnswer::Done {
            message: "so it is".to_owned(),
        };
        assert_eq!(
            &words.encode()[..],
            br#"{"answer":"done","message":"so it is"}"#
        );
    }
}
