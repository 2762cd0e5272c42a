//! Whoever sends what it should not.

use tokio::io::AsyncWriteExt;
use weir_model::NodeId;
use weir_peer::limits::{
    MAX_CALLS_COUNT, MAX_CLIENT_FRAME_BYTES, MAX_FRAME_BYTES, MAX_GREETING_COUNT,
    MAX_GREETING_FRAME_BYTES,
};

use crate::{
    harness::{CLUSTER, Event, Node, meet},
    raw::{self, ANSWER, BEACON, BULK, CALL, FAST, HELLO, MESSAGES},
};

const OTHER_CLUSTER: u8 = 1;
const OTHER_NODE: u8 = 2;
const MALFORMED: u8 = 3;
const MISPLACED: u8 = 4;

/// The node still serves who behaves.
async fn is_well(node: &Node) -> bool {
    let mut peer = raw::Peer::greet(&node.address(), 5, 1, BULK).await;
    peer.send(CALL, CLUSTER, b"12345678still there?").await;
    let (kind, _, body) = peer.receive().await.unwrap();
    kind == ANSWER && body == b"12345678\0still there?"[..]
}

#[tokio::test]
async fn what_is_no_greeting_is_refused_with_its_reason() {
    let node = Node::start(1, None).await;
    let fine = raw::hello(2, 1, FAST, 1);
    let greeting = |kind, cluster, body: &[u8]| raw::frame(kind, cluster, body);
    let mut damaged = greeting(HELLO, CLUSTER, &fine);
    *damaged.last_mut().unwrap() ^= 4;
    let mut later = greeting(HELLO, CLUSTER, &fine);
    later[8] = 2;
    let long = vec![0; MAX_GREETING_FRAME_BYTES + 1];
    let cases = [
        (b"GET / HTTP/1.1\r\nHost: weir\r\n\r\n".to_vec(), MALFORMED),
        (vec![0xff; 100], MALFORMED),
        (damaged, MALFORMED),
        (later, MALFORMED),
        (greeting(99, CLUSTER, b""), MALFORMED),
        (greeting(HELLO, CLUSTER, &long)[..32].to_vec(), MALFORMED),
        (greeting(HELLO, CLUSTER, &fine[1..]), MALFORMED),
        (greeting(HELLO, CLUSTER + 1, &fine), OTHER_CLUSTER),
        // Only who is no node may ask which cluster this is.
        (greeting(HELLO, 0, &fine), OTHER_CLUSTER),
        (
            greeting(HELLO, CLUSTER, &raw::hello(2, 3, FAST, 1)),
            OTHER_NODE,
        ),
        (
            greeting(HELLO, CLUSTER, &raw::hello(2, 0, FAST, 1)),
            OTHER_NODE,
        ),
        (
            greeting(HELLO, CLUSTER, &raw::hello(1, 1, FAST, 1)),
            OTHER_NODE,
        ),
        (
            greeting(HELLO, CLUSTER, &raw::hello(0, 1, FAST, 1)),
            MISPLACED,
        ),
        (greeting(BEACON, CLUSTER, b""), MISPLACED),
        (greeting(CALL, CLUSTER, b"12345678"), MISPLACED),
    ];
    for (case, (bytes, reason)) in cases.into_iter().enumerate() {
        let mut peer = raw::Peer::connect(&node.address()).await;
        peer.socket.write_all(&bytes).await.unwrap();
        assert_eq!(peer.refused().await, reason, "case {case}");
        peer.closed().await;
    }
    assert!(is_well(&node).await);
}

#[tokio::test]
async fn what_has_no_place_on_a_connection_ends_it() {
    let node = Node::start(1, None).await;
    let too_long = u32::try_from(MAX_FRAME_BYTES + 1).unwrap();
    let mut oversized = raw::frame(MESSAGES, CLUSTER, b"");
    oversized[12..16].copy_from_slice(&too_long.to_le_bytes());
    let client_too_long = u32::try_from(MAX_CLIENT_FRAME_BYTES + 1).unwrap();
    let mut client_oversized = raw::frame(CALL, CLUSTER, b"");
    client_oversized[12..16].copy_from_slice(&client_too_long.to_le_bytes());
    let cases = [
        (2, FAST, raw::frame(MESSAGES, CLUSTER, b"\x01"), MALFORMED),
        (
            2,
            FAST,
            raw::frame(MESSAGES, CLUSTER + 1, b""),
            OTHER_CLUSTER,
        ),
        (2, FAST, raw::frame(CALL, CLUSTER, b"12345678"), MISPLACED),
        (2, FAST, oversized, MALFORMED),
        (2, BULK, raw::frame(CALL, CLUSTER, b"1234567"), MALFORMED),
        (2, BULK, raw::frame(MESSAGES, CLUSTER, b""), MISPLACED),
        (2, BULK, raw::frame(BEACON, CLUSTER, b""), MISPLACED),
        (
            2,
            BULK,
            raw::frame(ANSWER, CLUSTER, b"123456789"),
            MISPLACED,
        ),
        (0, BULK, raw::frame(MESSAGES, CLUSTER, b""), MISPLACED),
        (0, BULK, client_oversized, MALFORMED),
    ];
    for (case, (from, class, bytes, reason)) in cases.into_iter().enumerate() {
        let mut peer = raw::Peer::greet(&node.address(), from, 1, class).await;
        peer.socket.write_all(&bytes).await.unwrap();
        assert_eq!(peer.refused().await, reason, "case {case}");
        peer.closed().await;
    }
    assert!(is_well(&node).await);
}

#[tokio::test]
async fn messages_in_another_nodes_name_end_the_connection() {
    let mut node = Node::start(1, None).await;
    let mut peer = raw::Peer::greet(&node.address(), 2, 1, FAST).await;
    let forged = crate::harness::message(NodeId(3), NodeId(1), 7);
    let body = weir_raft::wire::encode(NodeId(3), NodeId(1), &[forged]).concat();
    peer.send(MESSAGES, CLUSTER, &body).await;
    assert_eq!(peer.refused().await, MALFORMED);
    assert_eq!(node.event().await, Event::Changed(NodeId(2), true));
    assert_eq!(node.event().await, Event::Changed(NodeId(2), false));
}

#[tokio::test]
async fn single_bytes_make_frames() {
    let node = Node::start(1, None).await;
    let mut peer = raw::Peer::connect(&node.address()).await;
    peer.socket.set_nodelay(true).unwrap();
    let bytes = [
        raw::frame(HELLO, CLUSTER, &raw::hello(2, 1, BULK, 1)),
        raw::frame(CALL, CLUSTER, b"12345678slow"),
    ];
    for byte in bytes.concat() {
        peer.socket.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(peer.receive().await.unwrap().0, raw::HELLO_OK);
    assert_eq!(peer.receive().await.unwrap().2, b"12345678\0slow"[..]);
}

#[tokio::test]
async fn a_thousand_idle_connections_keep_nobody_out() {
    let node = Node::start(1, None).await;
    let mut idle = Vec::new();
    for _ in 0..1000 {
        idle.push(raw::Peer::connect(&node.address()).await);
    }
    assert!(is_well(&node).await);
    let (evicted, kept) = idle.split_at_mut(1000 - MAX_GREETING_COUNT);
    for peer in evicted {
        peer.closed().await;
    }
    assert!(kept.last_mut().unwrap().is_open().await);
}

#[tokio::test]
async fn a_flood_of_calls_is_answered_with_overload_and_then_cut_off() {
    let node = Node::start(1, None).await;
    let mut peer = raw::Peer::greet(&node.address(), 2, 1, BULK).await;
    for _ in 0..MAX_CALLS_COUNT {
        peer.send(CALL, CLUSTER, b"12345678hold").await;
    }
    peer.send(CALL, CLUSTER, b"87654321hold").await;
    let (kind, _, body) = peer.receive().await.unwrap();
    assert_eq!((kind, &body[..]), (ANSWER, &b"87654321\x01"[..]));
    // One answer makes room for one call.
    while node.host.held.lock().unwrap().len() < MAX_CALLS_COUNT {
        tokio::task::yield_now().await;
    }
    let answer = node.host.held.lock().unwrap().pop().unwrap();
    answer("done".into());
    assert_eq!(peer.receive().await.unwrap().2, b"12345678\0done"[..]);
    peer.send(CALL, CLUSTER, b"12345678echo").await;
    assert_eq!(peer.receive().await.unwrap().2, b"12345678\0echo"[..]);
}

#[tokio::test]
async fn a_later_connection_takes_an_earlier_ones_place() {
    let mut nodes = [Node::start(1, None).await, Node::start(2, None).await];
    meet(&mut nodes).await;
    let mut earlier = raw::Peer::greet(&nodes[0].address(), 7, 1, BULK).await;
    let _later = raw::Peer::greet(&nodes[0].address(), 7, 1, BULK).await;
    earlier.closed().await;
}
