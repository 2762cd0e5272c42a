//! What a connection waits for, and what leaves through its stream.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
};

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// What has happened.
pub(crate) enum Event {
    Read(io::Result<usize>),
    Written(io::Result<usize>),
    Flushed(io::Result<()>),
    Claimed,
    Turn,
    Shutdown,
}

/// Hands chunks to the stream, or sees that what it has taken leaves. Cancel-safe.
pub(crate) async fn send<W: AsyncWrite + Unpin>(writer: &mut W, slices: &[IoSlice<'_>]) -> Event {
    if slices.is_empty() {
        Event::Flushed(writer.flush().await)
    } else {
        Event::Written(writer.write_vectored(slices).await)
    }
}

/// The first chunks, as many as there is place for.
pub(crate) fn gather<'a, 'b>(
    unsent: &'a VecDeque<Bytes>,
    into: &'b mut [IoSlice<'a>],
) -> &'b [IoSlice<'a>] {
    let mut count = 0;
    for (slot, chunk) in into.iter_mut().zip(unsent) {
        *slot = IoSlice::new(chunk);
        count += 1;
    }
    &into[..count]
}
