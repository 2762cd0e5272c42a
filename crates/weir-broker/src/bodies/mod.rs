//! Bodies that are stored once for all queues of a group: which of them somebody refers to.
//!
//! A group's bodies lie in a partition of the group that has no topic. It is divided into chunks;
//! the partition of a queue keeps a short list of the chunks that its log refers to, and each chunk a
//! count of such lists. So memory follows chunks, never messages. What nobody refers to for a while
//! is dead for good: a reference that comes too late is refused.

mod chunks;
mod held;
mod place;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    chunks::Chunks,
    held::HeldChunks,
    place::{SEGMENT_BYTES, bodies_of, group_of_bodies, segment_policy},
};
