//! Replicated groups: many Raft groups per node, one loop per worker, one write for all.
//!
//! The only crate that names raft-rs. A group takes *commands*, gathers those of one loop into a
//! *bundle* (one Raft entry), and gives every committed command to its [`StateMachine`] in
//! order. One node alone uses the same path with one voter.
//!
//! Nothing here knows a thread's clock or a socket: [`Worker::turn`] is a step of a single
//! thread, driven by [`thread::spawn`] in production and by the simulator in tests.

mod applied;
mod buffers;
mod bundle;
mod command;
mod conf;
mod convert;
mod error;
mod group;
mod group_log;
mod inbox;
mod machine;
mod moment;
mod peer;
mod seeded;
mod snapshot;
mod status;
pub mod thread;
pub mod wire;
mod worker;

pub use applied::Applied;
pub use buffers::{
    BufferPool, FREE_UNUSED_INTERVAL_MS, MAX_POOLED_BYTES, MIN_POOLED_BYTES, PooledBuf,
};
pub use command::{Command, Done};
pub use conf::{MAX_MEMBERS_COUNT, MemberChange, Members};
pub use error::{ApplyError, FoundError, NotCommitted};
pub use group::{GroupSeed, Lifetime};
pub use inbox::{Handle, Input};
pub use machine::{Context, Stamp, StateMachine, Visit};
pub use moment::Moment;
pub use peer::{NoPeers, PeerMessage, PeerPort};
#[cfg(feature = "seeded-bugs")]
pub use seeded::RaftBug;
pub use snapshot::{GroupCheckpoint, NoSnapshots, SnapshotOffer, SnapshotPort};
pub use status::{FollowerView, GroupStatus, GroupView};
pub use worker::{Admission, MAX_STOPPING_MS, Turn, Worker, WorkerConfig, WorkerFailed};
