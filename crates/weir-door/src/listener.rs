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
    Budget, CloseReason, Connection, Door, DoorCounters, Limits, Session, Sockets,
    driver::{Driver, Ended},
    limits::MAX_NODE_REQUEST_BYTES,
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

/// Open ports of one door.
#[derive(Debug)]
pub struct Listener {
    sockets: Sockets,
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
            sockets,
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

    /// The addresses listened on, with the ports that the system chose.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.addresses()
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
                (permit, listener.sockets.accept().await)
            } => accepted,
        };
        let (permit, stream, local, peer) = match accepted {
            (permit, Ok((stream, local, peer))) => (permit, stream, local, peer),
            (_, Err(error)) => {
                warn!(door = door.name(), %error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = Connection {
            peer,
            local,
            number: TAKEN_COUNT.fetch_add(1, Ordering::Relaxed),
        };
        let mut driver = Driver::new(
            door.open(connection),
            Arc::clone(&backend),
            listener.budget.claim(),
            listener.limits,
        );
        if let Some(counters) = &listener.counters {
            driver = driver.with_counters(counters.connection());
        }
        let (name, shutdown) = (door.name(), shutdown.clone());
        connections.spawn(async move {
            run(name, peer, stream, driver, shutdown).await;
            drop(permit);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    info!(door = door.name(), "closed");
}

async fn run<S: Session>(
    door: &'static str,
    peer: SocketAddr,
    mut stream: TcpStream,
    mut driver: Driver<S>,
    shutdown: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(door, %peer, %error, "no TCP_NODELAY");
    }
    let (reader, writer) = stream.split();
    let ended = driver.run(reader, writer, shutdown).await;
    match (driver.session().close_reason(), ended) {
        (Some(reason @ CloseReason::Us(_)), _) => warn!(door, %peer, %reason, "closed"),
        (Some(reason @ (CloseReason::Peer(_) | CloseReason::Done)), _) => {
            info!(door, %peer, %reason, "closed");
        }
        (None, Ended::Shutdown(false)) => warn!(door, %peer, "closed with requests unanswered"),
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
