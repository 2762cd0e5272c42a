//! Takes connections until the transport stops.

use std::{sync::Arc, time::Duration};

use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tracing::warn;
use weir_tls::slots::Slots;

use crate::{host::PeerHost, incoming, limits::MAX_GREETING_COUNT, transport::Shared};

/// Pause after a failed accept, such as one for want of file descriptors.
const ACCEPT_PAUSE_MS: u64 = 100;

/// Accepts for ever. Dropped, it closes the port and all connections.
pub(crate) async fn accept(shared: Arc<Shared>, host: Arc<dyn PeerHost>, listener: TcpListener) {
    let greeting = Slots::new(MAX_GREETING_COUNT);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((socket, _)) => {
                let served = incoming::serve(
                    Arc::clone(&shared),
                    Arc::clone(&host),
                    socket,
                    greeting.take(),
                );
                connections.spawn(served);
            }
            Err(error) => {
                warn!(%error, "a peer's connection could not be accepted");
                sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            }
        }
    }
}
