//! The broker of one node: deterministic state machines and the API that all doors call.
//!
//! Knows neither sockets nor protocols.

pub mod access;
pub mod access_admin;
pub mod api;
pub mod audit;
mod bodies;
mod call;
mod catch_up;
mod checkpointer;
mod chunked;
pub mod config;
pub mod configs;
pub mod encoding;
mod engine;
mod forward;
#[doc(hidden)]
pub mod fuzzing;
mod gather;
pub mod group;
mod hashed;
mod identity;
mod inspect;
mod intake;
pub mod join;
mod json_call;
mod limited;
mod machine;
pub mod mailbox;
pub mod metadata;
mod metadata_host;
mod node;
mod outcome;
pub mod peer;
pub mod producer;
mod purgatory;
mod queue;
pub mod queue_admin;
pub mod quota;
mod refusal;
mod registry;
mod routing;
mod seeded;
mod shard;
mod share;
pub mod steward;
pub mod topic_admin;
pub mod transaction;
pub mod view;

pub use catch_up::CatchUpProgress;
pub use checkpointer::CheckpointFailed;
pub use config::NodeConfig;
pub use engine::{Engine, NodeFailed, Observer, OnFailure, OpenError, Running};
pub use identity::{Identity, IdentityError};
pub use inspect::{PartitionState, ReplicaState, ReplicaStateDone};
pub use json_call::AdminError;
pub use mailbox::{Mailbox, Reply, Ticket};
pub use node::{
    Node,
    figures::{GroupLag, NodeFigures, TopicFigures},
};
pub use refusal::{Refusal, RefusalKind};
#[cfg(feature = "seeded-bugs")]
pub use seeded::SeededBug;
pub use weir_raft::{Applied, NoPeers};
