//! Takes connections of one door, as many as the limit allows, until shutdown.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::TcpStream,
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tracing::{debug, info, warn};
use weir_broker::api::Backend;

use crate::{
    Budget, Claim, CloseReason, Connection, ConnectionCounters, Door, DoorCounters, Entry,
    HandshakeError, Limits, Session as _, Sockets, TlsPort,
    driver::{Driver, Ended},
    limits::MAX_NODE_REQUEST_BYTES,
    linger::linger,
};

/// Connections that this process has taken, whatever listener took them.
static TAKEN_COUNT: AtomicU64 = AtomicU64::new(0);
/// Pause after a failed accept, such as one for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// As asked for.
        address: String,
        /// The system's word.
        source: io::Error,
    },
}

/// Open ports of one door, plain ones and those with TLS.
#[derive(Debug)]
pub struct Listener {
    plain: Option<Sockets>,
    secure: Option<(Sockets, TlsPort)>,
    limits: Limits,
    budget: Budget,
    counters: Option<Arc<DoorCounters>>,
}

impl Listener {
    /// Listens on `addresses`, see [`Sockets::bind`], with default limits and a budget of its own.
    pub async fn bind(addresses: &[String]) -> Result<Self, ListenerError> {
        Ok(Self::on(Sockets::bind(addresses).await?))
    }

    /// Listens on ports that are open already.
    pub fn on(sockets: Sockets) -> Self {
        Self {
            plain: Some(sockets),
            ..Self::nowhere()
        }
    }

    /// Listens on ports that are open already, to clients that speak TLS.
    pub fn secure(sockets: Sockets, tls: TlsPort) -> Self {
        Self::nowhere().with_tls(sockets, tls)
    }

    /// Listens to clients that speak TLS, beside others.
    #[must_use]
    pub fn with_tls(mut self, sockets: Sockets, tls: TlsPort) -> Self {
        self.secure = Some((sockets, tls));
        self
    }

    fn nowhere() -> Self {
        Self {
            plain: None,
            secure: None,
            limits: Limits::default(),
            budget: Budget::new(MAX_NODE_REQUEST_BYTES),
            counters: None,
        }
    }

    /// Other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The node's budget, shared with other listeners.
    #[must_use]
    pub fn with_budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// Counts what the door's connections do.
    #[must_use]
    pub fn with_counters(mut self, counters: Arc<DoorCounters>) -> Self {
        self.counters = Some(counters);
        self
    }

    /// The addresses listened on without TLS, with the ports that the system chose.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.plain
            .as_ref()
            .map_or_else(Vec::new, Sockets::addresses)
    }

    /// Those with TLS.
    pub fn secure_addresses(&self) -> Vec<SocketAddr> {
        let sockets = self.secure.as_ref().map(|(sockets, _)| sockets);
        sockets.map_or_else(Vec::new, Sockets::addresses)
    }

    /// The next connection, and what is to be spoken on it. Cancel-safe.
    async fn accept(&self) -> io::Result<Taken> {
        let plain = accept_on(self.plain.as_ref());
        let secure = accept_on(self.secure.as_ref().map(|(sockets, _)| sockets));
        let (accepted, tls) = tokio::select! {
            accepted = plain => (accepted?, None),
            accepted = secure => (accepted?, self.secure.as_ref().map(|(_, tls)| tls.clone())),
        };
        let (stream, local, peer) = accepted;
        let number = TAKEN_COUNT.fetch_add(1, Ordering::Relaxed);
        let connection = Connection {
            peer,
            local,
            number,
            tls: None,
        };
        Ok(Taken {
            stream,
            tls,
            connection,
        })
    }
}

/// A connection that was just taken.
struct Taken {
    stream: TcpStream,
    tls: Option<TlsPort>,
    connection: Connection,
}

/// Waits for ever where there is no port.
async fn accept_on(sockets: Option<&Sockets>) -> io::Result<(TcpStream, SocketAddr, SocketAddr)> {
    match sockets {
        Some(sockets) => sockets.accept().await,
        None => std::future::pending().await,
    }
}

/// Serves `door` until `shutdown` turns `true` or its sender is gone; returns when the last
/// connection has ended, after [`Limits::drain`] at the latest.
pub async fn serve<D: Door>(
    listener: Listener,
    door: Arc<D>,
    backend: Arc<dyn Backend>,
    mut shutdown: watch::Receiver<bool>,
) {
    let permits = Arc::new(Semaphore::new(listener.limits.connections_count));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = shutdown.wait_for(|down| *down) => break,
            Some(_) = connections.join_next() => continue,
            accepted = async {
                let permit = Arc::clone(&permits)
                    .acquire_owned()
                    .await
                    .expect("the semaphore of connections is never closed");
                (permit, listener.accept().await)
            } => accepted,
        };
        let (permit, taken) = match accepted {
            (permit, Ok(taken)) => (permit, taken),
            (_, Err(error)) => {
                warn!(door = door.name(), %error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let serving = Serving {
            door: Arc::clone(&door),
            backend: Arc::clone(&backend),
            claim: listener.budget.claim(),
            limits: listener.limits,
            counters: listener.counters.as_ref().map(DoorCounters::connection),
            shutdown: shutdown.clone(),
        };
        connections.spawn(async move {
            serving.run(taken).await;
            drop(permit);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    info!(door = door.name(), "closed");
}

/// What a connection is served with.
struct Serving<D> {
    door: Arc<D>,
    backend: Arc<dyn Backend>,
    claim: Claim,
    limits: Limits,
    counters: Option<ConnectionCounters>,
    shutdown: watch::Receiver<bool>,
}

impl<D: Door> Serving<D> {
    /// Waits for as long as a connection has to that comes too soon after others.
    async fn lets_in(&mut self, peer: SocketAddr) -> bool {
        match self.door.entry(peer.ip().to_canonical()) {
            Entry::Now => true,
            Entry::Never => {
                debug!(door = self.door.name(), %peer, "closed: too many connections a second");
                false
            }
            Entry::Late(wait) => tokio::select! {
                () = tokio::time::sleep(wait) => true,
                _ = self.shutdown.wait_for(|down| *down) => false,
            },
        }
    }

    async fn run(mut self, taken: Taken) {
        let Taken {
            stream,
            tls,
            connection,
        } = taken;
        let (door, peer) = (self.door.name(), connection.peer);
        if !self.lets_in(peer).await {
            return;
        }
        if let Err(error) = stream.set_nodelay(true) {
            debug!(door, %peer, %error, "no TCP_NODELAY");
        }
        // Each apart: a plain connection is not to have room for what TLS needs, nor for both. Who lingers has
        // room for neither.
        let lingering = match tls {
            None => Box::pin(self.plain(stream, connection)).await,
            Some(tls) => Box::pin(self.secure(stream, tls, connection)).await,
        };
        if let Some(mut stream) = lingering {
            linger(&mut stream).await;
        }
    }

    /// Serves a connection to its end; gives what is left of one whose peer may still be writing.
    async fn plain(self, mut stream: TcpStream, connection: Connection) -> Option<TcpStream> {
        let (door, peer) = (self.door.name(), connection.peer);
        let shutdown = self.shutdown.clone();
        let mut driver = self.driver(connection);
        let (mut reader, mut writer) = stream.split();
        let ended = driver.run(&mut reader, &mut writer, shutdown).await;
        let lingers = driver.may_linger(&ended);
        tell(door, peer, driver.session().close_reason(), ended);
        lingers.then_some(stream)
    }

    /// The same over TLS.
    async fn secure(
        mut self,
        stream: TcpStream,
        tls: TlsPort,
        mut connection: Connection,
    ) -> Option<TcpStream> {
        let (door, peer) = (self.door.name(), connection.peer);
        let accepted = tokio::select! {
            accepted = tls.accept(stream) => accepted,
            _ = self.shutdown.wait_for(|down| *down) => return None,
        };
        match accepted {
            Ok((stream, session)) => {
                debug!(door, %peer, version = session.version, "TLS");
                connection.tls = Some(session);
                let shutdown = self.shutdown.clone();
                let mut driver = self.driver(connection).over_tls();
                let (mut reader, mut writer) = tokio::io::split(stream);
                let ended = driver.run(&mut reader, &mut writer, shutdown).await;
                let lingers = driver.may_linger(&ended);
                tell(door, peer, driver.session().close_reason(), ended);
                // What still comes is nobody's to decrypt.
                return lingers.then(|| reader.unsplit(writer).into_inner().0);
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
        None
    }

    fn driver(self, connection: Connection) -> Driver<D::Session> {
        let session = self.door.open(connection);
        let driver = Driver::new(session, self.backend, self.claim, self.limits);
        match self.counters {
            Some(counters) => driver.with_counters(counters),
            None => driver,
        }
    }
}

fn tell(door: &'static str, peer: SocketAddr, reason: Option<&CloseReason>, ended: Ended) {
    match (reason, ended) {
        (Some(reason @ CloseReason::Us(_)), _) => warn!(door, %peer, %reason, "closed"),
        (Some(reason @ (CloseReason::Peer(_) | CloseReason::Done)), _) => {
            info!(door, %peer, %reason, "closed");
        }
        (None, Ended::Shutdown(false)) => warn!(door, %peer, "closed with requests unanswered"),
        (None, Ended::SpeaksTls) => {
            warn!(door, %peer, "refused: the client speaks TLS, and this port does not");
        }
        (None, ended) => debug!(door, %peer, ?ended, "closed"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::toy::{Held, ToyDoor, answer, frame};

    #[tokio::test]
    async fn one_connection_over_the_limit_waits_for_its_turn() {
        let limits = Limits {
            connections_count: 1,
            ..Limits::default()
        };
        let listener = Listener::bind(&["127.0.0.1:0".to_owned()]).await.unwrap();
        let (address, listener) = (listener.addresses()[0], listener.with_limits(limits));
        let (backend, mut asked) = Held::pair();
        let (stop, stopped) = watch::channel(false);
        let server = tokio::spawn(serve(listener, Arc::new(ToyDoor), backend, stopped));
        let mut first = TcpStream::connect(address).await.unwrap();
        first.write_all(&frame("first")).await.unwrap();
        let (_, reply) = asked.recv().await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        second.write_all(&frame("second")).await.unwrap();
        answer(reply, "1");
        assert_eq!(first.read_u32().await.unwrap(), 1);
        assert!(asked.try_recv().is_err(), "the second one was served");
        drop(first);
        let (text, reply) = asked.recv().await.unwrap();
        assert_eq!(text, "second");
        answer(reply, "2");
        assert_eq!(second.read_u32().await.unwrap(), 1);
        stop.send(true).unwrap();
        server.await.unwrap();
        assert!(
            TcpStream::connect(address).await.is_err(),
            "the port is closed"
        );
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let first = Listener::bind(&["127.0.0.1:0".to_owned()]).await.unwrap();
        let address = first.addresses()[0].to_string();
        let error = Listener::bind(std::slice::from_ref(&address)).await;
        let error = error.unwrap_err().to_string();
        assert_eq!(error, format!("cannot listen on {address}"));
    }
}
