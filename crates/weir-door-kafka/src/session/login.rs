//! Who is at the other end: what a connection may send before its login, the login (KIP-43, KIP-152), and
//! the next one (KIP-368).

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use kafka_protocol::{
    messages::{
        SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
        SaslHandshakeResponse,
    },
    protocol::StrBytes,
};
use weir_access::{PendingCheck, Principal};
use weir_broker::{
    access::{AccessView, Believed, Ear, Seat, TokenView, UserGone},
    audit::AuditEvent,
};
use weir_door::{Connection, Entropy, Millis, Waker, Work, limits::FAILED_LOGIN_DELAY_MS};

pub use super::{login_error::LoginError, login_reply::Reply};
use super::{
    login_reply::{Form, reply},
    sasl::{Attempt, Mechanism, Progress},
    shared::Shared,
};
use crate::{
    KafkaConfig,
    codec::{
        frame::FrameLimits,
        header::{Head, Incoming},
        versions::Api,
    },
    mapping::{dispatch, plan::MapError},
    wire_code,
};

/// A client that has to log in has done so after this long, in ms.
pub const MAX_LOGIN_MS: u64 = 10_000;
/// A client may log in again this long after it has begun to do so the last time, in ms (Kafka's).
pub const MIN_LOGIN_INTERVAL_MS: u64 = 1_000;
/// How long a login holds, in ms; 0: as long as the connection does.
pub const SESSION_LIFETIME_MS: u64 = 0;

/// A password that is being checked.
struct Check {
    form: Form,
    mechanism: Mechanism,
    claimed: String,
    pending: PendingCheck,
}

/// A connection's login.
pub struct Login {
    access: AccessView,
    tokens: TokenView,
    entropy: Arc<dyn Entropy>,
    peer: SocketAddr,
    host: IpAddr,
    /// Nobody on the way hears what the client sends.
    is_private: bool,
    /// Longest that a login holds; `None`: as long as the connection does.
    max_session_ms: Option<u64>,
    /// By SASL.
    principal: Principal,
    /// By its certificate.
    certificate: Principal,
    /// It is served without a login until there is a user.
    may_be_anonymous: bool,
    /// Its place among those of the same name, and who has it.
    seat: Option<(Principal, Seat)>,
    /// Set when the user is gone.
    gone: Arc<OnceLock<UserGone>>,
    wake: Option<Waker>,
    mechanism: Option<Mechanism>,
    attempt: Option<Attempt>,
    check: Option<Check>,
    work: Option<Work>,
    /// What a client whose login failed hears, and when.
    late: Option<(Millis, Reply)>,
    /// Tokens come without a header, as they did before Kafka 1.0.
    is_raw: bool,
    /// When the login has to be done.
    due: Option<Millis>,
    /// How long the login holds.
    session_ms: Option<u64>,
    expires: Option<Millis>,
    begun: Option<Millis>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.principal.name())
    }
}

impl Login {
    /// Of a connection that was just taken.
    pub fn new(connection: &Connection, config: KafkaConfig, shared: &Shared) -> Self {
        let host = connection.peer.ip().to_canonical();
        let identity = connection.tls.as_ref();
        let identity = identity.and_then(|tls| tls.identity.as_ref());
        let named = identity.and_then(|it| shared.principals.name(&it.subject.kafka()));
        Self {
            access: shared.access.clone(),
            tokens: shared.tokens.clone(),
            entropy: Arc::clone(&shared.entropy),
            peer: connection.peer,
            host,
            is_private: connection.tls.is_some() || host.is_loopback(),
            max_session_ms: Some(config.session_lifetime_ms).filter(|ms| *ms > 0),
            principal: Principal::Anonymous,
            certificate: named
                .and_then(|name| Principal::vouched(&name))
                .unwrap_or_default(),
            may_be_anonymous: config.allows_anonymous || host.is_loopback() || identity.is_some(),
            seat: None,
            gone: Arc::default(),
            wake: None,
            mechanism: None,
            attempt: None,
            check: None,
            work: None,
            late: None,
            is_raw: false,
            due: None,
            session_ms: None,
            expires: None,
            begun: None,
        }
    }

    /// Who it is: by SASL, or else by its certificate.
    pub fn principal(&self) -> &Principal {
        match &self.principal {
            Principal::Anonymous => &self.certificate,
            Principal::User(_) | Principal::Vouched(_) => &self.principal,
        }
    }

    /// Where it is, and by which port.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Where it is.
    pub fn host(&self) -> IpAddr {
        self.host
    }

    /// Users and rules.
    pub fn access(&self) -> &AccessView {
        &self.access
    }

    /// Nothing but a login is served.
    pub fn is_required(&self) -> bool {
        let is_served = self.access.is_open() && self.may_be_anonymous;
        *self.principal() == Principal::Anonymous && !is_served
    }

    /// How large the next frame may be.
    pub fn frame_limits(&self) -> FrameLimits {
        if self.takes_token() {
            FrameLimits::TOKEN
        } else if self.is_required() {
            FrameLimits::STRANGER
        } else {
            FrameLimits::REQUEST
        }
    }

    /// The next frame is a token without a header.
    pub fn takes_token(&self) -> bool {
        self.is_raw && self.attempt.is_some()
    }

    /// When [`Self::handle_timeout`] is due. At once where it is not known since when it waits.
    pub fn poll_timeout(&self) -> Option<Millis> {
        let due = self.is_required().then(|| self.due.unwrap_or(Millis(0)));
        let late = self.late.as_ref().map(|(due, _)| *due);
        let gone = self.gone.get().map(|_| Millis(0));
        [due, late, gone].into_iter().flatten().min()
    }

    /// Whether the time for the login is over.
    pub fn handle_timeout(&mut self, now: Millis) -> Result<(), LoginError> {
        if !self.is_required() {
            return Ok(());
        }
        let due = *self.due.get_or_insert_with(|| now.plus(MAX_LOGIN_MS));
        match due <= now {
            true => Err(LoginError::TimedOut),
            false => Ok(()),
        }
    }

    /// What has a session's timeouts looked at, where its user is gone.
    pub fn wake_by(&mut self, wake: Waker) {
        self.wake = Some(wake);
    }

    /// Why its connection ends at once.
    pub fn gone(&self) -> Option<LoginError> {
        self.gone.get().cloned().map(LoginError::Gone)
    }

    /// Whether this request is served now.
    pub fn admit(&mut self, now: Millis, api: Api) -> Result<(), LoginError> {
        match api {
            Api::ApiVersions | Api::SaslHandshake | Api::SaslAuthenticate => Ok(()),
            _ if self.is_required() && self.access.is_open() => Err(LoginError::NoUsers(api)),
            _ if self.is_required() => Err(LoginError::Required(api)),
            _ if self.expires.is_some_and(|expires| expires <= now) => {
                Err(LoginError::Expired(api))
            }
            _ => self.arrive(),
        }
    }

    /// Whoever has not logged in acts by its certificate, from its first request on once there has been a user.
    fn arrive(&mut self) -> Result<(), LoginError> {
        let is_certified =
            self.principal == Principal::Anonymous && self.certificate != Principal::Anonymous;
        if !is_certified || self.seat.is_some() || self.access.is_open() {
            return Ok(());
        }
        let who = self.certificate.clone();
        let taken = self.take_seat(&who);
        self.note("certificate", who.name(), taken.as_ref().err());
        taken
    }

    /// A place for a connection of this one, in place of what it had as another one.
    fn take_seat(&mut self, who: &Principal) -> Result<(), LoginError> {
        if self.seat.as_ref().is_some_and(|(has, _)| has == who) {
            return Ok(());
        }
        self.seat = None;
        let (gone, wake) = (Arc::clone(&self.gone), self.wake.clone());
        let ear: Ear = Arc::new(move |why: &UserGone| {
            let _ = gone.set(why.clone());
            wake.iter().for_each(|wake| wake());
        });
        self.seat = Some((who.clone(), self.access.enter(who, None, ear)?));
        Ok(())
    }

    /// Answers a request of the login, or will: see [`Self::is_busy`].
    pub fn request(&mut self, now: Millis, incoming: Incoming) -> Result<Reply, MapError> {
        let Incoming { head, body, .. } = incoming;
        if head.api == Api::SaslHandshake {
            let request: SaslHandshakeRequest = dispatch::decode_own(&head, body)?;
            self.handshake(now, &head, &request.mechanism)
        } else {
            let request: SaslAuthenticateRequest = dispatch::decode_own(&head, body)?;
            self.authenticate(now, &head, &request.auth_bytes)
        }
    }

    /// Logged in, and not to log in again at this time.
    fn is_settled(&self, now: Millis) -> bool {
        let is_early = self
            .begun
            .is_some_and(|begun| now < begun.plus(MIN_LOGIN_INTERVAL_MS));
        self.principal != Principal::Anonymous && (self.expires.is_none() || is_early)
    }

    fn handshake(&mut self, now: Millis, head: &Head, name: &str) -> Result<Reply, MapError> {
        let mut response = SaslHandshakeResponse::default();
        if self.is_settled(now) {
            response.error_code = wire_code::ILLEGAL_SASL_STATE;
            return reply(head.frame(&response)?, None);
        }
        let offered = || Mechanism::offered(self.is_private, self.tokens.is_on());
        let chosen = offered().find(|mechanism| mechanism.name() == name);
        let names = offered().map(Mechanism::name);
        response.mechanisms = names.map(StrBytes::from_static_str).collect();
        let Some(chosen) = chosen else {
            response.error_code = wire_code::UNSUPPORTED_SASL_MECHANISM;
            return reply(head.frame(&response)?, Some(LoginError::Mechanism));
        };
        if self.mechanism.is_some_and(|before| before != chosen) {
            response.error_code = wire_code::SASL_AUTHENTICATION_FAILED;
            return reply(head.frame(&response)?, Some(LoginError::Changed));
        }
        self.begun = Some(now);
        self.attempt = Some(Attempt::Begun(chosen));
        self.is_raw = head.version == 0;
        reply(head.frame(&response)?, None)
    }

    fn authenticate(&mut self, now: Millis, head: &Head, token: &[u8]) -> Result<Reply, MapError> {
        let mut response = SaslAuthenticateResponse::default();
        let Some(attempt) = self.attempt.take() else {
            let is_over = self.principal != Principal::Anonymous;
            let (words, end) = match is_over {
                true => (
                    "SaslAuthenticate request received after successful authentication",
                    None,
                ),
                false => (
                    "SaslAuthenticate request received before SaslHandshake",
                    self.is_required().then_some(LoginError::State),
                ),
            };
            response.error_code = wire_code::ILLEGAL_SASL_STATE;
            response.error_message = Some(StrBytes::from_static_str(words));
            return reply(head.frame(&response)?, end);
        };
        let form = Form::Request(*head);
        self.take(now, form, attempt, token)
    }

    /// Takes a token that came without a header. A failure has no words then.
    pub fn token(&mut self, now: Millis, token: &[u8]) -> Result<Reply, MapError> {
        match self.attempt.take() {
            Some(attempt) => self.take(now, Form::Token, attempt, token),
            None => Ok(Reply {
                frame: None,
                end: Some(LoginError::State),
            }),
        }
    }

    fn take(
        &mut self,
        now: Millis,
        form: Form,
        attempt: Attempt,
        token: &[u8],
    ) -> Result<Reply, MapError> {
        let mechanism = attempt.mechanism();
        let (high, low) = (self.entropy.next_u64(), self.entropy.next_u64());
        let nonce = format!("{high:016x}{low:016x}");
        let access = self.access.load();
        let mut claimed = attempt.claimed(token).to_owned();
        let is_noted = matches!(attempt, Attempt::Refused(_));
        let answer = match attempt.token((&access, &self.tokens), &nonce, token) {
            Ok(Progress::Next(attempt, answer)) => {
                self.attempt = Some(attempt);
                return self.answer(now, (form, mechanism), Ok(answer));
            }
            Ok(Progress::Refused(refused, told)) => {
                let named = refused.name.clone().unwrap_or_default();
                let error = LoginError::Token(refused.clone());
                self.note(mechanism.name(), &named, Some(&error));
                self.attempt = Some(Attempt::Refused(refused));
                return self.answer(now, (form, mechanism), Ok(told));
            }
            Ok(Progress::Done(user, answer)) => {
                let principal = Principal::User(Arc::clone(&user.name));
                let entered = self.enter(now, mechanism, (principal, None));
                entered.map(|()| answer)
            }
            Ok(Progress::Vouched(believed)) => {
                let Believed {
                    principal, left_ms, ..
                } = believed;
                claimed = principal.name().to_owned();
                let entered = self.enter(now, mechanism, (principal, Some(left_ms)));
                entered.map(|()| Bytes::new())
            }
            Ok(Progress::Later(pending, work)) => {
                self.check = Some(Check {
                    form,
                    mechanism,
                    claimed,
                    pending,
                });
                self.work = Some(work);
                return Ok(Reply::NOTHING);
            }
            Err(error) => Err(error),
        };
        if !is_noted {
            self.note(mechanism.name(), &claimed, answer.as_ref().err());
        }
        self.answer(now, (form, mechanism), answer)
    }

    fn note(&self, how: &str, claimed: &str, failed: Option<&LoginError>) {
        let principal = match claimed {
            "" => Principal::Anonymous,
            user => Principal::User(user.into()),
        };
        let resource = format!("kafka {how}");
        let event = AuditEvent::new(&principal, &self.peer.to_string(), "login", &resource);
        self.access.note(match failed {
            Some(error) => event.failed(&error.to_string()),
            None => event,
        });
    }

    /// What is to be computed before the client is answered.
    pub fn poll_work(&mut self) -> Option<Work> {
        self.work.take()
    }

    /// That is done.
    pub fn worked(&mut self, now: Millis) -> Result<Reply, MapError> {
        let Some(check) = self.check.take() else {
            return Ok(Reply::NOTHING);
        };
        let Check {
            form,
            mechanism,
            claimed,
            pending,
        } = check;
        let answer = match pending.finish(&self.access.load()) {
            Ok(user) => {
                let principal = Principal::User(Arc::clone(&user.name));
                let entered = self.enter(now, mechanism, (principal, None));
                entered.map(|()| Bytes::new())
            }
            Err(error) => Err(LoginError::Failed { mechanism, error }),
        };
        self.note(mechanism.name(), &claimed, answer.as_ref().err());
        self.answer(now, (form, mechanism), answer)
    }

    /// It is this one from now on. `left_ms`: for so long at most.
    fn enter(
        &mut self,
        now: Millis,
        mechanism: Mechanism,
        (principal, left_ms): (Principal, Option<u64>),
    ) -> Result<(), LoginError> {
        if self.principal != Principal::Anonymous && self.principal != principal {
            return Err(LoginError::Changed);
        }
        self.take_seat(&principal)?;
        self.principal = principal;
        self.mechanism = Some(mechanism);
        let ends = [self.max_session_ms, left_ms].into_iter().flatten();
        self.session_ms = ends.min();
        self.expires = self.session_ms.map(|session_ms| now.plus(session_ms));
        Ok(())
    }

    /// What goes back for a token: at once, or later where it failed.
    fn answer(
        &mut self,
        now: Millis,
        (form, mechanism): (Form, Mechanism),
        answer: Result<Bytes, LoginError>,
    ) -> Result<Reply, MapError> {
        let (answer, end) = match answer {
            Ok(answer) => (Ok(answer), None),
            Err(error) => (Err(error.told(mechanism)), Some(error)),
        };
        let is_done = self.attempt.is_none();
        let frame = form.frame(answer, self.session_ms.filter(|_| is_done))?;
        let reply = Reply { frame, end };
        if reply.end.is_some() {
            self.late = Some((now.plus(FAILED_LOGIN_DELAY_MS), reply));
            return Ok(Reply::NOTHING);
        }
        Ok(reply)
    }

    /// The answer to a login that failed, once the client has waited for it.
    pub fn take_late(&mut self, now: Millis) -> Option<Reply> {
        let (_, reply) = self.late.take_if(|(due, _)| *due <= now)?;
        Some(reply)
    }

    /// The client waits for an answer to what it said of itself: nothing more is heard meanwhile.
    pub fn is_busy(&self) -> bool {
        self.check.is_some() || self.late.is_some()
    }
}
