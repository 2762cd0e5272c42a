//! From the first byte to an open connection, and the connection's own methods after that.

use std::fmt;

use bytes::Bytes;
use weir_access::{AuthError, PendingCheck, Principal};
use weir_broker::{
    api::queues::{OpenSession, QueueOutcome, QueueRequest},
    audit::AuditEvent,
};
use weir_door::{CloseReason, Work, limits::FAILED_LOGIN_DELAY_MS};
use weir_model::fields::{FieldValue, ShortString};

use super::{
    asks::Then,
    connection::{AmqpClose, AmqpSession, Stage},
    heartbeat::Heartbeat,
    outbox::word,
    properties::{self, Capabilities},
    sasl::{self, Claimed},
};
use crate::{
    codec::{Frame, FrameKind, MIN_FRAME_MAX_BYTES, Method, PROTOCOL_HEADER, method},
    session::assembly::not_a_method,
    wire_code::{Failure, ReplyCode},
};

/// Highest number of a channel (RabbitMQ's default).
pub(super) const MAX_CHANNEL: u16 = 2047;
/// Longest frame, in bytes (RabbitMQ's default).
pub(super) const MAX_FRAME_BYTES: u32 = 128 << 10;
/// Proposed interval of heartbeats (RabbitMQ's default).
const HEARTBEAT_S: u16 = 60;
/// Time for the whole handshake (RabbitMQ's default).
pub(super) const MAX_HANDSHAKE_MS: u64 = 10_000;
/// A client that was refused and is not told so waits this long for the end.
const REFUSAL_MS: u64 = 500;
/// What clients call themselves.
const CONNECTION_NAME: &str = "connection_name";
/// AMQP 0-9 as clients of its first edition say it.
const HEADER_0_9: [u8; 8] = *b"AMQP\x01\x01\x00\x09";

/// Work that nobody has begun.
pub(super) struct Unstarted(pub(super) Work);

impl fmt::Debug for Unstarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unstarted")
    }
}

/// A password that is being checked.
#[derive(Debug)]
pub(super) struct Check {
    mechanism: String,
    /// Who it says it is.
    claimed: String,
    pending: PendingCheck,
}

impl AmqpSession {
    /// Takes the protocol header; what is not served hears what is.
    pub(super) fn greet(&mut self, header: [u8; 8]) {
        if header != PROTOCOL_HEADER && header != HEADER_0_9 {
            return self.refuse_protocol();
        }
        let start = method::ConnectionStart {
            version_major: 0,
            version_minor: 9,
            server_properties: properties::of_server(&self.config),
            mechanisms: Bytes::from_static(sasl::offered(self.certificate.is_some()).as_bytes()),
            locales: Bytes::from_static(b"en_US"),
        };
        self.link.outbox.method(0, &start.into());
        self.stage = Stage::Start;
    }

    pub(super) fn refuse_protocol(&mut self) {
        self.link.outbox.raw(&PROTOCOL_HEADER);
        self.close(AmqpClose::Protocol);
    }

    /// A frame of the connection itself.
    pub(super) fn connection_frame(&mut self, frame: &Frame) -> Result<(), Failure> {
        if frame.kind != FrameKind::Method {
            let text = "expected method frame, got non method frame instead";
            return Err(Failure::new(ReplyCode::UnexpectedFrame, text));
        }
        let method = Method::decode(frame.payload.clone()).map_err(not_a_method)?;
        let id = method.id();
        self.connection_method(method)
            .map_err(|failure| failure.of(id))
    }

    fn connection_method(&mut self, method: Method) -> Result<(), Failure> {
        match (self.stage, method) {
            (Stage::Start, Method::ConnectionStartOk(start)) => self.start(&start),
            (Stage::Tune, Method::ConnectionTuneOk(tune)) => self.tune(&tune),
            (Stage::Open, Method::ConnectionOpen(open)) => {
                self.open(&open.virtual_host);
                Ok(())
            }
            (_, Method::ConnectionClose(_)) => {
                self.leave();
                Ok(())
            }
            (Stage::Running, Method::ConnectionUpdateSecret(update)) => self.update_secret(&update),
            (_, method) => {
                let text = format!("{} is not expected here", method.name());
                Err(Failure::new(ReplyCode::CommandInvalid, text))
            }
        }
    }

    fn start(&mut self, start: &method::ConnectionStartOk) -> Result<(), Failure> {
        self.link.client = Capabilities::of_client(&start.client_properties);
        if let Some(FieldValue::LongString(name)) = start.client_properties.get(CONNECTION_NAME) {
            self.link.throttle.name_client(name);
        }
        let mechanism = start.mechanism.as_str();
        if !sasl::is_offered(mechanism, self.certificate.is_some()) {
            let text = format!("unknown authentication mechanism '{mechanism}'");
            return Err(Failure::new(ReplyCode::CommandInvalid, text));
        }
        let from = sasl::Origin {
            certificate: self.certificate.as_deref(),
            peer: self.connection.peer.ip(),
            is_anywhere: self.config.guest_from_anywhere,
            takes_tokens: self.credential.takes_tokens(),
            is_private: self.connection.tls.is_some() || self.config.passwords_without_tls,
        };
        let access = self.access.load();
        match sasl::authenticate(&access, mechanism, &start.response, from) {
            Some(Claimed::In(user)) => {
                // Before there is a user nobody logs in.
                if !access.is_open() {
                    self.note_login(mechanism, user.as_str(), None);
                }
                self.propose_limits(user);
            }
            Some(Claimed::Checked { user, password }) => {
                let claimed = user.clone();
                let (pending, work) = PendingCheck::new(access, user, password.0);
                let mechanism = mechanism.to_owned();
                self.check = Some(Check {
                    mechanism,
                    claimed,
                    pending,
                });
                self.work = Some(Unstarted(work));
                self.stage = Stage::Checking;
            }
            Some(Claimed::Vouched(token)) => self.log_in_by_token(mechanism, &token),
            None => {
                let named = self.certificate.as_deref();
                let claimed = named.filter(|_| mechanism == "EXTERNAL");
                let why = Some("no such login from there");
                self.note_login(mechanism, claimed.unwrap_or_default(), why);
                self.refuse_login(mechanism);
            }
        }
        Ok(())
    }

    pub(super) fn note_login(&self, mechanism: &str, user: &str, failed: Option<&str>) {
        let principal = match user {
            "" => Principal::Anonymous,
            user => Principal::User(user.into()),
        };
        let peer = self.connection.peer.to_string();
        let event = AuditEvent::new(&principal, &peer, "login", &format!("amqp {mechanism}"));
        self.access.note(match failed {
            Some(why) => event.failed(why),
            None => event,
        });
    }

    /// The password is looked at.
    pub(super) fn checked(&mut self) {
        let Some(check) = self.check.take().filter(|_| self.stage == Stage::Checking) else {
            return;
        };
        let found = check.pending.finish(&self.access.load());
        match found.ok().and_then(|user| ShortString::new(&user.name)) {
            Some(user) => {
                self.note_login(&check.mechanism, user.as_str(), None);
                self.propose_limits(user);
            }
            None => {
                let why = AuthError::Credentials.to_string();
                self.note_login(&check.mechanism, &check.claimed, Some(&why));
                self.refuse_login(&check.mechanism);
            }
        }
    }

    pub(super) fn propose_limits(&mut self, user: ShortString) {
        self.link.user = user;
        let tune = method::ConnectionTune {
            channel_max: MAX_CHANNEL,
            frame_max: MAX_FRAME_BYTES,
            heartbeat: HEARTBEAT_S,
        };
        self.link.outbox.method(0, &tune.into());
        self.stage = Stage::Tune;
    }

    /// Who may not come in waits, and then hears so where it understands it.
    pub(super) fn refuse_login(&mut self, mechanism: &str) {
        let text = format!(
            "Login was refused using authentication mechanism {mechanism}. For details see the broker logfile."
        );
        let failure = Failure::new(ReplyCode::AccessRefused, text);
        tracing::info!(peer = %self.connection.peer, mechanism, "login refused");
        let wait_ms = match self.link.client.authentication_failure_close {
            true => FAILED_LOGIN_DELAY_MS,
            false => REFUSAL_MS,
        };
        self.stage = Stage::Silent;
        self.why = Some(AmqpClose::Failed(failure));
        self.due = Some(self.link.now.plus(wait_ms));
    }

    /// It has waited.
    pub(super) fn end_refused(&mut self) {
        match self.why.take() {
            Some(AmqpClose::Failed(failure)) if self.link.client.authentication_failure_close => {
                self.fail(failure);
            }
            Some(why) => self.close(why),
            None => self.finish(CloseReason::Done),
        }
    }

    fn tune(&mut self, tune: &method::ConnectionTuneOk) -> Result<(), Failure> {
        let frame_max = negotiated(
            "frame_max",
            tune.frame_max,
            (MIN_FRAME_MAX_BYTES, MAX_FRAME_BYTES),
        )?;
        let channel_max = negotiated(
            "channel_max",
            u32::from(tune.channel_max),
            (1, u32::from(MAX_CHANNEL)),
        )?;
        self.frame_max_bytes = usize::try_from(frame_max).expect("usize has 32 bits or more");
        self.link.outbox.frame_max_bytes = self.frame_max_bytes;
        self.channel_max = u16::try_from(channel_max).unwrap_or(MAX_CHANNEL);
        self.heartbeat = Heartbeat::start(self.link.now, tune.heartbeat);
        self.stage = Stage::Open;
        Ok(())
    }

    fn open(&mut self, vhost: &ShortString) {
        self.link.throttle.enter(vhost.as_str());
        let (principal, grants) = self.credential.claim(&self.link.user);
        let request = QueueRequest::Open(OpenSession {
            vhost: vhost.as_str().to_owned(),
            principal: Some(principal),
            grants,
            name: format!("{} -> {}", self.connection.peer, self.connection.local),
        });
        self.link.asks.ask((0, 0), request, 0, Then::Opened);
        self.stage = Stage::Opening;
    }

    /// The answer to that.
    pub(super) fn opened(&mut self, outcome: QueueOutcome) -> Result<(), Failure> {
        match outcome {
            QueueOutcome::Opened(session) if self.stage == Stage::Opening => {
                self.link.asks.session = Some(session);
                let answer = method::ConnectionOpenOk {
                    reserved_1: word(""),
                };
                self.link.outbox.method(0, &answer.into());
                self.stage = Stage::Running;
                self.due = None;
                Ok(())
            }
            // The client has left meanwhile; the session ends by being dropped.
            QueueOutcome::Opened(_) => Ok(()),
            QueueOutcome::Refused(refused) => Err(Failure::refused(&refused)
                .of(Method::ConnectionOpen(method::ConnectionOpen::default()).id())),
            _ => Err(Failure::new(ReplyCode::InternalError, "no session")),
        }
    }
}

/// What a client settles for; 0 is what was offered.
fn negotiated(name: &str, wanted: u32, (min, max): (u32, u32)) -> Result<u32, Failure> {
    let refused = |how: &str, bound: u32| {
        let text = format!("negotiated {name} = {wanted} is {how} allowed value ({bound})");
        Err(Failure::new(ReplyCode::NotAllowed, text))
    };
    match wanted {
        0 => Ok(max),
        wanted if wanted < min => refused("lower than the minimum", min),
        wanted if wanted > max => refused("higher than the maximum", max),
        wanted => Ok(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_ask_for_less_and_not_for_more() {
        let of = |wanted| negotiated("frame_max", wanted, (4096, 131_072)).ok();
        assert_eq!(of(0), Some(131_072));
        assert_eq!(of(4095), None);
        assert_eq!(of(4096), Some(4096));
        assert_eq!(of(131_072), Some(131_072));
        assert_eq!(of(131_073), None);
    }
}
