//! A disk in memory that loses, tears, refuses and rots as real ones do.

mod faults;
mod file;
mod inode;
mod names;
mod sim_disk;
mod state;
#[cfg(test)]
mod tests;

pub use faults::{Fault, FaultKind};
pub use sim_disk::{DiskConfig, SimDisk};
pub use state::WrittenRange;
