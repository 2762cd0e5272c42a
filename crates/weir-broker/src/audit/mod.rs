//! Who logged in, who was refused, and who changed what: records of a topic that nobody writes but the nodes.
//!
//! Each node notes what happens at its own doors, since no other knows who asked and from where, and writes
//! it in batches beside its work. Nothing that happens waits for that.

mod change;
mod event;
mod log;
mod operator;
mod requester;
mod topic;
mod write;

pub use change::Change;
pub use event::AuditEvent;
pub use log::AuditLog;
pub use requester::Requester;
pub use topic::{AUDIT_TOPIC, is_internal};
pub(crate) use write::AuditWriter;
