//! Consumer groups: who is in, who reads what, and which offsets are kept.
//!
//! [`Coordinator`] and [`ConsumerCoordinator`] are the leader's own, volatile side; [`GroupTable`] and [`OffsetTable`] are
//! replicated and change by [`GroupCommand`]s alone.

mod classic;
pub mod command;
pub mod config;
pub mod consumer;
mod coordinator;
pub mod expiry;
mod join;
pub mod offsets;
mod presence;
mod rebalance;
pub mod record;
pub mod share;
pub mod subscription;
mod sync;
#[cfg(test)]
mod tests;

pub use classic::GroupState;
pub use command::{CommitOffsets, GroupCommand};
pub use config::GroupConfig;
pub use consumer::{
    Catalogue, ConsumerAction, ConsumerAnswer, ConsumerChange, ConsumerCoordinator, ConsumerMember,
    ConsumerRecord, GroupTopic, StoreId,
};
pub use coordinator::{Action, Coordinator, PersistId};
pub use offsets::{OffsetTable, StoredOffset};
pub use record::{GroupRecord, GroupTable, MemberRecord};
pub use share::{ShareAction, ShareCoordinator};
