//! Exchanges, queues and sessions as this node's doors see them.

mod deliver;
mod lead;
mod request;
mod route;
mod session;
mod topology;
mod topology_queues;

pub(crate) use deliver::{Handed, HandedOver};
pub(crate) use lead::QueueCallDone;
pub(crate) use route::{FoundQueue, Routed};
pub use session::QueueSession;
