//! The campaigns: what part of the production code runs, and what it is asked to do.

mod host;
pub mod partition;
pub mod wal;
