//! Streams as sessions ask for them.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering::AcqRel},
};

use bytes::Bytes;
use weir_model::{ErrorKind, PartitionId, fields::ShortString};

use super::{
    super::{
        consume::{refuse, share},
        target::{FoundQueue, QueueTarget},
        told::Consumer,
        wire::{self, Call},
    },
    consumer::Reading,
    filter::Filter,
    start::{Started, StreamStart},
};
use crate::{
    Node,
    api::queues::{Consume, QueueSession, Refused},
    mailbox::Reply,
    queue::{Attach, ConsumerKey, QueueFigures},
};

/// Pause before a place is asked for again, in ms.
const RETRY_MS: u64 = 100;
/// How long a place is asked for, in ms.
const MAX_TRYING_MS: u64 = 30_000;

/// A place in each partition.
type Starts = Result<Vec<(PartitionId, u64)>, ErrorKind>;

impl Node {
    /// Begins to consume from a stream.
    pub(in super::super) fn consume_stream(
        self: &Arc<Self>,
        consume: &Consume,
        queue: QueueTarget,
        reply: Reply,
    ) {
        let session = Arc::clone(&consume.session);
        let (start, filter) = match self.stream_arguments(consume) {
            Ok(arguments) => arguments,
            Err(refused) => return refuse(reply, refused),
        };
        let attach = Attach {
            consumer: ConsumerKey {
                session: session.key,
                tag: consume.consumer,
            },
            no_ack: false,
            is_exclusive: false,
            priority: 0,
            prefetch_count: share(consume.prefetch_count, &queue),
        };
        let consumer = Consumer {
            queue: Some(queue.id),
            partitions: Vec::new(),
            attach,
            tells_failures: false,
        };
        if let Err(refused) = self.add_consumer(&session, &queue, consumer) {
            return refuse(reply, refused);
        }
        let (node, tag) = (Arc::clone(self), consume.consumer);
        let partitions: Vec<PartitionId> = queue.partitions.iter().map(|(_, id)| *id).collect();
        self.find_starts(&partitions, start, move |starts| match starts {
            Ok(starts) => {
                session.told.begin(tag, reply);
                for (partition, from) in starts {
                    let reading = Reading {
                        tag,
                        partition,
                        queue: queue.name.clone(),
                        filter: filter.clone(),
                        from,
                        limit_count: attach.prefetch_count,
                    };
                    session.streams.begin(&node, &session, reading);
                }
            }
            Err(error) => {
                node.forget_consumer(&session, tag);
                refuse(reply, Refused::Failed(error));
            }
        });
    }

    fn stream_arguments(&self, consume: &Consume) -> Result<(StreamStart, Filter), Refused> {
        let (name, vhost) = (&consume.name, &consume.session.vhost);
        if consume.no_ack {
            return Err(Refused::NotImplemented(format!(
                "autoack not supported by stream queue '{name}' in vhost '{vhost}'"
            )));
        }
        if consume.prefetch_count == 0 {
            return Err(Refused::Precondition(format!(
                "consumer prefetch count is not set for stream queue '{name}' in vhost '{vhost}'"
            )));
        }
        let argument = |argument: &str| Refused::Argument {
            what: "queue",
            name: name.clone(),
            vhost: vhost.clone(),
            argument: argument.to_owned(),
            reason: "it is not of a form that is known".to_owned(),
        };
        let start = StreamStart::of(&consume.arguments, self.clock.now().0);
        let start = start.ok_or_else(|| argument("x-stream-offset"))?;
        let filter = Filter::of(&consume.arguments);
        Ok((start, filter.ok_or_else(|| argument("x-stream-filter"))?))
    }

    /// What a stream holds.
    pub(in super::super) fn stream_figures(
        self: &Arc<Self>,
        found: &FoundQueue,
        done: impl FnOnce(Result<Option<QueueFigures>, Refused>) + Send + 'static,
    ) {
        let partitions: Vec<PartitionId> = found.partitions().map(|(_, id)| id).collect();
        let node = Arc::clone(self);
        self.find_starts(&partitions.clone(), StreamStart::First, move |firsts| {
            let firsts = match firsts {
                Ok(firsts) => sum(&firsts),
                Err(error) => return done(Err(Refused::Failed(error))),
            };
            node.find_starts(&partitions, StreamStart::Next, move |ends| {
                let figures = ends.map(|ends| QueueFigures {
                    ready_count: sum(&ends).saturating_sub(firsts),
                    ..QueueFigures::default()
                });
                done(figures.map(Some).map_err(Refused::Failed));
            });
        });
    }

    /// Finds the same place in several partitions.
    fn find_starts(
        self: &Arc<Self>,
        partitions: &[PartitionId],
        start: StreamStart,
        then: impl FnOnce(Starts) + Send + 'static,
    ) {
        struct Found<F> {
            missing_count: AtomicUsize,
            /// A mutex: taken once per partition.
            of: Mutex<(Starts, Option<F>)>,
        }
        let found = Arc::new(Found {
            missing_count: AtomicUsize::new(partitions.len()),
            of: Mutex::new((Ok(Vec::new()), Some(then))),
        });
        for partition in partitions.iter().copied() {
            let found = Arc::clone(&found);
            let done = move |at: Result<u64, ErrorKind>| {
                let mut of = found.of.lock().unwrap_or_else(PoisonError::into_inner);
                match (&mut of.0, at) {
                    (Ok(starts), Ok(at)) => starts.push((partition, at)),
                    (starts @ Ok(_), Err(error)) => *starts = Err(error),
                    (Err(_), _) => {}
                }
                if found.missing_count.fetch_sub(1, AcqRel) > 1 {
                    return;
                }
                let starts = std::mem::replace(&mut of.0, Ok(Vec::new()));
                let then = of.1.take();
                drop(of);
                if let Some(then) = then {
                    then(starts);
                }
            };
            let give_up = self.elapsed().plus(MAX_TRYING_MS);
            self.try_start(partition, start, give_up, Box::new(done));
        }
    }

    fn try_start(
        self: &Arc<Self>,
        partition: PartitionId,
        start: StreamStart,
        give_up: weir_log::Millis,
        done: Started,
    ) {
        let node = Arc::clone(self);
        let found = move |at: Result<u64, ErrorKind>| match at {
            Err(ErrorKind::NotLeader) if node.elapsed() < give_up && !node.is_closing() => {
                let due = node.elapsed().plus(RETRY_MS);
                let waiting = Arc::clone(&node);
                let again = move || node.try_start(partition, start, give_up, done);
                waiting.purgatory.at(due, Box::new(again));
            }
            at => done(at),
        };
        self.stream_start(partition, start, Box::new(found));
    }

    /// Asks the partition's leader for a place, once.
    pub(super) fn stream_start(
        self: &Arc<Self>,
        partition: PartitionId,
        start: StreamStart,
        done: Started,
    ) {
        let group = self.group_of(partition);
        match group.and_then(|group| self.leader_of(group)) {
            Some((leader, _)) if leader == self.id() => {
                self.stream_start_here(partition, start, done);
            }
            Some((leader, _)) => {
                let call = Call::StreamStart { partition, start };
                let answered = move |answer: Result<Bytes, _>| {
                    let answer = answer.map_err(|_| ErrorKind::NotLeader);
                    done(answer.and_then(|answer| {
                        wire::read_start(&answer).unwrap_or(Err(ErrorKind::InvalidRequest))
                    }));
                };
                self.peers.call(leader, call.encode(), Box::new(answered));
            }
            None => done(Err(ErrorKind::NotLeader)),
        }
    }
}

fn sum(offsets: &[(PartitionId, u64)]) -> u64 {
    offsets.iter().map(|(_, offset)| offset).sum()
}

/// Streams are read by consumers alone.
pub(in super::super) fn not_by_stream(
    operation: &str,
    name: &ShortString,
    session: &QueueSession,
) -> Refused {
    let vhost = &session.vhost;
    Refused::NotImplemented(format!(
        "{operation} not supported by stream queue '{name}' in vhost '{vhost}'"
    ))
}
