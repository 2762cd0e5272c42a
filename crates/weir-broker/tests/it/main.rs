//! Nodes of one process that reach each other without sockets.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod admin;
mod admin_cluster;
mod clients;
mod cluster;
mod forward;
mod full_disk;
mod mesh;
mod nodes;
mod permissions;
mod presence;
mod produce;
mod queue_admin;
mod queue_bodies;
mod queue_current;
mod queue_engine;
mod queue_life;
mod queue_moves;
mod queues;
mod replicas;
mod shares;
mod slow_disk;
mod steward;
mod streams;
mod transactions;
mod transient;
