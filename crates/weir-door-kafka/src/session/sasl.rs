//! SASL's mechanisms as a server speaks them: tokens in, tokens out, and who it is at the end.

use std::sync::Arc;

use bytes::Bytes;
use weir_access::{
    Access, AuthError, Hash, PendingCheck, PlainMessage, User,
    scram::{Exchange, LoggedIn},
};
use weir_door::Work;

/// How a client logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// SCRAM (RFC 5802).
    Scram(Hash),
    /// PLAIN (RFC 4616): the password itself.
    Plain,
}

impl Mechanism {
    const ALL: [Self; 3] = [
        Self::Scram(Hash::Sha512),
        Self::Scram(Hash::Sha256),
        Self::Plain,
    ];

    /// As SASL calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scram(hash) => hash.mechanism(),
            Self::Plain => "PLAIN",
        }
    }

    /// Those that a client is offered. `is_private`: nobody else hears what it sends.
    pub fn offered(is_private: bool) -> impl Iterator<Item = Self> {
        let all = Self::ALL.into_iter();
        all.filter(move |mechanism| is_private || *mechanism != Self::Plain)
    }

    /// Kafka's words for a login that failed.
    pub fn refusal(self) -> String {
        match self {
            Self::Scram(hash) => format!(
                "Authentication failed during authentication due to invalid credentials with SASL mechanism {}",
                hash.mechanism()
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
}

/// What a token led to.
pub enum Progress {
    /// This is the answer, and the client is to go on.
    Next(Attempt, Bytes),
    /// This is the answer, and the client is this user.
    Done(Arc<User>, Bytes),
    /// The work finds who the client is, if anybody; the answer says nothing then.
    Later(PendingCheck, Work),
}

impl Attempt {
    /// Which mechanism.
    pub fn mechanism(&self) -> Mechanism {
        match self {
            Self::Begun(mechanism) => *mechanism,
            Self::Heard(hash, _) => Mechanism::Scram(*hash),
        }
    }

    /// Who the client says it is, with this token or before; empty where it does not.
    pub fn claimed<'a>(&'a self, token: &'a [u8]) -> &'a str {
        match self {
            Self::Begun(Mechanism::Plain) => {
                PlainMessage::parse(token).map_or("", |said| said.user)
            }
            Self::Begun(Mechanism::Scram(_)) => "",
            Self::Heard(_, exchange) => exchange.user_name(),
        }
    }

    /// Takes the client's next token. `nonce`: never the same twice.
    pub fn token(
        self,
        access: &Arc<Access>,
        nonce: &str,
        token: &[u8],
    ) -> Result<Progress, AuthError> {
        match self {
            Self::Begun(Mechanism::Scram(hash)) => {
                let (exchange, answer) = Exchange::begin(access, hash, nonce, token)?;
                let next = Self::Heard(hash, Box::new(exchange));
                Ok(Progress::Next(next, answer.into()))
            }
            Self::Begun(Mechanism::Plain) => {
                let said = PlainMessage::parse(token)?;
                let (user, password) = (said.user.to_owned(), said.password.to_owned());
                let (pending, work) = PendingCheck::new(Arc::clone(access), user, password);
                Ok(Progress::Later(pending, work))
            }
            Self::Heard(_, exchange) => {
                let LoggedIn { user, answer } = exchange.finish(access, token)?;
                Ok(Progress::Done(user, answer.into()))
            }
        }
    }
}
