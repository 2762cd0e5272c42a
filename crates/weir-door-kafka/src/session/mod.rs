//! One Kafka connection without I/O.

pub mod answer_budget;
mod audited;
mod close;
pub mod connection;
pub mod fetch_cache;
pub mod fetch_session;
pub mod login;
pub mod login_error;
pub(crate) mod login_reply;
pub mod queue;
pub mod sasl;
pub mod share_holds;
pub mod shared;
mod throttle;
