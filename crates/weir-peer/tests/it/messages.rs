//! Messages and beacons.

use weir_broker::peer::PeerPort as _;
use weir_model::NodeId;
use weir_peer::limits::MAX_FRAME_BYTES;
use weir_raft::PeerPort as _;

use crate::harness::{Node, large_message, meet, message};

#[tokio::test]
async fn messages_of_three_nodes_arrive_in_order_at_whom_they_name() {
    let mut nodes = [
        Node::start(1, None).await,
        Node::start(2, None).await,
        Node::start(3, None).await,
    ];
    meet(&mut nodes).await;
    for number in 0..500 {
        let to = |id| message(NodeId(1), NodeId(id), number);
        nodes[0].transport.send(vec![to(2), to(3)]);
        nodes[1]
            .transport
            .send(vec![message(NodeId(2), NodeId(1), number)]);
    }
    let expected: Vec<u32> = (0..500).collect();
    for node in &mut nodes {
        assert_eq!(node.numbers(499).await, expected);
    }
}

#[tokio::test]
async fn large_messages_arrive_whole_between_small_ones() {
    let mut nodes = [Node::start(1, None).await, Node::start(2, None).await];
    meet(&mut nodes).await;
    let (from, to) = (NodeId(1), NodeId(2));
    let sent: Vec<_> = (0..20)
        .map(|number| match number % 2 {
            0 => message(from, to, number),
            _ => large_message(from, to, number, 1 << 20),
        })
        .collect();
    nodes[0].transport.send(sent.clone());
    let mut received = Vec::new();
    while received.len() < sent.len() {
        if let crate::harness::Event::Messages(messages) = nodes[1].event().await {
            received.extend(messages);
        }
    }
    assert!(received == sent, "a message has changed on its way");
}

#[tokio::test]
async fn a_message_that_fits_no_frame_is_dropped_and_the_next_one_arrives() {
    let mut nodes = [Node::start(1, None).await, Node::start(2, None).await];
    meet(&mut nodes).await;
    let (from, to) = (NodeId(1), NodeId(2));
    let too_large = large_message(from, to, 1, MAX_FRAME_BYTES);
    nodes[0]
        .transport
        .send(vec![too_large, message(from, to, 2)]);
    assert_eq!(nodes[1].numbers(2).await, [2]);
}

#[tokio::test]
async fn messages_for_unknown_nodes_and_before_a_connection_are_dropped() {
    let mut nodes = [Node::start(1, None).await, Node::start(2, None).await];
    let (from, to) = (NodeId(1), NodeId(2));
    nodes[0].transport.send(vec![message(from, to, 1)]);
    meet(&mut nodes).await;
    nodes[0]
        .transport
        .send(vec![message(from, NodeId(9), 2), message(from, to, 3)]);
    assert_eq!(nodes[1].numbers(3).await, [3]);
}

#[tokio::test]
async fn a_node_that_left_the_list_is_sent_nothing_more() {
    let mut nodes = [Node::start(1, None).await, Node::start(2, None).await];
    meet(&mut nodes).await;
    nodes[0]
        .transport
        .set_addresses(&std::collections::BTreeMap::new());
    let lost = crate::harness::Event::Changed(NodeId(1), false);
    nodes[1].until(&lost).await;
    nodes[0]
        .transport
        .send(vec![message(NodeId(1), NodeId(2), 1)]);
    meet(&mut nodes).await;
    nodes[0]
        .transport
        .send(vec![message(NodeId(1), NodeId(2), 2)]);
    assert_eq!(nodes[1].numbers(2).await, [2]);
}
