//! Requests are carried out as a session of this node would.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use bytes::Bytes;
use serde_json::{Map, Value};
use weir_model::fields::ShortString;

use super::{
    json,
    list::{self, Wanted},
    messages,
    words::{QueueAdminAnswer, QueueAdminRequest},
};
use crate::{
    Node,
    api::{
        Outcome,
        queues::{
            Bind, DeclareExchange, DeclareQueue, Destination, OpenSession, QueueOutcome,
            QueueRequest, QueueSession, Refused,
        },
    },
    audit::Requester,
    mailbox::{Mailbox, Reply, Ticket},
    peer::Answer,
    refusal::Refusal,
    routing::{
        RoutingCommand, RoutingOutcome,
        policy::{ApplyTo, PolicyRecord},
        record::{QueueType, VhostId},
        vhost_limits::VhostLimits,
    },
};

/// Called once with the answer.
pub(super) type Done = Box<dyn FnOnce(QueueAdminAnswer) + Send>;

type Heard = Box<dyn FnOnce(QueueOutcome) + Send>;

/// Answers a call.
pub(crate) fn serve(node: &Arc<Node>, request: &Bytes, answer: Answer) {
    let done: Done = Box::new(move |said| answer(said.encode()));
    match QueueAdminRequest::decode(request) {
        Ok(request) => node.queue_admin(&Requester::default(), request, done),
        Err(error) => done(QueueAdminAnswer::refused(error)),
    }
}

/// The body of a call as it is understood, written again.
pub(crate) fn reread_call(body: &[u8]) -> Option<Bytes> {
    let request = QueueAdminRequest::decode(body).ok()?;
    Some(request.to_call())
}

/// A request as it is carried out.
enum Work {
    /// By the session of a virtual host.
    Session(
        String,
        Box<dyn FnOnce(Arc<QueueSession>) -> QueueRequest + Send>,
    ),
    Command(RoutingCommand),
    Answered(QueueAdminAnswer),
    ListQueues(String, Wanted),
    Peek(String, ShortString, u32),
    Move(String, ShortString, ShortString, u32),
}

impl Node {
    /// Does what a person or a script asks for, from this node. Exchanges, bindings, queues and their
    /// messages are what the requester's permissions allow; whether they may do the rest is looked at before.
    pub fn queue_admin(
        self: &Arc<Self>,
        by: &Requester,
        request: QueueAdminRequest,
        done: Box<dyn FnOnce(QueueAdminAnswer) + Send>,
    ) {
        let done = self.noted(by, &request, QueueAdminAnswer::refusal, done);
        let work = self.admin_work(request);
        let work = work.unwrap_or_else(|why| Work::Answered(QueueAdminAnswer::refused(why)));
        match work {
            Work::Session(vhost, make) => with_session(self, by, vhost, move |node, opened| {
                let session = match opened {
                    Ok(session) => session,
                    Err(refused) => return done(QueueAdminAnswer::refused(refused)),
                };
                let request = make(Arc::clone(&session));
                // The session lives until it has been answered.
                ask(node, request, move |outcome| {
                    drop(session);
                    done(answer_of(outcome));
                });
            }),
            Work::Command(command) => carry_out(self, command, done),
            Work::Answered(answer) => done(answer),
            Work::ListQueues(vhost, wanted) => list::queues(self, &vhost, &wanted, done),
            Work::Peek(vhost, name, count) => {
                with_session(self, by, vhost, move |node, opened| {
                    messages::peek(node, opened, name, count, done);
                });
            }
            Work::Move(vhost, source, destination, count) => {
                with_session(self, by, vhost, move |node, opened| {
                    messages::move_some(node, opened, (source, destination), count, done);
                });
            }
        }
    }

    // Table: one request a row.
    fn admin_work(&self, request: QueueAdminRequest) -> Result<Work, Refusal> {
        use QueueAdminRequest as Request;
        Ok(match request {
            Request::ListVhosts { after, only } => {
                Work::Answered(list::vhosts(self, &Wanted { after, only }))
            }
            Request::ListExchanges { vhost, after, only } => {
                Work::Answered(list::exchanges(self, &vhost, &Wanted { after, only })?)
            }
            Request::ListBindings { vhost, after } => {
                Work::Answered(list::bindings(self, &vhost, after)?)
            }
            Request::ListPolicies {
                vhost,
                operator,
                after,
                only,
            } => {
                let wanted = Wanted { after, only };
                Work::Answered(list::policies(self, &vhost, operator, &wanted)?)
            }
            Request::ListQueues { vhost, after, only } => {
                Work::ListQueues(vhost, Wanted { after, only })
            }
            Request::Peek { vhost, name, count } => Work::Peek(vhost, short(&name)?, count),
            Request::MoveMessages {
                vhost,
                source,
                destination,
                count,
            } => Work::Move(vhost, short(&source)?, short(&destination)?, count),
            Request::DeclareExchange {
                vhost,
                name,
                kind,
                durable,
                auto_delete,
                internal,
                arguments,
            } => {
                let (name, kind) = (short(&name)?, short(&kind)?);
                let arguments = json::table(&arguments)?;
                session(vhost, move |session| {
                    QueueRequest::DeclareExchange(DeclareExchange {
                        session,
                        name,
                        kind,
                        is_passive: false,
                        is_durable: durable,
                        is_auto_delete: auto_delete,
                        is_internal: internal,
                        arguments,
                    })
                })
            }
            Request::DeleteExchange {
                vhost,
                name,
                if_unused,
            } => {
                let name = short(&name)?;
                session(vhost, move |session| QueueRequest::DeleteExchange {
                    session,
                    name,
                    if_unused,
                })
            }
            Request::Bind {
                vhost,
                source,
                destination,
                to_exchange,
                routing_key,
                arguments,
                remove,
            } => {
                let (source, destination) = (short(&source)?, short(&destination)?);
                let (routing_key, arguments) = (short(&routing_key)?, json::table(&arguments)?);
                session(vhost, move |session| {
                    let bind = Bind {
                        session,
                        source,
                        destination: match to_exchange {
                            true => Destination::Exchange(destination),
                            false => Destination::Queue(destination),
                        },
                        routing_key,
                        arguments,
                    };
                    match remove {
                        true => QueueRequest::Unbind(bind),
                        false => QueueRequest::Bind(bind),
                    }
                })
            }
            Request::DeclareQueue {
                vhost,
                name,
                durable,
                auto_delete,
                arguments,
            } => {
                let (name, arguments) = (short(&name)?, json::table(&arguments)?);
                session(vhost, move |session| {
                    QueueRequest::DeclareQueue(DeclareQueue {
                        session,
                        name,
                        is_passive: false,
                        is_durable: durable,
                        is_exclusive: false,
                        is_auto_delete: auto_delete,
                        arguments,
                    })
                })
            }
            Request::DeleteQueue {
                vhost,
                name,
                if_unused,
                if_empty,
            } => {
                let name = short(&name)?;
                session(vhost, move |session| QueueRequest::DeleteQueue {
                    session,
                    name,
                    if_unused,
                    if_empty,
                })
            }
            Request::PurgeQueue { vhost, name } => {
                let name = short(&name)?;
                session(vhost, move |session| QueueRequest::Purge { session, name })
            }
            Request::DeclareVhost {
                name,
                description,
                default_queue_type,
            } => Work::Command(RoutingCommand::CreateVhost {
                name,
                description,
                default_queue_type: default_queue_type.as_deref().map(queue_type).transpose()?,
            }),
            Request::SetVhostLimits {
                name,
                max_connections,
                max_queues,
            } => Work::Command(RoutingCommand::SetVhostLimits {
                name,
                limits: VhostLimits {
                    max_connections,
                    max_queues,
                },
            }),
            Request::DeleteVhost { name } => Work::Command(RoutingCommand::DeleteVhost { name }),
            Request::DeclarePolicy {
                vhost,
                operator,
                name,
                pattern,
                apply_to,
                priority,
                definition,
            } => Work::Command(RoutingCommand::PutPolicy {
                vhost,
                policy: policy((operator, name), pattern, &apply_to, priority, &definition)?,
            }),
            Request::DeletePolicy {
                vhost,
                operator,
                name,
            } => Work::Command(RoutingCommand::DeletePolicy {
                vhost,
                is_operator: operator,
                name,
            }),
        })
    }
}

fn queue_type(name: &str) -> Result<QueueType, String> {
    let kind = QueueType::named(name.as_bytes());
    kind.ok_or_else(|| format!("'{name}' is no type of queues"))
}

fn session(
    vhost: String,
    make: impl FnOnce(Arc<QueueSession>) -> QueueRequest + Send + 'static,
) -> Work {
    Work::Session(vhost, Box::new(make))
}

fn policy(
    (is_operator, name): (bool, String),
    pattern: String,
    apply_to: &str,
    priority: i32,
    definition: &Map<String, Value>,
) -> Result<PolicyRecord, String> {
    let applies = ApplyTo::named(apply_to);
    let policy = PolicyRecord {
        vhost: VhostId(0),
        is_operator,
        name,
        pattern,
        apply_to: applies.ok_or_else(|| format!("policies apply to nothing like '{apply_to}'"))?,
        priority,
        definition: json::table(definition)?,
    };
    match policy.fault() {
        None => Ok(policy),
        Some(fault) => Err(fault),
    }
}

pub(super) fn short(text: &str) -> Result<ShortString, String> {
    ShortString::new(text).ok_or_else(|| format!("'{text}' has more than 255 bytes"))
}

/// Proposes a command until there is nothing more for it to remove.
fn carry_out(node: &Arc<Node>, command: RoutingCommand, done: Done) {
    let again = Arc::clone(node);
    node.propose_routing(command.clone(), move |outcome| match outcome {
        Ok(RoutingOutcome::Removed { has_more: true, .. }) => carry_out(&again, command, done),
        Ok(RoutingOutcome::Refused(refused)) | Err(refused) => {
            done(QueueAdminAnswer::refused(refused));
        }
        Ok(
            RoutingOutcome::Done
            | RoutingOutcome::Removed { .. }
            | RoutingOutcome::QueueDeclared(_),
        ) => done(QueueAdminAnswer::Done),
    });
}

fn answer_of(outcome: QueueOutcome) -> QueueAdminAnswer {
    match outcome {
        QueueOutcome::Done | QueueOutcome::Declared(_) => QueueAdminAnswer::Done,
        QueueOutcome::Counted(messages) => QueueAdminAnswer::Counted { messages },
        QueueOutcome::Refused(refused) => QueueAdminAnswer::refused(refused),
        QueueOutcome::Opened(_)
        | QueueOutcome::Published(_)
        | QueueOutcome::Got(_)
        | QueueOutcome::Told(_) => QueueAdminAnswer::refused("another answer".to_owned()),
    }
}

/// Calls `then` with a session of its own, which may do what the requester may.
fn with_session(
    node: &Arc<Node>,
    by: &Requester,
    vhost: String,
    then: impl FnOnce(&Arc<Node>, Result<Arc<QueueSession>, Refused>) + Send + 'static,
) {
    let open = OpenSession {
        vhost: vhost.clone(),
        principal: by.principal().cloned(),
        grants: by.grants().cloned(),
        name: match by.peer() {
            "" => "an administrator".to_owned(),
            peer => peer.to_owned(),
        },
    };
    let asking = Arc::clone(node);
    let heard = move |outcome| match outcome {
        QueueOutcome::Opened(session) => then(&asking, Ok(session)),
        QueueOutcome::Refused(refused) => then(&asking, Err(refused)),
        QueueOutcome::Done
        | QueueOutcome::Declared(_)
        | QueueOutcome::Counted(_)
        | QueueOutcome::Published(_)
        | QueueOutcome::Got(_)
        | QueueOutcome::Told(_) => then(&asking, Err(Refused::NoVhost(vhost))),
    };
    node.open_session(open, false, reply_to(heard));
}

/// Asks this node itself.
pub(super) fn ask(
    node: &Arc<Node>,
    request: QueueRequest,
    heard: impl FnOnce(QueueOutcome) + Send + 'static,
) {
    node.queue_request(request, reply_to(heard));
}

/// Has `heard` called with the first thing that is told.
fn reply_to(heard: impl FnOnce(QueueOutcome) + Send + 'static) -> Reply {
    let heard: Mutex<Option<Heard>> = Mutex::new(Some(Box::new(heard)));
    let own: Arc<OnceLock<Weak<Mailbox>>> = Arc::default();
    let of_wake = Arc::clone(&own);
    let mailbox = Mailbox::new(Box::new(move || {
        let mailbox = of_wake.get().and_then(Weak::upgrade);
        let mut arrived = Vec::new();
        mailbox
            .iter()
            .for_each(|mailbox| mailbox.take(&mut arrived));
        for (_, outcome) in arrived {
            let heard = heard.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let (Outcome::Queue(outcome), Some(heard)) = (outcome, heard) {
                heard(outcome);
            }
        }
    }));
    own.get_or_init(|| Arc::downgrade(&mailbox));
    Reply::new(mailbox, Ticket(0))
}
