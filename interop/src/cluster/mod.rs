//! Several nodes: faults on each and between them, failover, growth.

mod bit_flip;
mod campaign;
mod copier;
pub(crate) mod failover;
mod fault;
pub(crate) mod grow;
mod leaderless;
mod load;
mod member;
mod network;
mod nodes;
mod plan;
mod process;
mod queue_load;
mod run;
mod share_load;
mod status;
mod strace;
mod verifiable;
mod wall_clock;
mod work;
mod worker;

pub(crate) use campaign::run;
pub(crate) use failover::now_ns;
pub(crate) use leaderless::Leaderless;
pub(crate) use load::{Load, Shape};
pub(crate) use nodes::{Cluster, Ground, ServeOptions};
pub(crate) use plan::{Clients, Faults, Options, QUEUES};
pub(crate) use queue_load::QueueLoad;
