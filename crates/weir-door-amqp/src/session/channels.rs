//! Which channel a frame, an answer or a message belongs to, and what becomes of channels.

use tracing::debug;
use weir_broker::{
    Ticket,
    api::queues::{Held, QueueOutcome, QueueRequest, Settlement, Tiding},
};
use weir_door::CloseReason;

use super::{
    asks::{Answer, Then, channel_of},
    assembly::not_a_method,
    channel::{Channel, Link},
    connection::{AmqpSession, Stage},
};
use crate::{
    codec::{Frame, FrameKind, Method, method},
    wire_code::{Failure, ReplyCode},
};

/// Most bytes of bodies that one connection may have begun and not finished.
const MAX_ASSEMBLED_BYTES: usize = 128 << 20;

/// A channel's number in use.
#[derive(Debug)]
pub(super) enum Slot {
    Open(Box<Channel>),
    /// The client was told that it is closed, and has not agreed yet.
    Dropped,
}

impl AmqpSession {
    pub(super) fn channel_frame(&mut self, number: u16, frame: &Frame) -> Result<(), Failure> {
        match self.channels.get_mut(&number) {
            Some(Slot::Open(channel)) => {
                let taken = channel.frame(&mut self.link, frame);
                if self.touched.last() != Some(&number) {
                    self.touched.push(number);
                }
                self.settle_channel(number, taken);
                if self.link.assembled_bytes > MAX_ASSEMBLED_BYTES {
                    let text = "too many bodies at once";
                    return Err(Failure::new(ReplyCode::ResourceError, text));
                }
                Ok(())
            }
            Some(Slot::Dropped) => self.dropped_frame(number, frame),
            None => self.new_channel(number, frame),
        }
    }

    /// Of a channel that is closed only its end is of interest.
    fn dropped_frame(&mut self, number: u16, frame: &Frame) -> Result<(), Failure> {
        if frame.kind != FrameKind::Method {
            return Ok(());
        }
        match Method::decode(frame.payload.clone()) {
            Ok(Method::ChannelCloseOk(_)) => {
                self.channels.remove(&number);
            }
            Ok(Method::ChannelClose(_)) => {
                let answer = method::ChannelCloseOk {};
                self.link.outbox.method(number, &answer.into());
            }
            Ok(Method::ChannelOpen(_)) => {
                self.channels.remove(&number);
                return self.new_channel(number, frame);
            }
            Ok(_) | Err(_) => {}
        }
        Ok(())
    }

    fn new_channel(&mut self, number: u16, frame: &Frame) -> Result<(), Failure> {
        let method = match frame.kind {
            FrameKind::Method => Method::decode(frame.payload.clone()).map_err(not_a_method)?,
            FrameKind::Header | FrameKind::Body | FrameKind::Heartbeat => {
                let text = "expected method frame, got non method frame instead";
                return Err(Failure::new(ReplyCode::UnexpectedFrame, text));
            }
        };
        let id = method.id();
        match method {
            Method::ChannelOpen(_) => {}
            // Both sides have closed it at the same time.
            Method::ChannelCloseOk(_) => return Ok(()),
            _ => {
                let failure = Failure::new(ReplyCode::ChannelError, "expected 'channel.open'");
                return Err(failure.of(id));
            }
        }
        if number > self.channel_max {
            let text = format!(
                "channel id {number} is higher than the negotiated channel_max ({})",
                self.channel_max
            );
            return Err(Failure::new(ReplyCode::NotAllowed, text).of(id));
        }
        let seat = self.link.session()?.open_channel();
        let seat = seat.map_err(|refused| Failure::refused(&refused).of(id))?;
        let channel = Channel::new(number, self.link.asks.number(), seat);
        channel.say(&mut self.link, method::ChannelOpenOk::default());
        self.channels.insert(number, Slot::Open(Box::new(channel)));
        Ok(())
    }

    pub(super) fn on_channel(
        &mut self,
        number: u16,
        act: impl FnOnce(&mut Channel, &mut Link) -> Result<(), Failure>,
    ) {
        if let Some(Slot::Open(channel)) = self.channels.get_mut(&number) {
            let done = act(channel, &mut self.link);
            self.settle_channel(number, done);
        }
    }

    /// What becomes of a channel after something was done on it.
    fn settle_channel(&mut self, number: u16, done: Result<(), Failure>) {
        let Some(Slot::Open(channel)) = self.channels.get_mut(&number) else {
            return;
        };
        match done {
            Ok(()) if channel.is_gone() => {
                self.channels.remove(&number);
                let answer = method::ChannelCloseOk {};
                self.link.outbox.method(number, &answer.into());
            }
            Ok(()) => {}
            Err(failure) if failure.code.is_hard() => self.fail(failure),
            Err(failure) => {
                debug!(peer = %self.connection.peer, number, %failure, "channel closed");
                let has_client_closed = channel.abandon(&mut self.link);
                self.channels.insert(number, Slot::Dropped);
                let close = method::ChannelClose {
                    reply_code: failure.code.number(),
                    reply_text: failure.reply_text(),
                    class_id: failure.method.class,
                    method_id: failure.method.method,
                };
                self.link.outbox.method(number, &close.into());
                if has_client_closed {
                    let answer = method::ChannelCloseOk {};
                    self.link.outbox.method(number, &answer.into());
                }
            }
        }
    }

    pub(super) fn answered(&mut self, ticket: Ticket, outcome: QueueOutcome) {
        if let QueueOutcome::Told(tidings) = outcome {
            if self.link.asks.is_session(ticket) {
                self.told(tidings);
            }
            return;
        }
        let Some(waiting) = self.link.asks.take(ticket) else {
            return;
        };
        match (waiting.then, self.channels.get_mut(&waiting.channel)) {
            (Then::Opened, _) => {
                if let Err(failure) = self.opened(outcome) {
                    self.fail(failure);
                }
            }
            (Then::Ended, _) => {
                let answer = method::ConnectionCloseOk {};
                self.link.outbox.method(0, &answer.into());
                self.finish(CloseReason::Done);
            }
            (then, Some(Slot::Open(channel))) if channel.incarnation == waiting.incarnation => {
                let done = channel.complete(&mut self.link, then, outcome);
                if self.touched.last() != Some(&waiting.channel) {
                    self.touched.push(waiting.channel);
                }
                self.settle_channel(waiting.channel, done);
            }
            (then, _) => self.give_up(&then, outcome),
        }
    }

    /// An answer whose channel is gone.
    fn give_up(&mut self, then: &Then, outcome: QueueOutcome) {
        match (then, outcome) {
            (Then::Answer(_, Answer::Consuming { consumer, .. }), QueueOutcome::Done) => {
                if let Some(session) = self.link.asks.session.clone() {
                    let consumer = *consumer;
                    self.link.ask_aside(QueueRequest::Cancel {
                        session,
                        consumer,
                        held: Held::Returns,
                    });
                }
            }
            (Then::Answer(..), QueueOutcome::Got(Some((delivered, _)))) => {
                self.link
                    .give_back(vec![(delivered.id, Settlement::Requeue)]);
            }
            (then, outcome) => debug!(?then, ?outcome, "answered too late"),
        }
    }

    fn told(&mut self, tidings: Vec<Tiding>) {
        for tiding in tidings {
            match tiding {
                Tiding::Delivered(consumer, delivered) => {
                    match self.channels.get_mut(&channel_of(consumer)) {
                        Some(Slot::Open(channel)) => {
                            channel.told(&mut self.link, consumer, delivered);
                        }
                        Some(Slot::Dropped) | None => self.link.return_delivered(&delivered),
                    }
                }
                Tiding::Cancelled(consumer) => {
                    if let Some(Slot::Open(channel)) = self.channels.get_mut(&channel_of(consumer))
                    {
                        channel.lost(&mut self.link, consumer);
                    }
                }
                // Who comes in hears of it afterwards.
                Tiding::Blocked(reason) if self.stage == Stage::Running => {
                    self.link.set_alarm(reason);
                }
                Tiding::Blocked(_) => {}
                Tiding::Lost => {
                    return self.end("the node was away from its queues for too long".to_owned());
                }
                Tiding::Expelled(why) => return self.end(why),
            }
        }
    }

    /// The session is over, for this reason.
    fn end(&mut self, text: String) {
        match self.stage {
            Stage::Running | Stage::Leaving | Stage::Stopping => {
                self.fail(Failure::new(ReplyCode::ConnectionForced, text));
            }
            Stage::Header
            | Stage::Start
            | Stage::Tune
            | Stage::Open
            | Stage::Opening
            | Stage::Ending
            | Stage::Closing
            | Stage::Checking
            | Stage::Silent => {}
        }
    }
}
