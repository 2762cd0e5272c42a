//! Kafka's wire format without I/O.

pub mod fetch_response;
pub mod frame;
pub mod header;
pub mod inbox;
pub mod response;
pub mod shape;
pub mod shapes;
pub mod share;
pub mod share_offsets_response;
pub mod share_response;
mod throttle;
pub mod topic_ids;
pub mod versions;
