//! What a connection waits for, and what leaves through its stream.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    sync::watch,
};

use crate::limits::{MAX_WRITE_SLICES_COUNT, MIN_READ_BYTES};

/// What has happened.
pub(crate) enum Event {
    Read(io::Result<usize>),
    Written(io::Result<usize>),
    Flushed(io::Result<()>),
    Claimed,
    Turn,
    Shutdown,
}

/// Hands chunks to the stream, or sees that what it has taken leaves. Cancel-safe. Their slices stand on
/// the stack: who waits for its peer holds no memory for them.
pub(crate) async fn send<W: AsyncWrite + Unpin>(writer: &mut W, unsent: &VecDeque<Bytes>) -> Event {
    if unsent.is_empty() {
        return Event::Flushed(writer.flush().await);
    }
    let written = poll_fn(|context| {
        let mut slices = [IoSlice::new(&[]); MAX_WRITE_SLICES_COUNT];
        Pin::new(&mut *writer).poll_write_vectored(context, gather(unsent, &mut slices))
    });
    Event::Written(written.await)
}

/// The first chunks, as many as there is place for.
fn gather<'a, 'b>(unsent: &'a VecDeque<Bytes>, into: &'b mut [IoSlice<'a>]) -> &'b [IoSlice<'a>] {
    let mut count = 0;
    for (slot, chunk) in into.iter_mut().zip(unsent) {
        *slot = IoSlice::new(chunk);
        count += 1;
    }
    &into[..count]
}

/// How much room a read is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Less than this is too little.
    pub(crate) least_bytes: usize,
    /// This much is made where there is too little.
    pub(crate) wanted_bytes: usize,
}

impl Room {
    fn fits_on_the_stack(self) -> bool {
        self.wanted_bytes <= MIN_READ_BYTES
    }

    fn is_lacking(self, within: &BytesMut) -> bool {
        within.capacity() - within.len() < self.least_bytes
    }

    pub(crate) fn make(self, within: &mut BytesMut) {
        if self.is_lacking(within) {
            within.reserve(self.wanted_bytes);
        }
    }
}

/// Reads into room that is made once there is something to read, and not kept by who has to wait with nothing
/// in it: most connections wait most of the time, and hold nothing for that.
pub(crate) async fn receive<R>(reader: &mut R, into: &mut BytesMut, room: Room) -> io::Result<usize>
where
    R: AsyncRead + Unpin,
{
    poll_fn(|context| {
        if room.is_lacking(into) && (into.is_empty() || room.fits_on_the_stack()) {
            return poll_probe(reader, context, into, room);
        }
        room.make(into);
        let polled = pin!(reader.read_buf(into)).poll(context);
        if polled.is_pending() && into.is_empty() {
            *into = BytesMut::new();
        }
        polled
    })
    .await
}

/// Reads into the stack first, so that nothing is made where there is nothing to read, and then the rest into
/// room of just the size that is wanted: sizes that are alike are cheap to make and to give back.
fn poll_probe<R>(
    reader: &mut R,
    context: &mut Context<'_>,
    into: &mut BytesMut,
    room: Room,
) -> Poll<io::Result<usize>>
where
    R: AsyncRead + Unpin,
{
    if into.is_empty() {
        *into = BytesMut::new();
    }
    let mut probe = [0; MIN_READ_BYTES];
    let mut probe = ReadBuf::new(&mut probe);
    ready!(Pin::new(&mut *reader).poll_read(context, &mut probe))?;
    let probed = probe.filled();
    let is_more_wanted = probed.len() == MIN_READ_BYTES && !room.fits_on_the_stack();
    if into.is_empty() && is_more_wanted {
        *into = BytesMut::with_capacity(room.wanted_bytes);
    }
    into.extend_from_slice(probed);
    let more_bytes = match is_more_wanted.then(|| pin!(reader.read_buf(into)).poll(context)) {
        Some(Poll::Ready(Ok(count))) => count,
        // An end or an error is there next time as well.
        Some(Poll::Ready(Err(_)) | Poll::Pending) | None => 0,
    };
    Poll::Ready(Ok(probed.len() + more_bytes))
}

/// Without a lock as long as nothing has changed.
pub(crate) fn is_down(shutdown: &mut watch::Receiver<bool>) -> bool {
    match shutdown.has_changed() {
        Ok(false) => false,
        Ok(true) => *shutdown.borrow_and_update(),
        Err(_) => true,
    }
}
