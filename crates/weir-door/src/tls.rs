//! TLS on a door's connections: the handshake and what it tells.

use std::{io, sync::Arc, time::Duration};

use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use weir_tls::{PeerIdentity, ServerTls, slots::Slots};

use crate::limits::{MAX_HANDSHAKE, MAX_HANDSHAKES_COUNT};

/// How the first bytes of a client that speaks TLS look: a handshake record of any version.
const HELLO_START: [u8; 2] = [0x16, 0x03];

/// What ports with TLS share: configuration and a bound on handshakes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TlsPort {
    tls: Arc<ServerTls>,
    handshakes: Slots,
    limit: Duration,
}

/// What TLS told of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSession {
    /// Who the client is, by a certificate that was verified; `None`: it has shown none.
    pub identity: Option<Arc<PeerIdentity>>,
    /// The version, such as `TLSv1.3`.
    pub version: &'static str,
}

/// Why there is no TLS on a connection.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// What came is no TLS.
    #[error("the client does not speak TLS, and this port does")]
    Plain,
    /// It took too long.
    #[error("the handshake took more than {} s", .0.as_secs())]
    TimedOut(Duration),
    /// So many handshakes were begun after it that it had to go.
    #[error("more than {MAX_HANDSHAKES_COUNT} handshakes at a time")]
    Crowded,
    /// The client's certificate cannot be understood.
    #[error("the client's certificate cannot be understood")]
    Certificate,
    /// One of both refuses the other, or the client is gone.
    #[error("{0}")]
    Failed(io::Error),
}

impl TlsPort {
    /// For ports that show and ask what `tls` says.
    pub fn new(tls: Arc<ServerTls>) -> Self {
        Self {
            tls,
            handshakes: Slots::new(MAX_HANDSHAKES_COUNT),
            limit: MAX_HANDSHAKE,
        }
    }

    /// Another time for a handshake.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The handshake. When too many are under way the oldest one ends, so that those who never
    /// finish keep nobody out.
    pub async fn accept(
        &self,
        socket: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, TlsSession), HandshakeError> {
        let mut slot = self.handshakes.take();
        let acceptor = TlsAcceptor::from(self.tls.config());
        let accepted = tokio::select! {
            accepted = timeout(self.limit, acceptor.accept(socket)) => match accepted {
                Ok(accepted) => accepted.map_err(failed),
                Err(_) => Err(HandshakeError::TimedOut(self.limit)),
            },
            () = slot.evicted() => Err(HandshakeError::Crowded),
        };
        let told = accepted.and_then(|stream| Ok((told(&stream)?, stream)));
        self.tls.count_handshake(told.is_ok());
        told.map(|(session, stream)| (stream, session))
    }
}

/// Whether a client begins as those do that speak TLS.
pub fn is_hello(start: &[u8]) -> bool {
    start.starts_with(&HELLO_START)
}

fn told(stream: &TlsStream<TcpStream>) -> Result<TlsSession, HandshakeError> {
    let (_, connection) = stream.get_ref();
    let certificate = connection.peer_certificates().and_then(<[_]>::first);
    let identity = match certificate {
        None => None,
        Some(certificate) => {
            let read = PeerIdentity::read(certificate);
            Some(Arc::new(read.ok_or(HandshakeError::Certificate)?))
        }
    };
    let is_newest = connection.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3);
    let version = if is_newest { "TLSv1.3" } else { "TLSv1.2" };
    Ok(TlsSession { identity, version })
}

fn failed(error: io::Error) -> HandshakeError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) => {
            HandshakeError::Plain
        }
        Some(_) | None => HandshakeError::Failed(error),
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
