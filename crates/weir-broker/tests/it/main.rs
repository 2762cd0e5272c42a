//! Whole nodes beside each other, step by step, on real directories and a network in memory.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod cluster;
mod mesh;
mod steward;
