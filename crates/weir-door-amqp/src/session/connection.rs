//! The session: frames in, requests to the node, answers and deliveries out.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use tracing::debug;
use weir_broker::{
    Ticket,
    access::{AccessView, TokenView},
    api::{Outcome, Request, queues::QueueRequest},
};
use weir_door::{
    Bounds, CloseReason, Connection, Millis, Session, Work,
    limits::{MAX_IN_FLIGHT_BYTES, MAX_IN_FLIGHT_COUNT, MAX_UNSENT_BYTES},
};
use weir_model::fields::ShortString;

use super::{
    alarm::{Alarm, MAX_BLOCKED_BYTES},
    asks::{Asks, Then},
    channel::{Channel, Link},
    channels::Slot,
    credential::Credential,
    handshake::{Check, MAX_HANDSHAKE_MS, Unstarted},
    heartbeat::{Beat, Heartbeat},
    inbox::Inbox,
    outbox::Outbox,
    properties::Capabilities,
    throttle::Throttle,
};
use crate::{
    AmqpConfig,
    codec::{Frame, FrameError, FrameKind, Method, PROTOCOL_HEADER_BYTES, method, whole_frames},
    wire_code::{Failure, ReplyCode},
};

pub use super::close::AmqpClose;

/// Longest frame before limits are agreed upon, in bytes.
const MAX_EARLY_FRAME_BYTES: usize = 16 << 10;
/// A client that was told that its connection ends has this long to agree.
const MAX_CLOSE_MS: u64 = 10_000;
/// What is expected of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Header,
    Start,
    /// Nothing: the password is being checked.
    Checking,
    Tune,
    Open,
    /// Nothing: the node begins the session.
    Opening,
    Running,
    /// Nothing: it closes, and what it asked for before is done.
    Leaving,
    /// Nothing: the node ends the session.
    Ending,
    /// Nothing: the node goes down, and what was asked for before is done.
    Stopping,
    /// `connection.close-ok`
    Closing,
    /// Nothing: it was refused, and will hear so.
    Silent,
}

/// One connection of an AMQP client.
#[derive(Debug)]
pub struct AmqpSession {
    pub(super) config: Arc<AmqpConfig>,
    /// Who may come in.
    pub(super) access: AccessView,
    pub(super) connection: Connection,
    /// Whom its certificate names.
    pub(super) certificate: Option<String>,
    pub(super) credential: Credential,
    pub(super) stage: Stage,
    /// When the stage has lasted too long.
    pub(super) due: Option<Millis>,
    has_begun: bool,
    inbox: Inbox,
    pub(super) link: Link,
    pub(super) channels: BTreeMap<u16, Slot>,
    /// Channels that have collected something.
    pub(super) touched: Vec<u16>,
    pub(super) frame_max_bytes: usize,
    pub(super) channel_max: u16,
    pub(super) heartbeat: Heartbeat,
    pub(super) check: Option<Check>,
    pub(super) work: Option<Unstarted>,
    /// Why it will be closed.
    pub(super) why: Option<AmqpClose>,
    closed: Option<CloseReason>,
}

impl AmqpSession {
    /// A session for a connection that was just taken.
    pub fn new(
        connection: Connection,
        config: Arc<AmqpConfig>,
        (access, tokens): (AccessView, TokenView),
    ) -> Self {
        let number = connection.number;
        let timeout_ms = config.consumer_timeout_ms;
        let consumer_timeout_ms = Some(timeout_ms).filter(|timeout_ms| *timeout_ms > 0);
        let certificate = config.named_by_certificate(&connection);
        let throttle = Throttle::new(access.quotas());
        Self {
            config,
            access,
            connection,
            certificate,
            credential: Credential::believing(tokens),
            stage: Stage::Header,
            due: None,
            has_begun: false,
            inbox: Inbox::default(),
            link: Link {
                outbox: Outbox::new(MAX_EARLY_FRAME_BYTES),
                asks: Asks::default(),
                client: Capabilities::default(),
                alarm: Alarm::default(),
                throttle,
                user: ShortString::default(),
                number,
                now: Millis(0),
                consumer_timeout_ms,
                look_at: None,
                pending_bytes: 0,
                transacted_bytes: 0,
                assembled_bytes: 0,
                lacking_bytes: 0,
            },
            channels: BTreeMap::new(),
            touched: Vec::new(),
            frame_max_bytes: MAX_EARLY_FRAME_BYTES,
            channel_max: 0,
            heartbeat: Heartbeat::off(),
            check: None,
            work: None,
            why: None,
            closed: None,
        }
    }

    fn has_room(&self) -> bool {
        let takes = match self.stage {
            Stage::Header | Stage::Start | Stage::Tune | Stage::Open | Stage::Running => true,
            Stage::Closing => return self.closed.is_none(),
            Stage::Checking
            | Stage::Opening
            | Stage::Leaving
            | Stage::Ending
            | Stage::Stopping
            | Stage::Silent => false,
        };
        let held_bytes = self.link.asks.held_bytes() + self.link.pending_bytes;
        let max_held_bytes = match self.link.alarm.is_blocked() {
            true => MAX_BLOCKED_BYTES,
            false => MAX_IN_FLIGHT_BYTES,
        };
        takes
            && self.closed.is_none()
            && !self.link.throttle.is_holding()
            && self.link.asks.count() < MAX_IN_FLIGHT_COUNT
            && held_bytes < max_held_bytes
            && self.link.outbox.len() < MAX_UNSENT_BYTES
    }

    /// Takes what there is room for, and hands over what was collected.
    fn advance(&mut self) {
        while self.has_room() {
            if self.stage == Stage::Header {
                match self.inbox.header() {
                    Ok(Some(header)) => self.greet(header),
                    Ok(None) => break,
                    Err(()) => self.refuse_protocol(),
                }
                continue;
            }
            match self.inbox.frame(self.frame_max_bytes) {
                Ok(Some(frame)) => {
                    if let Err(failure) = self.frame(&frame) {
                        self.fail(failure);
                    }
                }
                Ok(None) => break,
                Err(error) => self.no_frame(error),
            }
        }
        for number in std::mem::take(&mut self.touched) {
            self.on_channel(number, Channel::flush);
        }
        self.go_on_leaving();
    }

    fn no_frame(&mut self, error: FrameError) {
        self.inbox.clear();
        let failure = Failure::new(ReplyCode::FrameError, error.to_string());
        match self.stage {
            Stage::Closing => self.close(AmqpClose::Failed(failure)),
            _ => self.fail(failure),
        }
    }

    fn frame(&mut self, frame: &Frame) -> Result<(), Failure> {
        if self.stage == Stage::Closing {
            self.closing_frame(frame);
            return Ok(());
        }
        match (frame.kind, frame.channel) {
            (FrameKind::Heartbeat, 0) => Ok(()),
            (FrameKind::Heartbeat, _) => {
                let text = "heartbeat frame on a channel";
                Err(Failure::new(ReplyCode::UnexpectedFrame, text))
            }
            (_, 0) => self.connection_frame(frame),
            (_, number) if self.stage == Stage::Running => self.channel_frame(number, frame),
            (_, number) => {
                let text = format!("channel {number} before the connection is open");
                Err(Failure::new(ReplyCode::CommandInvalid, text))
            }
        }
    }

    /// The connection ends: all that counts is that the client knows.
    fn closing_frame(&mut self, frame: &Frame) {
        if (frame.kind, frame.channel) != (FrameKind::Method, 0) {
            return;
        }
        match Method::decode(frame.payload.clone()) {
            Ok(Method::ConnectionCloseOk(_)) => self.close_as_told(),
            Ok(Method::ConnectionClose(_)) => {
                let answer = method::ConnectionCloseOk {};
                self.link.outbox.method(0, &answer.into());
                self.close_as_told();
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// The client is told why its connection ends.
    pub(super) fn fail(&mut self, failure: Failure) {
        let close = method::ConnectionClose {
            reply_code: failure.code.number(),
            reply_text: failure.reply_text(),
            class_id: failure.method.class,
            method_id: failure.method.method,
        };
        self.link.outbox.method(0, &close.into());
        self.forget();
        self.stage = Stage::Closing;
        self.due = Some(self.link.now.plus(MAX_CLOSE_MS));
        self.why = Some(AmqpClose::Failed(failure));
    }

    /// The client closes: once all that it asked for is done the session ends.
    pub(super) fn leave(&mut self) {
        if self.stage == Stage::Running {
            self.stage = Stage::Leaving;
        } else {
            let answer = method::ConnectionCloseOk {};
            self.link.outbox.method(0, &answer.into());
            self.finish(CloseReason::Done);
        }
    }

    fn go_on_leaving(&mut self) {
        let are_idle = |slot: &Slot| match slot {
            Slot::Open(channel) => channel.is_idle(),
            Slot::Dropped => true,
        };
        if !matches!(self.stage, Stage::Leaving | Stage::Stopping)
            || self.link.asks.count() > 0
            || !self.channels.values().all(are_idle)
        {
            return;
        }
        if self.stage == Stage::Stopping {
            let text = "broker forced connection closure with reason 'shutdown'";
            return self.fail(Failure::new(ReplyCode::ConnectionForced, text));
        }
        self.stage = Stage::Ending;
        if let Some(session) = self.link.asks.session.take() {
            let request = QueueRequest::End { session };
            self.link.asks.ask((0, 0), request, 0, Then::Ended);
        }
    }

    /// Drops everything that belongs to the client.
    fn forget(&mut self) {
        self.channels.clear();
        self.touched.clear();
        self.link.asks.end();
        self.link.pending_bytes = 0;
        self.link.transacted_bytes = 0;
        self.link.assembled_bytes = 0;
        self.link.lacking_bytes = 0;
    }

    fn close_as_told(&mut self) {
        match self.why.take() {
            Some(why) => self.close(why),
            None => self.finish(CloseReason::Done),
        }
    }

    pub(super) fn close(&mut self, why: AmqpClose) {
        self.finish(CloseReason::Peer(Box::new(why)));
    }

    pub(super) fn finish(&mut self, reason: CloseReason) {
        self.inbox.clear();
        self.forget();
        self.closed.get_or_insert(reason);
    }

    fn beat(&mut self) {
        let reads = self.has_room();
        match self.heartbeat.beat(self.link.now, reads) {
            Beat::Nothing => {}
            Beat::Send => {
                self.link.outbox.heartbeat();
                self.heartbeat.note_sent(self.link.now);
            }
            Beat::Lost => self.close(AmqpClose::Heartbeat),
        }
    }
}

impl Session for AmqpSession {
    fn bounds(&self, buffered: &[u8]) -> Bounds {
        let mut whole_bytes = match self.stage {
            Stage::Header if buffered.len() < PROTOCOL_HEADER_BYTES => {
                let is_cut = b"AMQP".starts_with(&buffered[..buffered.len().min(4)]);
                return Bounds {
                    whole_bytes: if is_cut { 0 } else { buffered.len() },
                    missing_bytes: PROTOCOL_HEADER_BYTES - buffered.len(),
                };
            }
            Stage::Header => PROTOCOL_HEADER_BYTES,
            _ => 0,
        };
        let rest = &buffered[whole_bytes..];
        let (frame_bytes, missing_bytes) = whole_frames(rest, self.frame_max_bytes);
        whole_bytes += frame_bytes;
        // What is begun must have room to end.
        let lacking_bytes = self.link.lacking_bytes.saturating_sub(buffered.len());
        Bounds {
            whole_bytes,
            missing_bytes: missing_bytes + lacking_bytes,
        }
    }

    fn receive(&mut self, now: Millis, bytes: Bytes) {
        self.link.now = now;
        self.heartbeat.note_received(now);
        if self.closed.is_some() || self.stage == Stage::Silent {
            return;
        }
        if self.stage == Stage::Running {
            self.link.know_quotas();
        }
        self.inbox.push(bytes);
        self.advance();
    }

    fn poll_request(&mut self) -> Option<(Ticket, Request)> {
        self.link.asks.poll()
    }

    fn request_label(&self, ticket: Ticket) -> usize {
        self.link.asks.label(ticket) as usize
    }

    fn complete(&mut self, now: Millis, ticket: Ticket, outcome: Outcome) {
        self.link.now = now;
        if self.closed.is_some() {
            return;
        }
        match outcome {
            Outcome::Queue(outcome) => self.answered(ticket, outcome),
            outcome => debug!(?outcome, "no answer about queues"),
        }
        self.advance();
    }

    fn is_timed(&self) -> bool {
        self.link.throttle.is_timed()
    }

    fn note_busy(&mut self, now: Millis, busy_us: u64) {
        self.link.now = now;
        self.link.count_busy(busy_us);
    }

    fn poll_work(&mut self) -> Option<Work> {
        self.work.take().map(|Unstarted(work)| work)
    }

    fn worked(&mut self, now: Millis) {
        self.link.now = now;
        if self.closed.is_none() {
            self.checked();
            self.advance();
        }
    }

    fn poll_transmit(&mut self, into: &mut Vec<Bytes>, max_bytes: usize) -> usize {
        let moved_bytes = self.link.outbox.transmit(into, max_bytes);
        if moved_bytes > 0 {
            self.heartbeat.note_sent(self.link.now);
            let delivered_bytes = self.link.outbox.take_delivered();
            if delivered_bytes > 0 {
                let room_bytes = self.link.count_delivered(delivered_bytes);
                if let Some(session) = &self.link.asks.session
                    && room_bytes > 0
                {
                    session.note_sent(room_bytes);
                }
            }
            self.advance();
        }
        moved_bytes
    }

    fn poll_timeout(&self) -> Option<Millis> {
        if !self.has_begun {
            return Some(Millis(0));
        }
        let (beat, look) = (self.heartbeat.due(), self.look_due());
        let throttled = self.link.throttle.due();
        let throttled = throttled.filter(|_| self.stage == Stage::Running);
        let due = [self.due, beat, look, throttled, self.token_due()];
        due.into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: Millis) {
        self.link.now = now;
        if !self.has_begun {
            self.has_begun = true;
            if self.stage != Stage::Running {
                self.due.get_or_insert_with(|| now.plus(MAX_HANDSHAKE_MS));
            }
        }
        if self.due.is_some_and(|due| due <= now) {
            match self.stage {
                Stage::Closing => self.close_as_told(),
                Stage::Silent => self.end_refused(),
                _ => self.close(AmqpClose::Handshake),
            }
        }
        if self.closed.is_none() {
            self.end_with_token();
            self.look_for_timeouts();
            if self.stage == Stage::Running {
                self.link.look_at_quotas();
                self.advance();
            }
            self.beat();
        }
    }

    fn go_down(&mut self, now: Millis) {
        self.link.now = now;
        if self.stage == Stage::Running {
            self.stage = Stage::Stopping;
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
            let is_checking = self.stage == Stage::Checking || self.stage == Stage::Silent;
            self.link.asks.count() + usize::from(is_checking)
        }
    }

    fn held_bytes(&self) -> usize {
        self.link.asks.held_bytes()
            + self.link.pending_bytes
            + self.link.transacted_bytes
            + self.link.assembled_bytes
            + self.inbox.len()
    }

    fn close_reason(&self) -> Option<&CloseReason> {
        self.closed.as_ref()
    }
}
