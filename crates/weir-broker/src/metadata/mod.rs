//! Group 0: the cluster's nodes, topics, placement and producer id blocks.

mod checkpoint;
pub mod command;
pub mod config_command;
pub mod grow;
mod nodes;
mod outcome;
pub mod placed;
pub mod placement;
pub mod record;
pub mod reserved;
pub mod state;
#[cfg(test)]
mod tests;
pub mod topic_config;
pub mod topology;

pub use command::{CreateTopic, MetadataCommand};
pub use outcome::MetadataOutcome;
pub use record::{NodeRecord, NodeState, TopicRecord};
pub use state::MetadataState;
pub use topic_config::{ConfigError, TopicConfig};
pub use topology::Topology;
