//! The campaigns: what part of the production code runs, and what it is asked to do.

pub mod cluster;
pub mod group;
mod host;
pub mod node;
pub mod partition;
pub mod wal;
mod wal_bug;
