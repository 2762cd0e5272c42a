//! A client and a node by script: what goes in and comes out of a session, as methods.

use bytes::{Bytes, BytesMut};
use weir_broker::{
    Ticket,
    api::{
        Outcome, Request,
        queues::{
            ConsumerTag, Delivered, DeliveryId, Publish, QueueOutcome, QueueRequest, QueueSession,
            Tiding, Verdict,
        },
    },
};
use weir_door::{Connection, Door, Millis, Session};
use weir_door_amqp::{
    AmqpConfig, AmqpDoor, AmqpSession,
    codec::{ContentHeader, Frame, FrameKind, Method, PROTOCOL_HEADER, method},
};
use weir_model::{
    PartitionId,
    fields::{BasicProperties, FieldTable, FieldValue, ShortString, examples::short},
    message::MessageForm,
};

/// What the server said: a channel, a method, and the body that followed.
pub(crate) type Said = (u16, Method, Option<(BasicProperties, Bytes)>);

pub(crate) struct Client {
    pub(crate) session: AmqpSession,
    pub(crate) now: Millis,
    opened: Ticket,
    asked: Vec<(Ticket, QueueRequest)>,
    raw: BytesMut,
}

pub(crate) fn session() -> AmqpSession {
    session_from([127, 0, 0, 1])
}

pub(crate) fn session_from(peer: [u8; 4]) -> AmqpSession {
    AmqpDoor::new(AmqpConfig::default())
        .of(weir_broker::access::AccessView::open())
        .open(connection(peer))
}

pub(crate) fn connection(peer: [u8; 4]) -> Connection {
    Connection {
        peer: (peer, 40_000).into(),
        local: ([127, 0, 0, 1], 5672).into(),
        number: 7,
        tls: None,
    }
}

pub(crate) fn frame_bytes(kind: FrameKind, channel: u16, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    let frame = Frame {
        kind,
        channel,
        payload: Bytes::copy_from_slice(payload),
    };
    frame.write(&mut out);
    out.freeze()
}

pub(crate) fn method_bytes(channel: u16, method: impl Into<Method>) -> Bytes {
    let mut payload = BytesMut::new();
    method.into().encode(&mut payload);
    frame_bytes(FrameKind::Method, channel, &payload)
}

pub(crate) fn header_bytes(channel: u16, properties: &BasicProperties, body_bytes: u64) -> Bytes {
    let mut payload = BytesMut::new();
    let header = ContentHeader {
        body_bytes,
        properties: properties.clone(),
    };
    header.encode(&mut payload);
    frame_bytes(FrameKind::Header, channel, &payload)
}

/// A message to the default exchange, as frames.
pub(crate) fn message_bytes(channel: u16, queue: &str, mandatory: bool, body: &str) -> Bytes {
    let publish = method::BasicPublish {
        routing_key: short(queue),
        mandatory,
        ..Default::default()
    };
    content_bytes(channel, publish, &BasicProperties::default(), body)
}

pub(crate) fn content_bytes(
    channel: u16,
    publish: method::BasicPublish,
    properties: &BasicProperties,
    body: &str,
) -> Bytes {
    let mut out = BytesMut::new();
    out.extend_from_slice(&method_bytes(channel, publish));
    out.extend_from_slice(&header_bytes(channel, properties, body.len() as u64));
    if !body.is_empty() {
        out.extend_from_slice(&frame_bytes(FrameKind::Body, channel, body.as_bytes()));
    }
    out.freeze()
}

pub(crate) fn start_ok(response: &'static [u8]) -> method::ConnectionStartOk {
    let yes = |name| (short(name), FieldValue::Boolean(true));
    let capabilities = FieldTable(vec![
        yes("authentication_failure_close"),
        yes("consumer_cancel_notify"),
        yes("connection.blocked"),
    ]);
    method::ConnectionStartOk {
        client_properties: FieldTable(vec![(
            short("capabilities"),
            FieldValue::Table(capabilities),
        )]),
        mechanism: short("PLAIN"),
        response: Bytes::from_static(response),
        locale: short("en_US"),
    }
}

/// What a client sends until it is in.
pub(crate) fn handshake_bytes(tune: method::ConnectionTuneOk) -> Vec<Bytes> {
    vec![
        Bytes::from_static(&PROTOCOL_HEADER),
        method_bytes(0, start_ok(b"\0guest\0guest")),
        method_bytes(0, tune),
        method_bytes(
            0,
            method::ConnectionOpen {
                virtual_host: short("/"),
                ..Default::default()
            },
        ),
    ]
}

/// Frames as their client reads them.
pub(crate) fn decoded(mut bytes: Bytes) -> Vec<Said> {
    let mut said: Vec<Said> = Vec::new();
    while let Some(frame) = Frame::take(&mut bytes, 1 << 20).unwrap() {
        match frame.kind {
            FrameKind::Method => {
                let method = Method::decode(frame.payload).unwrap();
                said.push((frame.channel, method, None));
            }
            FrameKind::Header => {
                let header = ContentHeader::decode(frame.payload).unwrap();
                let (channel, method, content) = said.last_mut().unwrap();
                assert!(method.has_content() && *channel == frame.channel);
                *content = Some((header.properties, Bytes::new()));
            }
            FrameKind::Body => {
                let (_, _, content) = said.last_mut().unwrap();
                let (_, body) = content.as_mut().unwrap();
                *body = [&body[..], &frame.payload].concat().into();
            }
            FrameKind::Heartbeat => {}
        }
    }
    assert!(bytes.is_empty(), "{} bytes left over", bytes.len());
    said
}

impl Client {
    /// A client before its first byte.
    pub(crate) fn new(session: AmqpSession) -> Self {
        Self {
            session,
            now: Millis(1_000),
            opened: Ticket(0),
            asked: Vec::new(),
            raw: BytesMut::new(),
        }
    }

    /// A client that is in, with channel 1.
    pub(crate) fn open() -> Self {
        let mut client = Self::tuned(method::ConnectionTuneOk::default());
        client.send(1, method::ChannelOpen::default());
        assert!(matches!(
            client.said()[..],
            [(1, Method::ChannelOpenOk(_), _)]
        ));
        client
    }

    /// A client that is in, with these limits.
    pub(crate) fn tuned(tune: method::ConnectionTuneOk) -> Self {
        Self::of(session(), tune)
    }

    /// The same with this session.
    pub(crate) fn of(session: AmqpSession, tune: method::ConnectionTuneOk) -> Self {
        let mut client = Self::new(session);
        client.session.handle_timeout(client.now);
        for bytes in handshake_bytes(tune) {
            client.raw(&bytes);
        }
        client.opened();
        let said = client.said();
        assert!(matches!(
            said.last(),
            Some((0, Method::ConnectionOpenOk(_), _))
        ));
        client
    }

    /// The node begins the session.
    pub(crate) fn opened(&mut self) {
        let (ticket, request) = self.ask();
        assert!(matches!(request, QueueRequest::Open(_)));
        self.opened = ticket;
        let opened = QueueOutcome::Opened(QueueSession::detached("/"));
        self.answer(ticket, opened);
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.session
            .receive(self.now, Bytes::copy_from_slice(bytes));
    }

    pub(crate) fn send(&mut self, channel: u16, method: impl Into<Method>) {
        self.raw(&method_bytes(channel, method));
    }

    /// The next request, which must be there.
    pub(crate) fn ask(&mut self) -> (Ticket, QueueRequest) {
        self.poll();
        assert!(!self.asked.is_empty(), "nothing is asked");
        self.asked.remove(0)
    }

    fn poll(&mut self) {
        while let Some((ticket, request)) = self.session.poll_request() {
            let Request::Queue(request) = request else {
                panic!("{request:?}");
            };
            self.asked.push((ticket, request));
        }
    }

    /// Whether the node is asked for nothing.
    pub(crate) fn asks_nothing(&mut self) -> bool {
        self.poll();
        self.asked.is_empty()
    }

    pub(crate) fn answer(&mut self, ticket: Ticket, outcome: QueueOutcome) {
        self.session
            .complete(self.now, ticket, Outcome::Queue(outcome));
    }

    /// Answers the next request, which it gives.
    pub(crate) fn answer_next(&mut self, outcome: QueueOutcome) -> QueueRequest {
        let (ticket, request) = self.ask();
        self.answer(ticket, outcome);
        request
    }

    /// The next request, which must be messages.
    pub(crate) fn ask_publish(&mut self) -> (Ticket, Publish) {
        let (ticket, request) = self.ask();
        match request {
            QueueRequest::Publish(publish) => (ticket, publish),
            request => panic!("{request:?}"),
        }
    }

    pub(crate) fn tell(&mut self, tiding: Tiding) {
        self.answer(self.opened, QueueOutcome::Told(vec![tiding]));
    }

    pub(crate) fn deliver(&mut self, consumer: ConsumerTag, serial: u64) {
        self.tell(Tiding::Delivered(consumer, delivered(serial)));
    }

    /// All that was said since it was last asked.
    pub(crate) fn said(&mut self) -> Vec<Said> {
        decoded(self.sent())
    }

    pub(crate) fn sent(&mut self) -> Bytes {
        let mut chunks = Vec::new();
        while self.session.poll_transmit(&mut chunks, 1000) > 0 {}
        for chunk in chunks {
            self.raw.extend_from_slice(&chunk);
        }
        self.raw.split().freeze()
    }

    /// The one method that was said.
    pub(crate) fn one(&mut self) -> Method {
        let mut said = self.said();
        assert_eq!(said.len(), 1, "{said:#?}");
        said.remove(0).1
    }

    /// Begins to consume from `queue`; gives the consumer's number.
    pub(crate) fn consume(&mut self, consume: method::BasicConsume) -> ConsumerTag {
        self.send(1, consume);
        match self.answer_next(QueueOutcome::Done) {
            QueueRequest::Consume(consume) => {
                self.said();
                consume.consumer
            }
            request => panic!("{request:?}"),
        }
    }

    pub(crate) fn reason(&self) -> String {
        let reason = self.session.close_reason();
        reason.map(ToString::to_string).unwrap_or_default()
    }
}

pub(crate) fn delivery_id(serial: u64) -> DeliveryId {
    DeliveryId {
        partition: PartitionId(1),
        offset: 100 + serial,
        serial,
    }
}

/// A message with its serial as body.
pub(crate) fn delivered(serial: u64) -> Delivered {
    let mut form = MessageForm::default();
    form.set(
        &short("x"),
        &short("rk"),
        &BasicProperties {
            message_id: Some(short("m")),
            ..BasicProperties::default()
        },
    );
    let mut record = Vec::new();
    form.write(serial.to_string().as_bytes(), 0, 0, &mut record);
    Delivered {
        id: delivery_id(serial),
        is_redelivered: false,
        failed_count: 0,
        record: record.into(),
        timestamp_ms: 0,
    }
}

pub(crate) fn of_queue(name: &str) -> method::BasicConsume {
    method::BasicConsume {
        queue: short(name),
        consumer_tag: short("c"),
        ..Default::default()
    }
}

pub(crate) fn stored(count: usize) -> QueueOutcome {
    QueueOutcome::Published(vec![Verdict::Stored; count])
}

pub(crate) fn name(text: &str) -> ShortString {
    short(text)
}
