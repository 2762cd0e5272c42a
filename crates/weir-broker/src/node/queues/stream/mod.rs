//! Streams: queues whose messages stay. Each consumer reads on its own from wherever it wants, on
//! the node where its session is where that has a copy, and nothing of it is stored.

mod consume;
mod consumer;
mod filter;
mod read;
mod start;

pub(super) use consume::not_by_stream;
pub(super) use consumer::Streams;
pub(super) use read::{Chunk, ReadAnswer};
pub(super) use start::StreamStart;
