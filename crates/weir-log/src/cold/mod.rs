//! Reading what is not in memory: batches by offset, records by time, and the threads for it.

mod batches;
mod pool;
mod records;

pub(crate) use batches::read;
pub(crate) use pool::{ColdPool, Job, Refused};
pub(crate) use records::{find_in_memory, lookup};
