//! Dead letters: from the leader of the queue where they died to the queues that take them.

use std::sync::Arc;

use bytes::Bytes;
use weir_model::{
    PartitionId,
    fields::{FieldTable, FieldValue, ShortString},
    message::{Hop, StoredMessage},
    record::Records,
};

use super::{
    death::{self, Death},
    target::FoundQueue,
    topology_queues::NewQueue,
};
use crate::{
    Node,
    api::queues::{Message, Verdict},
    metadata::{TopicRecord, Topology},
    queue::{DeadLetter, Reason, SessionKey},
    routing::{
        command::DeclareQueueCommand,
        record::{QueueRecord, QueueType, VhostRecord},
        route::Addressed,
    },
};

/// Behind the name of a queue: where messages go that failed too often and that have no other
/// place.
const PARKED: &str = ".parked";
/// The same for queues with names that are too long for that.
const PARKED_ALONE: &str = "weir.parked";

/// A dead letter with its record.
pub(crate) struct Letter {
    pub(crate) dead: DeadLetter,
    pub(crate) record: Bytes,
    pub(crate) timestamp_ms: i64,
}

/// A dead letter, and the queues that take it.
pub(super) struct Lettered {
    pub(super) message: Message,
    pub(super) to: Vec<Arc<TopicRecord>>,
    /// How long it waits there, in ms.
    pub(super) wait_ms: u64,
    pub(super) hop: Hop,
}

/// Hears once which letters need not be sent again: offset and serial.
pub(crate) type Posted = Box<dyn FnOnce(Vec<(u64, u64)>) + Send>;

/// What becomes of a letter.
enum Way {
    /// There, as that message, after that wait in ms.
    To(Box<Message>, Vec<Arc<TopicRecord>>, u64),
    /// Nobody is to have it.
    Away,
    /// Not now.
    Later,
    /// The queue for it has to be made first.
    Park,
}

impl Node {
    /// Publishes letters of a queue that this node leads; `floor` is the least serial of all its
    /// letters. `posted` hears of those that are on stable storage where they belong, and of those
    /// that belong nowhere.
    pub(crate) fn post_letters(
        self: &Arc<Self>,
        source: PartitionId,
        floor: u64,
        letters: Vec<Letter>,
        posted: Posted,
    ) {
        let Some(found) = self.queue_of(source) else {
            // Deleted, and its letters with it; or not known here yet.
            let is_deleted = self.topology.load().is_deleted(source.topic_serial());
            let all = letters.iter().map(|letter| letter.dead);
            let all = all.filter(|_| is_deleted);
            return posted(all.map(|dead| (dead.offset, dead.serial)).collect());
        };
        let topology = self.topology.load_full();
        let (mut done, mut sent, mut ways) = (Vec::new(), Vec::new(), Vec::new());
        for letter in &letters {
            let name = (letter.dead.offset, letter.dead.serial);
            match self.way(&topology, &found.queue, letter) {
                Way::To(message, to, wait_ms) => {
                    let hop = Hop {
                        source,
                        serial: letter.dead.serial,
                        floor,
                    };
                    sent.push(name);
                    ways.push(Lettered {
                        message: *message,
                        to,
                        wait_ms,
                        hop,
                    });
                }
                Way::Away => done.push(name),
                Way::Later => {}
                Way::Park => {
                    return self.make_parking(&topology, &found, (source, floor, letters, posted));
                }
            }
        }
        let judged = move |verdicts: Vec<Verdict>| {
            let is_over = |verdict: &Verdict| match verdict {
                Verdict::Stored | Verdict::Unroutable | Verdict::Refused(_) => true,
                Verdict::Rejected => false,
            };
            let over = sent.into_iter().zip(&verdicts);
            done.extend(over.filter_map(|(name, verdict)| is_over(verdict).then_some(name)));
            posted(done);
        };
        self.publish_letters(ways, Box::new(judged));
    }

    fn way(&self, topology: &Topology, queue: &QueueRecord, letter: &Letter) -> Way {
        let routing = topology.routing();
        let Some(vhost) = routing.vhosts().find(|vhost| vhost.id == queue.vhost) else {
            return Way::Away;
        };
        let parked = parked_name(&queue.name);
        let default = ShortString::default();
        let settings = routing.settings(queue);
        let (exchange, routing_key) = match &settings.dead_letter {
            Some((exchange, routing_key)) => (exchange, routing_key.as_ref()),
            None if letter.dead.reason != Reason::DeliveryLimit => return Way::Away,
            None if routing.queue(vhost.id, &parked).is_none() => return Way::Park,
            None => (&default, Some(&parked)),
        };
        let death = Death {
            queue: &queue.name,
            reason: letter.dead.reason,
            time: u64::try_from(self.clock.now().0 / 1_000).unwrap_or(0),
            exchange,
            routing_key,
        };
        let Some(message) = read(letter, &queue.name) else {
            return Way::Away;
        };
        let message = death::letter(message, is_letter(&letter.record), &death);
        let addressed = Addressed {
            exchange: &message.exchange,
            routing_key: &message.routing_key,
            properties: &message.properties,
        };
        let routed = routing.route_letter(vhost, &addressed, self);
        let queues = routed.queues.iter().filter(|id| {
            let target = routing.queue_by_id(**id);
            target.is_some_and(|it| !death::is_cycle(&message.properties, &it.name))
        });
        let topics = queues.filter_map(|id| topology.by_serial(id.0));
        let topics: Vec<_> = topics.map(Arc::clone).collect();
        match topics.is_empty() {
            true if keeps_unroutable(queue) && routed.queues.is_empty() => Way::Later,
            true => Way::Away,
            false => Way::To(Box::new(message), topics, routed.delay_ms),
        }
    }

    /// Makes the queue for what failed too often, and posts again.
    fn make_parking(
        self: &Arc<Self>,
        topology: &Topology,
        found: &FoundQueue,
        (source, floor, letters, posted): (PartitionId, u64, Vec<Letter>, Posted),
    ) {
        let routing = topology.routing();
        let vhost = routing.vhosts().find(|vhost| vhost.id == found.queue.vhost);
        let command = vhost.and_then(|vhost| self.parking(topology, vhost, &found.queue.name));
        let Some(command) = command else {
            return posted(Vec::new());
        };
        tracing::warn!(queue = %found.queue.name, parking = %command.name, "messages failed too often");
        let node = Arc::clone(self);
        self.make_queue(command, move |declared| match declared {
            Ok(_) => node.post_letters(source, floor, letters, posted),
            Err(refused) => {
                tracing::warn!(%refused, "no queue for messages that failed too often");
                posted(Vec::new());
            }
        });
    }

    fn parking(
        &self,
        topology: &Topology,
        vhost: &VhostRecord,
        queue: &ShortString,
    ) -> Option<DeclareQueueCommand> {
        let name = parked_name(queue);
        let arguments = FieldTable::default();
        let kind = QueueType::Classic;
        let queue = NewQueue {
            name: &name,
            is_hidden: false,
            is_durable: true,
            kind,
            arguments: &arguments,
        };
        let topic = self.queue_topic(vhost, &queue, topology);
        Some(DeclareQueueCommand {
            vhost: vhost.name.clone(),
            name,
            kind,
            is_durable: true,
            is_auto_delete: false,
            is_exclusive: false,
            session: SessionKey {
                node: self.id(),
                boot: self.sessions.boot(),
                number: 0,
            },
            arguments,
            topic: topic.ok()?,
        })
    }
}

fn parked_name(queue: &ShortString) -> ShortString {
    let name = ShortString::new(&format!("{queue}{PARKED}"));
    let alone = || ShortString::new(PARKED_ALONE).expect("it is short");
    name.unwrap_or_else(alone)
}

/// Whether letters wait for an exchange and a queue that take them.
fn keeps_unroutable(queue: &QueueRecord) -> bool {
    let strategy = queue.arguments.get("x-dead-letter-strategy");
    matches!(strategy, Some(FieldValue::LongString(text)) if &text[..] == b"at-least-once")
}

/// Whether the broker has written the record for a dead letter: its deaths are true.
fn is_letter(record: &Bytes) -> bool {
    let record = Records::new(record, 1).next();
    record.is_some_and(|record| record.is_ok_and(|record| Hop::of(&record).is_some()))
}

fn read(letter: &Letter, queue: &ShortString) -> Option<Message> {
    let stored = StoredMessage::read(&letter.record, letter.timestamp_ms, queue);
    let stored = stored.inspect_err(|error| tracing::error!(%error, "a dead letter is unreadable"));
    let stored = stored.ok()?;
    let properties = stored.properties();
    let properties =
        properties.inspect_err(|error| tracing::error!(%error, "a dead letter is unreadable"));
    Some(Message {
        exchange: stored.exchange,
        routing_key: stored.routing_key,
        is_mandatory: false,
        properties: properties.ok()?,
        body: stored.body,
    })
}
