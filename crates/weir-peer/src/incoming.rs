//! The accepting side of one connection.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{net::TcpStream, time::timeout};
use tracing::{debug, info};
use weir_raft::wire;
use weir_tls::{PeerIdentity, slots::Slot};

use crate::{
    calls::Answers,
    frame::{Frame, FrameError, FrameReader, Kind, seal},
    hello::{CLIENT, Class, Hello, Refusal, encode_ok},
    host::PeerHost,
    limits::{
        GREETING_TIMEOUT_MS, MAX_CLIENT_FRAME_BYTES, MAX_FRAME_BYTES, MAX_GREETING_FRAME_BYTES,
    },
    peer::Peer,
    stream::{Input, Output, write_all},
    tls,
    transport::Shared,
};

/// Time for the word why a connection is closed to leave.
const FAREWELL_TIMEOUT_MS: u64 = 500;

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Messages(#[from] wire::WireError),
    #[error("refused: {0}")]
    Refused(Refusal),
    #[error("the greeting took too long")]
    GreetingTimedOut,
    #[error("a later connection took its place")]
    Evicted,
    #[error("it was closed")]
    Closed,
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Self {
        Self::Frame(error.into())
    }
}

impl Ended {
    /// What the other side is told.
    fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Frame(FrameError::Io(_) | FrameError::Cut)
            | Self::GreetingTimedOut
            | Self::Evicted
            | Self::Closed => None,
            Self::Frame(_) | Self::Messages(_) => Some(Refusal::Malformed),
            Self::Refused(refusal) => Some(*refusal),
        }
    }
}

struct Connection {
    input: FrameReader<Input>,
    output: Output,
    /// By the certificate that it showed.
    identity: Option<PeerIdentity>,
}

/// Serves a connection that was just taken.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    host: Arc<dyn PeerHost>,
    socket: TcpStream,
    mut slot: Slot,
) {
    let address = socket.peer_addr().ok();
    let greeting = greet(&shared, socket);
    let limit = Duration::from_millis(GREETING_TIMEOUT_MS);
    let greeted = tokio::select! {
        greeted = timeout(limit, greeting) => greeted.unwrap_or(Err(Ended::GreetingTimedOut)),
        () = slot.evicted() => Err(Ended::Evicted),
    };
    drop(slot);
    match greeted {
        Ok((connection, hello)) => {
            let ended = run(&shared, &host, connection, hello).await;
            debug!(?address, from = %hello.from, class = ?hello.class, %ended, "connection ended");
        }
        Err(ended @ (Ended::Frame(_) | Ended::Refused(_))) => {
            info!(?address, %ended, "connection refused");
        }
        Err(ended) => debug!(?address, %ended, "connection refused"),
    }
}

async fn greet(shared: &Shared, socket: TcpStream) -> Result<(Connection, Hello), Ended> {
    socket.set_nodelay(true)?;
    let (stream, identity) = tls::accept(shared.tls.as_ref(), socket).await?;
    let (input, output) = tokio::io::split(stream);
    let mut connection = Connection {
        input: FrameReader::new(input, MAX_GREETING_FRAME_BYTES),
        output,
        identity,
    };
    match read_hello(shared, &mut connection.input).await {
        Ok(hello) => {
            let mut answer = Vec::new();
            let body = vec![encode_ok(shared.node)];
            seal(Kind::HelloOk, shared.cluster, body, &mut answer);
            write_all(&mut connection.output, answer).await?;
            Ok((connection, hello))
        }
        Err(ended) => {
            farewell(shared, &mut connection.output, &ended).await;
            Err(ended)
        }
    }
}

async fn read_hello(shared: &Shared, input: &mut FrameReader<Input>) -> Result<Hello, Ended> {
    let frame = input.next().await?.ok_or(Ended::Closed)?;
    if frame.kind != Kind::Hello {
        return Err(Ended::Refused(Refusal::Misplaced));
    }
    let hello = Hello::decode(frame.body)?;
    // Who wants to join does not know the cluster yet.
    let asks_for_cluster = hello.from == CLIENT && frame.cluster == 0;
    if frame.cluster != shared.cluster && !asks_for_cluster {
        return Err(Ended::Refused(Refusal::OtherCluster));
    }
    if hello.to != shared.node && (hello.from != CLIENT || hello.to != CLIENT)
        || hello.from == shared.node
    {
        return Err(Ended::Refused(Refusal::OtherNode));
    }
    if hello.from == CLIENT && hello.class == Class::Fast {
        return Err(Ended::Refused(Refusal::Misplaced));
    }
    Ok(hello)
}

/// Tells the other side why; whether it hears it is its own affair.
async fn farewell(shared: &Shared, output: &mut Output, ended: &Ended) {
    let Some(refusal) = ended.refusal() else {
        return;
    };
    let mut frame = Vec::new();
    let body = vec![refusal.encode()];
    seal(Kind::Refuse, shared.cluster, body, &mut frame);
    let limit = Duration::from_millis(FAREWELL_TIMEOUT_MS);
    let _ = timeout(limit, write_all(output, frame)).await;
}

async fn run(
    shared: &Arc<Shared>,
    host: &Arc<dyn PeerHost>,
    mut connection: Connection,
    hello: Hello,
) -> Ended {
    let (input, output) = (&mut connection.input, &mut connection.output);
    let ended = if hello.from == CLIENT {
        input.allow(MAX_CLIENT_FRAME_BYTES);
        let mut slot = shared.clients.take();
        tokio::select! {
            ended = answer_calls(shared, host, input, output, hello) => ended,
            () = slot.evicted() => Err(Ended::Evicted),
        }
    } else {
        input.allow(MAX_FRAME_BYTES);
        input.share(&shared.buffers);
        match Shared::peer(shared, hello.from) {
            Some(peer) if !is_it(shared, &peer, connection.identity.as_ref()) => {
                Err(Ended::Refused(Refusal::OtherNode))
            }
            Some(peer) => run_peer(shared, host, input, output, (&peer, hello)).await,
            None => Err(Ended::Refused(Refusal::Full)),
        }
    };
    let Err(ended) = ended;
    farewell(shared, output, &ended).await;
    ended
}

/// Whether the certificate is for the address that the peer is known to have. What is not known is
/// not held against it: it may have joined a moment ago.
fn is_it(shared: &Shared, peer: &Peer, identity: Option<&PeerIdentity>) -> bool {
    match (&shared.tls, &*peer.address.borrow()) {
        (Some(tls), Some(address)) => tls.allows(identity, address),
        (None, _) | (_, None) => true,
    }
}

async fn run_peer(
    shared: &Arc<Shared>,
    host: &Arc<dyn PeerHost>,
    input: &mut FrameReader<Input>,
    output: &mut Output,
    (peer, hello): (&Arc<Peer>, Hello),
) -> Result<Infallible, Ended> {
    let mut slot = peer.incoming(hello.class).take();
    peer.has_greeted.notify_waiters();
    match hello.class {
        Class::Fast => {
            let epoch = peer.liveness.greeted(hello.incarnation);
            let heard = Arc::clone(peer);
            input.on_bytes(Box::new(move || heard.liveness.heard(epoch)));
            tokio::select! {
                ended = take_messages(shared, &**host, input, hello) => ended,
                () = slot.evicted() => Err(Ended::Evicted),
            }
        }
        Class::Bulk => {
            tokio::select! {
                ended = answer_calls(shared, host, input, output, hello) => ended,
                () = slot.evicted() => Err(Ended::Evicted),
            }
        }
    }
}

async fn next(shared: &Shared, input: &mut FrameReader<Input>) -> Result<Frame, Ended> {
    let frame = input.next().await?.ok_or(Ended::Closed)?;
    if frame.cluster != shared.cluster {
        return Err(Ended::Refused(Refusal::OtherCluster));
    }
    Ok(frame)
}

async fn take_messages(
    shared: &Shared,
    host: &dyn PeerHost,
    input: &mut FrameReader<Input>,
    hello: Hello,
) -> Result<Infallible, Ended> {
    loop {
        let frame = next(shared, input).await?;
        match frame.kind {
            Kind::Messages => {
                host.take_messages(wire::decode(hello.from, shared.node, frame.body)?);
            }
            Kind::Beacon => host.take_beacon(hello.from, &frame.body),
            Kind::Hello | Kind::HelloOk | Kind::Call | Kind::Answer | Kind::Refuse => {
                return Err(Ended::Refused(Refusal::Misplaced));
            }
        }
    }
}

async fn answer_calls(
    shared: &Shared,
    host: &Arc<dyn PeerHost>,
    input: &mut FrameReader<Input>,
    output: &mut Output,
    hello: Hello,
) -> Result<Infallible, Ended> {
    let answers = Arc::new(Answers::default());
    tokio::select! {
        ended = read_calls(shared, host, input, hello, &answers) => ended,
        ended = write_answers(shared, output, &answers) => ended,
    }
}

async fn read_calls(
    shared: &Shared,
    host: &Arc<dyn PeerHost>,
    input: &mut FrameReader<Input>,
    hello: Hello,
    answers: &Arc<Answers>,
) -> Result<Infallible, Ended> {
    loop {
        let frame = next(shared, input).await?;
        if frame.kind != Kind::Call {
            return Err(Ended::Refused(Refusal::Misplaced));
        }
        if let Some((request, answer)) = answers.open(detached(frame.body))? {
            let host = Arc::clone(host);
            // A call may read the disk, which must not hold up heartbeats.
            tokio::task::spawn_blocking(move || host.take_call(hello.from, request, answer));
        }
    }
}

/// A small call keeps no large read buffer alive while it waits.
fn detached(body: Bytes) -> Bytes {
    const MAX_COPIED_BYTES: usize = 4 << 10;
    if body.len() <= MAX_COPIED_BYTES {
        Bytes::copy_from_slice(&body)
    } else {
        body
    }
}

async fn write_answers(
    shared: &Shared,
    output: &mut Output,
    answers: &Answers,
) -> Result<Infallible, Ended> {
    loop {
        answers.ready().await;
        write_all(output, answers.take(shared.cluster)).await?;
    }
}
