//! Who somebody is and what they may do, for all doors: pure, without I/O, clock and random numbers.
//!
//! Charter: users and the verifiers of their passwords, tokens that others sign, the server's side of logins,
//! and what is allowed to whom. What an answer looks like on a protocol's wire is its door's.
//!
//! Two kinds of rule stand side by side, each with its own protocol's meaning: Kafka's ACLs, and RabbitMQ's
//! permissions. A door asks with the [`Need`]s of its own kind, and gets one answer from
//! [`Access::check`].

pub mod acl;
mod bearer;
mod cache;
mod check;
mod gs2;
mod limit;
mod pattern;
mod pending;
mod permission;
mod plain;
mod prepare;
mod principal;
mod rules;
pub mod scram;
mod store;
#[cfg(test)]
mod tests;
pub mod token;
mod user;
mod verifier;

pub use bearer::{BEARER_GIVES_UP, BearerMessage, INVALID_TOKEN};
pub use cache::DecisionCache;
pub use check::{Caller, Decision, Need};
pub use limit::*;
pub use pattern::{PatternError, Wanted};
pub use pending::PendingCheck;
pub use permission::{Permission, Permissions, TopicPermissions, permissions_fault};
pub use plain::{AuthError, PlainMessage, check_password};
pub use prepare::{NameError, is_valid_name, password_fault, prepared};
pub use principal::{ANONYMOUS, EVERYONE, Principal};
pub use rules::Rules;
pub use store::{Access, AccessError, Seed};
pub use user::{ADMINISTRATOR, User, UserLimits};
pub use verifier::{Hash, Verifier};
