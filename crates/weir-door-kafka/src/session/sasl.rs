//! SASL's mechanisms as a server speaks them: messages in, messages out, and who it is at the end.

use std::sync::Arc;

use bytes::Bytes;
use weir_access::{
    Access, AuthError, BEARER_GIVES_UP, BearerMessage, Hash, INVALID_TOKEN, PendingCheck,
    PlainMessage, User,
    scram::{Exchange, LoggedIn},
    token::TokenRefused,
};
use weir_broker::access::{Believed, TokenView};
use weir_door::Work;

use super::login_error::LoginError;

/// How a client logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// SCRAM (RFC 5802).
    Scram(Hash),
    /// PLAIN (RFC 4616): the password itself.
    Plain,
    /// OAUTHBEARER (RFC 7628): a token that somebody else has signed.
    Bearer,
}

impl Mechanism {
    const ALL: [Self; 4] = [
        Self::Scram(Hash::Sha512),
        Self::Scram(Hash::Sha256),
        Self::Plain,
        Self::Bearer,
    ];

    /// As SASL calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scram(hash) => hash.mechanism(),
            Self::Plain => "PLAIN",
            Self::Bearer => "OAUTHBEARER",
        }
    }

    /// Those that a client is offered. `is_private`: nobody else hears what it sends. `takes_tokens`: there are
    /// keys by which tokens are believed.
    pub fn offered(is_private: bool, takes_tokens: bool) -> impl Iterator<Item = Self> {
        let all = Self::ALL.into_iter();
        all.filter(move |mechanism| match mechanism {
            Self::Scram(_) => true,
            Self::Plain => is_private,
            Self::Bearer => is_private && takes_tokens,
        })
    }

    /// Kafka's words for a login that failed.
    pub fn refusal(self) -> String {
        match self {
            Self::Scram(_) | Self::Bearer => format!(
                "Authentication failed during authentication due to invalid credentials with SASL mechanism {}",
                self.name()
            ),
            Self::Plain => "Authentication failed: Invalid username or password".to_owned(),
        }
    }
}

/// A login that is under way.
#[derive(Debug)]
pub enum Attempt {
    /// Nothing was said yet.
    Begun(Mechanism),
    /// The client has said who it is.
    Heard(Hash, Box<Exchange>),
    /// The client's token was refused: it says that it has understood.
    Refused(TokenRefused),
}

/// What a token led to.
pub enum Progress {
    /// This is the answer, and the client is to go on.
    Next(Attempt, Bytes),
    /// This is the answer, and the client is this user.
    Done(Arc<User>, Bytes),
    /// The client is somebody whom a token names.
    Vouched(Believed),
    /// The client is told so, and will say that it has understood.
    Refused(TokenRefused, Bytes),
    /// The work finds who the client is, if anybody; the answer says nothing then.
    Later(PendingCheck, Work),
}

impl Attempt {
    /// Which mechanism.
    pub fn mechanism(&self) -> Mechanism {
        match self {
            Self::Begun(mechanism) => *mechanism,
            Self::Heard(hash, _) => Mechanism::Scram(*hash),
            Self::Refused(_) => Mechanism::Bearer,
        }
    }

    /// Who the client says it is, with this token or before; empty where it does not.
    pub fn claimed<'a>(&'a self, token: &'a [u8]) -> &'a str {
        match self {
            Self::Begun(Mechanism::Plain) => {
                PlainMessage::parse(token).map_or("", |said| said.user)
            }
            Self::Begun(Mechanism::Scram(_) | Mechanism::Bearer) | Self::Refused(_) => "",
            Self::Heard(_, exchange) => exchange.user_name(),
        }
    }

    /// Takes the client's next token. `nonce`: never the same twice.
    pub fn token(
        self,
        (access, tokens): (&Arc<Access>, &TokenView),
        nonce: &str,
        token: &[u8],
    ) -> Result<Progress, LoginError> {
        let mechanism = self.mechanism();
        let failed = |error| LoginError::Failed { mechanism, error };
        match self {
            Self::Begun(Mechanism::Scram(hash)) => {
                let begun = Exchange::begin(access, hash, nonce, token);
                let (exchange, answer) = begun.map_err(failed)?;
                let next = Self::Heard(hash, Box::new(exchange));
                Ok(Progress::Next(next, answer.into()))
            }
            Self::Begun(Mechanism::Plain) => {
                let said = PlainMessage::parse(token).map_err(failed)?;
                let (user, password) = (said.user.to_owned(), said.password.to_owned());
                let (pending, work) = PendingCheck::new(Arc::clone(access), user, password);
                Ok(Progress::Later(pending, work))
            }
            Self::Heard(_, exchange) => {
                let finished = exchange.finish(access, token);
                let LoggedIn { user, answer } = finished.map_err(failed)?;
                Ok(Progress::Done(user, answer.into()))
            }
            Self::Begun(Mechanism::Bearer) => {
                let said = BearerMessage::parse(token).map_err(failed)?;
                if access.is_open() {
                    // As everybody else's: nobody logs in before there is a user.
                    return Err(failed(AuthError::Credentials));
                }
                match tokens.check(said.token) {
                    Ok(believed) => {
                        let act_for = &*said.act_for;
                        match act_for.is_empty() || act_for == believed.principal.name() {
                            true => Ok(Progress::Vouched(believed)),
                            false => Err(failed(AuthError::Impersonation)),
                        }
                    }
                    Err(refused) => {
                        let told = Bytes::from_static(INVALID_TOKEN.as_bytes());
                        Ok(Progress::Refused(refused, told))
                    }
                }
            }
            Self::Refused(refused) => Err(match token {
                BEARER_GIVES_UP => LoginError::Token(refused),
                _ => failed(AuthError::Malformed),
            }),
        }
    }
}
