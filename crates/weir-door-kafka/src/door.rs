//! The door: makes a session for each connection.

use core::net::IpAddr;
use std::{sync::Arc, time::Duration};

use weir_broker::{
    access::{AccessView, TokenView, TopicNames},
    api::TopicRef,
};
use weir_door::{Connection, Door, Entropy, Entry};
use weir_model::{TopicId, TopicName};
use weir_tls::PrincipalRules;

use crate::{
    codec::versions::SERVED,
    session::{
        answer_budget::{AnswerBudget, MAX_NODE_ANSWER_BYTES},
        connection::{KafkaSession, Shared},
        login::SESSION_LIFETIME_MS,
    },
};

/// Most bytes of records in one Fetch answer, whatever the client allows (Kafka's
/// `fetch.max.bytes`). What a connection may hold,
/// [`MAX_UNSENT_BYTES`](weir_door::limits::MAX_UNSENT_BYTES), is less at most times.
pub const MAX_FETCH_BYTES: usize = 55 << 20;

/// What a user may set of the Kafka door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KafkaConfig {
    /// Default [`MAX_FETCH_BYTES`].
    pub max_fetch_bytes: usize,
    /// Bytes of answers that all connections hold together, beside a small share of each. Default
    /// [`MAX_NODE_ANSWER_BYTES`].
    pub answer_memory_bytes: usize,
    /// Default [`SESSION_LIFETIME_MS`].
    pub session_lifetime_ms: u64,
    /// Clients of other machines are served before there is a user, as those of this one are. Default
    /// false.
    pub allows_anonymous: bool,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            max_fetch_bytes: MAX_FETCH_BYTES,
            answer_memory_bytes: MAX_NODE_ANSWER_BYTES,
            session_lifetime_ms: SESSION_LIFETIME_MS,
            allows_anonymous: false,
        }
    }
}

/// Topics before there is a node.
struct NoTopics;

impl TopicNames for NoTopics {
    fn name_of(&self, _id: TopicId) -> Option<TopicName> {
        None
    }

    fn is_known(&self, _name: &TopicName) -> bool {
        false
    }

    fn partition_count(&self, _topic: &TopicRef) -> usize {
        0
    }

    fn default_partition_count(&self) -> usize {
        1
    }
}

/// The Kafka door. Where clients reach the nodes comes from the node, in its answers to
/// Metadata and FindCoordinator.
#[derive(Debug)]
pub struct KafkaDoor {
    config: KafkaConfig,
    shared: Shared,
}

impl KafkaDoor {
    /// A door that lets nobody do anything. `entropy` makes the nonces of logins.
    pub fn new(config: KafkaConfig, entropy: Arc<dyn Entropy>) -> Self {
        let mut shared = Shared::new(AccessView::default(), Arc::new(NoTopics), entropy);
        shared.answers = Arc::new(AnswerBudget::new(config.answer_memory_bytes));
        Self { config, shared }
    }

    /// Names clients by their certificates so (Kafka's `ssl.principal.mapping.rules`).
    #[must_use]
    pub fn naming(mut self, principals: PrincipalRules) -> Self {
        self.shared.principals = Arc::new(principals);
        self
    }

    /// Believes tokens that these keys have signed.
    #[must_use]
    pub fn believing(mut self, tokens: TokenView) -> Self {
        self.shared.tokens = tokens;
        self
    }

    /// Goes by these users and rules, and knows these topics.
    #[must_use]
    pub fn of(mut self, access: AccessView, names: Arc<dyn TopicNames>) -> Self {
        self.shared.access = access;
        self.shared.names = names;
        self
    }
}

impl Door for KafkaDoor {
    type Session = KafkaSession;

    fn name(&self) -> &'static str {
        "kafka"
    }

    fn request_labels(&self) -> Vec<String> {
        let served = SERVED.iter();
        served.map(|line| format!("{:?}", line.api)).collect()
    }

    fn entry(&self, peer: IpAddr) -> Entry {
        match self.shared.access.quotas().connect(peer) {
            Some(0) => Entry::Now,
            Some(wait_ms) => Entry::Late(Duration::from_millis(wait_ms)),
            None => Entry::Never,
        }
    }

    fn open(&self, connection: Connection) -> KafkaSession {
        KafkaSession::sharing(connection, self.config, &self.shared)
    }
}
