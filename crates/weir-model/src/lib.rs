//! The words that every other crate of WeirMQ shares: ids, names, error kinds and the stored
//! record batch.
//!
//! Charter: message, names, ids, error kinds and counted durations; no I/O, no clock, nothing that a single crate
//! alone uses.

pub mod batch;
pub mod batch_builder;
pub mod error_kind;
pub mod fields;
pub mod figures;
pub mod id;
pub mod message;
pub mod name;
pub mod partitioner;
pub mod record;
pub mod reference;

pub use error_kind::{Blame, ErrorKind};
pub use id::{GroupId, NodeId, Offset, PartitionId, ProducerId, Term, TopicId};
pub use name::TopicName;
