//! One channel: what came on it is done in order, one question that is answered at a time, and
//! publishes and acknowledgements side by side.

use std::{collections::VecDeque, sync::Arc};

use weir_broker::{
    access::ChannelSeat,
    api::queues::{
        ConsumerTag, Delivered, DeliveryId, Held, Message, QueueOutcome, QueueRequest,
        QueueSession, Settlement,
    },
};
use weir_door::Millis;
use weir_model::{ErrorKind, fields::ShortString};

use super::{
    alarm::Alarm,
    asks::{Answer, Asks, Published, Then},
    assembly::{Assembly, Incoming},
    consumers::Consumers,
    outbox::Outbox,
    properties::Capabilities,
    publish::Confirms,
    settle::Unacked,
    throttle::Throttle,
    transaction::Transaction,
};
use crate::{
    codec::{Frame, Method, MethodId, method},
    wire_code::{Failure, ReplyCode},
};

/// What all channels of a connection work with.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) outbox: Outbox,
    pub(super) asks: Asks,
    pub(super) client: Capabilities,
    pub(super) alarm: Alarm,
    pub(super) throttle: Throttle,
    /// Who it is.
    pub(super) user: ShortString,
    /// The connection's number on this node.
    pub(super) number: u64,
    pub(super) now: Millis,
    /// How long a client may have a delivery of which nobody says so, in ms; `None`: for ever.
    pub(super) consumer_timeout_ms: Option<u64>,
    /// When to look at what is not settled.
    pub(super) look_at: Option<Millis>,
    /// Bytes of what waits in channels behind a question.
    pub(super) pending_bytes: usize,
    /// Bytes of messages in open transactions.
    pub(super) transacted_bytes: usize,
    /// Bytes of bodies that are not whole, and bytes that they lack.
    pub(super) assembled_bytes: usize,
    pub(super) lacking_bytes: usize,
}

impl Link {
    pub(super) fn session(&self) -> Result<Arc<QueueSession>, Failure> {
        let session = self.asks.session.clone();
        session.ok_or_else(|| Failure::new(ReplyCode::InternalError, "the session is over"))
    }

    /// Asks for what nobody waits for, on nobody's behalf.
    pub(super) fn ask_aside(&mut self, request: QueueRequest) {
        let then = Then::Noted(MethodId::default());
        self.asks.ask((0, 0), request, 0, then);
    }

    /// Gives a message back whose consumer is gone.
    pub(super) fn return_delivered(&mut self, delivered: &Delivered) {
        if let Some(session) = &self.asks.session {
            session.note_sent(delivered.record.len());
        }
        self.give_back(vec![(delivered.id, Settlement::Requeue)]);
    }

    /// Gives messages back that have no consumer any more.
    pub(super) fn give_back(&mut self, deliveries: Vec<(DeliveryId, Settlement)>) {
        if let Some(session) = self.asks.session.clone()
            && !deliveries.is_empty()
        {
            self.ask_aside(QueueRequest::Settle {
                session,
                deliveries,
            });
        }
    }
}

/// How messages are published.
#[derive(Debug)]
pub(super) enum Mode {
    Plain,
    Confirm(Confirms),
    Transaction(Transaction),
}

/// Messages of one batch of frames, for one request.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) messages: Vec<Message>,
    pub(super) bytes: usize,
    pub(super) published: Published,
}

/// An open channel.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) number: u16,
    pub(super) incarnation: u64,
    /// Its place among its user's.
    _seat: Option<ChannelSeat>,
    assembly: Assembly,
    pending: VecDeque<Incoming>,
    /// A question is being answered; what came after it waits.
    pub(super) is_busy: bool,
    /// Requests without an answer.
    pub(super) in_flight_count: usize,
    /// The client closes it.
    is_leaving: bool,
    /// It deletes a queue: its own consumers of it hear of that after the answer.
    pub(super) is_deleting: bool,
    pub(super) lost_tags: Vec<ShortString>,
    pub(super) mode: Mode,
    pub(super) batch: Batch,
    pub(super) settled: Vec<(DeliveryId, Settlement)>,
    /// The queue that an empty name means.
    pub(super) last_queue: ShortString,
    /// For consumers to come.
    pub(super) prefetch_count: u16,
    /// For all consumers together; 0: no limit.
    pub(super) limit_count: u16,
    pub(super) consumers: Consumers,
    pub(super) unacked: Unacked,
}

impl Channel {
    pub(super) fn new(number: u16, incarnation: u64, seat: Option<ChannelSeat>) -> Self {
        Self {
            number,
            incarnation,
            _seat: seat,
            assembly: Assembly::default(),
            pending: VecDeque::new(),
            is_busy: false,
            in_flight_count: 0,
            is_leaving: false,
            is_deleting: false,
            lost_tags: Vec::new(),
            mode: Mode::Plain,
            batch: Batch::default(),
            settled: Vec::new(),
            last_queue: ShortString::default(),
            prefetch_count: 0,
            limit_count: 0,
            consumers: Consumers::default(),
            unacked: Unacked::default(),
        }
    }

    /// Takes a frame.
    pub(super) fn frame(&mut self, link: &mut Link, frame: &Frame) -> Result<(), Failure> {
        if self.is_leaving {
            return Ok(());
        }
        self.count_assembly(link, false);
        let taken = self.assembly.take(frame);
        self.count_assembly(link, true);
        if let Some(incoming) = taken? {
            link.pending_bytes += incoming.held_bytes();
            self.pending.push_back(incoming);
            self.run(link)?;
        }
        Ok(())
    }

    fn count_assembly(&self, link: &mut Link, is_added: bool) {
        let (held_bytes, left_bytes) = self.assembly.bytes();
        if is_added {
            link.assembled_bytes += held_bytes;
            link.lacking_bytes += left_bytes;
        } else {
            link.assembled_bytes -= held_bytes;
            link.lacking_bytes -= left_bytes;
        }
    }

    /// Does what waits, as far as it can be done.
    pub(super) fn run(&mut self, link: &mut Link) -> Result<(), Failure> {
        while !self.is_busy
            && let Some(next) = self.pending.front()
        {
            let (is_flowing, needs_idle) = (next.is_flowing(), next.needs_idle());
            if !is_flowing {
                self.flush(link)?;
            }
            if needs_idle && self.in_flight_count > 0 {
                return Ok(());
            }
            let Some(next) = self.pending.pop_front() else {
                return Ok(());
            };
            link.pending_bytes -= next.held_bytes();
            match next {
                Incoming::Publish(incomer) => {
                    let id = Method::BasicPublish(method::BasicPublish::default()).id();
                    self.publish(link, *incomer)
                        .map_err(|failure| failure.of(id))?;
                }
                Incoming::Method(method) => {
                    let id = method.id();
                    self.perform(link, method)
                        .map_err(|failure| failure.of(id))?;
                }
            }
        }
        Ok(())
    }

    /// Hands over what was collected.
    pub(super) fn flush(&mut self, link: &mut Link) -> Result<(), Failure> {
        self.flush_batch(link)?;
        self.check_transaction(link)?;
        if !self.settled.is_empty() {
            let deliveries = std::mem::take(&mut self.settled);
            let request = QueueRequest::Settle {
                session: link.session()?,
                deliveries,
            };
            self.ask_beside(link, request, 0, Then::Noted(SETTLE));
        }
        Ok(())
    }

    /// Whether nothing is left to be done or answered.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight_count == 0 && self.pending.is_empty()
    }

    /// Whether the client closed it and everything is answered.
    pub(super) fn is_gone(&self) -> bool {
        self.is_leaving && self.in_flight_count == 0
    }

    fn perform(&mut self, link: &mut Link, method: Method) -> Result<(), Failure> {
        match method {
            Method::ChannelClose(_) => self.leave(link),
            Method::ChannelOpen(_) => Err(Failure::new(
                ReplyCode::ChannelError,
                "second 'channel.open' seen",
            )),
            Method::ChannelFlow(method::ChannelFlow { active: true }) => {
                self.say(link, method::ChannelFlowOk { active: true });
                Ok(())
            }
            Method::ChannelFlow(_) => Err(Failure::new(ReplyCode::NotImplemented, "active=false")),
            // Nobody asked; as late as this it means nothing.
            Method::ChannelFlowOk(_) | Method::BasicCancelOk(_) | Method::ChannelCloseOk(_) => {
                Ok(())
            }
            Method::AccessRequest(_) => {
                self.say(link, method::AccessRequestOk { ticket: 1 });
                Ok(())
            }
            Method::ConfirmSelect(select) => self.select_confirm(link, &select),
            method => self.perform_class(link, method),
        }
    }

    fn perform_class(&mut self, link: &mut Link, method: Method) -> Result<(), Failure> {
        match method.id().class {
            40 => self.on_exchange(link, method),
            50 => self.on_queue(link, method),
            60 => self.on_basic(link, method),
            90 => self.on_transaction(link, &method),
            _ => Err(misplaced(&method)),
        }
    }

    /// Asks what the client waits for.
    pub(super) fn ask(
        &mut self,
        link: &mut Link,
        id: MethodId,
        request: QueueRequest,
        answer: Answer,
    ) {
        self.ask_first(link, request, 0, Then::Answer(id, answer));
    }

    /// Asks; what comes on the channel waits for the answer.
    pub(super) fn ask_first(
        &mut self,
        link: &mut Link,
        request: QueueRequest,
        body_bytes: usize,
        then: Then,
    ) {
        self.is_busy = true;
        self.ask_beside(link, request, body_bytes, then);
    }

    /// Asks; what comes on the channel goes on.
    pub(super) fn ask_beside(
        &mut self,
        link: &mut Link,
        request: QueueRequest,
        body_bytes: usize,
        then: Then,
    ) {
        self.in_flight_count += 1;
        let channel = (self.number, self.incarnation);
        link.asks.ask(channel, request, body_bytes, then);
    }

    pub(super) fn say(&self, link: &mut Link, method: impl Into<Method>) {
        link.outbox.method(self.number, &method.into());
    }

    /// Takes the answer to a request of this channel.
    pub(super) fn complete(
        &mut self,
        link: &mut Link,
        then: Then,
        outcome: QueueOutcome,
    ) -> Result<(), Failure> {
        self.in_flight_count -= 1;
        let publish = Method::BasicPublish(method::BasicPublish::default()).id();
        match then {
            Then::Answer(id, answer) => {
                self.is_busy = false;
                self.answer(link, answer, outcome)
                    .map_err(|failure| failure.of(id))?;
            }
            Then::Published(published) => self
                .published(link, published, outcome)
                .map_err(|failure| failure.of(publish))?,
            Then::Committed(published) => self.committed(link, published, outcome)?,
            Then::CommittedAcks => self.committed_acks(link, outcome)?,
            Then::Noted(id) => {
                if let QueueOutcome::Refused(refused) = outcome {
                    return Err(Failure::refused(&refused).of(id));
                }
            }
            // The connection's own.
            Then::Opened | Then::Ended => {}
        }
        self.run(link)
    }

    fn answer(
        &mut self,
        link: &mut Link,
        answer: Answer,
        outcome: QueueOutcome,
    ) -> Result<(), Failure> {
        let outcome = match outcome {
            QueueOutcome::Refused(refused) => {
                if let Answer::Consuming { consumer, .. } = answer {
                    self.consumers.remove(consumer);
                }
                return Err(Failure::refused(&refused));
            }
            outcome => outcome,
        };
        match (answer, outcome) {
            (Answer::Done(method), QueueOutcome::Done) => self.say_if(link, method),
            (Answer::Declared { no_wait }, QueueOutcome::Declared(declared)) => {
                self.declared(link, declared, no_wait);
            }
            (Answer::Deleted { no_wait }, QueueOutcome::Counted(count)) => {
                let message_count = u32::try_from(count).unwrap_or(u32::MAX);
                let answer = Method::from(method::QueueDeleteOk { message_count });
                self.say_if(link, (!no_wait).then_some(answer));
                self.deleted(link);
            }
            (Answer::Purged { no_wait }, QueueOutcome::Counted(count)) => {
                let message_count = u32::try_from(count).unwrap_or(u32::MAX);
                let answer = Method::from(method::QueuePurgeOk { message_count });
                self.say_if(link, (!no_wait).then_some(answer));
            }
            (Answer::Consuming { consumer, answer }, QueueOutcome::Done) => {
                self.say_if(link, answer);
                self.consuming(link, consumer);
            }
            (Answer::Cancelled { consumer, answer }, QueueOutcome::Done) => {
                self.cancelled(link, consumer);
                self.say_if(link, answer);
            }
            (Answer::Got { queue, no_ack }, QueueOutcome::Got(got)) => {
                self.got(link, &queue, no_ack, got);
            }
            (Answer::Recovered { answers }, QueueOutcome::Done) => {
                let answer = Method::from(method::BasicRecoverOk {});
                self.say_if(link, answers.then_some(answer));
            }
            (answer, outcome) => return Err(mismatch(&answer, &outcome)),
        }
        Ok(())
    }

    fn say_if(&self, link: &mut Link, method: Option<Method>) {
        if let Some(method) = method {
            link.outbox.method(self.number, &method);
        }
    }

    /// The client closes it: what it holds goes back, and then it is told.
    fn leave(&mut self, link: &mut Link) -> Result<(), Failure> {
        self.is_leaving = true;
        // Whatever came behind is nobody's.
        let pending = std::mem::take(&mut self.pending);
        link.pending_bytes -= pending.iter().map(Incoming::held_bytes).sum::<usize>();
        let session = link.session()?;
        for consumer in self.consumers.numbers() {
            let session = Arc::clone(&session);
            let request = QueueRequest::Cancel {
                session,
                consumer,
                held: Held::Returns,
            };
            self.ask_beside(link, request, 0, Then::Noted(CLOSE));
        }
        self.roll_back_all(link);
        self.consumers = Consumers::default();
        self.flush(link)
    }

    /// Gives everything back, on nobody's behalf: the channel has failed. Returns whether the
    /// client has closed it as well.
    pub(super) fn abandon(&mut self, link: &mut Link) -> bool {
        self.count_assembly(link, false);
        let pending = std::mem::take(&mut self.pending);
        link.pending_bytes -= pending.iter().map(Incoming::held_bytes).sum::<usize>();
        let Ok(session) = link.session() else {
            return false;
        };
        for consumer in self.consumers.numbers() {
            let session = Arc::clone(&session);
            link.ask_aside(QueueRequest::Cancel {
                session,
                consumer,
                held: Held::Returns,
            });
        }
        self.roll_back_all(link);
        let back = std::mem::take(&mut self.settled);
        link.give_back(back);
        let mut pending = pending.iter();
        self.is_leaving
            || pending.any(|each| matches!(each, Incoming::Method(Method::ChannelClose(_))))
    }

    /// A message for a consumer of this channel.
    pub(super) fn told(&mut self, link: &mut Link, consumer: ConsumerTag, delivered: Delivered) {
        if self.is_leaving {
            link.return_delivered(&delivered);
        } else {
            self.deliver(link, consumer, delivered);
        }
    }
}

const SETTLE: MethodId = MethodId {
    class: 60,
    method: 80,
};
const CLOSE: MethodId = MethodId {
    class: 20,
    method: 40,
};

/// A method that is the server's, or another channel's.
pub(super) fn misplaced(method: &Method) -> Failure {
    let text = format!("{} is not expected here", method.name());
    Failure::new(ReplyCode::CommandInvalid, text)
}

/// The node has answered another question.
pub(super) fn mismatch(answer: &Answer, outcome: &QueueOutcome) -> Failure {
    tracing::error!(?answer, ?outcome, "the node has answered another question");
    let kind = ErrorKind::InvalidRequest;
    Failure::new(ReplyCode::InternalError, format!("{kind:?}"))
}
