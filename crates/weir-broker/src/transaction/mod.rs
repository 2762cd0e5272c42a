//! Transactions: who is in which, replicated in the shard that the transactional id is hashed to.
//!
//! [`TransactionTable`] changes by [`TransactionCommand`]s alone. What partitions know of
//! transactions stands in [`crate::producer`] and [`view`]; offsets that wait for a transaction's
//! end in [`pending`].

pub mod command;
pub(crate) mod conversations;
#[cfg(test)]
mod early_tests;
mod format;
#[cfg(test)]
mod late_tests;
pub mod marker;
pub mod pending;
pub mod table;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod timeout_tests;
mod transition;
pub mod view;

pub use command::TransactionCommand;
pub use marker::Marker;
pub use pending::PendingOffsets;
pub use table::{Ending, TransactionAnswer, TransactionTable};
pub use view::TransactionView;
