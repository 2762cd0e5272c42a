//! Transports with a host that writes down what it is told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::{
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};
use weir_broker::peer::{Answer, CallFailed, PeerMessages, PeerPort};
use weir_model::NodeId;
use weir_peer::{PeerConfig, PeerHost, PeerTls, PeerTransport};
use weir_raft::{PeerMessage, wire};

/// Long enough for anything that is to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const CLUSTER: u128 = 0xfeed << 100;

#[derive(Debug, PartialEq)]
pub(crate) enum Event {
    Messages(Vec<PeerMessage>),
    Changed(NodeId, bool),
    Beacon(NodeId, Bytes),
    Call(NodeId, Bytes),
}

/// Echoes calls; keeps those that begin with `hold`, drops those that begin with `drop`.
pub(crate) struct Host {
    node: NodeId,
    events: UnboundedSender<Event>,
    pub(crate) held: Mutex<Vec<Answer>>,
    /// Connections made and ended, in order.
    pub(crate) links: Mutex<Vec<(NodeId, bool)>>,
}

impl PeerHost for Host {
    fn take_messages(&self, messages: PeerMessages) {
        let _ = self.events.send(Event::Messages(messages));
    }

    fn take_call(&self, from: NodeId, request: Bytes, answer: Answer) {
        let called = Event::Call(from, request.clone());
        if request.starts_with(b"hold") {
            self.held.lock().unwrap().push(answer);
        } else if !request.starts_with(b"drop") {
            answer(request);
        }
        let _ = self.events.send(called);
    }

    fn peer_changed(&self, node: NodeId, is_up: bool) {
        let _ = self.events.send(Event::Changed(node, is_up));
    }

    fn link_changed(&self, node: NodeId, is_open: bool) {
        self.links.lock().unwrap().push((node, is_open));
    }

    fn beacon(&self) -> Bytes {
        format!("beacon of {}", self.node).into()
    }

    fn take_beacon(&self, from: NodeId, beacon: &Bytes) {
        let _ = self.events.send(Event::Beacon(from, beacon.clone()));
    }
}

pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) transport: Arc<PeerTransport>,
    pub(crate) host: Arc<Host>,
    pub(crate) events: UnboundedReceiver<Event>,
}

impl Node {
    pub(crate) async fn start(id: u64, tls: Option<PeerTls>) -> Self {
        Self::start_at("127.0.0.1:0", id, tls).await
    }

    pub(crate) async fn start_at(address: &str, id: u64, tls: Option<PeerTls>) -> Self {
        let config = PeerConfig {
            listener: TcpListener::bind(address).await.unwrap(),
            cluster: CLUSTER,
            node: NodeId(id),
            tls,
        };
        let transport = PeerTransport::start(config).unwrap();
        let (sender, events) = unbounded_channel();
        let host = Arc::new(Host {
            node: NodeId(id),
            events: sender,
            held: Mutex::default(),
            links: Mutex::default(),
        });
        transport.attach(Arc::clone(&host) as Arc<dyn PeerHost>);
        Self {
            id: NodeId(id),
            transport,
            host,
            events,
        }
    }

    pub(crate) fn address(&self) -> String {
        self.transport.address().to_string()
    }

    /// The next event that is no beacon.
    pub(crate) async fn event(&mut self) -> Event {
        let waiting = async {
            loop {
                match self.events.recv().await.expect("the host is there") {
                    Event::Beacon(..) => {}
                    event => return event,
                }
            }
        };
        timeout(PATIENCE, waiting).await.expect("something happens")
    }

    /// Waits for this event, whatever comes before it.
    pub(crate) async fn until(&mut self, wanted: &Event) {
        let waiting = async { while self.events.recv().await.unwrap() != *wanted {} };
        timeout(PATIENCE, waiting)
            .await
            .unwrap_or_else(|_| panic!("{wanted:?} never came"));
    }

    /// The numbers of the messages that come, up to `last`.
    pub(crate) async fn numbers(&mut self, last: u32) -> Vec<u32> {
        let mut numbers = Vec::new();
        while numbers.last() != Some(&last) {
            if let Event::Messages(messages) = self.event().await {
                numbers.extend(messages.iter().map(|message| message.group.0));
            }
        }
        numbers
    }

    pub(crate) async fn call(&self, to: NodeId, request: Bytes) -> Result<Bytes, CallFailed> {
        let (sender, mut answers) = unbounded_channel();
        let done = move |answer| {
            let _ = sender.send(answer);
        };
        self.transport.call(to, request, Box::new(done));
        let answer = timeout(PATIENCE, answers.recv()).await.unwrap();
        answer.expect("every call is answered or fails")
    }
}

/// Tells all nodes of each other, and waits until they know.
pub(crate) async fn meet(nodes: &mut [Node]) {
    let addresses: BTreeMap<NodeId, String> =
        nodes.iter().map(|node| (node.id, node.address())).collect();
    for node in &*nodes {
        node.transport.set_addresses(&addresses);
    }
    for node in nodes.iter_mut() {
        let mut missing: Vec<NodeId> = addresses.keys().copied().collect();
        missing.retain(|id| *id != node.id);
        // A beacon shows that the other one's connection is through.
        while !missing.is_empty() {
            let event = timeout(PATIENCE, node.events.recv()).await;
            if let Event::Beacon(from, beacon) = event.unwrap().unwrap() {
                assert_eq!(beacon, format!("beacon of {from}").as_bytes());
                missing.retain(|id| *id != from);
            }
        }
    }
}

/// A message that is known again by its number.
pub(crate) fn message(from: NodeId, to: NodeId, number: u32) -> PeerMessage {
    decode(from, to, number, 64, &[0; 16])
}

/// An append with one entry of that length.
pub(crate) fn large_message(
    from: NodeId,
    to: NodeId,
    number: u32,
    data_bytes: usize,
) -> PeerMessage {
    let mut body = BytesMut::new();
    body.put_bytes(0, 9 * 8 + 1 + 4);
    body.put_u32_le(1);
    body.put_bytes(0, 1 + 8 + 8 + 4);
    body.put_u32_le(data_bytes.try_into().unwrap());
    body.put_bytes(number.to_le_bytes()[0], data_bytes);
    body.put_u8(0);
    decode(from, to, number, 3, &body)
}

fn decode(from: NodeId, to: NodeId, number: u32, tag: u8, body: &[u8]) -> PeerMessage {
    let mut list = BytesMut::new();
    list.put_u8(1);
    list.put_u64_le(from.0);
    list.put_u64_le(to.0);
    list.put_u32_le(1);
    list.put_u8(tag);
    list.put_u32_le(number);
    list.put_slice(body);
    wire::decode(from, to, list.freeze()).unwrap().remove(0)
}
