//! Exchanges, queues and sessions as this node's doors see them.

mod session;

pub use session::QueueSession;
