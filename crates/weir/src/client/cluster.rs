//! The cluster as a client finds it: nodes, leaders, coordinators.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use kafka_protocol::{
    messages::{
        FindCoordinatorRequest, MetadataRequest, MetadataResponse, TopicName,
        metadata_request::MetadataRequestTopic,
    },
    protocol::{Request, StrBytes},
};

use super::{ClientError, connection::Connection, error::check, offsets::Place};
use crate::host_port::HostPort;

/// How long all tries of one thing may take, unless said otherwise: leaders change meanwhile.
pub(crate) const RETRY_LIMIT: Duration = Duration::from_secs(30);
/// How long what is not there is waited for: a person wants to hear that soon.
const ABSENCE_LIMIT: Duration = Duration::from_secs(2);
/// Pause before the second try, and the longest before a later one.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(1);
const METADATA_VERSION: i16 = 12;
/// The last version that asks for one coordinator.
const FIND_COORDINATOR_VERSION: i16 = 3;

/// Whom a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To<'a> {
    /// Whoever answers.
    Any,
    /// The node with this id.
    Node(i32),
    /// The node that changes topics.
    Controller,
    /// The node that coordinates this consumer group.
    Coordinator(&'a str),
}

/// A client of one cluster.
pub(crate) struct Client {
    bootstrap: Vec<String>,
    /// How long all tries of one thing may take.
    limit: Duration,
    /// Addresses by node id, as last told.
    nodes: BTreeMap<i32, String>,
    controller: i32,
    /// Leaders of partitions, as last told.
    pub(super) leaders: BTreeMap<Place, i32>,
    connections: BTreeMap<String, Connection>,
}

/// The text as the protocol's string.
pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// The text as a topic's name.
pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

impl Client {
    /// A client that finds the cluster at any of these addresses (`host:port`).
    pub(crate) fn new(bootstrap: Vec<String>) -> Self {
        Self {
            bootstrap,
            limit: RETRY_LIMIT,
            nodes: BTreeMap::new(),
            controller: -1,
            leaders: BTreeMap::new(),
            connections: BTreeMap::new(),
        }
    }

    /// Another limit on all tries of one thing.
    #[must_use]
    pub(crate) fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Asks until there is an answer that is not to be tried again, or the time is over.
    pub(crate) fn retried<T>(
        &mut self,
        mut attempt: impl FnMut(&mut Self) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let begin = Instant::now();
        let mut pause = RETRY_PAUSE;
        loop {
            match attempt(self) {
                Err(error) if error.retriable() && begin.elapsed() < self.limit_of(&error) => {
                    // What was known of leaders and coordinators is no longer true.
                    self.nodes.clear();
                    self.leaders.clear();
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(MAX_RETRY_PAUSE);
                }
                settled => return settled,
            }
        }
    }

    fn limit_of(&self, error: &ClientError) -> Duration {
        if error.is_absence() {
            self.limit.min(ABSENCE_LIMIT)
        } else {
            self.limit
        }
    }

    /// Asks once.
    pub(crate) fn ask<Q: Request>(
        &mut self,
        to: To<'_>,
        request: &Q,
        max_version: i16,
    ) -> Result<Q::Response, ClientError> {
        self.on_connection(to, |connection| connection.ask(request, max_version))
    }

    /// Says it once, to a node that does not answer.
    pub(crate) fn tell<Q: Request>(
        &mut self,
        node: i32,
        request: &Q,
        max_version: i16,
    ) -> Result<(), ClientError> {
        self.on_connection(To::Node(node), |connection| {
            connection.tell(request, max_version)
        })
    }

    fn on_connection<T>(
        &mut self,
        to: To<'_>,
        use_it: impl FnOnce(&mut Connection) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let address = self.address(to)?;
        if !self.connections.contains_key(&address) {
            let opened = Connection::open(&address)?;
            self.connections.insert(address.clone(), opened);
        }
        let connection = self.connections.get_mut(&address);
        let connection = connection.expect("it was put there if it was not there");
        let used = use_it(connection);
        if matches!(
            used,
            Err(ClientError::Lost { .. } | ClientError::Malformed { .. })
        ) {
            self.connections.remove(&address);
        }
        used
    }

    fn address(&mut self, to: To<'_>) -> Result<String, ClientError> {
        match to {
            To::Any => self.any(),
            To::Node(node) => self.node(node, "the partition"),
            To::Controller => {
                if !self.nodes.contains_key(&self.controller) {
                    self.refresh()?;
                }
                self.node(self.controller, "the cluster")
            }
            To::Coordinator(group) => self.coordinator(group),
        }
    }

    /// An address that answers: one that is connected to, or else the first that can be.
    fn any(&mut self) -> Result<String, ClientError> {
        if let Some(address) = self.connections.keys().next() {
            return Ok(address.clone());
        }
        let mut last = None;
        for address in self.bootstrap.iter().chain(self.nodes.values()) {
            match Connection::open(address) {
                Ok(connection) => {
                    let address = address.clone();
                    self.connections.insert(address.clone(), connection);
                    return Ok(address);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| ClientError::NoLeader {
            what: "the cluster".to_owned(),
        }))
    }

    fn node(&mut self, node: i32, what: &str) -> Result<String, ClientError> {
        if !self.nodes.contains_key(&node) {
            self.refresh()?;
        }
        let address = self.nodes.get(&node).cloned();
        address.ok_or_else(|| ClientError::NoLeader {
            what: what.to_owned(),
        })
    }

    fn coordinator(&mut self, group: &str) -> Result<String, ClientError> {
        let request = FindCoordinatorRequest::default()
            .with_key(text(group))
            .with_key_type(0);
        let answer = self.ask(To::Any, &request, FIND_COORDINATOR_VERSION)?;
        let what = format!("coordinator of group {group}");
        check(answer.error_code, &what, answer.error_message.as_deref())?;
        Ok(address(&answer.host, answer.port))
    }

    fn refresh(&mut self) -> Result<(), ClientError> {
        self.metadata(Some(&[]), false).map(drop)
    }

    /// Describes topics; `None`: all. Learns where the nodes are.
    pub(crate) fn metadata(
        &mut self,
        topics: Option<&[&str]>,
        makes_topics: bool,
    ) -> Result<MetadataResponse, ClientError> {
        let topics = topics.map(|topics| {
            let topics = topics
                .iter()
                .map(|topic| MetadataRequestTopic::default().with_name(Some(topic_name(topic))));
            topics.collect()
        });
        let request = MetadataRequest::default()
            .with_topics(topics)
            .with_allow_auto_topic_creation(makes_topics);
        let answer = self.ask(To::Any, &request, METADATA_VERSION)?;
        check(answer.error_code, "metadata", None)?;
        let nodes = answer.brokers.iter();
        self.nodes = nodes
            .map(|node| (node.node_id.0, address(&node.host, node.port)))
            .collect();
        self.controller = answer.controller_id.0;
        Ok(answer)
    }

    /// Ids of the nodes that are known, after asking for them.
    pub(crate) fn node_ids(&mut self) -> Result<Vec<i32>, ClientError> {
        self.refresh()?;
        Ok(self.nodes.keys().copied().collect())
    }
}

fn address(host: &str, port: i32) -> String {
    let port = u16::try_from(port).unwrap_or(0);
    let host = host.to_owned();
    HostPort { host, port }.to_string()
}
