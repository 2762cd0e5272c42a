//! Who is up.

use std::collections::BTreeMap;

use tokio::net::TcpListener;
use weir_broker::peer::PeerPort as _;
use weir_model::NodeId;

use crate::{
    harness::{CLUSTER, Event, Node, meet},
    raw,
};

#[tokio::test]
async fn a_node_that_stops_is_lost_and_one_that_returns_is_back() {
    let mut nodes = [Node::start(1, None).await, Node::start(2, None).await];
    meet(&mut nodes).await;
    let [mut first, second] = nodes;
    let address = second.address();
    second.transport.stop().await;
    assert_eq!(first.event().await, Event::Changed(NodeId(2), false));
    // That its connection has ended is told before that it is lost.
    let links = first.host.links.lock().unwrap().clone();
    assert_eq!(links, [(NodeId(2), true), (NodeId(2), false)]);
    let again = Node::start_at(&address, 2, None).await;
    let addresses = BTreeMap::from([(NodeId(1), first.address())]);
    again.transport.set_addresses(&addresses);
    assert_eq!(first.event().await, Event::Changed(NodeId(2), true));
}

#[tokio::test]
async fn a_peer_that_falls_silent_with_its_connections_open_is_lost() {
    let mut node = Node::start(1, None).await;
    let mut peer = raw::Peer::greet(&node.address(), 2, 1, raw::FAST).await;
    assert_eq!(node.event().await, Event::Changed(NodeId(2), true));
    assert_eq!(node.event().await, Event::Changed(NodeId(2), false));
    peer.send(raw::BEACON, CLUSTER, b"still here").await;
    assert_eq!(node.event().await, Event::Changed(NodeId(2), true));
}

#[tokio::test]
async fn a_process_that_took_anothers_place_is_a_loss_and_a_return() {
    let mut node = Node::start(1, None).await;
    let _before = raw::Peer::greet_as(&node.address(), 2, 1, raw::FAST, 10).await;
    assert_eq!(node.event().await, Event::Changed(NodeId(2), true));
    let _after = raw::Peer::greet_as(&node.address(), 2, 1, raw::FAST, 11).await;
    assert_eq!(node.event().await, Event::Changed(NodeId(2), false));
    assert_eq!(node.event().await, Event::Changed(NodeId(2), true));
}

#[tokio::test]
async fn a_node_behind_anothers_address_is_not_taken_for_it() {
    let mut nodes = [Node::start(1, None).await, Node::start(3, None).await];
    let addresses = BTreeMap::from([(NodeId(2), nodes[1].address())]);
    nodes[0].transport.set_addresses(&addresses);
    let failed = nodes[0].call(NodeId(2), "who".into()).await;
    assert!(failed.is_err());
    let addresses = BTreeMap::from([(NodeId(3), nodes[1].address())]);
    nodes[0].transport.set_addresses(&addresses);
    // No change was told for node 2, which never was there.
    assert_eq!(nodes[1].event().await, Event::Changed(NodeId(1), true));
}

#[tokio::test]
async fn a_port_that_nobody_serves_yet_does_no_harm() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut nodes = [Node::start(1, None).await, Node::start(2, None).await];
    let addresses = BTreeMap::from([
        (NodeId(2), nodes[1].address()),
        (NodeId(3), silent.local_addr().unwrap().to_string()),
        (NodeId(4), "not an address".to_owned()),
    ]);
    nodes[0].transport.set_addresses(&addresses);
    assert_eq!(nodes[1].event().await, Event::Changed(NodeId(1), true));
    let answer = nodes[0].call(NodeId(2), "there".into()).await;
    assert_eq!(answer.unwrap(), "there");
}
