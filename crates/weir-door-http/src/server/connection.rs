//! The ports: HTTP/1.1 on plain connections and over TLS.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tracing::{debug, info, warn};
use weir_door::{HandshakeError, Sockets, TlsPort, TlsSession, tls::is_hello};

use super::{
    answer::answer,
    crowd::{Crowd, Evicted, Place},
    door::HttpDoor,
};
use crate::login::Client;

/// Connections of a port at a time. One more ends the one whose client has said nothing for
/// the longest time.
const MAX_CONNECTIONS_COUNT: usize = 256;
/// Most bytes of a request's head.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// A request's head must be whole after this long.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// A connection is closed after this long, whatever it does.
const CONNECTION_LIMIT: Duration = Duration::from_mins(10);
/// Pause after a failed accept, such as one for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers until it is dropped.
pub async fn serve(sockets: Sockets, tls: Option<TlsPort>, door: Arc<HttpDoor>) {
    let crowd = Crowd::new(MAX_CONNECTIONS_COUNT);
    loop {
        match sockets.accept().await {
            Ok((stream, _, peer)) => {
                let (door, tls) = (Arc::clone(&door), tls.clone());
                let (place, evicted) = crowd.enter().await;
                tokio::spawn(until(evicted, async move {
                    match tls {
                        None => plain(stream, peer, door, place).await,
                        Some(tls) => secure(stream, peer, &tls, door, place).await,
                    }
                }));
            }
            Err(error) => {
                warn!(%error, "accept failed on the admin port");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn until(evicted: Evicted, serving: impl Future<Output = ()>) {
    tokio::select! {
        () = serving => {}
        _ = evicted => debug!("a connection to the admin port made room for another"),
    }
}

async fn plain(stream: TcpStream, peer: SocketAddr, door: Arc<HttpDoor>, place: Place) {
    let mut start = [0; 2];
    let looked = tokio::time::timeout(HEAD_LIMIT, stream.peek(&mut start)).await;
    if let Ok(Ok(_)) = looked {
        if is_hello(&start) {
            let door = "admin";
            warn!(door, %peer, "refused: the client speaks TLS, and this port does not");
            return;
        }
        connection(stream, (peer, None), door, place).await;
    }
}

async fn secure(
    stream: TcpStream,
    peer: SocketAddr,
    tls: &TlsPort,
    http: Arc<HttpDoor>,
    place: Place,
) {
    let door = "admin";
    match tls.accept(stream).await {
        Ok((stream, session)) => connection(stream, (peer, Some(session)), http, place).await,
        Err(error @ (HandshakeError::Plain | HandshakeError::Crowded)) => {
            warn!(door, %peer, %error, "refused");
        }
        Err(
            error @ (HandshakeError::TimedOut(_)
            | HandshakeError::Certificate
            | HandshakeError::Failed(_)),
        ) => info!(door, %peer, %error, "no TLS"),
    }
}

async fn connection<S>(
    stream: S,
    (peer, tls): (SocketAddr, Option<TlsSession>),
    door: Arc<HttpDoor>,
    place: Place,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let client = Client::new(peer, tls.as_ref(), &door.principals, door.allows_anonymous);
    let shared = Arc::new((client, place));
    let service = service_fn(move |request: Request<Incoming>| {
        let (door, shared) = (Arc::clone(&door), Arc::clone(&shared));
        async move {
            let (client, place) = &*shared;
            Ok::<_, Infallible>(answer(&door, client, place, request).await)
        }
    });
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(MAX_HEAD_BYTES);
    let serving = server.serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_LIMIT, serving).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => debug!(%error, "a connection to the admin port ended"),
    }
}
