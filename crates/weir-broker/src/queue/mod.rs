//! Queues: a partition's log with a ledger, and who takes from it. A deterministic state machine
//! beside the partition, in the same group.

pub(crate) mod call;
pub(crate) mod refused;
pub(crate) mod settings;

pub(crate) use call::{Attach, ConsumerKey, QueueAnswer, QueueCall, QueueFigures, SessionKey};
pub(crate) use settings::{Overflow, QueueSettings};
