//! What a connection has asked of the node, and what becomes of the answers.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use weir_broker::{
    Ticket,
    api::{
        Request,
        queues::{ConsumerTag, Message, QueueRequest, QueueSession},
    },
};
use weir_model::fields::ShortString;

use crate::codec::{Method, MethodId};

/// Memory that a request or a waiting method stands for besides its bodies, in bytes.
pub(super) const REQUEST_BYTES: usize = 256;
/// Bits of a consumer's number that are its channel's.
const CHANNEL_BITS: u32 = 16;

/// Kinds of requests whose durations are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// Sessions begin and end.
    Session,
    /// Exchanges, queues and bindings change.
    Topology,
    /// Consumers come, go, and change their limits.
    Consumer,
    /// `basic.get`
    Get,
    /// Messages of publishers.
    Publish,
    /// Acknowledgements and the like.
    Settle,
    /// `queue.purge`
    Purge,
}

impl Label {
    /// All of them; a label's number is its place.
    pub const ALL: [Self; 7] = [
        Self::Session,
        Self::Topology,
        Self::Consumer,
        Self::Get,
        Self::Publish,
        Self::Settle,
        Self::Purge,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "Session",
            Self::Topology => "Topology",
            Self::Consumer => "Consumer",
            Self::Get => "Get",
            Self::Publish => "Publish",
            Self::Settle => "Settle",
            Self::Purge => "Purge",
        }
    }

    fn of(request: &QueueRequest) -> Self {
        match request {
            QueueRequest::Open(_) | QueueRequest::End { .. } => Self::Session,
            QueueRequest::DeclareExchange(_)
            | QueueRequest::DeleteExchange { .. }
            | QueueRequest::Bind(_)
            | QueueRequest::Unbind(_)
            | QueueRequest::DeclareQueue(_)
            | QueueRequest::DeleteQueue { .. } => Self::Topology,
            QueueRequest::Purge { .. } => Self::Purge,
            QueueRequest::Publish(_) | QueueRequest::CheckPublish { .. } => Self::Publish,
            QueueRequest::Consume(_) | QueueRequest::Cancel { .. } | QueueRequest::Limit { .. } => {
                Self::Consumer
            }
            QueueRequest::Get { .. } => Self::Get,
            QueueRequest::Settle { .. } => Self::Settle,
        }
    }
}

/// What the client is told once a request is answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// This method, or nothing where it does not wait.
    Done(Option<Method>),
    /// `queue.declare-ok`
    Declared { no_wait: bool },
    /// `queue.delete-ok`
    Deleted { no_wait: bool },
    /// `queue.purge-ok`
    Purged { no_wait: bool },
    /// `basic.consume-ok`, or the consumer is none.
    Consuming {
        consumer: ConsumerTag,
        answer: Option<Method>,
    },
    /// `basic.cancel-ok`
    Cancelled {
        consumer: ConsumerTag,
        answer: Option<Method>,
    },
    /// `basic.get-ok` or `basic.get-empty`
    Got { queue: ShortString, no_ack: bool },
    /// `basic.recover-ok`, where it is waited for.
    Recovered { answers: bool },
}

/// What is done with an answer.
#[derive(Debug)]
pub(super) enum Then {
    /// The session has begun, and everything that it is told.
    Opened,
    /// The session has ended: the connection may.
    Ended,
    /// The channel goes on with what waits behind.
    Answer(MethodId, Answer),
    /// Verdicts on messages.
    Published(Published),
    /// The messages of a transaction are stored.
    Committed(Published),
    /// Its acknowledgements as well.
    CommittedAcks,
    /// Nobody waits for it.
    Noted(MethodId),
}

/// Messages that the node was given.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// The number of the first one, where they are confirmed.
    pub(super) first_confirm: Option<u64>,
    /// Mandatory ones, by their place.
    pub(super) mandatory: Vec<(usize, Message)>,
}

/// Who waits for an answer.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The channel, 0 for the connection.
    pub(super) channel: u16,
    /// Tells channels of the same number apart.
    pub(super) incarnation: u64,
    pub(super) then: Then,
    held_bytes: usize,
    label: Label,
}

/// Requests on their way.
#[derive(Debug, Default)]
pub(super) struct Asks {
    /// The connection's session, once it has begun.
    pub(super) session: Option<Arc<QueueSession>>,
    asked: VecDeque<(Ticket, QueueRequest)>,
    waiting: BTreeMap<Ticket, Waiting>,
    next_ticket: u64,
    next_number: u64,
    /// The ticket of the session's beginning, under which it is told of deliveries.
    opened: Option<Ticket>,
    held_bytes: usize,
}

impl Asks {
    /// Requests without an answer.
    pub(super) fn count(&self) -> usize {
        self.waiting.len()
    }

    /// Whether messages are among them.
    pub(super) fn is_publishing(&self) -> bool {
        let mut waiting = self.waiting.values();
        waiting.any(|waiting| waiting.label == Label::Publish)
    }

    /// Bytes of them.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// A number that was never given before on this connection.
    pub(super) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// A new consumer's number, which tells its channel.
    pub(super) fn consumer(&mut self, channel: u16) -> ConsumerTag {
        ConsumerTag(self.number() << CHANNEL_BITS | u64::from(channel))
    }

    /// Asks. `body_bytes` is what the request holds of the client's bodies.
    pub(super) fn ask(
        &mut self,
        (channel, incarnation): (u16, u64),
        request: QueueRequest,
        body_bytes: usize,
        then: Then,
    ) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        if matches!(then, Then::Opened) {
            self.opened = Some(ticket);
        }
        let held_bytes = body_bytes + REQUEST_BYTES;
        self.held_bytes += held_bytes;
        let label = Label::of(&request);
        let waiting = Waiting {
            channel,
            incarnation,
            then,
            held_bytes,
            label,
        };
        self.waiting.insert(ticket, waiting);
        self.asked.push_back((ticket, request));
    }

    pub(super) fn poll(&mut self) -> Option<(Ticket, Request)> {
        let (ticket, request) = self.asked.pop_front()?;
        Some((ticket, Request::Queue(request)))
    }

    pub(super) fn label(&self, ticket: Ticket) -> Label {
        self.waiting
            .get(&ticket)
            .map_or(Label::Session, |waiting| waiting.label)
    }

    /// Whether the ticket is that of what the session is told without asking.
    pub(super) fn is_session(&self, ticket: Ticket) -> bool {
        self.opened == Some(ticket)
    }

    /// Who waits for this answer.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<Waiting> {
        let waiting = self.waiting.remove(&ticket)?;
        self.held_bytes -= waiting.held_bytes;
        Some(waiting)
    }

    /// Gives up the session and everything that was not asked yet.
    pub(super) fn end(&mut self) {
        for (ticket, _) in std::mem::take(&mut self.asked) {
            self.take(ticket);
        }
        self.session = None;
    }
}

/// The channel that a consumer belongs to.
pub(super) fn channel_of(consumer: ConsumerTag) -> u16 {
    u16::try_from(consumer.0 & 0xffff).expect("16 bits")
}
