//! What a connection waits for, and what leaves through its stream.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    task::{Poll, ready},
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    sync::watch,
};

use crate::limits::MIN_READ_BYTES;

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

/// Reads into the room that was made, or, where none was, what fits on the stack: who waits for
/// bytes that way holds no memory for them.
pub(crate) async fn receive<R>(reader: &mut R, into: &mut BytesMut) -> io::Result<usize>
where
    R: AsyncRead + Unpin,
{
    if into.capacity() > into.len() {
        return reader.read_buf(into).await;
    }
    poll_fn(|context| {
        let mut room = [0; MIN_READ_BYTES];
        let mut room = ReadBuf::new(&mut room);
        ready!(Pin::new(&mut *reader).poll_read(context, &mut room))?;
        into.extend_from_slice(room.filled());
        Poll::Ready(Ok(room.filled().len()))
    })
    .await
}

/// Without a lock as long as nothing has changed.
pub(crate) fn is_down(shutdown: &mut watch::Receiver<bool>) -> bool {
    match shutdown.has_changed() {
        Ok(false) => false,
        Ok(true) => *shutdown.borrow_and_update(),
        Err(_) => true,
    }
}
