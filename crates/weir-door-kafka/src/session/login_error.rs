//! Why a connection ends for want of a login.

use weir_access::{AuthError, INVALID_TOKEN, token::TokenRefused};
use weir_broker::access::{EnterRefused, UserGone};

use super::{login::MAX_LOGIN_MS, sasl::Mechanism};
use crate::codec::versions::Api;

/// Why a connection ends that has not logged in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// It asks for something.
    #[error("{0:?} before a login")]
    Required(Api),
    /// It asks for something from another machine, and nobody can log in yet.
    #[error(
        "{0:?} from another machine, and there is no user yet: make one (weir user add), or set allow-anonymous"
    )]
    NoUsers(Api),
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
    /// Its token is not believed.
    #[error("OAUTHBEARER: {0}")]
    Token(TokenRefused),
    /// It may not come in now.
    #[error(transparent)]
    Refused(#[from] EnterRefused),
    /// It was somebody who is no more.
    #[error(transparent)]
    Gone(UserGone),
    /// It would be somebody else from now on.
    #[error("another user or mechanism than before")]
    Changed,
}

impl LoginError {
    /// What the client hears, in Kafka's words.
    pub(super) fn told(&self, mechanism: Mechanism) -> String {
        match self {
            Self::Refused(refused) => refused.to_string(),
            Self::Token(_) => INVALID_TOKEN.to_owned(),
            Self::Required(_)
            | Self::NoUsers(_)
            | Self::TimedOut
            | Self::Expired(_)
            | Self::Mechanism
            | Self::State
            | Self::Failed { .. }
            | Self::Gone(_)
            | Self::Changed => mechanism.refusal(),
        }
    }
}
