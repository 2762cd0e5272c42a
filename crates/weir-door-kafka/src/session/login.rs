//! Who is at the other end: what a connection may send before its login, the login (KIP-43, KIP-152), and
//! the next one (KIP-368).

use std::{fmt, net::IpAddr, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
        SaslHandshakeResponse,
    },
    protocol::StrBytes,
};
use weir_access::{AuthError, Principal};
use weir_broker::access::AccessView;
use weir_door::{Connection, Entropy, Millis};

use super::sasl::{Attempt, Mechanism, Progress};
use crate::{
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

/// Why a connection ends that has not logged in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// It asks for something.
    #[error("{0:?} before a login")]
    Required(Api),
    /// It takes too long.
    #[error("no login in {} s", MAX_LOGIN_MS / 1000)]
    TimedOut,
    /// Its login was to last for some time, which is over.
    #[error("{0:?} after the login's time")]
    Expired(Api),
    /// It wants what is not offered.
    #[error("no such SASL mechanism is offered")]
    Mechanism,
    /// It sends a token before it has named its mechanism.
    #[error("a token without a mechanism")]
    State,
    /// It is not who it says it is.
    #[error("{}: {error}", mechanism.name())]
    Failed {
        /// How it tried.
        mechanism: Mechanism,
        /// What was wrong.
        error: AuthError,
    },
    /// It would be somebody else from now on.
    #[error("another user or mechanism than before")]
    Changed,
}

/// What goes back, and why the connection ends after that.
#[derive(Debug)]
pub struct Reply {
    /// The answer; `None`: there is none.
    pub frame: Option<Bytes>,
    /// Why nothing follows.
    pub end: Option<LoginError>,
}

/// A connection's login.
pub struct Login {
    access: AccessView,
    entropy: Arc<dyn Entropy>,
    host: IpAddr,
    /// Nobody on the way hears what the client sends.
    is_private: bool,
    lifetime_ms: u64,
    principal: Principal,
    mechanism: Option<Mechanism>,
    attempt: Option<Attempt>,
    /// Tokens come without a header, as they did before Kafka 1.0.
    is_raw: bool,
    /// When the login has to be done.
    due: Option<Millis>,
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
    pub fn new(
        connection: &Connection,
        access: AccessView,
        entropy: Arc<dyn Entropy>,
        lifetime_ms: u64,
    ) -> Self {
        let host = connection.peer.ip().to_canonical();
        Self {
            access,
            entropy,
            host,
            is_private: connection.tls.is_some() || host.is_loopback(),
            lifetime_ms,
            principal: Principal::Anonymous,
            mechanism: None,
            attempt: None,
            is_raw: false,
            due: None,
            expires: None,
            begun: None,
        }
    }

    /// Who it is.
    pub fn principal(&self) -> &Principal {
        &self.principal
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
        self.principal == Principal::Anonymous && !self.access.is_open()
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
        self.is_required().then(|| self.due.unwrap_or(Millis(0)))
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

    /// Whether this request is served now.
    pub fn admit(&self, now: Millis, api: Api) -> Result<(), LoginError> {
        match api {
            Api::ApiVersions | Api::SaslHandshake | Api::SaslAuthenticate => Ok(()),
            _ if self.is_required() => Err(LoginError::Required(api)),
            _ if self.expires.is_some_and(|expires| expires <= now) => {
                Err(LoginError::Expired(api))
            }
            _ => Ok(()),
        }
    }

    /// Answers a request of the login.
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
        self.principal != Principal::Anonymous && (self.lifetime_ms == 0 || is_early)
    }

    fn handshake(&mut self, now: Millis, head: &Head, name: &str) -> Result<Reply, MapError> {
        let mut response = SaslHandshakeResponse::default();
        if self.is_settled(now) {
            response.error_code = wire_code::ILLEGAL_SASL_STATE;
            return reply(head.frame(&response)?, None);
        }
        let mut offered = Mechanism::offered(self.is_private);
        let chosen = offered.find(|mechanism| mechanism.name() == name);
        let names = Mechanism::offered(self.is_private).map(Mechanism::name);
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
        let mechanism = attempt.mechanism();
        match self.step(now, attempt, token) {
            Ok(answer) => {
                response.auth_bytes = answer;
                if self.attempt.is_none() {
                    let lifetime_ms = i64::try_from(self.lifetime_ms).unwrap_or(i64::MAX);
                    response.session_lifetime_ms = lifetime_ms;
                }
                reply(head.frame(&response)?, None)
            }
            Err(error) => {
                response.error_code = wire_code::SASL_AUTHENTICATION_FAILED;
                response.error_message = Some(StrBytes::from_string(mechanism.refusal()));
                reply(head.frame(&response)?, Some(error))
            }
        }
    }

    /// Answers a token that came without a header. A failure has no words then.
    pub fn token(&mut self, now: Millis, token: &[u8]) -> Reply {
        let Some(attempt) = self.attempt.take() else {
            return Reply {
                frame: None,
                end: Some(LoginError::State),
            };
        };
        match self.step(now, attempt, token) {
            Ok(answer) => {
                let mut frame = BytesMut::with_capacity(4 + answer.len());
                frame.put_u32(u32::try_from(answer.len()).unwrap_or(0));
                frame.put_slice(&answer);
                Reply {
                    frame: Some(frame.freeze()),
                    end: None,
                }
            }
            Err(error) => Reply {
                frame: None,
                end: Some(error),
            },
        }
    }

    fn step(&mut self, now: Millis, attempt: Attempt, token: &[u8]) -> Result<Bytes, LoginError> {
        let mechanism = attempt.mechanism();
        let (high, low) = (self.entropy.next_u64(), self.entropy.next_u64());
        let nonce = format!("{high:016x}{low:016x}");
        let access = self.access.load();
        let progress = attempt.token(&access, &nonce, token);
        match progress.map_err(|error| LoginError::Failed { mechanism, error })? {
            Progress::Next(attempt, answer) => {
                self.attempt = Some(attempt);
                Ok(answer)
            }
            Progress::Done(user, answer) => {
                let principal = Principal::User(Arc::clone(&user.name));
                if self.principal != Principal::Anonymous && self.principal != principal {
                    return Err(LoginError::Changed);
                }
                self.principal = principal;
                self.mechanism = Some(mechanism);
                self.expires = (self.lifetime_ms > 0).then(|| now.plus(self.lifetime_ms));
                Ok(answer)
            }
        }
    }
}

fn reply(frame: Bytes, end: Option<LoginError>) -> Result<Reply, MapError> {
    Ok(Reply {
        frame: Some(frame),
        end,
    })
}
