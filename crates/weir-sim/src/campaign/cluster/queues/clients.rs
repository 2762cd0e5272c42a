//! Those who use queues: their sessions begin, end, and vanish.

use std::collections::{BTreeMap, BTreeSet};

use weir_broker::{
    Ticket,
    api::{
        Request,
        queues::{OpenSession, QueueRequest, QueueSession},
    },
};

use super::state::{Job, Over, QueueAsked, QueueWhat, Session};
use crate::campaign::cluster::{events::Event, run::Cluster};

/// Longest time that a client stays away, in ms.
const MAX_AWAY_MS: u64 = 4_000;

impl Cluster<'_> {
    pub(in super::super) fn begin_queue_clients(&mut self) {
        for client in 0..self.queues.clients.len() {
            let at_ms = self
                .queues
                .rng
                .below(self.plan.queues.pause_ms.saturating_add(1));
            self.queue.put(at_ms, Event::QueueClient(client));
        }
    }

    /// A client's turn.
    pub(in super::super) fn queue_client(&mut self, client: usize) {
        let pause_ms = self.plan.queues.pause_ms.max(2);
        let next_ms = self.now_ms + self.queues.rng.between(pause_ms / 2, pause_ms * 3 / 2);
        self.queue.put(next_ms, Event::QueueClient(client));
        let job = self.queues.clients[client].job;
        if job == Job::Drain {
            return self.drain_turn(client);
        }
        let Some(session) = self.queues.clients[client].session else {
            if !self.is_ending {
                self.open_session(client);
            }
            return;
        };
        if self.queues.sessions[session].over.is_some() {
            return self.leave(client);
        }
        let (vanishes, ends) = {
            let rng = &mut self.queues.rng;
            let vanishes = rng.chance(self.plan.queues.vanish_per_mille);
            (vanishes, vanishes && rng.chance(300))
        };
        if vanishes && !self.is_ending {
            self.counts.add("queue_sessions_gone", 1);
            if ends {
                return self.end_politely(client, session);
            }
            return self.leave(client);
        }
        if !self.is_all_declared() {
            return self.declare_next(client, session);
        }
        match job {
            Job::Publish => self.publish_turn(client, session),
            Job::Consume => self.consume_turn(client, session),
            Job::Drain => {}
        }
    }

    pub(super) fn open_session(&mut self, client: usize) {
        let one = &self.queues.clients[client];
        if one.is_opening || self.now_ms < one.away_until_ms {
            return;
        }
        let up: Vec<usize> = self
            .machines
            .iter()
            .filter(|machine| machine.process.is_some())
            .map(|machine| machine.number)
            .collect();
        if up.is_empty() {
            return;
        }
        let machine = self.queues.rng.pick(&up);
        let open = OpenSession::by_user("/", "guest", &format!("client-{client}"));
        self.queues.clients[client].is_opening = true;
        let request = QueueRequest::Open(open);
        self.ask_machine((client, machine), None, request, QueueWhat::Open);
    }

    /// The session that a client asked for has begun.
    pub(super) fn session_opened(
        &mut self,
        ticket: Ticket,
        asked: &QueueAsked,
        handle: std::sync::Arc<QueueSession>,
    ) {
        let number = self.queues.sessions.len();
        self.queues.sessions.push(Session {
            client: asked.client,
            machine: asked.machine,
            handle: Some(handle),
            over: None,
            consumers: BTreeMap::new(),
            used: BTreeSet::new(),
            next_tag: 1,
            held: Vec::new(),
        });
        self.queues.ears.insert(ticket, number);
        self.counts.add("queue_sessions", 1);
        let client = &mut self.queues.clients[asked.client];
        client.is_opening = false;
        client.is_blocked = false;
        client.session = Some(number);
    }

    /// The client is gone, and with it its connection; what it holds is not settled.
    pub(super) fn leave(&mut self, client: usize) {
        let away_ms = self.queues.rng.below(MAX_AWAY_MS);
        let one = &mut self.queues.clients[client];
        one.away_until_ms = self.now_ms + away_ms;
        one.is_opening = false;
        if let Some(session) = one.session.take() {
            self.session_over(session, Over::Left);
        }
    }

    fn end_politely(&mut self, client: usize, session: usize) {
        if let Some(handle) = self.handle_of(session) {
            let request = QueueRequest::End { session: handle };
            self.ask_queues(session, request, QueueWhat::End);
        }
        self.leave(client);
    }

    pub(super) fn session_over(&mut self, session: usize, why: Over) {
        let one = &mut self.queues.sessions[session];
        one.over.get_or_insert(why);
        one.held.clear();
        // Whoever drops the last reference tells the node, which hears it in its next turn.
        let machine = one.machine;
        if one.handle.take().is_some() && why != Over::ProcessEnded {
            self.wake(machine);
        }
    }

    pub(super) fn handle_of(&self, session: usize) -> Option<std::sync::Arc<QueueSession>> {
        self.queues.sessions[session].handle.clone()
    }

    /// Asks the session's node.
    pub(super) fn ask_queues(&mut self, session: usize, request: QueueRequest, what: QueueWhat) {
        let one = &self.queues.sessions[session];
        let whose = (one.client, one.machine);
        self.ask_machine(whose, Some(session), request, what);
    }

    fn ask_machine(
        &mut self,
        (client, machine): (usize, usize),
        session: Option<usize>,
        request: QueueRequest,
        what: QueueWhat,
    ) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let words = [machine as u64, client as u64, ticket.0];
        self.trace.event("queue_asked", &words, || {
            format!(
                "{}: {client} ({session:?}) of {machine}: {what:?}",
                ticket.0
            )
        });
        let asked = QueueAsked {
            client,
            machine,
            session,
            what,
        };
        self.queues.open.insert(ticket, asked);
        let delay_ms = self
            .queues
            .rng
            .below(self.plan.clients.max_delay_ms.saturating_add(1));
        let last_ms = &mut self.queues.clients[client].last_arrival_ms;
        *last_ms = (self.now_ms + delay_ms).max(*last_ms);
        let event = Event::Request {
            machine,
            life: self.machines[machine].life,
            ticket,
            request: Request::Queue(request),
        };
        self.queue.put(*last_ms, event);
    }

    /// The machine's process is gone, and with it its sessions.
    pub(in super::super) fn lose_queue_sessions(&mut self, machine: usize) {
        let lost = self
            .queues
            .open
            .extract_if(.., |_, asked| asked.machine == machine);
        let lost: Vec<(Ticket, QueueAsked)> = lost.collect();
        for (_, asked) in lost {
            match &asked.what {
                QueueWhat::Open => self.queues.clients[asked.client].is_opening = false,
                QueueWhat::Publish(messages) => self.close_walls(asked.machine, messages),
                QueueWhat::Declare
                | QueueWhat::Consume(_)
                | QueueWhat::Cancel(_)
                | QueueWhat::Get(..)
                | QueueWhat::Settle(_)
                | QueueWhat::End
                | QueueWhat::Count(_) => {}
            }
        }
        for session in 0..self.queues.sessions.len() {
            let one = &self.queues.sessions[session];
            if one.machine == machine && one.handle.is_some() {
                self.session_over(session, Over::ProcessEnded);
            } else if one.machine == machine && one.over == Some(Over::Left) {
                self.queues.sessions[session].over = Some(Over::ProcessEnded);
            }
        }
        let sessions = &self.queues.sessions;
        self.queues
            .ears
            .retain(|_, session| sessions[*session].machine != machine);
    }

    /// The machine's wall clock is set: what it was, and what it is, count for what it publishes.
    pub(in super::super) fn jump(&mut self, machine: usize, off_ms: i64) {
        self.widen_walls(machine);
        self.machines[machine].jump(off_ms);
        self.widen_walls(machine);
    }

    fn widen_walls(&mut self, machine: usize) {
        let wall_ms = self.machines[machine].host.clock.now_ms();
        let open = self.queues.open.values();
        let of_machine = open.filter(|asked| asked.machine == machine);
        for asked in of_machine {
            if let QueueWhat::Publish(messages) = &asked.what {
                for message in messages {
                    if let Some(book) = self.queues.books.message_mut(*message) {
                        book.wall.widen(wall_ms);
                    }
                }
            }
        }
    }

    /// The machine can have taken these messages until now, and later no more.
    pub(super) fn close_walls(&mut self, machine: usize, messages: &[u64]) {
        let wall_ms = self.machines[machine].host.clock.now_ms();
        for message in messages {
            if let Some(book) = self.queues.books.message_mut(*message) {
                book.wall.widen(wall_ms);
            }
        }
    }

    /// A session that a delivery was taken from has to be over: whoever goes on has what it has.
    pub(in super::super) fn missing_of_queues(&self) -> Option<String> {
        if self.queues.is_unused() {
            return None;
        }
        let publishes = |asked: &&QueueAsked| match asked.what {
            QueueWhat::Publish(_) | QueueWhat::Settle(_) | QueueWhat::Cancel(_) => true,
            QueueWhat::Open
            | QueueWhat::Declare
            | QueueWhat::Consume(_)
            | QueueWhat::Get(..)
            | QueueWhat::End
            | QueueWhat::Count(_) => false,
        };
        if let Some(asked) = self.queues.open.values().find(publishes) {
            return Some(format!("a queue's client waits for an answer: {asked:?}"));
        }
        let bereft = self.queues.books.bereft.iter();
        let mut bereft = bereft.filter(|(session, _)| {
            let session = &self.queues.sessions[**session];
            session.over.is_none()
        });
        let bereft = bereft.next();
        bereft.map(|(session, why)| format!("session {session} goes on, was robbed: {why}"))
    }
}
