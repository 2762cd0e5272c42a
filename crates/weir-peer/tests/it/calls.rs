//! Calls and their answers.

use bytes::Bytes;
use tokio::sync::mpsc::unbounded_channel;
use weir_broker::peer::{CallFailed, PeerPort as _};
use weir_model::NodeId;
use weir_peer::{
    ClientError, PeerClient, Refusal,
    limits::{MAX_CALLS_COUNT, MAX_CLIENT_FRAME_BYTES},
};

use crate::harness::{CLUSTER, Event, Node, meet};

#[tokio::test]
async fn each_call_hears_its_own_answer() {
    let mut nodes = [Node::start(1, None).await, Node::start(2, None).await];
    meet(&mut nodes).await;
    let (sender, mut answers) = unbounded_channel();
    for number in 0..50_u32 {
        let sender = sender.clone();
        let done = move |answer| sender.send((number, answer)).unwrap();
        let request = Bytes::copy_from_slice(&number.to_le_bytes());
        nodes[0].transport.call(NodeId(2), request, Box::new(done));
    }
    for _ in 0..50 {
        let (number, answer) = answers.recv().await.unwrap();
        assert_eq!(answer.unwrap(), number.to_le_bytes()[..]);
    }
    let large = Bytes::from(vec![7; 20 << 20]);
    assert_eq!(
        nodes[1].call(NodeId(1), large.clone()).await.unwrap(),
        large
    );
}

#[tokio::test]
async fn one_call_over_the_limit_is_refused_and_an_answer_makes_room() {
    let mut nodes = [Node::start(1, None).await, Node::start(2, None).await];
    meet(&mut nodes).await;
    let (sender, mut answers) = unbounded_channel();
    for _ in 0..MAX_CALLS_COUNT {
        let sender = sender.clone();
        let done = move |answer| sender.send(answer).unwrap();
        let request = Bytes::from_static(b"hold");
        nodes[0].transport.call(NodeId(2), request, Box::new(done));
    }
    let more = Bytes::from_static(b"more");
    let refused = nodes[0].call(NodeId(2), more.clone()).await;
    assert_eq!(refused, Err(CallFailed::Overloaded));
    for _ in 0..MAX_CALLS_COUNT {
        let called = nodes[1].event().await;
        assert!(matches!(called, Event::Call(NodeId(1), _)), "{called:?}");
    }
    let held = nodes[1].host.held.lock().unwrap().pop().unwrap();
    held(Bytes::from_static(b"late"));
    assert_eq!(answers.recv().await.unwrap().unwrap(), b"late"[..]);
    assert_eq!(nodes[0].call(NodeId(2), more.clone()).await, Ok(more));
}

#[tokio::test]
async fn calls_to_nobody_and_to_a_node_that_stops_fail_at_once() {
    let mut nodes = [Node::start(1, None).await, Node::start(2, None).await];
    let unknown = nodes[0].call(NodeId(9), Bytes::new()).await;
    assert_eq!(unknown, Err(CallFailed::Unreachable));
    meet(&mut nodes).await;
    let (sender, mut answers) = unbounded_channel();
    let done = move |answer| sender.send(answer).unwrap();
    let request = Bytes::from_static(b"hold");
    nodes[0].transport.call(NodeId(2), request, Box::new(done));
    let called = Event::Call(NodeId(1), Bytes::from_static(b"hold"));
    nodes[1].until(&called).await;
    nodes[1].transport.stop().await;
    assert_eq!(answers.recv().await.unwrap(), Err(CallFailed::Unreachable));
    // An answer that comes when the caller is gone goes nowhere.
    let held = nodes[1].host.held.lock().unwrap().pop().unwrap();
    held(Bytes::new());
}

#[tokio::test]
async fn a_call_that_nobody_answers_times_out() {
    let mut nodes = [Node::start(1, None).await, Node::start(2, None).await];
    meet(&mut nodes).await;
    let dropped = nodes[0].call(NodeId(2), Bytes::from_static(b"drop")).await;
    assert_eq!(dropped, Err(CallFailed::TimedOut));
}

#[tokio::test]
async fn a_client_learns_the_cluster_and_makes_calls_as_nobody() {
    let mut node = Node::start(3, None).await;
    for cluster in [None, Some(CLUSTER)] {
        let mut client = PeerClient::connect(&node.address(), None, cluster)
            .await
            .unwrap();
        assert_eq!((client.cluster(), client.node()), (CLUSTER, NodeId(3)));
        for request in ["one", "two"].map(Bytes::from) {
            assert_eq!(client.call(request.clone()).await.unwrap(), request);
            assert_eq!(node.event().await, Event::Call(NodeId(0), request));
        }
    }
    let mut client = PeerClient::connect(&node.address(), None, None)
        .await
        .unwrap();
    let too_long = client.call(vec![0; MAX_CLIENT_FRAME_BYTES].into()).await;
    assert!(matches!(too_long, Err(ClientError::TooLong { .. })));
    let longest = Bytes::from(vec![0; MAX_CLIENT_FRAME_BYTES - 8]);
    assert_eq!(client.call(longest.clone()).await.unwrap(), longest);
}

#[tokio::test]
async fn a_client_of_another_cluster_is_told_so() {
    let node = Node::start(3, None).await;
    let refused = PeerClient::connect(&node.address(), None, Some(CLUSTER + 1)).await;
    assert!(matches!(
        refused.err(),
        Some(ClientError::Refused(Refusal::OtherCluster))
    ));
}
