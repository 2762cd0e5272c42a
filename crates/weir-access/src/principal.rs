//! Who asks.

use std::sync::Arc;

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
    /// A user who has.
    User(Arc<str>),
}

impl Principal {
    /// As ACLs call it.
    pub fn name(&self) -> &str {
        match self {
            Self::Anonymous => ANONYMOUS,
            Self::User(name) => name,
        }
    }
}
