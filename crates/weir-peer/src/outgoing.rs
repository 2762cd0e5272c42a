//! What goes over a connection that this node has made.

use std::{convert::Infallible, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval};
use weir_raft::wire;

use crate::{
    dial::{Dialled, LinkError, expect},
    frame::{FrameReader, Kind, seal},
    hello::{Class, Hello},
    host::PeerHost,
    limits::BEACON_INTERVAL_MS,
    peer::Peer,
    stream::{Input, Output, write_all},
};

/// How often late calls are looked for.
const EXPIRY_INTERVAL_MS: u64 = 100;

/// Runs a connection to its end.
pub(crate) async fn run(
    hello: &Hello,
    dialled: Dialled,
    peer: &Peer,
    host: &dyn PeerHost,
) -> LinkError {
    let Dialled {
        mut input,
        mut output,
        cluster,
        ..
    } = dialled;
    match hello.class {
        Class::Fast => {
            let _open = peer.link.open();
            let ended = tokio::select! {
                ended = write_messages(&mut output, cluster, hello, peer, host) => ended,
                ended = read_nothing(&mut input) => ended,
            };
            let Err(error) = ended;
            error
        }
        Class::Bulk => {
            peer.calls.connected();
            let ended = tokio::select! {
                ended = write_calls(&mut output, cluster, peer) => ended,
                ended = read_answers(&mut input, cluster, peer) => ended,
                never = expire(peer) => Ok(never),
            };
            peer.calls.fail(false);
            let Err(error) = ended;
            error
        }
    }
}

async fn write_messages(
    output: &mut Output,
    cluster: u128,
    hello: &Hello,
    peer: &Peer,
    host: &dyn PeerHost,
) -> Result<Infallible, LinkError> {
    let mut beacons = interval(Duration::from_millis(BEACON_INTERVAL_MS));
    beacons.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut chunks = Vec::new();
        tokio::select! {
            biased;
            _ = beacons.tick() => {
                seal(Kind::Beacon, cluster, vec![host.beacon()], &mut chunks);
            }
            () = peer.link.ready() => {}
        }
        let messages = peer.link.take();
        if !messages.is_empty() {
            let body = wire::encode(hello.from, peer.id, &messages);
            seal(Kind::Messages, cluster, body, &mut chunks);
        }
        write_all(output, chunks).await?;
    }
}

/// The other side has nothing to say here but why it closes.
async fn read_nothing(input: &mut FrameReader<Input>) -> Result<Infallible, LinkError> {
    expect(input, Kind::Refuse).await?;
    Err(LinkError::Misplaced)
}

async fn write_calls(
    output: &mut Output,
    cluster: u128,
    peer: &Peer,
) -> Result<Infallible, LinkError> {
    loop {
        peer.calls.ready().await;
        write_all(output, peer.calls.take(cluster)).await?;
    }
}

async fn read_answers(
    input: &mut FrameReader<Input>,
    cluster: u128,
    peer: &Peer,
) -> Result<Infallible, LinkError> {
    loop {
        let frame = expect(input, Kind::Answer).await?;
        if frame.cluster != cluster {
            return Err(LinkError::Misplaced);
        }
        peer.calls.answered(frame.body)?;
    }
}

async fn expire(peer: &Peer) -> Infallible {
    let mut ticks = interval(Duration::from_millis(EXPIRY_INTERVAL_MS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        peer.calls.expire(Instant::now());
    }
}
