//! The end of a connection whose peer may still be writing.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

use crate::limits::{MAX_LINGER, MIN_READ_BYTES};

/// Reads away what the peer sends until it has closed its side as well, for [`MAX_LINGER`] at
/// most. A socket that is closed with bytes unread resets the connection, and the peer may lose
/// the last answer that way. What is read away stands on the stack: a crowd that was refused holds nothing.
pub(crate) async fn linger<R: AsyncRead + Unpin>(reader: &mut R) {
    let reading_away = poll_fn(|context| {
        loop {
            let mut room = [0; MIN_READ_BYTES];
            let mut room = ReadBuf::new(&mut room);
            let read = ready!(Pin::new(&mut *reader).poll_read(context, &mut room));
            if read.is_err() || room.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    });
    // In time or not, there is nothing left to be done for the peer.
    let _ = tokio::time::timeout(MAX_LINGER, reading_away).await;
}
