//! A connection's bytes, with or without TLS.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf},
    time::timeout,
};

use crate::limits::{MAX_WRITE_CHUNKS_COUNT, WRITE_TIMEOUT_MS};

/// Both directions.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

pub(crate) type Stream = Box<dyn Duplex>;
pub(crate) type Input = ReadHalf<Stream>;
pub(crate) type Output = WriteHalf<Stream>;

/// Writes all chunks, as many at a time as the system takes.
pub(crate) async fn write_all(output: &mut Output, chunks: Vec<Bytes>) -> io::Result<()> {
    let stall = Duration::from_millis(WRITE_TIMEOUT_MS);
    let mut rest = VecDeque::from(chunks);
    while !rest.is_empty() {
        let mut slices = [IoSlice::new(&[]); MAX_WRITE_CHUNKS_COUNT];
        let mut count = 0;
        for (slice, chunk) in slices.iter_mut().zip(&rest) {
            *slice = IoSlice::new(chunk);
            count += 1;
        }
        let written = timeout(stall, output.write_vectored(&slices[..count])).await??;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        advance(&mut rest, written);
    }
    timeout(stall, output.flush()).await?
}

fn advance(rest: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(first) = rest.front_mut() {
        if first.len() > written {
            first.advance(written);
            return;
        }
        written -= first.len();
        rest.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn many_small_chunks_arrive_in_order_through_a_narrow_pipe() {
        let chunks: Vec<Bytes> = (0..1000_u32)
            .map(|number| Bytes::copy_from_slice(&number.to_le_bytes()))
            .collect();
        let expected = chunks.concat();
        let (left, mut right) = tokio::io::duplex(7);
        let (_input, mut output) = tokio::io::split(Box::new(left) as Stream);
        let writer = tokio::spawn(async move { write_all(&mut output, chunks).await });
        let mut received = vec![0; expected.len()];
        right.read_exact(&mut received).await.unwrap();
        writer.await.unwrap().unwrap();
        assert_eq!(received, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_takes_nothing_is_given_up() {
        let (left, _right) = tokio::io::duplex(7);
        let (_input, mut output) = tokio::io::split(Box::new(left) as Stream);
        let written = write_all(&mut output, vec![Bytes::from_static(b"too much for it")]).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
