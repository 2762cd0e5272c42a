//! The session: frames in, requests to the node, answers out in the order of the requests.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;
use tracing::debug;
use weir_access::DecisionCache;
use weir_broker::{
    Ticket,
    api::{Outcome, Request},
    audit::Change,
    quota::QuotaKey,
};
use weir_door::{
    Bounds, CloseReason, Connection, Millis, Session, Waker, Work,
    limits::{MAX_IN_FLIGHT_BYTES, MAX_IN_FLIGHT_COUNT, MAX_UNSENT_BYTES},
    queue_room::give_back,
};

use super::{
    answer_budget::{Gathering, Share, bound, wanted_bytes},
    fetch_cache::Fetches,
    login::Login,
    queue::Queue,
    shared::TopicsOf,
    throttle::Throttle,
};
use crate::{
    KafkaConfig,
    codec::{
        frame::whole_frames,
        header::{self, HeaderError, Incoming},
        inbox::Inbox,
        versions::{Api, SERVED},
    },
    mapping::{
        api_versions, dispatch, over_tls,
        plan::{Answer, Client, MapError, Mapped},
    },
    permit::{cluster, held::Held},
};

mod asking;
mod logging_in;
mod mutations;

use mutations::TooMany;

pub use super::{close::KafkaClose, shared::Shared};

/// Bytes of answers that a client which has to log in may leave unread before nothing more is read from it.
pub const MAX_STRANGER_UNSENT_BYTES: usize = 4 << 10;
/// Memory that one array element of a request stands for, decoded and mapped, in bytes.
const ELEMENT_BYTES: usize = 256;

/// One connection of a Kafka client.
#[derive(Debug)]
pub struct KafkaSession {
    client: Client,
    inbox: Inbox,
    queue: Queue<KafkaClose>,
    /// Mapped and not yet taken by the node.
    asked: VecDeque<(Ticket, Request)>,
    /// The Fetch that the node works on, and how many bytes this connection counts for it. Only one at a time:
    /// answers of many at once would be held in memory until it is their turn.
    fetching: Option<(Ticket, usize)>,
    share: Share,
    gathering: Arc<Gathering>,
    throttle: Throttle,
    login: Login,
    allowed: DecisionCache,
    names: TopicsOf,
    /// What is to be done to outcomes before they are answers, by ticket.
    held: BTreeMap<u64, Held>,
    /// Places of requests that quotas did not let the node be asked for, by ticket.
    too_many: BTreeMap<u64, TooMany>,
    /// Changes without an answer, by ticket.
    changes: BTreeMap<u64, Change>,
    is_over_tls: bool,
    unsent: VecDeque<Bytes>,
    unsent_bytes: usize,
    /// Bytes of answers that the driver has, and the socket not yet.
    moved_bytes: usize,
    /// Nothing more is decoded: a frame before was refused.
    refused: bool,
    closed: Option<CloseReason>,
}

impl KafkaSession {
    /// A session beside others of the same node, for a connection that was just taken.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "what TLS told belongs to the session"
    )]
    pub fn sharing(connection: Connection, config: KafkaConfig, shared: &Shared) -> Self {
        let login = Login::new(&connection, config, shared);
        Self {
            client: Client {
                fetches: Arc::new(Fetches::new(Arc::clone(&shared.fetches))),
                shares: Arc::default(),
                now: Millis(0),
                max_fetch_bytes: config.max_fetch_bytes,
                host: format!("/{}", connection.peer.ip()),
                connection: connection.number,
                access: shared.access.clone(),
                principal: login.principal().clone(),
                address: connection.peer.ip().to_canonical(),
                id: StrBytes::default(),
            },
            inbox: Inbox::default(),
            queue: Queue::default(),
            asked: VecDeque::new(),
            fetching: None,
            share: Share::new(Arc::clone(&shared.answers)),
            gathering: Arc::new(Gathering::new(Arc::clone(&shared.answers))),
            throttle: Throttle::new(shared.access.quotas()),
            login,
            allowed: DecisionCache::default(),
            names: TopicsOf(Arc::clone(&shared.names)),
            held: BTreeMap::new(),
            too_many: BTreeMap::new(),
            changes: BTreeMap::new(),
            is_over_tls: connection.tls.is_some(),
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            moved_bytes: 0,
            refused: false,
            closed: None,
        }
    }

    /// Bytes of answers that the socket does not have yet.
    fn answer_bytes(&self) -> usize {
        self.moved_bytes + self.unsent_bytes + self.queue.answer_bytes()
    }

    /// Tells the node's budget what this connection holds, or will where a member of a share group is given all
    /// that it may.
    fn count_answers(&mut self) {
        let granted_bytes = self.fetching.map_or(0, |(_, bytes)| bytes);
        self.share.set(self.answer_bytes() + granted_bytes);
    }

    /// How much of what it wants the next Fetch is given; `None`: it waits for those before it, or for their
    /// bytes to leave.
    fn grant(&self, wanted_bytes: usize) -> Option<usize> {
        let room_bytes = MAX_UNSENT_BYTES.saturating_sub(self.answer_bytes());
        if self.fetching.is_some() || room_bytes == 0 {
            return None;
        }
        let is_given = self.share.is_given_any();
        is_given.then(|| wanted_bytes.min(room_bytes))
    }

    fn has_room(&self) -> bool {
        self.closed.is_none()
            && !self.refused
            && !self.login.is_busy()
            && !self.throttle.is_holding()
            && self.queue.count() < MAX_IN_FLIGHT_COUNT
            && self.queue.held_bytes() < MAX_IN_FLIGHT_BYTES
            && self.unsent_bytes < MAX_UNSENT_BYTES
            && !self.is_stranger_behind()
    }

    /// It has to log in, and does not read what it has asked for until then.
    fn is_stranger_behind(&self) -> bool {
        self.moved_bytes + self.unsent_bytes >= MAX_STRANGER_UNSENT_BYTES
            && self.login.is_required()
    }

    /// Decodes what there is room for, and moves answers whose turn it is.
    fn advance(&mut self) {
        loop {
            self.flush();
            if !self.has_room() {
                return;
            }
            match self.inbox.next_frame(self.login.frame_limits()) {
                Ok(Some(frame)) => self.frame(&frame),
                Ok(None) => return,
                Err(error) => self.refuse(error.into()),
            }
        }
    }

    fn frame(&mut self, frame: &Bytes) {
        let frame_bytes = frame.len();
        if self.login.takes_token() {
            self.allowed.clear();
            let reply = self.login.token(self.client.now, frame);
            return self.logged_in(reply, frame_bytes);
        }
        let incoming = match header::decode(frame) {
            Ok(incoming) => incoming,
            Err(HeaderError::ApiVersions { correlation, .. }) => {
                match api_versions::unknown_version(correlation) {
                    Ok(chunk) => self
                        .queue
                        .push_answer(Answer::Frame(vec![chunk]), frame_bytes),
                    Err(error) => self.refuse(MapError::from(error).into()),
                }
                return;
            }
            Err(error) => return self.refuse(error.into()),
        };
        if self.client.id != *incoming.client_id.as_deref().unwrap_or_default() {
            // A copy: a slice would keep its receive buffer for the connection's life.
            let id = incoming.client_id.as_deref().unwrap_or_default();
            self.client.id = StrBytes::from_string(id.to_owned());
            self.throttle.forget();
        }
        let head = incoming.head;
        if let Err(error) = self.login.admit(self.client.now, head.api) {
            return self.refuse(error.into());
        }
        if matches!(head.api, Api::SaslHandshake | Api::SaslAuthenticate) {
            return self.login(incoming, frame_bytes);
        }
        match self.ask(|asker| cluster::refusal(&incoming, asker)) {
            None | Some((Ok(None), _)) => {}
            Some((Ok(Some(frame)), denied)) => {
                self.noter().refused(&denied);
                let answer = Answer::Frame(vec![frame]);
                return self.queue.push_answer(answer, frame_bytes);
            }
            Some((Err(error), _)) => return self.refuse(error.into()),
        }
        self.throttle.refresh(self.client.caller());
        if head.api == Api::Produce {
            let (now, caller) = (self.client.now, self.client.caller());
            let key = QuotaKey::ProducerByteRate;
            self.throttle.count(now, key, caller, frame_bytes);
        }
        self.map(incoming, frame_bytes);
    }

    fn map(&mut self, incoming: Incoming, frame_bytes: usize) {
        let head = incoming.head;
        match dispatch::map(incoming, &self.client) {
            Ok((mapped, elements_count)) => {
                // A fetch session reads what no request names any more.
                let named_count = match &mapped {
                    Mapped::Ask(Request::Fetch(fetch), _) => fetch.partitions.len(),
                    Mapped::Ask(..) | Mapped::Answered(_) => 0,
                };
                let held_bytes = frame_bytes + elements_count.max(named_count) * ELEMENT_BYTES;
                match mapped {
                    Mapped::Ask(request, plan) => self.submit(head, request, plan, held_bytes),
                    Mapped::Answered(answer) => self.queue.push_answer(answer, held_bytes),
                }
            }
            Err(error) => self.refuse(error.into()),
        }
    }

    /// Makes the answer of what the node says.
    fn finish(&mut self, ticket: Ticket, mut outcome: Outcome) {
        if let Some(too_many) = self.too_many.remove(&ticket.0) {
            too_many.apply(&mut outcome);
        }
        if let Some(change) = self.changes.remove(&ticket.0) {
            self.noter().changed(&change, &outcome);
        }
        if let Some(held) = self.held.remove(&ticket.0) {
            self.ask(|asker| held.apply(&mut outcome, asker));
        }
        self.answer(ticket, outcome);
    }

    fn answer(&mut self, ticket: Ticket, outcome: Outcome) {
        let throttle_ms = self.throttle.left_ms(self.client.now);
        self.queue.complete(ticket, |mut head, plan| {
            head.throttle_ms = throttle_ms;
            dispatch::answer(&head, plan, outcome, &self.client).map_err(KafkaClose::from)
        });
    }

    /// Ends the connection after the answers to what came before.
    fn refuse(&mut self, error: KafkaClose) {
        debug!(client = %*self.client.id, %error, "refused");
        self.refused = true;
        self.inbox.clear();
        self.queue.push_failure(error);
    }

    fn flush(&mut self) {
        while self.closed.is_none()
            && let Some(answer) = self.queue.pop()
        {
            match answer {
                Ok(Answer::Frame(chunks)) => {
                    self.unsent_bytes += chunks.iter().map(Bytes::len).sum::<usize>();
                    self.unsent.extend(chunks);
                }
                Ok(Answer::Silent) => {}
                Ok(Answer::Close { code }) => self.close(KafkaClose::Unacknowledged { code }),
                Ok(Answer::Elsewhere) => self.close(KafkaClose::CutOff),
                Err(error) => self.close(error),
            }
        }
    }

    fn close(&mut self, error: KafkaClose) {
        let is_ours = matches!(
            error,
            KafkaClose::Map(MapError::Encode(_) | MapError::Mismatch(_)) | KafkaClose::CutOff
        );
        self.inbox.clear();
        self.closed = Some(if is_ours {
            CloseReason::Us(Box::new(error))
        } else {
            CloseReason::Peer(Box::new(error))
        });
    }
}

impl Session for KafkaSession {
    fn bounds(&self, buffered: &[u8]) -> Bounds {
        let (whole_bytes, missing_bytes) = whole_frames(buffered, self.login.frame_limits());
        Bounds {
            whole_bytes,
            missing_bytes,
        }
    }

    fn wake_by(&mut self, wake: Waker) {
        self.login.wake_by(wake);
    }

    fn receive(&mut self, now: Millis, bytes: Bytes) {
        self.client.now = now;
        if self.refused || self.closed.is_some() {
            return;
        }
        self.inbox.push(bytes);
        self.advance();
    }

    fn poll_request(&mut self) -> Option<(Ticket, Request)> {
        if self.closed.is_some() {
            return None;
        }
        let granted_bytes = match wanted_bytes(&self.asked.front()?.1) {
            Some(wanted_bytes) => self.grant(wanted_bytes)?,
            None => 0,
        };
        let (ticket, mut request) = self.asked.pop_front()?;
        give_back(&mut self.asked);
        let caller = self.client.caller();
        self.throttle.asks(caller, &request, &*self.names.0);
        if let Some(counted_bytes) =
            bound(&mut request, granted_bytes, &self.share, &self.gathering)
        {
            self.fetching = Some((ticket, counted_bytes));
            self.count_answers();
        }
        Some((ticket, request))
    }

    fn request_label(&self, ticket: Ticket) -> usize {
        let api = self.queue.head(ticket).map(|head| head.api);
        let mut served = SERVED.iter();
        let at = served.position(|line| Some(line.api) == api);
        at.unwrap_or(SERVED.len())
    }

    fn complete(&mut self, now: Millis, ticket: Ticket, mut outcome: Outcome) {
        self.client.now = now;
        if self.is_over_tls {
            over_tls::readdress(&mut outcome);
        }
        let is_fetched = self.fetching.is_some_and(|(fetch, _)| fetch == ticket);
        if is_fetched {
            self.fetching = None;
        }
        let caller = self.client.caller();
        self.throttle.given(now, caller, &outcome, &*self.names.0);
        self.finish(ticket, outcome);
        self.advance();
        self.count_answers();
        if is_fetched {
            self.gathering.settle();
        }
    }

    fn poll_work(&mut self) -> Option<Work> {
        self.login.poll_work()
    }

    fn worked(&mut self, now: Millis) {
        self.client.now = now;
        self.allowed.clear();
        if !self.refused {
            let reply = self.login.worked(now);
            self.logged_in(reply, 0);
            self.advance();
        }
    }

    fn is_timed(&self) -> bool {
        self.throttle.is_limited(QuotaKey::RequestPercentage)
    }

    fn note_busy(&mut self, now: Millis, busy_us: u64) {
        let busy_us = usize::try_from(busy_us).unwrap_or(usize::MAX);
        let (key, caller) = (QuotaKey::RequestPercentage, self.client.caller());
        self.throttle.count(now, key, caller, busy_us);
    }

    fn poll_transmit(&mut self, into: &mut Vec<Bytes>, max_bytes: usize) -> usize {
        let mut moved_bytes = 0;
        while moved_bytes < max_bytes
            && let Some(chunk) = self.unsent.pop_front()
        {
            moved_bytes += chunk.len();
            into.push(chunk);
        }
        assert!(
            moved_bytes <= self.unsent_bytes,
            "only unsent chunks are moved"
        );
        give_back(&mut self.unsent);
        self.unsent_bytes -= moved_bytes;
        self.moved_bytes += moved_bytes;
        if moved_bytes > 0 {
            self.advance();
            self.count_answers();
        }
        moved_bytes
    }

    fn note_written(&mut self, bytes: usize) {
        assert!(bytes <= self.moved_bytes, "only what was moved is written");
        let was_behind = self.is_stranger_behind();
        self.moved_bytes -= bytes;
        if was_behind {
            self.advance();
        }
        self.count_answers();
    }

    fn poll_timeout(&self) -> Option<Millis> {
        let is_open = self.closed.is_none() && !self.refused;
        let due = [self.login.poll_timeout(), self.throttle.due()];
        is_open.then(|| due.into_iter().flatten().min()).flatten()
    }

    fn handle_timeout(&mut self, now: Millis) {
        self.client.now = now;
        if let Some(gone) = self.login.gone() {
            self.close(gone.into());
        } else if let Some(reply) = self.login.take_late(now) {
            self.reply(reply, 0);
            self.advance();
        } else if let Err(error) = self.login.handle_timeout(now) {
            self.refuse(error.into());
            self.advance();
        }
        if self.throttle.is_holding() {
            self.throttle.look(now, self.client.caller());
            self.advance();
        }
    }

    fn wants_read(&self) -> bool {
        self.has_room()
    }

    fn in_flight_count(&self) -> usize {
        if self.closed.is_some() {
            0
        } else {
            self.queue.count() + usize::from(self.login.is_busy())
        }
    }

    fn held_bytes(&self) -> usize {
        self.queue.held_bytes() + self.inbox.bytes()
    }

    fn close_reason(&self) -> Option<&CloseReason> {
        self.closed.as_ref()
    }
}
