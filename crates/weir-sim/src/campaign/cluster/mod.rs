//! Clusters of several production nodes in one thread: disks, clocks, a network and clients.

mod admin;
mod answers;
mod books;
mod clients;
mod consumers;
mod control;
mod copiers;
mod draw;
mod events;
mod finish;
mod groups;
mod joins;
mod machine;
mod offsets;
mod plan;
mod port;
mod process;
mod producers;
mod queues;
mod read;
mod readers;
mod rot;
mod run;
mod seat;
mod shares;
mod transactions;
mod transactors;
mod walls;
mod watch;
mod weather;

pub use plan::{Act, ClientPlan, ClusterPlan, ClusterStep, ClusterTopic, NetPlan};
pub use queues::{OverflowPlan, QueuePlan, QueuesPlan};
pub use run::run;
pub use shares::{ShareGroupPlan, SharesPlan};
