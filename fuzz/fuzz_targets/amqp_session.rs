//! No bytes from an AMQP client make an open session panic, however they are cut on their way, and
//! whatever the node answers and delivers meanwhile.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use weir_broker::{
    Ticket,
    api::{
        Outcome, Request,
        queues::{
            ConsumerTag, DeclaredQueue, Delivered, DeliveryId, QueueOutcome, QueueRequest,
            QueueSession, Refused, Tiding, Verdict,
        },
    },
};
use weir_door::{Connection, Door, Millis, Session};
use weir_door_amqp::{
    AmqpConfig, AmqpDoor, AmqpSession,
    codec::{Frame, FrameKind, Method, PROTOCOL_HEADER, method},
};
use weir_model::{
    ErrorKind, PartitionId,
    fields::{BasicProperties, ShortString},
    message::MessageForm,
};

const NOW: Millis = Millis(1_000);

fn method(channel: u16, method: impl Into<Method>) -> Bytes {
    let mut payload = BytesMut::new();
    method.into().encode(&mut payload);
    let frame = Frame {
        kind: FrameKind::Method,
        channel,
        payload: payload.freeze(),
    };
    let mut out = BytesMut::new();
    frame.write(&mut out);
    out.freeze()
}

struct Node {
    opened: Ticket,
    consumers: Vec<ConsumerTag>,
    serial: u64,
    /// What decides how it answers.
    choices: Vec<u8>,
}

impl Node {
    fn choice(&mut self) -> u8 {
        self.choices.pop().unwrap_or(1)
    }

    fn delivered(&mut self) -> Delivered {
        self.serial += 1;
        let mut form = MessageForm::default();
        let name = ShortString::new("n").expect("short");
        form.set(&name, &name, &BasicProperties::default());
        let mut record = Vec::new();
        form.write(b"body", 0, 0, &mut record);
        Delivered {
            id: DeliveryId {
                partition: PartitionId(1),
                offset: self.serial,
                serial: self.serial,
            },
            is_redelivered: false,
            failed_count: u32::from(self.choice() % 3),
            record: record.into(),
            timestamp_ms: 0,
        }
    }

    fn outcome(&mut self, ticket: Ticket, request: &QueueRequest) -> QueueOutcome {
        if self.choice() == 0 {
            return QueueOutcome::Refused(Refused::Failed(ErrorKind::Overloaded));
        }
        match request {
            QueueRequest::Open(_) => {
                self.opened = ticket;
                QueueOutcome::Opened(QueueSession::detached("/"))
            }
            QueueRequest::DeclareQueue(declare) => QueueOutcome::Declared(DeclaredQueue {
                name: declare.name.clone(),
                message_count: 0,
                consumer_count: 0,
            }),
            QueueRequest::DeleteQueue { .. } | QueueRequest::Purge { .. } => {
                QueueOutcome::Counted(1)
            }
            QueueRequest::Publish(publish) => {
                let verdicts = publish.messages.iter().map(|_| match self.choice() % 4 {
                    0 => Verdict::Rejected,
                    1 => Verdict::Unroutable,
                    2 => Verdict::Refused(Refused::Precondition("p".to_owned())),
                    _ => Verdict::Stored,
                });
                QueueOutcome::Published(verdicts.collect())
            }
            QueueRequest::Get { .. } => {
                let got = (self.choice() % 2 == 1).then(|| (self.delivered(), 1));
                QueueOutcome::Got(got)
            }
            QueueRequest::Consume(consume) => {
                self.consumers.push(consume.consumer);
                QueueOutcome::Done
            }
            _ => QueueOutcome::Done,
        }
    }

    fn serve(&mut self, session: &mut AmqpSession) {
        while let Some((ticket, request)) = session.poll_request() {
            let Request::Queue(request) = request else {
                panic!("{request:?}");
            };
            let outcome = self.outcome(ticket, &request);
            session.complete(NOW, ticket, Outcome::Queue(outcome));
        }
        for consumer in self.consumers.clone() {
            let tiding = match self.choice() % 4 {
                0 => continue,
                1 => Tiding::Cancelled(consumer),
                2 => Tiding::Blocked(None),
                _ => Tiding::Delivered(consumer, self.delivered()),
            };
            let told = Outcome::Queue(QueueOutcome::Told(vec![tiding]));
            session.complete(NOW, self.opened, told);
        }
    }
}

fn play<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, choices: &[u8]) {
    let mut session = AmqpDoor::new(AmqpConfig::default()).of(weir_broker::access::AccessView::open()).open(Connection {
        peer: ([127, 0, 0, 1], 5).into(),
        local: ([127, 0, 0, 1], 5672).into(),
        number: 0,
        tls: None,
    });
    let mut node = Node {
        opened: Ticket(0),
        consumers: Vec::new(),
        serial: 0,
        choices: Vec::new(),
    };
    session.handle_timeout(NOW);
    for bytes in [
        Bytes::from_static(&PROTOCOL_HEADER),
        method(
            0,
            method::ConnectionStartOk {
                mechanism: ShortString::new("PLAIN").expect("short"),
                response: Bytes::from_static(b"\0guest\0guest"),
                ..Default::default()
            },
        ),
        method(0, method::ConnectionTuneOk::default()),
        method(0, method::ConnectionOpen::default()),
    ] {
        session.receive(NOW, bytes);
    }
    node.serve(&mut session);
    session.receive(NOW, method(1, method::ChannelOpen::default()));
    node.choices = choices.to_vec();
    for chunk in chunks {
        let bounds = session.bounds(chunk);
        assert!(bounds.whole_bytes <= chunk.len());
        session.receive(NOW, Bytes::copy_from_slice(chunk));
        node.serve(&mut session);
        let mut sent = Vec::new();
        while session.poll_transmit(&mut sent, 1 << 20) > 0 {}
    }
    if let Some(due) = session.poll_timeout() {
        session.handle_timeout(due);
    }
    session.held_bytes();
}

fuzz_target!(|bytes: &[u8]| {
    let (choices, bytes) = bytes.split_at(bytes.len().min(8));
    play([bytes], choices);
    play(bytes.chunks(1), choices);
    // Frames are hard to guess: here the bytes are payloads on two channels, by their first octets.
    let mut wire = BytesMut::new();
    let mut rest = bytes;
    while let Some(([kind, length], more)) = rest.split_first_chunk() {
        let (payload, more) = more.split_at(more.len().min(usize::from(*length)));
        rest = more;
        let frame = Frame {
            kind: match kind % 4 {
                0 => FrameKind::Header,
                1 => FrameKind::Body,
                _ => FrameKind::Method,
            },
            channel: u16::from(kind >> 7) + 1,
            payload: Bytes::copy_from_slice(payload),
        };
        frame.write(&mut wire);
    }
    play([&wire[..]], choices);
});
