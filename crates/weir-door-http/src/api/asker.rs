//! Who asks, and what they may.

use std::net::SocketAddr;

use serde_json::{Map, Value};
use weir_access::{
    Caller, Need, Principal,
    acl::{CLUSTER_NAME, Operation, ResourceType},
    token::Grants,
};
use weir_broker::{
    access::AccessView,
    audit::{AuditEvent, Requester},
};

use crate::routing::{path::Parameters, problem::Problem, route::Right};

/// Most topics that one request names: each is looked at.
pub(crate) const MAX_TOPICS_OF_BODY: usize = 1_000;

/// A client as it has logged in.
pub(crate) struct Asker {
    pub(crate) access: AccessView,
    pub(crate) principal: Principal,
    /// What its token allows.
    pub(crate) grants: Option<Grants>,
    pub(crate) peer: SocketAddr,
}

impl Asker {
    /// As the broker notes it, and asks permissions for it.
    pub(crate) fn requester(&self) -> Requester {
        let grants = self.grants.clone();
        Requester::client(self.principal.clone(), grants, self.peer.to_string())
    }

    /// Whether that is allowed now.
    pub(crate) fn may(&self, need: Need<'_>) -> bool {
        let caller = Caller {
            principal: &self.principal,
            grants: self.grants.as_ref(),
            host: self.peer.ip().to_canonical(),
        };
        self.access.load().check(caller, need).is_allowed()
    }

    pub(crate) fn may_cluster(&self, operation: Operation) -> bool {
        self.may(cluster(operation))
    }

    /// Whether a route's rights are there, as far as that can be told before it is carried out.
    pub(crate) fn check(
        &self,
        rights: &[Right],
        path: &Parameters,
        body: &Map<String, Value>,
    ) -> Result<(), Problem> {
        rights
            .iter()
            .try_for_each(|right| self.check_one(*right, path, body))
    }

    fn check_one(
        &self,
        right: Right,
        path: &Parameters,
        body: &Map<String, Value>,
    ) -> Result<(), Problem> {
        let named = |name: &str| {
            let found = path.iter().find(|(known, _)| *known == name);
            found.map_or("", |(_, value)| value)
        };
        match right {
            Right::Cluster(operation) => self.require(cluster(operation)),
            Right::Topic(operation) => self.require(topic(operation, named("topic"))),
            Right::Group(operation) => self.require(Need::Acl {
                operation,
                resource: ResourceType::Group,
                name: named("group"),
            }),
            Right::CreateTopic => match self.may_cluster(Operation::Create) {
                true => Ok(()),
                false => self.require(topic(Operation::Create, named("topic"))),
            },
            Right::TopicsOfBody(operation) => {
                let topics = topics_of(body);
                if topics.len() > MAX_TOPICS_OF_BODY {
                    let detail =
                        format!("more than {MAX_TOPICS_OF_BODY} topics or offsets at once");
                    return Err(Problem::invalid(detail));
                }
                topics
                    .into_iter()
                    .try_for_each(|name| self.require(topic(operation, name)))
            }
            Right::Vhost => {
                let vhost = named("vhost");
                match self.may_cluster(Operation::Describe) {
                    true => Ok(()),
                    false => self.require(Need::Vhost { vhost }),
                }
            }
            Right::TopicsShown(_)
            | Right::GroupsShown(_)
            | Right::VhostsShown
            | Right::Permissions(_) => Ok(()),
        }
    }

    /// It is allowed; else that is noted.
    pub(crate) fn require(&self, need: Need<'_>) -> Result<(), Problem> {
        if self.may(need) {
            return Ok(());
        }
        let what = need.to_string();
        let event = AuditEvent::new(&self.principal, &self.peer.to_string(), "access", &what);
        self.access.note(event.failed("refused"));
        let who = self.principal.name();
        Err(Problem::forbidden(
            "not_allowed",
            format!("{who} may not: {what}"),
        ))
    }
}

fn cluster(operation: Operation) -> Need<'static> {
    Need::Acl {
        operation,
        resource: ResourceType::Cluster,
        name: CLUSTER_NAME,
    }
}

fn topic(operation: Operation, name: &str) -> Need<'_> {
    Need::Acl {
        operation,
        resource: ResourceType::Topic,
        name,
    }
}

/// Names under `topics`, and those of each of `offsets`.
fn topics_of(body: &Map<String, Value>) -> Vec<&str> {
    let list = |name: &str| {
        body.get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let named = list("topics").filter_map(Value::as_str);
    let places = list("offsets").filter_map(|place| place["topic"].as_str());
    named.chain(places).collect()
}
