//! Conversations by chance: whatever a client asks in whatever order, and however the node answers,
//! the session stays whole and its end leaves nothing behind.

use std::collections::BTreeSet;

use bytes::Bytes;
use weir_broker::{
    Ticket,
    api::queues::{
        ConsumerTag, DeclaredQueue, DeliveryId, QueueOutcome, QueueRequest, Refused, Tiding,
        Verdict,
    },
};
use weir_door::Session;
use weir_door_amqp::codec::{FrameKind, Method, method};
use weir_model::{
    ErrorKind,
    fields::{BasicProperties, examples::short},
};

use crate::client::{
    Client, delivered, frame_bytes, header_bytes, message_bytes, method_bytes, of_queue,
};

const SEEDS_COUNT: u64 = 1_000;
const STEPS_COUNT: usize = 120;

struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }
}

struct World {
    client: Client,
    dice: Dice,
    waiting: Vec<(Ticket, QueueRequest)>,
    consumers: Vec<ConsumerTag>,
    serial: u64,
    /// Deliveries that are neither settled nor given back.
    held: BTreeSet<DeliveryId>,
    /// Queues are deleted: what was delivered of them may be forgotten.
    is_forgetful: bool,
    /// As the client knows: channels that are open, or closed by the server, and whether the
    /// connection is closing.
    open: BTreeSet<u16>,
    dropped: BTreeSet<u16>,
    is_closing: bool,
}

impl World {
    fn method(&mut self) -> Method {
        let queue = short("q");
        let tag = self.dice.below(4) as u64;
        let yes = self.dice.below(2) == 0;
        match self.dice.below(16) {
            0 | 1 => method::ChannelClose::default().into(),
            2 => method::ChannelFlow { active: true }.into(),
            3 => method::QueueDeclare {
                queue,
                no_wait: yes,
                ..Default::default()
            }
            .into(),
            4 => method::BasicConsume {
                consumer_tag: short(["", "a", "b", "c"][self.dice.below(4)]),
                no_wait: yes,
                ..of_queue("q")
            }
            .into(),
            5 => method::BasicCancel {
                consumer_tag: short("a"),
                no_wait: yes,
            }
            .into(),
            6 => method::BasicGet {
                queue,
                ..Default::default()
            }
            .into(),
            7 | 8 => method::BasicAck {
                delivery_tag: tag,
                multiple: yes,
            }
            .into(),
            9 => method::BasicNack {
                delivery_tag: tag,
                multiple: true,
                requeue: yes,
            }
            .into(),
            10 => method::BasicQos {
                prefetch_count: 2,
                global: yes,
                ..Default::default()
            }
            .into(),
            11 => method::ConfirmSelect { nowait: yes }.into(),
            12 => method::TxSelect {}.into(),
            13 => method::TxCommit {}.into(),
            14 => method::TxRollback {}.into(),
            _ => method::BasicRecover { requeue: true }.into(),
        }
    }

    /// Takes note of what the server said.
    fn hear(&mut self) {
        for (channel, method, _) in self.client.said() {
            match method {
                Method::ConnectionClose(_) => self.is_closing = true,
                Method::ChannelOpenOk(_) => drop(self.open.insert(channel)),
                Method::ChannelCloseOk(_) => drop(self.open.remove(&channel)),
                Method::ChannelClose(_) => drop(self.dropped.insert(channel)),
                _ => {}
            }
        }
    }

    fn send(&mut self) {
        let channel = u16::try_from(self.dice.below(2) + 1).unwrap();
        if self.dropped.remove(&channel) {
            self.client.send(channel, method::ChannelCloseOk {});
            self.open.remove(&channel);
            return;
        }
        if !self.open.contains(&channel) {
            self.client.send(channel, method::ChannelOpen::default());
            return self.hear();
        }
        let bytes = match self.dice.below(8) {
            0 => method_bytes(channel, method::BasicPublish::default()),
            1 => header_bytes(channel, &BasicProperties::default(), 3),
            2 => frame_bytes(FrameKind::Body, channel, b"abc"),
            3 | 4 => message_bytes(channel, "q", true, "hello"),
            _ => method_bytes(channel, self.method()),
        };
        if !self.client.session.wants_read() {
            return;
        }
        // Seldom enough do frames break the protocol for conversations to go on.
        let breaks = bytes[0] != 1 || bytes[7..11] == [0, 60, 0, 40] && bytes.len() < 30;
        if !breaks || self.dice.below(40) == 0 {
            self.client.raw(&bytes);
        }
    }

    fn outcome(&mut self, request: &QueueRequest) -> QueueOutcome {
        if self.dice.below(15) == 0 {
            let refused = match self.dice.below(4) {
                0 => Refused::Failed(ErrorKind::Overloaded),
                _ => Refused::Precondition("p".to_owned()),
            };
            // A node does not refuse what only ends something.
            if !matches!(
                request,
                QueueRequest::Cancel { .. }
                    | QueueRequest::Settle { .. }
                    | QueueRequest::End { .. }
                    | QueueRequest::Limit { .. }
            ) {
                return QueueOutcome::Refused(refused);
            }
        }
        match request {
            QueueRequest::DeclareQueue(declare) => QueueOutcome::Declared(DeclaredQueue {
                name: declare.name.clone(),
                message_count: 0,
                consumer_count: 0,
            }),
            QueueRequest::Publish(publish) => {
                let verdicts = publish.messages.iter().map(|_| match self.dice.below(9) {
                    0 => Verdict::Rejected,
                    1 => Verdict::Unroutable,
                    2 => Verdict::Refused(Refused::Precondition("p".to_owned())),
                    _ => Verdict::Stored,
                });
                QueueOutcome::Published(verdicts.collect())
            }
            QueueRequest::Get { .. } if self.dice.below(2) == 0 => {
                self.serial += 1;
                let message = delivered(self.serial);
                self.held.insert(message.id);
                QueueOutcome::Got(Some((message, 3)))
            }
            QueueRequest::Get { .. } => QueueOutcome::Got(None),
            QueueRequest::Consume(consume) => {
                self.consumers.push(consume.consumer);
                QueueOutcome::Done
            }
            QueueRequest::Cancel { consumer, .. } => {
                self.consumers.retain(|known| known != consumer);
                QueueOutcome::Done
            }
            QueueRequest::Settle { deliveries, .. } => {
                for (id, _) in deliveries {
                    assert!(self.held.remove(id), "{id:?} is settled twice");
                }
                QueueOutcome::Done
            }
            _ => QueueOutcome::Done,
        }
    }

    fn poll(&mut self) {
        while !self.client.asks_nothing() {
            let asked = self.client.ask();
            self.waiting.push(asked);
        }
    }

    /// Requests of one kind are answered in any order.
    fn answer(&mut self) {
        self.poll();
        if !self.waiting.is_empty() {
            let at = self.dice.below(self.waiting.len());
            let (ticket, request) = self.waiting.remove(at);
            let outcome = self.outcome(&request);
            self.client.answer(ticket, outcome);
        }
    }

    fn deliver(&mut self) {
        if self.consumers.is_empty() {
            return;
        }
        let at = self.dice.below(self.consumers.len());
        let consumer = self.consumers[at];
        if self.is_forgetful && self.dice.below(12) == 0 {
            self.consumers.remove(at);
            return self.client.tell(Tiding::Cancelled(consumer));
        }
        self.serial += 1;
        let message = delivered(self.serial);
        self.held.insert(message.id);
        self.client.tell(Tiding::Delivered(consumer, message));
    }

    fn answer_all(&mut self) {
        self.poll();
        while !self.waiting.is_empty() {
            self.answer();
            self.poll();
        }
    }

    /// The client closes all channels, and then the connection.
    fn end(mut self, seed: u64) -> bool {
        self.answer_all();
        self.hear();
        for channel in self.open.clone() {
            if self.dropped.contains(&channel) {
                self.client.send(channel, method::ChannelCloseOk {});
            } else {
                self.client.send(channel, method::ChannelClose::default());
            }
            self.answer_all();
        }
        self.hear();
        let is_settled = self.held.is_empty() || self.is_forgetful || self.is_closing;
        assert!(is_settled, "seed {seed}: {:?}", self.held);
        self.client.send(0, method::ConnectionClose::default());
        self.answer_all();
        let sent: Bytes = self.client.sent();
        let close_ok = method_bytes(0, method::ConnectionCloseOk {});
        assert!(sent.ends_with(&close_ok), "seed {seed}: no last word");
        let session = &self.client.session;
        assert!(session.close_reason().is_some(), "seed {seed}: not over");
        let left = (session.in_flight_count(), session.held_bytes());
        assert_eq!(left, (0, 0), "seed {seed}");
        !self.is_closing
    }
}

#[test]
fn conversations_by_chance_end_in_order_and_leave_nothing() {
    let mut ordered_count = 0;
    for seed in 1..=SEEDS_COUNT {
        let mut world = World {
            client: Client::open(),
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            waiting: Vec::new(),
            consumers: Vec::new(),
            serial: 0,
            held: BTreeSet::new(),
            is_forgetful: seed % 2 == 0,
            open: BTreeSet::from([1]),
            dropped: BTreeSet::new(),
            is_closing: false,
        };
        for _ in 0..STEPS_COUNT {
            match world.dice.below(6) {
                0..3 => world.send(),
                3 => world.deliver(),
                4 => world.hear(),
                _ => world.answer(),
            }
        }
        ordered_count += usize::from(world.end(seed));
    }
    assert!(ordered_count > 50, "{ordered_count} ended in order");
}
