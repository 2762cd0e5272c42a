//! A queue over a log that is only counted.

use bytes::Bytes;
use weir_log::Millis;
use weir_model::{
    NodeId, ProducerId,
    batch::BatchHeader,
    batch_builder::{BatchBuilder, Sequence},
    fields::{BasicProperties, ShortString},
    message::MessageForm,
};
use weir_raft::Stamp;

use crate::{
    api::queues::{ConsumerTag, Held, Settlement},
    queue::{
        Arrived, Assignment, Attach, ConsumerKey, Gone, LogRange, Queue, QueueApplied,
        QueueCommand, QueueSettings, SessionKey,
    },
    seeded::Seeded,
};

/// A queue, what it has assigned, and the time.
pub(super) struct Bench {
    pub(super) queue: Queue,
    /// The group's clock.
    pub(super) now: Millis,
    /// How far the leader's wall clock is ahead of it.
    pub(super) wall_ahead_ms: i64,
    end: u64,
}

pub(super) fn session(number: u64) -> SessionKey {
    SessionKey {
        node: NodeId(1 + number % 2),
        boot: 7,
        number,
    }
}

pub(super) fn consumer(number: u64) -> ConsumerKey {
    ConsumerKey {
        session: session(number),
        tag: ConsumerTag(number),
    }
}

pub(super) fn attach(number: u64, prefetch_count: u32) -> Attach {
    Attach {
        consumer: consumer(number),
        no_ack: false,
        is_exclusive: false,
        priority: 0,
        prefetch_count,
    }
}

/// What the consumer was sent stays its session's.
pub(super) fn detach(number: u64) -> QueueCommand {
    QueueCommand::Detach {
        consumer: consumer(number),
        held: Held::Stays,
        first_unsent: u64::MAX,
    }
}

pub(super) fn short(text: &str) -> ShortString {
    ShortString::new(text).unwrap()
}

/// Messages with these properties in one batch.
pub(super) fn batch(all: &[(BasicProperties, &[u8])]) -> Bytes {
    let mut builder = BatchBuilder::new(0);
    let mut form = MessageForm::default();
    for (properties, body) in all {
        form.set(&short(""), &short("q"), properties);
        builder.push(&form, body, 1_000);
    }
    builder.finish(None)
}

pub(super) fn plain(count: usize) -> Bytes {
    let each: (BasicProperties, &[u8]) = (BasicProperties::default(), b"body");
    batch(&vec![each; count])
}

/// So many messages, each changed by `mark`.
pub(super) fn marked(count: usize, mark: impl Fn(usize, &mut MessageForm)) -> Bytes {
    let mut builder = BatchBuilder::new(0);
    let mut form = MessageForm::default();
    for at in 0..count {
        form.set(&short(""), &short("q"), &BasicProperties::default());
        mark(at, &mut form);
        builder.push(&form, b"body", 1_000);
    }
    builder.finish(None)
}

/// Whose the messages are, by consumer or session number, and which.
pub(super) fn told(assigned: &[Assignment]) -> Vec<(u64, u64)> {
    let told = assigned.iter();
    told.map(|each| (each.session.number, each.offset))
        .collect()
}

impl Bench {
    pub(super) fn new(settings: QueueSettings) -> Self {
        let mut bench = Self {
            queue: Queue::new(LogRange {
                start: 0,
                end: 0,
                stable_end: 0,
            }),
            now: Millis(1_000),
            wall_ahead_ms: 0,
            end: 0,
        };
        bench.configure(settings);
        bench
    }

    pub(super) fn wall(&self) -> Millis {
        Millis(self.now.0 + self.wall_ahead_ms)
    }

    fn stamp(&self) -> Stamp {
        Stamp {
            now: self.wall(),
            elapsed: self.now,
        }
    }

    pub(super) fn configure(&mut self, settings: QueueSettings) -> Vec<Assignment> {
        self.apply(QueueCommand::Configure(Box::new(settings))).1
    }

    pub(super) fn apply(&mut self, command: QueueCommand) -> (QueueApplied, Vec<Assignment>) {
        let mut out = Vec::new();
        let applied = self.queue.apply(self.stamp(), command, &mut out);
        self.check(&out);
        (applied, out)
    }

    pub(super) fn attach(&mut self, attach: Attach) -> Vec<Assignment> {
        let (applied, assigned) = self.apply(QueueCommand::Attach(attach));
        assert_eq!(applied, QueueApplied::Done);
        assigned
    }

    pub(super) fn enqueue(&mut self, batch: &Bytes) -> (Option<u32>, Vec<Assignment>) {
        let header = BatchHeader::parse(batch).unwrap();
        let mut out = Vec::new();
        let arrived = Arrived {
            batch,
            header: &header,
            base_offset: self.end,
        };
        let refused = self.queue.arrived(self.stamp(), &arrived, true, &mut out);
        self.end += header.offset_count();
        let log = LogRange {
            start: 0,
            end: self.end,
            stable_end: self.end,
        };
        self.queue.decided(self.wall(), log, &mut out);
        self.check(&out);
        (refused, out)
    }

    /// So many plain messages.
    pub(super) fn put(&mut self, count: usize) -> Vec<Assignment> {
        let (refused, assigned) = self.enqueue(&plain(count));
        assert_eq!(refused, None);
        assigned
    }

    /// So many messages of a producer's open transaction.
    pub(super) fn put_undecided(&mut self, producer: i64, count: usize) -> Vec<Assignment> {
        let mut builder = BatchBuilder::new(0);
        for _ in 0..count {
            builder.push_plain(None, Some(b"body"), 1_000);
        }
        let sequence = Sequence {
            producer: ProducerId(producer),
            epoch: 0,
            first: 0,
        };
        let mut batch = builder.finish(Some(sequence)).to_vec();
        batch[22] |= 1 << 4;
        self.enqueue(&batch.into()).1
    }

    pub(super) fn end_transaction(&mut self, producer: i64, commit: bool) -> Vec<Assignment> {
        let mut marker = BatchBuilder::new(0);
        marker.push_plain(None, None, 1_000);
        let mut marker = marker.finish(None).to_vec();
        marker[22] |= (1 << 4) | (1 << 5);
        self.enqueue(&marker.into());
        let mut out = Vec::new();
        let producer = ProducerId(producer);
        self.queue.ended(self.wall(), producer, commit, &mut out);
        self.check(&out);
        out
    }

    pub(super) fn settle(&mut self, what: &[Assignment], how: Settlement) -> Vec<Assignment> {
        let mut all = Vec::new();
        for each in what {
            let settle = QueueCommand::Settle {
                session: each.session,
                deliveries: vec![(each.offset, each.serial, how)],
            };
            all.append(&mut self.apply(settle).1);
        }
        all
    }

    pub(super) fn end_session(&mut self, number: u64) -> Vec<Assignment> {
        let mut out = Vec::new();
        let gone = Gone::Session(session(number));
        self.queue
            .end_sessions(self.wall(), &gone, Seeded::default(), &mut out);
        self.check(&out);
        out
    }

    pub(super) fn get(&mut self, number: u64, request: u64) -> (Option<Assignment>, u64) {
        let session = session(number);
        match self.apply(QueueCommand::Get { session, request }).0 {
            QueueApplied::Got(given, left) => (given, left),
            other => panic!("{other:?}"),
        }
    }

    /// What must hold after every step.
    fn check(&self, assigned: &[Assignment]) {
        let queue = &self.queue;
        let decoded = Queue::decode(&queue.encode());
        assert_eq!(decoded.as_ref(), Ok(queue), "a snapshot is the queue");
        for each in assigned {
            let owner = queue.ledger.held(each.offset).map(|held| held.lock.owner);
            let owner = owner.expect("what is assigned is held");
            let terms = queue.consumers.holder(owner).and_then(|it| it.terms);
            let limit = terms.expect("it is served").max_held_count;
            let held_count = queue.ledger.count_of(owner);
            assert!(held_count <= limit, "credit is never exceeded");
            let is_active = queue.consumers.active.is_none_or(|active| active == owner);
            assert!(is_active, "one is served where one is active");
        }
        if let Some(owner) = queue.consumers.first_in_line() {
            let is_idle = queue.ledger.first_ready().is_none();
            assert!(is_idle, "{owner:?} waits though there are messages");
        }
        let ready = queue.sizes.by_offset.iter();
        let ready = ready.filter(|(offset, _)| queue.ledger.held(**offset).is_none());
        let ready_bytes: u64 = ready.map(|(_, bytes)| u64::from(*bytes)).sum();
        assert_eq!(queue.sizes.ready_bytes, ready_bytes, "bytes are counted");
    }
}
