//! The words: tag `QUEUE_ADMIN`, then JSON; the answer is JSON alone. Keys are only added, never
//! renamed: scripts read them.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    call::QUEUE_ADMIN,
    json_call::{self, AdminError},
    refusal::Refusal,
};

/// Longest request that is read, in bytes.
pub const MAX_QUEUE_ADMIN_REQUEST_BYTES: usize = 64 << 10;
/// Most rows of an answer; more are asked for with `after` the last one.
pub const PAGE_ROW_COUNT: usize = 200;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "the fields are the words of the models of AMQP 0-9-1"
)]
pub enum QueueAdminRequest {
    /// Answered by virtual hosts, or by the one that is named; so are the other lists.
    ListVhosts {
        after: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        only: Option<String>,
    },
    /// Makes one, or changes what is said of it.
    DeclareVhost {
        name: String,
        #[serde(default)]
        description: String,
        default_queue_type: Option<String>,
    },
    /// Sets all its limits; none where it is not named.
    SetVhostLimits {
        name: String,
        max_connections: Option<u32>,
        max_queues: Option<u32>,
    },
    /// Takes one away, with all that is in it.
    DeleteVhost { name: String },
    /// Answered by exchanges.
    ListExchanges {
        vhost: String,
        after: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        only: Option<String>,
    },
    /// Makes one, where it is not there.
    DeclareExchange {
        vhost: String,
        name: String,
        kind: String,
        #[serde(default = "yes")]
        durable: bool,
        #[serde(default)]
        auto_delete: bool,
        #[serde(default)]
        internal: bool,
        #[serde(default)]
        arguments: Map<String, Value>,
    },
    /// Takes one away, where it is there.
    DeleteExchange {
        vhost: String,
        name: String,
        #[serde(default)]
        if_unused: bool,
    },
    /// Answered by bindings. `after`: the serial of one.
    ListBindings { vhost: String, after: Option<u64> },
    /// Makes a binding, or takes it away.
    Bind {
        vhost: String,
        source: String,
        destination: String,
        #[serde(default)]
        to_exchange: bool,
        #[serde(default)]
        routing_key: String,
        #[serde(default)]
        arguments: Map<String, Value>,
        #[serde(default)]
        remove: bool,
    },
    /// Answered by queues.
    ListQueues {
        vhost: String,
        after: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        only: Option<String>,
    },
    /// Makes one, where it is not there.
    DeclareQueue {
        vhost: String,
        name: String,
        #[serde(default = "yes")]
        durable: bool,
        #[serde(default)]
        auto_delete: bool,
        #[serde(default)]
        arguments: Map<String, Value>,
    },
    /// Takes one away, where it is there.
    DeleteQueue {
        vhost: String,
        name: String,
        #[serde(default)]
        if_unused: bool,
        #[serde(default)]
        if_empty: bool,
    },
    /// Removes what is ready.
    PurgeQueue { vhost: String, name: String },
    /// Answered by messages, which stay where they are, as redelivered.
    Peek {
        vhost: String,
        name: String,
        count: u32,
    },
    /// Moves messages that are ready to another queue: each is in one of them, or for a moment in
    /// both. Answered with how many; fewer than asked for: there are no more.
    MoveMessages {
        vhost: String,
        source: String,
        destination: String,
        count: u32,
    },
    /// Answered by policies.
    ListPolicies {
        vhost: String,
        operator: bool,
        after: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        only: Option<String>,
    },
    /// Sets one.
    DeclarePolicy {
        vhost: String,
        operator: bool,
        name: String,
        pattern: String,
        #[serde(default = "all")]
        apply_to: String,
        #[serde(default)]
        priority: i32,
        definition: Map<String, Value>,
    },
    /// Takes one away.
    DeletePolicy {
        vhost: String,
        operator: bool,
        name: String,
    },
}

fn yes() -> bool {
    true
}

fn all() -> String {
    "all".to_owned()
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each has the rows that its name says")]
pub enum QueueAdminAnswer {
    Vhosts {
        rows: Vec<VhostRow>,
    },
    Exchanges {
        rows: Vec<ExchangeRow>,
    },
    Bindings {
        rows: Vec<BindingRow>,
    },
    Queues {
        rows: Vec<QueueRow>,
    },
    Messages {
        rows: Vec<MessageRow>,
    },
    Policies {
        rows: Vec<PolicyRow>,
    },
    /// It is so.
    Done,
    /// It is so, for so many messages.
    Counted {
        messages: u64,
    },
    /// It is not so.
    Refused(Refusal),
}

/// A virtual host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the words of the command line")]
pub struct VhostRow {
    pub name: String,
    pub description: String,
    pub default_queue_type: Option<String>,
    #[serde(default)]
    pub max_connections: Option<u32>,
    #[serde(default)]
    pub max_queues: Option<u32>,
}

/// An exchange.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the words of the command line")]
pub struct ExchangeRow {
    pub name: String,
    pub kind: String,
    pub durable: bool,
    pub auto_delete: bool,
    pub internal: bool,
    pub arguments: Map<String, Value>,
    /// Bindings that lead out of it.
    pub bindings: u64,
    pub policy: Option<String>,
}

/// A binding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the words of the command line")]
pub struct BindingRow {
    pub serial: u64,
    pub source: String,
    pub destination: String,
    pub to_exchange: bool,
    pub routing_key: String,
    pub arguments: Map<String, Value>,
}

/// A queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the words of the command line")]
pub struct QueueRow {
    pub name: String,
    pub kind: String,
    pub durable: bool,
    pub exclusive: bool,
    pub auto_delete: bool,
    pub arguments: Map<String, Value>,
    pub policy: Option<String>,
    pub operator_policy: Option<String>,
    /// The topic that Kafka's clients read it by.
    pub topic: String,
    pub partitions: u32,
    /// `None`: its leader does not answer.
    pub figures: Option<QueueFiguresRow>,
}

/// What a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueueFiguresRow {
    /// Messages that are ready.
    pub ready: u64,
    /// Messages that are delivered and not settled.
    pub unacked: u64,
    /// Messages that wait for their time, or to be dead-lettered.
    pub delayed: u64,
    /// Consumers.
    pub consumers: u64,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the words of the command line")]
pub struct MessageRow {
    pub exchange: String,
    pub routing_key: String,
    pub redelivered: bool,
    pub timestamp_ms: i64,
    pub headers: Map<String, Value>,
    /// Properties that are set, headers left out.
    pub properties: Map<String, Value>,
    /// The body, or its beginning where it is long, as text.
    pub body: String,
    /// Its length in bytes.
    pub body_bytes: u64,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the words of the command line")]
pub struct PolicyRow {
    pub name: String,
    pub pattern: String,
    pub apply_to: String,
    pub priority: i32,
    pub definition: Map<String, Value>,
}

impl QueueAdminRequest {
    /// The call for [`PeerPort::call`](crate::PeerPort::call) or
    /// [`Node::take_call`](crate::Node::take_call).
    pub fn to_call(&self) -> Bytes {
        json_call::to_call(QUEUE_ADMIN, self)
    }

    /// What follows the tag.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, AdminError> {
        json_call::read_request(bytes, MAX_QUEUE_ADMIN_REQUEST_BYTES)
    }
}

impl QueueAdminAnswer {
    /// Why nothing was done.
    pub(crate) fn refusal(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.reason),
            _ => None,
        }
    }

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
                QueueAdminRequest::ListQueues {
                    vhost: "/".to_owned(),
                    after: None,
                    only: None,
                },
                r#"{"request":"list_queues","vhost":"/","after":null}"#,
            ),
            (
                QueueAdminRequest::PurgeQueue {
                    vhost: "/".to_owned(),
                    name: "q".to_owned(),
                },
                r#"{"request":"purge_queue","vhost":"/","name":"q"}"#,
            ),
            (
                QueueAdminRequest::MoveMessages {
                    vhost: "/".to_owned(),
                    source: "a".to_owned(),
                    destination: "b".to_owned(),
                    count: 7,
                },
                r#"{"request":"move_messages","vhost":"/","source":"a","destination":"b","count":7}"#,
            ),
        ];
        for (request, words) in requests {
            let call = request.to_call();
            assert_eq!((call[0], &call[1..]), (QUEUE_ADMIN, words.as_bytes()));
            assert_eq!(QueueAdminRequest::decode(&call[1..]).unwrap(), request);
            for cut in 1..call.len() {
                assert!(QueueAdminRequest::decode(&call[1..cut]).is_err(), "{cut}");
            }
        }
        let long = vec![b' '; MAX_QUEUE_ADMIN_REQUEST_BYTES + 1];
        assert!(matches!(
            QueueAdminRequest::decode(&long),
            Err(AdminError::TooLong)
        ));
    }
}
