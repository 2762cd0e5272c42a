//! One request on its way, and what it may be answered with.

use std::{sync::Arc, time::Duration};

use hyper::StatusCode;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;
use weir_access::{Need, acl::Operation, acl::ResourceType};
use weir_broker::{
    Mailbox, Node, Refusal, Reply, Ticket,
    api::{Backend as _, Outcome, Request},
    audit::{AuditEvent, Change},
    topic_admin::{TopicAdminAnswer, TopicAdminRequest},
};
use weir_model::NodeId;

use super::asker::Asker;
use crate::{
    routing::{
        cursor,
        path::Parameters,
        problem::Problem,
        query::MAX_PAGE_ROW_COUNT,
        route::{Gives, Right, Route},
    },
    server::Settings,
};

/// A request is answered after this long at the latest.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// A request whose route is known and allowed.
pub(crate) struct Call {
    pub(crate) route: &'static Route,
    pub(crate) node: Arc<Node>,
    pub(crate) settings: Settings,
    pub(crate) asker: Asker,
    pub(crate) path: Parameters,
    pub(crate) query: Map<String, Value>,
    pub(crate) body: Map<String, Value>,
}

/// What goes back where it was done.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Option<Value>,
}

impl Answer {
    pub(crate) fn nothing() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            body: None,
        }
    }

    /// It was made, or it was there.
    pub(crate) fn declared(was_there: bool) -> Self {
        Self {
            status: match was_there {
                true => StatusCode::NO_CONTENT,
                false => StatusCode::CREATED,
            },
            body: None,
        }
    }

    pub(crate) fn one(value: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_value(value).map_err(|error| {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Problem::new(status, "internal", error.to_string())
        })?;
        Ok(Self {
            status: StatusCode::OK,
            body: Some(body),
        })
    }
}

/// The answer to something that was asked by a callback.
pub(crate) async fn heard<T>(told: oneshot::Receiver<T>) -> Result<T, Problem> {
    match tokio::time::timeout(MAX_WAIT, told).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(Problem::unavailable("shutting_down", "nobody answers")),
        Err(_) => Err(Problem::unavailable(
            "timed_out",
            "the answer took too long",
        )),
    }
}

impl Call {
    /// A parameter of the path.
    pub(crate) fn named(&self, name: &str) -> &str {
        let found = self.path.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, value)| value)
    }

    /// The same as a number.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T, Problem> {
        let text = self.named(name);
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits);
        number.ok_or_else(|| Problem::invalid(format!("'{text}' is no number, or too large")))
    }

    /// The body as what the route takes.
    pub(crate) fn said<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let body = Value::Object(self.body.clone());
        serde_json::from_value(body).map_err(|error| Problem::invalid(error.to_string()))
    }

    pub(crate) fn is_set(&self, flag: &str) -> bool {
        self.query.get(flag) == Some(&Value::Bool(true))
    }

    /// Where the list goes on; `None`: it begins.
    pub(crate) fn after(&self) -> Option<&Value> {
        self.query.get("after")
    }

    /// The same, where it is a text.
    pub(crate) fn after_text(&self) -> Result<Option<&str>, Problem> {
        match self.after() {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Problem::invalid("'after' is no place in this list")),
        }
    }

    /// Most rows that are wanted.
    pub(crate) fn limit(&self) -> usize {
        let limit = self.query.get("limit").and_then(Value::as_u64);
        let limit = limit.unwrap_or_else(|| u64::from(MAX_PAGE_ROW_COUNT));
        usize::try_from(limit).unwrap_or(usize::MAX)
    }

    /// A page of rows that follow `after`; `has_more`: there are others behind them.
    pub(crate) fn rows(&self, mut rows: Vec<Value>, has_more: bool) -> Answer {
        let fields = match self.route.gives {
            Gives::Rows(_, fields) => fields,
            Gives::Nothing | Gives::Declared | Gives::One(_) | Gives::Whole(_) => &[],
        };
        let limit = self.limit();
        let has_more = has_more || rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| has_more);
        let next = last.map(|row| cursor::write(&cursor::key(row, fields)));
        rows.retain(|row| self.is_shown(row));
        Answer {
            status: StatusCode::OK,
            body: Some(json!({ "rows": rows, "next": next })),
        }
    }

    /// Whether whoever asks may see that a row is there.
    fn is_shown(&self, row: &Value) -> bool {
        let name = |field: &str| row[field].as_str().unwrap_or_default();
        let acl = |operation, resource, name| {
            self.asker.may(Need::Acl {
                operation,
                resource,
                name,
            })
        };
        self.route.rights.iter().all(|right| match right {
            Right::TopicsShown(operation) => acl(*operation, ResourceType::Topic, name("topic")),
            Right::GroupsShown(operation) => {
                self.asker.may_cluster(*operation)
                    || acl(*operation, ResourceType::Group, name("group"))
            }
            Right::VhostsShown => {
                let vhost = name("name");
                self.asker.may(Need::Vhost { vhost }) || self.asker.may_cluster(Operation::Describe)
            }
            Right::Cluster(_)
            | Right::Topic(_)
            | Right::Group(_)
            | Right::CreateTopic
            | Right::TopicsOfBody(_)
            | Right::Vhost
            | Right::Permissions(_) => true,
        })
    }

    /// Asks this node as a client's session does.
    pub(crate) async fn ask(&self, request: Request) -> Result<Outcome, Problem> {
        let (tell, told) = oneshot::channel();
        let tell = std::sync::Mutex::new(Some(tell));
        let mailbox = Mailbox::new(Box::new(move || {
            let tell = tell.lock().ok().and_then(|mut tell| tell.take());
            if let Some(tell) = tell {
                // Nobody waits any more where it took too long.
                let _ = tell.send(());
            }
        }));
        self.node
            .submit(request, Reply::new(Arc::clone(&mailbox), Ticket(0)));
        heard(told).await?;
        let mut arrived = Vec::new();
        mailbox.take(&mut arrived);
        let outcome = arrived.pop().map(|(_, outcome)| outcome);
        outcome.ok_or_else(|| Problem::unavailable("timed_out", "there was no answer"))
    }

    /// The same for what changes something, which is noted.
    pub(crate) async fn change(&self, request: Request) -> Result<Outcome, Problem> {
        let change = Change::of(&request);
        let outcome = self.ask(request).await?;
        if let Some(change) = change {
            let peer = self.asker.peer.to_string();
            let event = change.event(&self.asker.principal, &peer, &outcome);
            self.asker.access.note(event);
        }
        Ok(outcome)
    }

    /// Notes what became of a change that a leader or a coordinator was asked for.
    pub(crate) fn note<T>(&self, action: &str, resource: &str, done: &Result<T, Problem>) {
        let peer = self.asker.peer.to_string();
        let event = AuditEvent::new(&self.asker.principal, &peer, action, resource);
        self.asker.access.note(match done {
            Ok(_) => event,
            Err(problem) => event.failed(&problem.detail),
        });
    }

    /// Asks a leader or a coordinator.
    pub(crate) async fn ask_at(
        &self,
        node: NodeId,
        request: TopicAdminRequest,
    ) -> Result<TopicAdminAnswer, Problem> {
        let (tell, told) = oneshot::channel();
        let done = move |answer| drop(tell.send(answer));
        self.node.topic_admin(node, request, Box::new(done));
        match heard(told).await? {
            TopicAdminAnswer::Refused(refusal) => Err(refusal.into()),
            answer @ (TopicAdminAnswer::Offsets { .. }
            | TopicAdminAnswer::Offset { .. }
            | TopicAdminAnswer::Groups { .. }
            | TopicAdminAnswer::Group(_)
            | TopicAdminAnswer::Configs { .. }
            | TopicAdminAnswer::Done) => Ok(answer),
        }
    }

    /// Asks the node that coordinates a group.
    pub(crate) async fn ask_coordinator(
        &self,
        group: &str,
        request: TopicAdminRequest,
    ) -> Result<TopicAdminAnswer, Problem> {
        let node = self.node.group_coordinator(group);
        let node = node.ok_or_else(|| {
            Problem::unavailable("not_coordinator", "the group's coordinator is not known")
        })?;
        self.ask_at(node, request).await
    }
}

/// The answer is of another kind than asked for: the node broke its own promise.
pub(crate) fn unexpected() -> Problem {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    Problem::new(status, "internal", "the node answered something else")
}

/// The first of a request's answers.
pub(crate) fn single<T, E: Into<Refusal>>(answers: Vec<Result<T, E>>) -> Result<T, Problem> {
    let first = answers.into_iter().next().ok_or_else(unexpected)?;
    first.map_err(|refused| Problem::from(refused.into()))
}
