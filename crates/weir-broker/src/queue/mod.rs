//! Queues: a partition's log with a ledger, and who takes from it. A deterministic state machine
//! beside the partition, in the same group.
//!
//! Dispatch is part of it: whatever makes a message ready or a consumer free is followed by
//! serving, in the same command, so that a message costs its append and its settlement and nothing
//! besides. Reading the record and sending it is the leader's business, and volatile.

mod arrival;
pub(crate) mod call;
mod closing;
mod command;
mod consumers;
mod dead;
mod delays;
pub(crate) mod encoding;
mod limits;
pub(crate) mod refused;
mod repeats;
mod sessions;
pub(crate) mod settings;
mod settle;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use arrival::Arrived;
pub(crate) use call::{Attach, ConsumerKey, QueueAnswer, QueueCall, QueueFigures, SessionKey};
pub(crate) use closing::{CloseIf, CloserKey};
pub(crate) use command::{Gone, QueueCommand, Removed};
pub(crate) use dead::{DeadLetter, Reason};
pub(crate) use settings::{Overflow, QueueSettings};
pub(crate) use state::{Assignment, LogRange, Queue, QueueApplied, unassigned};
