//! Wire requests to the node's requests, and its outcomes to wire answers.

pub mod api_versions;
pub mod dispatch;
pub mod fetch;
pub mod grouped;
pub mod groups;
pub mod list_offsets;
pub mod metadata;
pub mod offsets;
pub mod plan;
pub mod produce;
pub mod producer_id;
pub mod topics;
pub mod transaction_admin;
pub mod transactions;
