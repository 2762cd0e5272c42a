//! Consumers, single messages, and what becomes of them.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering::AcqRel},
};

use weir_model::{
    ErrorKind,
    fields::{FieldTable, ShortString},
};

use super::{
    QueueSession, ask::Patience, deliver::by_partition, stream::not_by_stream, target::QueueTarget,
    told::Consumer,
};
use crate::{
    Node,
    api::{
        Outcome,
        queues::{
            Consume, ConsumerTag, DeliveryId, Held, QueueOutcome, REPLY_QUEUE, Refused, Settlement,
        },
    },
    mailbox::Reply,
    queue::{Attach, ConsumerKey, QueueAnswer, QueueCall},
    routing::record::QueueType,
};

/// Answers of all partitions to one request.
struct Answers<F> {
    missing_count: AtomicUsize,
    /// Refused by the first one that refused, and a sum.
    state: Mutex<(Option<QueueAnswer>, Option<ErrorKind>, u64)>,
    /// A mutex: for the last answer to take it.
    then: Mutex<Option<F>>,
}

impl<F: FnOnce(Result<u64, Trouble>)> Answers<F> {
    /// Calls `then` with the answers of `count` partitions; at once where there are none.
    fn new(count: usize, then: F) -> Arc<Self> {
        let then = match count {
            0 => {
                then(Ok(0));
                None
            }
            _ => Some(then),
        };
        Arc::new(Self {
            missing_count: AtomicUsize::new(count),
            state: Mutex::default(),
            then: Mutex::new(then),
        })
    }

    fn take(&self, answer: Result<QueueAnswer, ErrorKind>) {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Ok(QueueAnswer::Done) => {}
                Ok(QueueAnswer::Counted(count)) => state.2 += count,
                Ok(other) => state.0 = state.0.take().or(Some(other)),
                Err(error) => state.1 = Some(error),
            }
        }
        if self.missing_count.fetch_sub(1, AcqRel) > 1 {
            return;
        }
        let then = self
            .then
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = match (state.0.take(), state.1) {
            (Some(answer), _) => Err(Trouble::Answer(answer)),
            (None, Some(error)) => Err(Trouble::Failed(error)),
            (None, None) => Ok(state.2),
        };
        drop(state);
        if let Some(then) = then {
            then(result);
        }
    }
}

/// Why not all of it is so.
enum Trouble {
    Answer(QueueAnswer),
    Failed(ErrorKind),
}

impl Trouble {
    fn refused(self, name: &ShortString, vhost: &str) -> Refused {
        match self {
            Self::Answer(QueueAnswer::InExclusiveUse) => Refused::Exclusive {
                name: name.clone(),
                vhost: vhost.to_owned(),
            },
            Self::Answer(QueueAnswer::Refused(refused)) => refused,
            Self::Answer(QueueAnswer::NotAQueue) => Refused::NoQueue {
                name: name.clone(),
                vhost: vhost.to_owned(),
            },
            Self::Answer(
                QueueAnswer::Done
                | QueueAnswer::Counted(_)
                | QueueAnswer::Got(_)
                | QueueAnswer::StillUsed
                | QueueAnswer::NotEmpty
                | QueueAnswer::Figures(_),
            ) => Refused::Failed(ErrorKind::InvalidRequest),
            // The session is told in whole.
            Self::Answer(QueueAnswer::SessionLost) => Refused::Failed(ErrorKind::NotLeader),
            Self::Failed(error) => Refused::Failed(error),
        }
    }
}

impl Node {
    pub(super) fn consume(self: &Arc<Self>, consume: Consume, reply: Reply) {
        let session = Arc::clone(&consume.session);
        if consume.name.as_str() == REPLY_QUEUE {
            return Self::consume_replies(&session, &consume, reply);
        }
        let queue = match self.queue_for(&session, &consume.name) {
            Ok(queue) => queue,
            Err(refused) => return refuse(reply, refused),
        };
        if queue.kind == QueueType::Stream {
            return self.consume_stream(&consume, queue, reply);
        }
        let priority = match priority(&consume.arguments, &session, &consume.name) {
            Ok(priority) => priority,
            Err(refused) => return refuse(reply, refused),
        };
        let attach = Attach {
            consumer: ConsumerKey {
                session: session.key,
                tag: consume.consumer,
            },
            no_ack: consume.no_ack,
            is_exclusive: consume.is_exclusive,
            priority,
            prefetch_count: share(consume.prefetch_count, &queue),
        };
        let consumer = Consumer {
            queue: Some(queue.id),
            partitions: queue.partitions.clone(),
            attach,
            tells_failures: queue.kind == QueueType::Quorum,
        };
        if let Err(refused) = self.add_consumer(&session, &queue, consumer.clone()) {
            return refuse(reply, refused);
        }
        let node = Arc::clone(self);
        let asked = Arc::clone(&session);
        let then = move |result: Result<u64, Trouble>| match result {
            Ok(_) => {
                let settled = asked.told.begin(attach.consumer.tag, reply);
                node.settle_for(&asked, settled);
            }
            Err(trouble) => {
                node.end_consumer(&asked, (attach.consumer.tag, Held::Stays), || ());
                refuse(reply, trouble.refused(&consume.name, &asked.vhost));
            }
        };
        attach_all(&session, &consumer, then);
    }

    /// The session has a consumer that is about to be attached.
    pub(super) fn add_consumer(
        &self,
        session: &QueueSession,
        queue: &QueueTarget,
        consumer: Consumer,
    ) -> Result<(), Refused> {
        let key = consumer.attach.consumer;
        session.told.add(key.tag, consumer);
        self.watchers.add(queue.id, key);
        let topology = self.topology.load();
        // Whoever deletes it from now on finds the consumer.
        if topology.routing().queue_by_id(queue.id).is_some() {
            return Ok(());
        }
        self.forget_consumer(session, key.tag);
        Err(Refused::NoQueue {
            name: queue.name.clone(),
            vhost: session.vhost.clone(),
        })
    }

    pub(super) fn cancel(
        self: &Arc<Self>,
        session: &Arc<QueueSession>,
        (consumer, held): (ConsumerTag, Held),
        reply: Reply,
    ) {
        self.end_consumer(session, (consumer, held), move || {
            reply.send(Outcome::Queue(QueueOutcome::Done));
        });
    }

    pub(super) fn limit(
        session: &Arc<QueueSession>,
        tag: ConsumerTag,
        prefetch_count: u16,
        reply: Reply,
    ) {
        let Some(mut consumer) = session.told.consumer(tag) else {
            return reply.send(Outcome::Queue(QueueOutcome::Done));
        };
        let count = consumer.partitions.len().max(1);
        let limit = share_of(prefetch_count, count);
        consumer.attach.prefetch_count = limit;
        session.told.set_limit(tag, limit);
        if session.streams.limit(tag, limit) {
            return reply.send(Outcome::Queue(QueueOutcome::Done));
        }
        let then = move |_: Result<u64, Trouble>| reply.send(Outcome::Queue(QueueOutcome::Done));
        attach_all(session, &consumer, then);
    }

    /// Ends a consumer; `then` is called after the last message of it.
    pub(super) fn end_consumer(
        self: &Arc<Self>,
        session: &Arc<QueueSession>,
        (tag, held): (ConsumerTag, Held),
        then: impl FnOnce() + Send + 'static,
    ) {
        let Some(consumer) = session.told.consumer(tag) else {
            return then();
        };
        let queue = consumer.queue.and_then(|queue| self.queue_by_id(queue));
        // What it was told is settled by that, behind this: it must not be others' meanwhile.
        let held = match consumer.attach.no_ack {
            true => Held::Stays,
            false => held,
        };
        let (node, asked) = (Arc::clone(self), Arc::clone(session));
        let gone = move |_: Result<u64, Trouble>| {
            let untold = node.forget_consumer(&asked, tag);
            let back = untold.into_iter().map(|id| (id, Settlement::Requeue));
            node.settle_for(&asked, back.collect());
            match queue {
                Some(queue) => node.delete_if_unused(&queue, Box::new(then)),
                None => then(),
            }
        };
        let answers = Answers::new(consumer.partitions.len(), gone);
        for (group, partition) in consumer.partitions {
            let answers = Arc::clone(&answers);
            let call = QueueCall::Detach(consumer.attach.consumer, held);
            let done = Box::new(move |answer| answers.take(answer));
            session
                .lines
                .call(group, partition, call, Patience::Endless, done);
        }
    }

    /// The session has no such consumer any more. Gives what it got and was never told.
    pub(super) fn forget_consumer(
        &self,
        session: &QueueSession,
        tag: ConsumerTag,
    ) -> Vec<DeliveryId> {
        let queue = session.told.consumer(tag).and_then(|known| known.queue);
        if let Some(queue) = queue {
            let session = session.key;
            self.watchers.remove(queue, ConsumerKey { session, tag });
        }
        session.streams.end(tag);
        session.told.remove(tag)
    }

    pub(super) fn get(
        self: &Arc<Self>,
        session: &Arc<QueueSession>,
        name: &ShortString,
        no_ack: bool,
        reply: Reply,
    ) {
        let mut queue = match self.queue_for(session, name) {
            Ok(queue) => queue,
            Err(refused) => return refuse(reply, refused),
        };
        if queue.kind == QueueType::Stream {
            return refuse(reply, not_by_stream("basic.get", name, session));
        }
        let request = session.next_request();
        let count = queue.partitions.len().max(1);
        // Each time another partition is the first to be asked.
        let first = usize::try_from(request % count as u64).expect("few partitions");
        queue.partitions.rotate_left(first);
        let (node, session) = (Arc::clone(self), Arc::clone(session));
        let order = Arc::clone(&session.order);
        order.after(move || node.get_from(session, queue, request, no_ack, reply));
    }

    /// Asks one partition after the other.
    fn get_from(
        self: &Arc<Self>,
        session: Arc<QueueSession>,
        mut queue: QueueTarget,
        request: u64,
        no_ack: bool,
        reply: Reply,
    ) {
        let Some((group, partition)) = queue.partitions.pop() else {
            return reply.send(Outcome::Queue(QueueOutcome::Got(None)));
        };
        let call = QueueCall::Get {
            session: session.key,
            request,
        };
        let (node, lines) = (Arc::clone(self), Arc::clone(&session.lines));
        let done = move |answer| match answer {
            Ok(QueueAnswer::Got(None)) => node.get_from(session, queue, request, no_ack, reply),
            Ok(QueueAnswer::Got(Some((mut delivered, ready_count)))) => {
                if queue.kind != QueueType::Quorum {
                    delivered.failed_count = 0;
                }
                if no_ack {
                    node.settle_for(&session, vec![(delivered.id, Settlement::Ack)]);
                }
                let got = Some((delivered, ready_count));
                reply.send(Outcome::Queue(QueueOutcome::Got(got)));
            }
            Ok(answer) => {
                let refused = Trouble::Answer(answer).refused(&queue.name, &session.vhost);
                refuse(reply, refused);
            }
            Err(error) => refuse(reply, Refused::Failed(error)),
        };
        lines.call(group, partition, call, Patience::Endless, Box::new(done));
    }

    pub(super) fn settle(
        &self,
        session: &Arc<QueueSession>,
        deliveries: Vec<(DeliveryId, Settlement)>,
        reply: Reply,
    ) {
        let turn = session.order.begin();
        let partitions = by_partition(session.streams.settle(deliveries));
        // A queue that is gone has nothing to settle.
        let there: Vec<_> = partitions
            .into_iter()
            .filter_map(|(partition, settled)| {
                Some((self.group_of(partition)?, partition, settled))
            })
            .collect();
        if there.is_empty() {
            return reply.send(Outcome::Queue(QueueOutcome::Done));
        }
        let then = move |result: Result<u64, Trouble>| {
            drop(turn);
            match result {
                Err(trouble @ Trouble::Answer(QueueAnswer::SessionLost)) => {
                    let (nameless, nowhere) = (ShortString::default(), "");
                    refuse(reply, trouble.refused(&nameless, nowhere));
                }
                // A partition that is no queue any more has nothing to settle either.
                Ok(_) | Err(Trouble::Answer(_)) => {
                    reply.send(Outcome::Queue(QueueOutcome::Done));
                }
                Err(Trouble::Failed(error)) => refuse(reply, Refused::Failed(error)),
            }
        };
        let answers = Answers::new(there.len(), then);
        for (group, partition, settled) in there {
            let answers = Arc::clone(&answers);
            let done = Box::new(move |answer| answers.take(answer));
            session.lines.settle(group, partition, settled, done);
        }
    }

    pub(super) fn purge(
        self: &Arc<Self>,
        session: &Arc<QueueSession>,
        name: ShortString,
        reply: Reply,
    ) {
        let queue = match self.queue_for(session, &name) {
            Ok(queue) => queue,
            Err(refused) => return refuse(reply, refused),
        };
        if queue.kind == QueueType::Stream {
            return refuse(reply, not_by_stream("queue.purge", &name, session));
        }
        let session = Arc::clone(session);
        let order = Arc::clone(&session.order);
        order.after(move || {
            let vhost = session.vhost.clone();
            let then = move |result: Result<u64, Trouble>| match result {
                Ok(count) => reply.send(Outcome::Queue(QueueOutcome::Counted(count))),
                Err(trouble) => refuse(reply, trouble.refused(&name, &vhost)),
            };
            let answers = Answers::new(queue.partitions.len(), then);
            for (group, partition) in queue.partitions {
                let answers = Arc::clone(&answers);
                let done = Box::new(move |answer| answers.take(answer));
                let (call, patience) = (QueueCall::Purge, Patience::OfAClient);
                session.lines.call(group, partition, call, patience, done);
            }
        });
    }
}

fn attach_all(
    session: &QueueSession,
    consumer: &Consumer,
    then: impl FnOnce(Result<u64, Trouble>) + Send + 'static,
) {
    let answers = Answers::new(consumer.partitions.len(), then);
    for (group, partition) in &consumer.partitions {
        let answers = Arc::clone(&answers);
        let done = Box::new(move |answer| answers.take(answer));
        let (call, patience) = (QueueCall::Attach(consumer.attach), Patience::OfAClient);
        session.lines.call(*group, *partition, call, patience, done);
    }
}

pub(super) fn refuse(reply: Reply, refused: Refused) {
    reply.send(Outcome::Queue(QueueOutcome::Refused(refused)));
}

/// The consumer's limit in one partition of the queue.
pub(super) fn share(prefetch_count: u16, queue: &QueueTarget) -> u32 {
    share_of(prefetch_count, queue.partitions.len().max(1))
}

fn share_of(prefetch_count: u16, partition_count: usize) -> u32 {
    let shares = u32::try_from(partition_count).unwrap_or(u32::MAX);
    u32::from(prefetch_count).div_ceil(shares)
}

fn priority(
    arguments: &FieldTable,
    session: &QueueSession,
    name: &ShortString,
) -> Result<i32, Refused> {
    let Some(value) = arguments.get("x-priority") else {
        return Ok(0);
    };
    let priority = value.as_int().and_then(|value| i32::try_from(value).ok());
    priority.ok_or_else(|| Refused::Argument {
        what: "queue",
        name: name.clone(),
        vhost: session.vhost.clone(),
        argument: "x-priority".to_owned(),
        reason: "it has to be a whole number of 32 bits".to_owned(),
    })
}
