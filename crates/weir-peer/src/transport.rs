//! The way to all peers.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{net::TcpListener, runtime::Handle, sync::watch, task::JoinHandle, time::interval};
use tracing::{info, warn};
use weir_broker::peer::{CallDone, CallFailed, PeerPort};
use weir_model::NodeId;
use weir_raft::{BufferPool, FREE_UNUSED_INTERVAL_MS, PeerMessage};
use weir_tls::slots::Slots;

use crate::{
    accept::accept,
    dial::{Dialer, keep},
    hello::{CLIENT, Class, Hello},
    host::PeerHost,
    limits::{MAX_CLIENTS_COUNT, MAX_PEERS_COUNT},
    peer::Peer,
    tls::PeerTls,
};

/// Who this node is to its peers.
pub struct PeerConfig {
    /// Where it listens.
    pub listener: TcpListener,
    /// Its cluster; not 0.
    pub cluster: u128,
    /// Its id; not 0.
    pub node: NodeId,
    /// TLS for all connections, of clients as well; `None`: none at all, and whoever reaches the
    /// port is trusted.
    pub tls: Option<PeerTls>,
}

/// All connections to other nodes.
pub struct PeerTransport {
    shared: Arc<Shared>,
    address: SocketAddr,
}

pub(crate) struct Shared {
    pub(crate) cluster: u128,
    pub(crate) node: NodeId,
    pub(crate) tls: Option<PeerTls>,
    pub(crate) clients: Slots,
    /// Memory of what arrives from peers.
    pub(crate) buffers: Arc<BufferPool>,
    incarnation: u64,
    runtime: Handle,
    stop: watch::Sender<bool>,
    /// A mutex: read at each send, for as long as a look-up takes.
    state: Mutex<State>,
}

struct State {
    listener: Option<TcpListener>,
    host: Option<Arc<dyn PeerHost>>,
    peers: BTreeMap<NodeId, Arc<Peer>>,
    tasks: Vec<JoinHandle<()>>,
}

impl PeerTransport {
    /// A transport that has its port, and serves it once a host is attached. To be called within
    /// a tokio runtime, which must outlive it.
    pub fn start(config: PeerConfig) -> io::Result<Arc<Self>> {
        let address = config.listener.local_addr()?;
        let state = State {
            listener: Some(config.listener),
            host: None,
            peers: BTreeMap::new(),
            tasks: Vec::new(),
        };
        let shared = Arc::new(Shared {
            cluster: config.cluster,
            node: config.node,
            tls: config.tls,
            clients: Slots::new(MAX_CLIENTS_COUNT),
            buffers: Arc::default(),
            incarnation: RandomState::new().hash_one(config.node),
            runtime: Handle::current(),
            stop: watch::Sender::new(false),
            state: Mutex::new(state),
        });
        Ok(Arc::new(Self { shared, address }))
    }

    /// Where it listens, with the port that the system chose for port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins: takes connections and dials. What comes goes to `host`. To be called once.
    pub fn attach(&self, host: Arc<dyn PeerHost>) {
        let shared = &self.shared;
        let mut state = shared.lock();
        if let Some(listener) = state.listener.take() {
            let accepting = accept(Arc::clone(shared), Arc::clone(&host), listener);
            state.host = Some(host);
            shared.spawn(&mut state, accepting);
            let freeing = free_unused(Arc::clone(&shared.buffers));
            shared.spawn(&mut state, freeing);
            let peers: Vec<_> = state.peers.values().map(Arc::clone).collect();
            for peer in peers {
                shared.serve(&mut state, &peer);
            }
        }
    }

    /// Ends all connections, closes the port and lets the host go. The peers notice at once.
    pub async fn stop(&self) {
        self.shared.stop.send_replace(true);
        let tasks = {
            let mut state = self.shared.lock();
            state.listener = None;
            state.host = None;
            std::mem::take(&mut state.tasks)
        };
        for task in tasks {
            // A task that panicked is over as well.
            let _ = task.await;
        }
        for peer in self.shared.lock().peers.values() {
            peer.calls.fail(true);
        }
    }
}

/// Frees memory of what arrived from peers once nothing arrives any more.
async fn free_unused(buffers: Arc<BufferPool>) {
    let mut rounds = interval(Duration::from_millis(FREE_UNUSED_INTERVAL_MS));
    loop {
        rounds.tick().await;
        buffers.free_unused();
    }
}

impl weir_raft::PeerPort for PeerTransport {
    fn send(&self, mut messages: Vec<PeerMessage>) {
        while let Some(to) = messages.first().map(|message| message.to) {
            let peer = self.shared.lock().peers.get(&to).map(Arc::clone);
            let of_peer = messages.extract_if(.., |message| message.to == to);
            match peer {
                Some(peer) => peer.link.push(of_peer),
                None => of_peer.for_each(drop),
            }
        }
    }
}

impl PeerPort for PeerTransport {
    fn set_addresses(&self, addresses: &BTreeMap<NodeId, String>) {
        let shared = &self.shared;
        let mut state = shared.lock();
        for id in addresses
            .keys()
            .filter(|id| **id != shared.node && **id != CLIENT)
        {
            let peer = Arc::clone(
                state
                    .peers
                    .entry(*id)
                    .or_insert_with(|| Arc::new(Peer::new(*id))),
            );
            shared.serve(&mut state, &peer);
        }
        for (id, peer) in &state.peers {
            let address = addresses.get(id).cloned();
            peer.address.send_if_modified(|current| {
                let is_other = *current != address;
                *current = address;
                is_other
            });
        }
    }

    fn call(&self, to: NodeId, request: Bytes, done: CallDone) {
        let peer = self.shared.lock().peers.get(&to).map(Arc::clone);
        match peer {
            Some(peer) => peer.calls.push(request, done),
            None => done(Err(CallFailed::Unreachable)),
        }
    }
}

impl Shared {
    /// The peer that has connected, which may be one that this node has not been told of yet.
    pub(crate) fn peer(shared: &Arc<Self>, id: NodeId) -> Option<Arc<Peer>> {
        let mut state = shared.lock();
        if let Some(peer) = state.peers.get(&id) {
            return Some(Arc::clone(peer));
        }
        if state.peers.len() >= MAX_PEERS_COUNT {
            warn!(peer = %id, "refused: too many nodes are known");
            return None;
        }
        let peer = Arc::new(Peer::new(id));
        state.peers.insert(id, Arc::clone(&peer));
        shared.serve(&mut state, &peer);
        Some(peer)
    }

    /// Starts a peer's tasks, once there is a host for what they bring.
    fn serve(&self, state: &mut State, peer: &Arc<Peer>) {
        let Some(host) = state.host.as_ref().map(Arc::clone) else {
            return;
        };
        if !peer.is_to_be_served() {
            return;
        }
        for class in [Class::Fast, Class::Bulk] {
            let hello = Hello {
                from: self.node,
                to: peer.id,
                incarnation: self.incarnation,
                class,
            };
            let dialer = Dialer {
                cluster: Some(self.cluster),
                hello,
                tls: self.tls.clone(),
                buffers: Arc::clone(&self.buffers),
            };
            self.spawn(state, keep(dialer, Arc::clone(peer), Arc::clone(&host)));
        }
        let peer = Arc::clone(peer);
        let watching = async move {
            let tell = |is_up: bool| {
                info!(peer = %peer.id, is_up, "peer changed");
                if !is_up {
                    peer.losses.send_modify(|losses| *losses += 1);
                }
                host.peer_changed(peer.id, is_up);
            };
            peer.liveness.watch(tell).await;
        };
        self.spawn(state, watching);
    }

    /// Runs a task until the transport stops.
    fn spawn(&self, state: &mut State, task: impl Future<Output = ()> + Send + 'static) {
        let mut stopped = self.stop.subscribe();
        let task = self.runtime.spawn(async move {
            tokio::select! {
                _ = stopped.wait_for(|is_stopped| *is_stopped) => {}
                () = task => {}
            }
        });
        state.tasks.push(task);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
