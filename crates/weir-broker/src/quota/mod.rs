//! Quotas: how much of something each user, client, address, virtual host or topic may have in a second.
//!
//! What is wanted is state of group 0 (`table`). How much there was is each node's own count (`meter`), found once for
//! each connection (`meters`).

mod check;
mod entity;
mod key;
mod meter;
mod meters;
#[cfg(test)]
mod partition_tests;
mod partitions;
pub(crate) mod record;
mod table;
#[cfg(test)]
mod tests;
mod view;

pub use check::{QuotaFault, checked_entity, checked_value};
pub use entity::{EntityType, Named, QuotaEntity};
pub use key::{QuotaKey, QuotaValue};
pub use meter::MAX_THROTTLE_MS;
pub use meters::{Caller, ConnectionMeters};
pub use table::{MAX_QUOTA_ENTITIES, QuotaChanges, QuotaTable, QuotaValues};
pub use view::{QuotaFigures, QuotaView};
