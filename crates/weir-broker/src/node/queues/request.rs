//! What doors ask of exchanges and queues.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use weir_access::Principal;
use weir_model::ErrorKind;

use super::{
    QueueSession, consume::refuse, replies::is_reply_address, session::peer_of, wire::Sessions,
};
use crate::{
    Node,
    access::{Ear, EnterRefused, Guard, Seat, UserGone, VhostPlace},
    api::{
        Outcome,
        queues::{OpenSession, QueueOutcome, QueueRequest, Refused, Tiding},
    },
    mailbox::{Reply, Sink},
    queue::{CloseIf, SessionKey},
};

/// Whose request it is.
fn session_of(request: &QueueRequest) -> Option<&QueueSession> {
    match request {
        QueueRequest::Open(_) => None,
        QueueRequest::Publish(publish) => Some(&publish.session),
        QueueRequest::Consume(consume) => Some(&consume.session),
        QueueRequest::DeclareExchange(declare) => Some(&declare.session),
        QueueRequest::Bind(bind) | QueueRequest::Unbind(bind) => Some(&bind.session),
        QueueRequest::DeclareQueue(declare) => Some(&declare.session),
        QueueRequest::CheckPublish { session, .. }
        | QueueRequest::Cancel { session, .. }
        | QueueRequest::Limit { session, .. }
        | QueueRequest::End { session }
        | QueueRequest::Get { session, .. }
        | QueueRequest::Settle { session, .. }
        | QueueRequest::Purge { session, .. }
        | QueueRequest::DeleteExchange { session, .. }
        | QueueRequest::DeleteQueue { session, .. } => Some(session),
    }
}

impl Node {
    pub(super) fn take_queue_request(self: &Arc<Self>, request: QueueRequest, reply: Reply) {
        if let Err(refused) = self.check_permitted(&request) {
            if let Some(session) = session_of(&request) {
                session.note_refused(&refused);
            }
            return refuse(reply, refused);
        }
        match request {
            QueueRequest::Open(open) => self.open_session(open, true, reply),
            QueueRequest::End { session } => self.end_session(&session, Some(reply)),
            QueueRequest::Publish(publish) => self.publish(publish, reply),
            QueueRequest::CheckPublish { session, messages } => {
                self.check_publish(&session, &messages, reply);
            }
            QueueRequest::Consume(consume) => self.consume(consume, reply),
            QueueRequest::Cancel {
                session,
                consumer,
                held,
            } => self.cancel(&session, (consumer, held), reply),
            QueueRequest::Limit {
                session,
                consumer,
                prefetch_count,
            } => Self::limit(&session, consumer, prefetch_count, reply),
            QueueRequest::Get {
                session,
                name,
                no_ack,
            } => self.get(&session, &name, no_ack, reply),
            QueueRequest::Settle {
                session,
                deliveries,
            } => self.settle(&session, deliveries, reply),
            QueueRequest::Purge { session, name } => self.purge(&session, name, reply),
            QueueRequest::DeclareExchange(declare) => self.declare_exchange(declare, reply),
            QueueRequest::DeleteExchange {
                session,
                name,
                if_unused,
            } => self.delete_exchange(&session, name, if_unused, reply),
            QueueRequest::Bind(bind) => self.bind(bind, reply),
            QueueRequest::Unbind(bind) => self.unbind(bind, reply),
            QueueRequest::DeclareQueue(declare) if is_reply_address(&declare.name) => {
                self.declare_reply_address(declare, reply);
            }
            QueueRequest::DeclareQueue(declare) => {
                let (node, order) = (Arc::clone(self), Arc::clone(&declare.session.order));
                order.after(move || node.declare_queue(declare, reply));
            }
            QueueRequest::DeleteQueue {
                session,
                name,
                if_unused,
                if_empty,
            } => {
                let (node, order) = (Arc::clone(self), Arc::clone(&session.order));
                let only = CloseIf {
                    is_unused: if_unused,
                    is_empty: if_empty,
                };
                order.after(move || node.delete_queue(&session, &name, only, reply));
            }
        }
    }

    /// `is_counted`: it has a place among its user's and its virtual host's, as connections do.
    pub(crate) fn open_session(
        self: &Arc<Self>,
        open: OpenSession,
        is_counted: bool,
        reply: Reply,
    ) {
        let node = Arc::clone(self);
        self.when_run_has_begun(Box::new(move || {
            if node.access().is_known() {
                return node.begin_session(open, is_counted, reply);
            }
            // It has begun for group 0, of which this node may not have heard anything yet.
            let asked = Arc::clone(&node);
            asked.when_current(Box::new(move |current| match current {
                Ok(()) => node.begin_session(open, is_counted, reply),
                Err(refused) => refuse(reply, refused.clone()),
            }));
        }));
    }

    fn begin_session(self: &Arc<Self>, open: OpenSession, is_counted: bool, reply: Reply) {
        if !self.access().is_known() {
            // Not a refusal of the user's, of whom nothing is known: the client may try again.
            return refuse(reply, Refused::Failed(ErrorKind::CoordinatorLoading));
        }
        let vhost = self.topology.load().routing().vhost(&open.vhost).cloned();
        let Some(vhost) = vhost else {
            return refuse(reply, Refused::NoVhost(open.vhost));
        };
        let guard = Guard::new(
            self.access().clone(),
            open.principal.clone(),
            open.grants.clone(),
        );
        if let Err(refused) = guard.enter(&open.vhost) {
            guard.note_refused(peer_of(&open.name), &open.vhost, &refused);
            return refuse(reply, refused);
        }
        let max_connections = vhost.limits.max_connections;
        let who = open.principal.as_ref().filter(|_| is_counted);
        let seat = who.map(|who| self.seat(&open, max_connections, reply.sink(), who));
        let seat = match seat.transpose() {
            Ok(seat) => seat,
            Err(refused) => {
                let refused = Refused::Limit(refused.to_string());
                guard.note_refused(peer_of(&open.name), &open.vhost, &refused);
                return refuse(reply, refused);
            }
        };
        let key = self.sessions.next_key();
        let session = QueueSession::new(self, key, open, (reply.sink(), seat));
        self.sessions.insert(&session);
        reply.send(Outcome::Queue(QueueOutcome::Opened(Arc::clone(&session))));
        self.sessions.tell_alarm(&session);
    }

    /// The session's place among its user's and its virtual host's.
    fn seat(
        &self,
        open: &OpenSession,
        max_connections: Option<u32>,
        sink: Sink,
        who: &Principal,
    ) -> Result<Seat, EnterRefused> {
        let place = VhostPlace {
            name: &open.vhost,
            max_connections,
        };
        let ear: Ear = Arc::new(move |gone: &UserGone| {
            let told = vec![Tiding::Expelled(gone.to_string())];
            sink.tell(Outcome::Queue(QueueOutcome::Told(told)));
        });
        self.access().enter(who, Some(place), ear)
    }

    /// Ends a session before its last reference is gone.
    fn end_session(self: &Arc<Self>, session: &QueueSession, reply: Option<Reply>) {
        self.sessions.begin_end(session.key);
        session.streams.end_all();
        for consumer in session.told.end() {
            if let Some(queue) = consumer.queue {
                self.watchers.remove(queue, consumer.attach.consumer);
            }
        }
        // Answered by the one of the two that ends last.
        let (last, is_half) = (
            Arc::new(Mutex::new(reply)),
            Arc::new(AtomicBool::new(false)),
        );
        let half = move || {
            if is_half.swap(true, Ordering::AcqRel)
                && let Some(reply) = last.lock().unwrap_or_else(PoisonError::into_inner).take()
            {
                reply.send(Outcome::Queue(QueueOutcome::Done));
            }
        };
        let may_own_more = session.may_own_more.load(Ordering::Acquire);
        self.delete_exclusive_queues((session.key, may_own_more), Box::new(half.clone()));
        let (node, key) = (Arc::clone(self), session.key);
        let is_known = move || {
            node.sessions.has_ended(key);
            half();
        };
        session.lines.end(Some(Box::new(is_known)));
    }

    /// Leaders of queues have ended these sessions since this node was away. Gives those that are no
    /// more already, with nothing under way: what one asked for before is void as long as it is lost
    /// to the leader, and would count as done afterwards.
    pub(super) fn lose_sessions(self: &Arc<Self>, sessions: &[SessionKey]) -> Sessions {
        let mut answer = Sessions::default();
        for key in sessions {
            match self.sessions.get(*key) {
                Some(session) => {
                    session.told.lose();
                    self.end_session(&session, None);
                }
                None if self.sessions.is_ending(*key) => {}
                None => answer.ended.push(*key),
            }
        }
        answer
    }

    /// The last reference to a session is gone.
    pub(super) fn session_dropped(self: &Arc<Self>, session: &QueueSession) {
        self.end_session(session, None);
    }
}
