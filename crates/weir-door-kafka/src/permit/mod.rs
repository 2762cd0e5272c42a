//! What a client may do, by Kafka's ACLs: asked before the node is asked, and of what it tells.

pub mod asker;
pub mod cluster;
pub mod held;
pub mod operations;
pub mod request;
