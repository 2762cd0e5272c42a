//! The admin port: HTTP/1.1, GET and HEAD of three pages.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{Mutex, Semaphore},
    time::Instant,
};
use tracing::{debug, info, warn};
use weir_door::{HandshakeError, Sockets, TlsPort, tls::is_hello};

use super::{metrics, watched::Watched};

/// Connections at a time: scrapers and probes come through a crowd that says nothing.
const MAX_CONNECTIONS_COUNT: usize = 256;
/// Most bytes of a request's head.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// A request's head must be whole after this long.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// A connection is closed after this long, whatever it does.
const CONNECTION_LIMIT: Duration = Duration::from_mins(10);
/// Pause after a failed accept, such as one for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What another machine is told in place of metrics.
const NO_USERS: &str = "There is no user yet: until weir user add has made one, metrics are shown on the \
                        node's own machine alone. Or set allow-anonymous.";

type Page = (StatusCode, &'static str, Bytes);

/// What requests are answered from.
struct Site {
    watched: Arc<Watched>,
    /// The last page of metrics and when it was begun. Held while one is made, so that all who
    /// asked before it was begun get the same: each costs a look at everything.
    metrics: Mutex<Option<(Instant, Bytes)>>,
}

/// Answers until it is dropped.
pub(crate) async fn serve(sockets: Sockets, tls: Option<TlsPort>, watched: Arc<Watched>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS_COUNT));
    let site = Arc::new(Site {
        watched,
        metrics: Mutex::default(),
    });
    loop {
        let permit = Arc::clone(&permits).acquire_owned().await;
        let permit = permit.expect("the semaphore of connections is never closed");
        match sockets.accept().await {
            Ok((stream, _, peer)) => {
                let (site, tls) = (Arc::clone(&site), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => plain(stream, peer, site).await,
                        Some(tls) => secure(stream, peer, &tls, site).await,
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                warn!(%error, "accept failed on the admin port");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn plain(stream: TcpStream, peer: SocketAddr, site: Arc<Site>) {
    let mut start = [0; 2];
    let looked = tokio::time::timeout(HEAD_LIMIT, stream.peek(&mut start)).await;
    if let Ok(Ok(_)) = looked {
        if is_hello(&start) {
            let door = "admin";
            warn!(door, %peer, "refused: the client speaks TLS, and this port does not");
            return;
        }
        let is_here = peer.ip().to_canonical().is_loopback();
        connection(stream, site, is_here).await;
    }
}

async fn secure(stream: TcpStream, peer: SocketAddr, tls: &TlsPort, site: Arc<Site>) {
    let door = "admin";
    match tls.accept(stream).await {
        Ok((stream, session)) => {
            let is_here = peer.ip().to_canonical().is_loopback();
            connection(stream, site, is_here || session.identity.is_some()).await;
        }
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

/// `is_known`: the client is on this machine, or has shown a certificate.
async fn connection<S>(stream: S, site: Arc<Site>, is_known: bool)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(answer(&request, &site, is_known).await) }
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

async fn answer(request: &Request<Incoming>, site: &Site, is_known: bool) -> Response<Full<Bytes>> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let (status, content, text) = match (is_read, request.uri().path()) {
        (true, path) => site.page(path, is_known).await,
        (false, _) => (
            StatusCode::METHOD_NOT_ALLOWED,
            TEXT,
            Bytes::from_static(b"GET and HEAD only\n"),
        ),
    };
    let response = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, content)
        .header(ALLOW, "GET, HEAD");
    let response = response.body(Full::from(text));
    response.expect("status and headers are constants")
}

impl Site {
    async fn page(&self, path: &str, is_known: bool) -> Page {
        let text = |status, text: &str| (status, TEXT, Bytes::from(format!("{text}\n")));
        match path {
            "/healthz" => text(StatusCode::OK, "alive"),
            "/readyz" => match self.watched.unready() {
                None => text(StatusCode::OK, "ready"),
                Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, reason),
            },
            "/metrics" if !is_known && !self.watched.is_shown_elsewhere() => {
                text(StatusCode::FORBIDDEN, NO_USERS)
            }
            "/metrics" => (StatusCode::OK, METRICS, self.metrics().await),
            "/" => text(StatusCode::OK, "/metrics\n/healthz\n/readyz"),
            _ => text(StatusCode::NOT_FOUND, "not found"),
        }
    }

    async fn metrics(&self) -> Bytes {
        let asked = Instant::now();
        let mut last = self.metrics.lock().await;
        if let Some((_, page)) = last.as_ref().filter(|(begun, _)| *begun >= asked) {
            return page.clone();
        }
        let begun = Instant::now();
        let page = Bytes::from(metrics::page(&self.watched).await);
        *last = Some((begun, page.clone()));
        page
    }
}
