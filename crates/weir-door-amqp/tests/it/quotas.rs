//! Connections over their quotas.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use weir_broker::{
    access::AccessView,
    api::queues::{QueueOutcome, Tiding},
    quota::{Named, QuotaChanges, QuotaEntity, QuotaKey, QuotaTable, QuotaValue},
};
use weir_door::{Clock, Door as _, Entry, Millis, Session};
use weir_door_amqp::{
    AmqpConfig, AmqpDoor,
    codec::{FrameKind, Method, method},
};

use crate::client::{Client, connection, delivered, frame_bytes, message_bytes, of_queue, stored};

const PRODUCE: QuotaKey = QuotaKey::ProducerByteRate;
const CONSUME: QuotaKey = QuotaKey::ConsumerByteRate;

/// A clock that stands still until it is set.
#[derive(Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Millis {
        Millis(0)
    }

    fn monotonic_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A client that is bound, and the clock that it is bound by.
struct Bound {
    client: Client,
    view: AccessView,
    hand: Arc<Hand>,
}

fn table(entity: QuotaEntity, key: QuotaKey, rate: f64) -> QuotaTable {
    let mut table = QuotaTable::default();
    let changes = QuotaChanges::from([(key, QuotaValue::new(rate))]);
    table.alter(entity, &changes).unwrap();
    table
}

fn guest() -> QuotaEntity {
    QuotaEntity::User(Named::of(Some("guest")))
}

impl Bound {
    fn by(entity: QuotaEntity, key: QuotaKey, rate: f64) -> Self {
        Self::tuned(entity, key, rate, method::ConnectionTuneOk::default())
    }

    fn tuned(
        entity: QuotaEntity,
        key: QuotaKey,
        rate: f64,
        tune: method::ConnectionTuneOk,
    ) -> Self {
        let (view, hand) = (AccessView::open(), Arc::new(Hand::default()));
        let clock: Arc<dyn Clock> = hand.clone();
        view.quotas().replace(&table(entity, key, rate), &clock);
        let door = AmqpDoor::new(AmqpConfig::default()).of(view.clone());
        let mut client = Client::of(door.open(connection([127, 0, 0, 1])), tune);
        client.send(1, method::ChannelOpen::default());
        client.said();
        Self { client, view, hand }
    }

    /// So much later, looking whenever the session wants to.
    fn later(&mut self, count_ms: i64) {
        let end = self.client.now.0 + count_ms;
        while self.client.now.0 < end {
            let due = self.client.session.poll_timeout();
            let due = due.map_or(end, |due| due.0.max(self.client.now.0 + 1).min(end));
            let step_ms = u64::try_from(due - self.client.now.0).unwrap();
            self.hand
                .0
                .fetch_add(step_ms * 1_000_000, Ordering::Relaxed);
            self.client.now = Millis(due);
            self.client.session.handle_timeout(self.client.now);
        }
    }

    fn publish(&mut self, count_bytes: usize) {
        let body = "a".repeat(count_bytes);
        self.client.raw(&message_bytes(1, "q", false, &body));
    }

    fn reads(&self) -> bool {
        self.client.session.wants_read()
    }
}

#[test]
fn who_publishes_too_much_is_told_so_not_read_and_told_of_the_end() {
    let mut bound = Bound::by(guest(), PRODUCE, 1_000.0);
    bound.publish(9_000);
    assert!(bound.client.said().is_empty() && bound.reads());
    bound.publish(3_000);
    let Method::ConnectionBlocked(blocked) = bound.client.one() else {
        panic!("not blocked");
    };
    assert_eq!(blocked.reason.as_str(), "over its quota");
    assert!(bound.reads(), "who stops when it is told can still settle");
    bound.publish(1_000);
    assert!(!bound.reads());
    bound.later(2_900);
    assert!(!bound.reads() && bound.client.said().is_empty());
    bound.later(1_000);
    assert!(matches!(bound.client.one(), Method::ConnectionUnblocked(_)));
    assert!(bound.reads());
    bound.later(60_000);
    assert!(bound.client.said().is_empty() && bound.client.session.poll_timeout().is_none());
}

#[test]
fn what_is_too_much_for_a_moment_is_not_told() {
    let mut bound = Bound::by(guest(), PRODUCE, 100_000.0);
    (0..10).for_each(|_| bound.publish(100_000));
    bound.publish(20_000);
    assert!(!bound.reads() && bound.client.said().is_empty());
    bound.later(400);
    assert!(bound.reads() && bound.client.said().is_empty());
}

#[test]
fn who_goes_on_publishing_is_told_once_and_has_its_rate() {
    let mut bound = Bound::by(guest(), PRODUCE, 100_000.0);
    (0..10).for_each(|_| bound.publish(100_000));
    let mut sent_bytes = 0;
    let mut said = Vec::new();
    for _ in 0..1_000 {
        while bound.reads() && sent_bytes < 10_000_000 {
            bound.publish(2_000);
            sent_bytes += 2_000;
            let (ticket, _) = bound.client.ask_publish();
            bound.client.answer(ticket, stored(1));
        }
        bound.later(10);
        said.extend(bound.client.said());
    }
    // Ten seconds; each message is a header longer than its body.
    assert!((900_000..=1_010_000).contains(&sent_bytes), "{sent_bytes}");
    assert_eq!(said.len(), 1, "{said:?}");
}

#[test]
fn a_virtual_host_is_bound_as_users_are() {
    let vhost = QuotaEntity::Vhost(Named::of(Some("/")));
    let mut bound = Bound::by(vhost, PRODUCE, 1_000.0);
    bound.publish(12_000);
    assert!(matches!(bound.client.one(), Method::ConnectionBlocked(_)));
    let other = QuotaEntity::Vhost(Named::of(Some("other")));
    let mut free = Bound::by(other, PRODUCE, 1_000.0);
    free.publish(12_000);
    assert!(free.client.said().is_empty());
}

#[test]
fn heartbeats_go_on_while_a_publisher_is_held() {
    let tune = method::ConnectionTuneOk {
        heartbeat: 10,
        ..Default::default()
    };
    let mut bound = Bound::tuned(guest(), PRODUCE, 100.0, tune);
    bound.publish(12_000);
    bound.publish(1_000);
    assert!(!bound.reads());
    bound.client.sent();
    for _ in 0..10 {
        bound.later(5_000);
        let beat = frame_bytes(FrameKind::Heartbeat, 0, b"");
        assert_eq!(bound.client.sent(), beat);
    }
    assert!(bound.client.session.close_reason().is_none());
}

#[test]
fn a_publisher_that_is_held_goes_on_where_its_quota_is_gone() {
    let mut bound = Bound::by(guest(), PRODUCE, 1.0);
    bound.publish(1_000);
    bound.publish(1_000);
    bound.client.said();
    bound.later(5_000);
    assert!(!bound.reads());
    let mut gone = table(guest(), PRODUCE, 1.0);
    let none = QuotaChanges::from([(PRODUCE, None)]);
    gone.alter(guest(), &none).unwrap();
    let clock: Arc<dyn Clock> = bound.hand.clone();
    bound.view.quotas().replace(&gone, &clock);
    bound.later(2_000);
    assert!(bound.reads());
    assert!(matches!(bound.client.one(), Method::ConnectionUnblocked(_)));
}

#[test]
fn a_consumer_is_given_what_comes_and_then_waits() {
    let mut bound = Bound::by(guest(), CONSUME, 10.0);
    let consumer = bound.client.consume(of_queue("q"));
    for serial in 1..=3 {
        bound
            .client
            .tell(Tiding::Delivered(consumer, delivered(serial)));
        assert!(matches!(bound.client.one(), Method::BasicDeliver(_)));
    }
    // It may settle meanwhile.
    bound.client.send(
        1,
        method::BasicAck {
            delivery_tag: 3,
            multiple: true,
        },
    );
    bound.client.answer_next(QueueOutcome::Done);
    assert!(bound.reads());
    assert!(bound.client.session.poll_timeout().is_some());
    bound.later(3_600_000);
    assert!(bound.client.session.poll_timeout().is_none());
}

#[test]
fn connections_of_an_address_wait_for_their_turn() {
    let address = QuotaEntity::Ip(Named::Default);
    let quotas = table(address, QuotaKey::ConnectionCreationRate, 1.0);
    let (view, clock) = (AccessView::open(), Arc::new(Hand::default()));
    let clock: Arc<dyn Clock> = clock;
    view.quotas().replace(&quotas, &clock);
    let door = AmqpDoor::new(AmqpConfig::default()).of(view);
    let from = |last| door.entry([10, 0, 0, last].into());
    (0..10).for_each(|_| assert_eq!(from(1), Entry::Now));
    let second = std::time::Duration::from_secs(1);
    assert_eq!(from(1), Entry::Late(second));
    assert_eq!(from(2), Entry::Now);
    (0..10).for_each(|_| assert!(matches!(from(1), Entry::Late(_))));
    assert_eq!(from(1), Entry::Never);
}
