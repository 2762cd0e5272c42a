//! A peer that speaks bytes, well or badly: written from `docs/formats-peer.md` alone.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::harness::{CLUSTER, PATIENCE};

pub(crate) const HELLO: u8 = 1;
pub(crate) const HELLO_OK: u8 = 2;
pub(crate) const MESSAGES: u8 = 3;
pub(crate) const CALL: u8 = 4;
pub(crate) const ANSWER: u8 = 5;
pub(crate) const BEACON: u8 = 6;
pub(crate) const REFUSE: u8 = 7;

pub(crate) const FAST: u8 = 1;
pub(crate) const BULK: u8 = 2;

pub(crate) struct Peer {
    pub(crate) socket: TcpStream,
}

pub(crate) fn frame(kind: u8, cluster: u128, body: &[u8]) -> Vec<u8> {
    let mut checked = vec![1, kind, 0, 0];
    checked.put_u32_le(body.len().try_into().unwrap());
    checked.put_u128_le(cluster);
    checked.put_slice(body);
    let checksum = crc32c::crc32c(&checked).to_le_bytes();
    [&b"WEIP"[..], &checksum, &checked].concat()
}

pub(crate) fn hello(from: u64, to: u64, class: u8, incarnation: u64) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u64_le(from);
    body.put_u64_le(to);
    body.put_u64_le(incarnation);
    body.put_u8(class);
    body.freeze()
}

impl Peer {
    pub(crate) async fn connect(address: &str) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        Self { socket }
    }

    pub(crate) async fn greet(address: &str, from: u64, to: u64, class: u8) -> Self {
        Self::greet_as(address, from, to, class, 1).await
    }

    pub(crate) async fn greet_as(
        address: &str,
        from: u64,
        to: u64,
        class: u8,
        incarnation: u64,
    ) -> Self {
        let mut peer = Self::connect(address).await;
        let body = hello(from, to, class, incarnation);
        peer.send(HELLO, CLUSTER, &body).await;
        let (kind, cluster, body) = peer.receive().await.expect("the hello is answered");
        assert_eq!((kind, cluster), (HELLO_OK, CLUSTER));
        assert_eq!(body, to.to_le_bytes()[..]);
        peer
    }

    pub(crate) async fn send(&mut self, kind: u8, cluster: u128, body: &[u8]) {
        let bytes = frame(kind, cluster, body);
        self.socket.write_all(&bytes).await.unwrap();
    }

    /// The next frame; `None` where the connection ends.
    pub(crate) async fn receive(&mut self) -> Option<(u8, u128, Bytes)> {
        timeout(PATIENCE, self.read())
            .await
            .expect("something comes")
    }

    async fn read(&mut self) -> Option<(u8, u128, Bytes)> {
        let mut header = [0; 32];
        self.socket.read_exact(&mut header).await.ok()?;
        let mut rest = &header[8..];
        assert_eq!(rest.get_u8(), 1);
        let kind = rest.get_u8();
        assert_eq!(rest.get_u16_le(), 0);
        let length = rest.get_u32_le();
        let cluster = rest.get_u128_le();
        let mut body = vec![0; length.try_into().unwrap()];
        self.socket.read_exact(&mut body).await.ok()?;
        Some((kind, cluster, body.into()))
    }

    /// Waits for the refusal; its reason.
    pub(crate) async fn refused(&mut self) -> u8 {
        loop {
            let frame = self.receive().await.expect("a refusal comes first");
            if let (REFUSE, CLUSTER, body) = frame {
                return body[0];
            }
        }
    }

    /// Waits for the connection's end.
    pub(crate) async fn closed(&mut self) {
        let reading = async { while self.read().await.is_some() {} };
        timeout(PATIENCE, reading).await.expect("it is closed");
    }

    pub(crate) async fn is_open(&mut self) -> bool {
        let mut byte = [0];
        let read = self.socket.read(&mut byte);
        timeout(Duration::from_millis(50), read).await.is_err()
    }
}
