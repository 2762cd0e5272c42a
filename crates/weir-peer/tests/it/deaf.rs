//! A peer that greets and then never reads again.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use tokio::{
    net::TcpListener,
    sync::mpsc::{UnboundedSender, unbounded_channel},
    time::{Duration, sleep, timeout},
};
use weir_broker::peer::{CallFailed, PeerPort as _};
use weir_model::NodeId;
use weir_peer::limits::{MAX_BATCH_BYTES, MAX_CALLS_COUNT, MAX_QUEUED_BYTES};
use weir_raft::{PeerMessage, PeerPort as _, wire};

use crate::{
    harness::{CLUSTER, Node, PATIENCE, large_message, meet, message},
    raw::{self, BEACON, FAST, HELLO, HELLO_OK},
};

const SENDER: NodeId = NodeId(1);
const LISTENER: NodeId = NodeId(2);
const DEAF: NodeId = NodeId(3);
const LARGE_BYTES: usize = 1 << 20;
/// More than may be queued, and than all buffers of sockets on the way take besides.
const ROUNDS_COUNT: u32 = 160;
const CALLS_COUNT: usize = MAX_CALLS_COUNT + 16;
/// What waits, what is being written, and one on its way in.
const MAX_HELD_BYTES: usize = MAX_QUEUED_BYTES + MAX_BATCH_BYTES + 2 * LARGE_BYTES;

/// Bytes that are alive somewhere in the transport.
#[derive(Clone, Default)]
struct Held(Arc<AtomicUsize>);

struct Counted {
    bytes: Vec<u8>,
    held: Held,
}

impl Held {
    fn count(&self, bytes: Vec<u8>) -> Bytes {
        self.0.fetch_add(bytes.len(), Ordering::Relaxed);
        let held = self.clone();
        Bytes::from_owner(Counted { bytes, held })
    }

    /// An append whose entry's data is counted for as long as anything refers to it.
    fn message(&self, number: u32) -> PeerMessage {
        let message = large_message(SENDER, DEAF, number, LARGE_BYTES);
        let bytes = wire::encode(SENDER, DEAF, &[message]).concat();
        wire::decode(SENDER, DEAF, self.count(bytes))
            .unwrap()
            .remove(0)
    }

    fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    async fn given_back(&self) {
        let waiting = async {
            while self.bytes() > 0 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("all is given back");
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.held.0.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

/// Greets everybody, and tells of the first beacon: from then on messages are queued.
async fn greet(listener: TcpListener, heard: UnboundedSender<()>) {
    let mut silent = Vec::new();
    while let Ok((socket, _)) = listener.accept().await {
        let mut peer = raw::Peer { socket };
        let Some((HELLO, CLUSTER, hello)) = peer.receive().await else {
            panic!("no hello");
        };
        peer.send(HELLO_OK, CLUSTER, &DEAF.0.to_le_bytes()).await;
        if hello.last() == Some(&FAST) {
            let first = peer.receive().await;
            assert_eq!(first.map(|(kind, ..)| kind), Some(BEACON));
            let _ = heard.send(());
        }
        silent.push(peer);
    }
}

/// A sender and one who listens, that know each other, and a deaf one that the sender has reached.
async fn three() -> [Node; 2] {
    let mut nodes = [Node::start(1, None).await, Node::start(2, None).await];
    meet(&mut nodes).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, mut heard) = unbounded_channel();
    tokio::spawn(greet(listener, sender));
    let addresses = BTreeMap::from([
        (SENDER, nodes[0].address()),
        (LISTENER, nodes[1].address()),
        (DEAF, address),
    ]);
    nodes[0].transport.set_addresses(&addresses);
    timeout(PATIENCE, heard.recv()).await.unwrap().unwrap();
    nodes
}

#[tokio::test]
async fn messages_for_who_does_not_read_are_bounded_and_others_get_all_of_theirs() {
    let mut nodes = three().await;
    let held = Held::default();
    let mut most_bytes = 0;
    for number in 0..ROUNDS_COUNT {
        let both = vec![held.message(number), message(SENDER, LISTENER, number)];
        nodes[0].transport.send(both);
        most_bytes = most_bytes.max(held.bytes());
        if number % 16 == 0 {
            let echo = Bytes::from_static(b"still there?");
            assert_eq!(nodes[0].call(LISTENER, echo.clone()).await, Ok(echo));
        }
    }
    assert!(most_bytes > MAX_QUEUED_BYTES / 2, "{most_bytes}: it reads");
    assert!(most_bytes <= MAX_HELD_BYTES, "{most_bytes}");
    let expected: Vec<u32> = (0..ROUNDS_COUNT).collect();
    assert_eq!(nodes[1].numbers(ROUNDS_COUNT - 1).await, expected);
    held.given_back().await;
}

#[tokio::test]
async fn calls_to_who_does_not_read_are_bounded_and_all_of_them_fail() {
    let nodes = three().await;
    let held = Held::default();
    let (sender, mut outcomes) = unbounded_channel();
    for _ in 0..CALLS_COUNT {
        let request = held.count(vec![7; LARGE_BYTES]);
        let sender = sender.clone();
        let done = move |answer| {
            let _ = sender.send(answer);
        };
        nodes[0].transport.call(DEAF, request, Box::new(done));
        assert!(held.bytes() <= MAX_HELD_BYTES, "{}", held.bytes());
    }
    drop(sender);
    let echo = Bytes::from_static(b"still there?");
    assert_eq!(nodes[0].call(LISTENER, echo.clone()).await, Ok(echo));
    let mut failed = Vec::new();
    while let Some(outcome) = timeout(PATIENCE, outcomes.recv()).await.unwrap() {
        failed.push(outcome.expect_err("nobody reads it"));
    }
    assert_eq!(failed.len(), CALLS_COUNT);
    let overloaded = failed.iter().filter(|one| **one == CallFailed::Overloaded);
    assert_eq!(overloaded.count(), CALLS_COUNT - MAX_CALLS_COUNT);
    held.given_back().await;
}
