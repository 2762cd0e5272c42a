//! The dialling side: connects to one peer, again and again, and writes to it.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, info};
use weir_model::NodeId;
use weir_raft::BufferPool;

use crate::{
    frame::{Frame, FrameError, FrameReader, Kind, seal},
    hello::{CLIENT, Class, Hello, Refusal, decode_ok},
    host::PeerHost,
    limits::{
        CONNECT_TIMEOUT_MS, GREETING_TIMEOUT_MS, MAX_DIAL_PAUSE_MS, MAX_FRAME_BYTES,
        MAX_GREETING_FRAME_BYTES, MIN_DIAL_PAUSE_MS,
    },
    outgoing,
    peer::Peer,
    stream::{Input, Output, write_all},
    tls::{self, PeerTls},
};

/// Why a connection could not be made, or is over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Refused(Refusal),
    #[error("the node there is {found} of cluster {cluster:032x}")]
    Wrong { found: NodeId, cluster: u128 },
    #[error("it sent a frame that has no place there")]
    Misplaced,
    #[error("it took too long")]
    TimedOut,
    #[error("it was closed")]
    Closed,
    #[error("the address has changed, or the node was lost")]
    Stale,
}

/// Who dials whom.
#[derive(Clone)]
pub(crate) struct Dialer {
    /// `None`: whichever cluster is there.
    pub(crate) cluster: Option<u128>,
    pub(crate) hello: Hello,
    pub(crate) tls: Option<PeerTls>,
    /// Memory of what arrives.
    pub(crate) buffers: Arc<BufferPool>,
}

/// A connection after its greeting.
pub(crate) struct Dialled {
    pub(crate) input: FrameReader<Input>,
    pub(crate) output: Output,
    pub(crate) cluster: u128,
    pub(crate) node: NodeId,
}

impl Dialer {
    /// Connects and greets.
    pub(crate) async fn connect(&self, address: &str) -> Result<Dialled, LinkError> {
        let connect = TcpStream::connect(address);
        let socket = timeout(Duration::from_millis(CONNECT_TIMEOUT_MS), connect)
            .await
            .map_err(|_| LinkError::TimedOut)??;
        socket.set_nodelay(true)?;
        timeout(
            Duration::from_millis(GREETING_TIMEOUT_MS),
            self.greet(socket, address),
        )
        .await
        .map_err(|_| LinkError::TimedOut)?
    }

    async fn greet(&self, socket: TcpStream, address: &str) -> Result<Dialled, LinkError> {
        let stream = tls::connect(self.tls.as_ref(), socket, address).await?;
        let (input, mut output) = tokio::io::split(stream);
        let mut input = FrameReader::new(input, MAX_GREETING_FRAME_BYTES);
        let mut hello = Vec::new();
        let cluster = self.cluster.unwrap_or(0);
        seal(Kind::Hello, cluster, vec![self.hello.encode()], &mut hello);
        write_all(&mut output, hello).await?;
        let frame = expect(&mut input, Kind::HelloOk).await?;
        let (found, cluster) = (decode_ok(&frame.body)?, frame.cluster);
        let is_meant = self.hello.to == CLIENT || self.hello.to == found;
        if !is_meant || self.cluster.is_some_and(|meant| meant != cluster) {
            return Err(LinkError::Wrong { found, cluster });
        }
        input.allow(MAX_FRAME_BYTES);
        input.share(&self.buffers);
        Ok(Dialled {
            input,
            output,
            cluster,
            node: found,
        })
    }
}

/// The next frame, which must be of that kind.
pub(crate) async fn expect(input: &mut FrameReader<Input>, kind: Kind) -> Result<Frame, LinkError> {
    let frame = input.next().await?.ok_or(LinkError::Closed)?;
    if frame.kind == Kind::Refuse {
        return Err(LinkError::Refused(Refusal::decode(&frame.body)));
    }
    if frame.kind != kind {
        return Err(LinkError::Misplaced);
    }
    Ok(frame)
}

/// Keeps one connection to a peer up, for ever.
pub(crate) async fn keep(dialer: Dialer, peer: Arc<Peer>, host: Arc<dyn PeerHost>) {
    let class = dialer.hello.class;
    let mut addresses = peer.address.subscribe();
    let mut tries_count = 0;
    let mut was_connected = false;
    loop {
        let Some(address) = addresses.borrow_and_update().clone() else {
            peer.calls.fail(true);
            was_connected = false;
            if addresses.changed().await.is_err() {
                return;
            }
            continue;
        };
        let mut losses = peer.losses.subscribe();
        match dialer.connect(&address).await {
            Ok(dialled) => {
                info!(peer = %peer.id, %address, ?class, "connected");
                let since = Instant::now();
                if class == Class::Fast {
                    host.link_changed(peer.id, true);
                }
                let ended = tokio::select! {
                    ended = outgoing::run(&dialer.hello, dialled, &peer, &*host) => ended,
                    _ = addresses.changed() => LinkError::Stale,
                    _ = losses.changed() => LinkError::Stale,
                };
                if class == Class::Fast && !matches!(ended, LinkError::Stale) {
                    host.link_changed(peer.id, false);
                }
                info!(peer = %peer.id, %address, ?class, %ended, "connection ended");
                was_connected = true;
                if since.elapsed() >= Duration::from_millis(MIN_DIAL_PAUSE_MS) {
                    tries_count = 0;
                    continue;
                }
            }
            Err(error) => {
                debug!(peer = %peer.id, %address, ?class, %error, "cannot connect");
                let is_gone = matches!(&error, LinkError::Io(error)
                    if error.kind() == io::ErrorKind::ConnectionRefused);
                if class == Class::Fast && is_gone && std::mem::take(&mut was_connected) {
                    peer.liveness.is_gone();
                }
                if class == Class::Bulk {
                    peer.calls.fail(true);
                }
            }
        }
        tokio::select! {
            () = sleep(pause(tries_count)) => {}
            () = peer.has_greeted.notified() => {}
            _ = addresses.changed() => {}
        }
        tries_count += 1;
    }
}

/// Doubles with each try; up to half of it is left out by chance, so that nodes do not dial in
/// step.
fn pause(tries_count: u32) -> Duration {
    let longest_ms = MIN_DIAL_PAUSE_MS
        .checked_shl(tries_count.min(16))
        .map_or(MAX_DIAL_PAUSE_MS, |pause| pause.min(MAX_DIAL_PAUSE_MS));
    let chance = RandomState::new().hash_one(tries_count) % (longest_ms / 2);
    Duration::from_millis(longest_ms - chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_stay_above_half() {
        let longest_ms = [20, 40, 80, 160, 320, 640, 1000, 1000];
        for (tries_count, longest_ms) in (0..).zip(longest_ms) {
            for _ in 0..100 {
                let pause = pause(tries_count);
                assert!(pause <= Duration::from_millis(longest_ms));
                assert!(pause > Duration::from_millis(longest_ms / 2));
            }
        }
        assert!(pause(u32::MAX) <= Duration::from_millis(MAX_DIAL_PAUSE_MS));
    }
}
