//! Group 0: the cluster's nodes, topics, placement and producer id blocks.

mod checkpoint;
mod chunked;
pub mod command;
pub mod placement;
pub mod record;
pub mod state;
#[cfg(test)]
mod tests;
pub mod topic_config;
pub mod topology;

pub use command::{CreateTopic, MetadataCommand};
pub use record::{NodeRecord, TopicRecord};
pub use state::{MetadataOutcome, MetadataState};
pub use topic_config::{ConfigError, TopicConfig};
pub use topology::Topology;
