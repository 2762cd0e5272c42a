//! Whole nodes beside each other, step by step, on real directories and a network in memory.

mod cluster;
mod mesh;
mod steward;
