//! Wire requests to the node's requests, and its outcomes to wire answers.

pub mod api_versions;
pub mod cluster;
pub mod configs;
pub mod consumers;
pub mod dispatch;
pub mod elections;
pub mod fetch;
pub mod group_admin;
pub mod grouped;
pub mod groups;
pub mod kraft;
pub mod leader_epoch;
pub mod list_offsets;
pub mod manage;
pub mod metadata;
pub mod offsets;
pub mod over_tls;
pub mod plan;
pub mod produce;
pub mod producer_id;
pub mod topic_admin;
pub mod topic_partitions;
pub mod topics;
pub mod transaction_admin;
pub mod transactions;
