//! Exchanges, queues and sessions as this node's doors see them.

mod deliver;
mod lead;
mod session;

pub(crate) use deliver::{Handed, HandedOver};
pub(crate) use lead::QueueCallDone;
pub use session::QueueSession;
