//! Who asks.

use std::sync::Arc;

use crate::limit::MAX_USER_NAME_BYTES;

/// Kafka's name for those who have not logged in. No user has it.
pub const ANONYMOUS: &str = "ANONYMOUS";
/// The name by which ACLs mean everybody. No user has it.
pub const EVERYONE: &str = "*";

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Principal {
    /// Somebody who has not logged in.
    #[default]
    Anonymous,
    /// A user who has, and may do nothing once it is no more.
    User(Arc<str>),
    /// Somebody whom a certificate or a token names. It need not be a user: rules may name it all the same.
    Vouched(Arc<str>),
}

impl Principal {
    /// Whom a certificate or a token names; `None`: that is nobody's name.
    pub fn vouched(name: &str) -> Option<Self> {
        let is_fit = (1..=MAX_USER_NAME_BYTES).contains(&name.len());
        let is_fit = is_fit && name != ANONYMOUS && name != EVERYONE;
        is_fit.then(|| Self::Vouched(name.into()))
    }

    /// As ACLs call it.
    pub fn name(&self) -> &str {
        match self {
            Self::Anonymous => ANONYMOUS,
            Self::User(name) | Self::Vouched(name) => name,
        }
    }
}
