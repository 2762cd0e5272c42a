//! Fetches: from memory at once, from disk through the pool, or parked until there is enough.

mod watch;
pub(in crate::node) mod whole;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use weir_log::{
    Millis,
    partition::{PartitionLog, Read, ReadBatches},
};
use weir_model::{ErrorKind, GroupId, Offset};

use self::whole::MAX_REFERRING_BYTES;
use super::{Node, Route, decided::cut_at};
use crate::{
    api::{
        AnswerRoom, EpochEnd, Fetch, FetchPartition, Fetched, FetchedBatches, Outcome, ReadFrom,
        TakenRoom,
    },
    mailbox::Reply,
    transaction::view::Stable,
};

/// Longest wait that a client may ask for, in ms.
const MAX_WAIT_MS: u64 = 5 * 60 * 1000;
/// Most bytes of one answer, whatever the client asks for: it must fit into a frame.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Where to read, as resolved when the fetch arrived.
struct Place {
    log: Result<Arc<PartitionLog>, ErrorKind>,
    group: Option<GroupId>,
    from: Result<Offset, ErrorKind>,
    max_bytes: usize,
    /// See [`FetchPartition::last_epoch`].
    last_epoch: i32,
    /// Whether this node may answer as a follower.
    may_follow: bool,
    /// See [`Fetched::preferred`].
    preferred: Option<i32>,
}

/// A fetch under way. Answered once: by whoever takes the reply.
pub(crate) struct FetchTask {
    node: Arc<Node>,
    places: Vec<Place>,
    /// Nothing of transactions that are open.
    committed_only: bool,
    min_bytes: usize,
    max_bytes: usize,
    room: Option<Arc<dyn AnswerRoom>>,
    reply: Mutex<Option<Reply>>,
    /// Bytes that must still arrive before another look is worth it.
    missing_bytes: AtomicI64,
}

/// One pass over the partitions of a fetch; goes on after each cold read.
struct Pass {
    task: Arc<FetchTask>,
    /// Held from the look to the answer: a fetch that waits holds none.
    room: TakenRoom,
    answers: Vec<Fetched>,
    taken_bytes: usize,
    has_error: bool,
    /// The partition for whose group a majority has confirmed that this node leads.
    confirmed: Option<usize>,
    /// Whether to answer even with too little.
    must_answer: bool,
    deadline: Option<Millis>,
}

impl Node {
    pub(super) fn fetch(self: &Arc<Self>, fetch: Fetch, reply: Reply) {
        let Fetch {
            min_bytes,
            max_bytes,
            max_wait_ms,
            from,
            committed_only,
            partitions,
            room,
        } = fetch;
        let places = partitions.into_iter();
        let places = places.map(|each| self.place(&each, &from)).collect();
        let task = Arc::new(FetchTask {
            node: Arc::clone(self),
            places,
            committed_only,
            min_bytes,
            max_bytes: max_bytes.min(MAX_ANSWER_BYTES),
            room,
            reply: Mutex::new(Some(reply)),
            missing_bytes: AtomicI64::new(0),
        });
        let wait_ms = max_wait_ms.min(MAX_WAIT_MS);
        let deadline = (wait_ms > 0).then(|| self.elapsed().plus(wait_ms));
        Pass::new(task, deadline.is_none(), deadline).run();
    }

    fn place(&self, partition: &FetchPartition, from: &ReadFrom) -> Place {
        let route = self.route(&partition.topic, partition.index);
        let group = route.as_ref().ok().map(|route| route.group);
        let may_follow = match from {
            ReadFrom::Leader => false,
            // Without a rack, old metadata is why clients come, as a rule: they had better be told
            // who leads. But when leadership moves back while librdkafka moves, its consumer stays
            // with the node between, until the next leader: Kafka's followers serve it.
            ReadFrom::Any { rack } if rack.is_empty() && partition.leader_epoch < 0 => false,
            ReadFrom::Any { .. } => group.is_some_and(|group| self.follows(group)),
        };
        let log = route.and_then(|route| self.readable_by(&route, partition, may_follow));
        let preferred = match from {
            ReadFrom::Any { rack } if log.is_ok() && !may_follow => {
                group.and_then(|group| self.nearer_replica(group, rack))
            }
            ReadFrom::Any { .. } | ReadFrom::Leader => None,
        };
        Place {
            group,
            log,
            from: Offset::from_wire(partition.offset).ok_or(ErrorKind::OffsetOutOfRange),
            max_bytes: partition.max_bytes,
            last_epoch: partition.last_epoch,
            may_follow,
            preferred,
        }
    }

    fn readable_by(
        &self,
        route: &Route,
        partition: &FetchPartition,
        may_follow: bool,
    ) -> Result<Arc<PartitionLog>, ErrorKind> {
        if may_follow {
            self.check_epoch(route.group, partition.leader_epoch)?;
            Ok(self.log_of(route))
        } else {
            self.readable_on(route, partition.leader_epoch)
        }
    }
}

impl FetchTask {
    /// Whether there is nothing to read at the place but what is not decided.
    fn is_undecided(&self, place: &Place) -> bool {
        match (&place.log, &place.from) {
            (Ok(log), Ok(from)) if self.committed_only => {
                let end = log.end_offset();
                let stable = self.node.stable_end(log, end);
                (stable..end).contains(from)
            }
            (Ok(_) | Err(_), Ok(_) | Err(_)) => false,
        }
    }

    /// Answers with what is there.
    pub(crate) fn expire(self: Arc<Self>) {
        if !self.is_answered() {
            Pass::new(self, true, None).run();
        }
    }

    fn is_answered(&self) -> bool {
        self.reply
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none()
    }

    fn take_reply(&self) -> Option<Reply> {
        self.reply
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Puts watchers on all partitions. What arrived since the pass is seen by the next look.
    fn park(self: &Arc<Self>, taken_bytes: usize, deadline: Millis) {
        let missing = self.min_bytes.saturating_sub(taken_bytes);
        self.missing_bytes.store(
            i64::try_from(missing).unwrap_or(i64::MAX),
            Ordering::Release,
        );
        let mut is_watched = false;
        let watch = watch::of(self);
        for log in self
            .places
            .iter()
            .filter_map(|place| place.log.as_ref().ok())
        {
            match log.watch(Arc::clone(&watch)) {
                Ok(()) => is_watched = true,
                // Too many wait on this partition: the deadline answers.
                Err(full) => tracing::debug!(partition = %log.id(), %full, "fetch not watched"),
            }
        }
        self.node.purgatory.add(deadline, self, is_watched);
        let ends_moved = self
            .places
            .iter()
            .any(|place| place.has_more_than(taken_bytes) && !self.is_undecided(place));
        if ends_moved {
            Pass::new(Arc::clone(self), false, None).run();
        }
    }
}

impl Place {
    /// Whether something may have arrived between the look and the watch.
    fn has_more_than(&self, taken_bytes: usize) -> bool {
        match (&self.log, &self.from) {
            (Ok(log), Ok(from)) => taken_bytes == 0 && log.end_offset() > *from,
            (Ok(_) | Err(_), Ok(_) | Err(_)) => false,
        }
    }
}

/// What a place is answered with in the place of records.
enum Instead {
    Error(ErrorKind),
    Preferred(i32),
    Diverging(Option<EpochEnd>),
}

impl Pass {
    fn new(task: Arc<FetchTask>, must_answer: bool, deadline: Option<Millis>) -> Self {
        let answers = Vec::with_capacity(task.places.len());
        let room = TakenRoom::take(task.room.as_ref(), task.max_bytes);
        Self {
            task,
            room,
            answers,
            taken_bytes: 0,
            has_error: false,
            confirmed: None,
            must_answer,
            deadline,
        }
    }

    fn run(mut self) {
        while let Some(place) = self.task.places.get(self.answers.len()) {
            if place.log.is_ok() {
                match self.before_read(place) {
                    Some(Instead::Error(error)) => {
                        self.answer_error(error);
                        continue;
                    }
                    Some(Instead::Preferred(node)) => {
                        self.answer_preferred(node);
                        continue;
                    }
                    Some(Instead::Diverging(end)) => match self.diverging(end) {
                        Some(same) => {
                            self = same;
                            continue;
                        }
                        None => return,
                    },
                    None => {}
                }
            }
            let limits = self.limits(place);
            let read = match (&place.log, &place.from) {
                (Ok(_), Ok(_)) if self.task.is_undecided(place) => Read::AtEnd,
                (Ok(log), Ok(from)) => {
                    let max_bytes = match limits.refers {
                        true => limits.max_bytes.min(MAX_REFERRING_BYTES),
                        false => limits.max_bytes,
                    };
                    log.read(*from, max_bytes, limits.min_one)
                }
                (Err(error), _) | (Ok(_), Err(error)) => {
                    let error = *error;
                    self.answer_error(error);
                    continue;
                }
            };
            match read {
                Read::Batches(batches) => match self.answer_read(batches, limits) {
                    Some(same) => self = same,
                    None => return,
                },
                Read::AtEnd => self.answer_batches(ReadBatches::default()),
                Read::OutOfRange { start, .. } => match self.out_of_range(start) {
                    Some(same) => self = same,
                    None => return,
                },
                Read::Cold(cold) => {
                    let store = Arc::clone(&self.task.node.env.store);
                    return store.read_cold(
                        cold,
                        Box::new(move |result| {
                            if let Some(same) = self.answer_cold(result, limits) {
                                same.run();
                            }
                        }),
                    );
                }
            }
        }
        self.finish();
    }

    /// What answers a place without a look at its records.
    fn before_read(&self, place: &Place) -> Option<Instead> {
        let group = place.group?;
        let node = &self.task.node;
        // Committed data needs no barrier: what is applied here is committed, whoever leads.
        // Whether this node still leads is asked for the client's sake, which would wait here
        // for what is written elsewhere.
        let serves = if place.may_follow {
            node.follows(group) || node.leads(group)
        } else {
            node.leads(group)
        };
        if !serves {
            return Some(Instead::Error(ErrorKind::NotLeader));
        }
        if let Some(node) = place.preferred {
            return Some(Instead::Preferred(node));
        }
        let (Ok(log), Ok(from)) = (&place.log, &place.from) else {
            return None;
        };
        if place.last_epoch < 0 || *from < log.start_offset() {
            return None;
        }
        let current = node.status(group).term().leader_epoch();
        match log.end_of_epoch(place.last_epoch, current) {
            None => Some(Instead::Diverging(None)),
            Some(end) if end.epoch < place.last_epoch || end.end < *from => {
                Some(Instead::Diverging(Some(end)))
            }
            Some(_) => None,
        }
    }

    /// The client's last batch is of another log: says where that parted, or that its epoch was
    /// never here. `None`: goes on once it is known that this node leads.
    fn diverging(mut self, end: Option<EpochEnd>) -> Option<Self> {
        let at = self.answers.len();
        match (self.task.places[at].group, end) {
            (Some(group), _) if self.confirmed != Some(at) => self.confirm(at, group),
            (_, None) => {
                self.answer_error(ErrorKind::OffsetOutOfRange);
                Some(self)
            }
            (_, Some(end)) => {
                self.has_error = true;
                let answer = Fetched {
                    diverging: Some(end),
                    ..Fetched::default()
                };
                self.answer(answer, None);
                Some(self)
            }
        }
    }

    /// A leader that was replaced and has not heard of it may lack what a client has read
    /// elsewhere, and a client that is told so begins anew: only who has asked a majority says it.
    /// A follower lacks what it has not applied yet, and has every record from `start` on that
    /// anybody has. `None`: goes on once that is known.
    fn out_of_range(mut self, start: Offset) -> Option<Self> {
        let at = self.answers.len();
        let place = &self.task.places[at];
        if place.may_follow {
            let is_before = place.from.as_ref().is_ok_and(|from| *from < start);
            self.answer_error(if is_before {
                ErrorKind::OffsetOutOfRange
            } else {
                ErrorKind::OffsetNotAvailable
            });
            return Some(self);
        }
        let (Some(group), false) = (place.group, self.confirmed == Some(at)) else {
            self.answer_error(ErrorKind::OffsetOutOfRange);
            return Some(self);
        };
        self.confirm(at, group)
    }

    /// Goes on with place `at` once a majority has said that this node leads. Always `None`.
    fn confirm(mut self, at: usize, group: GroupId) -> Option<Self> {
        let node = Arc::clone(&self.task.node);
        node.after_barrier(group, move |passed| {
            match passed {
                Ok(()) => self.confirmed = Some(at),
                Err(error) => self.answer_error(error),
            }
            self.run();
        });
        None
    }

    fn answer_batches(&mut self, batches: ReadBatches) {
        let place = &self.task.places[self.answers.len()];
        let stable = match (&place.log, &place.from) {
            (Ok(log), Ok(from)) if self.task.committed_only => {
                let end = log.end_offset();
                Some(self.task.node.stable(log, end, *from, batches.next_offset))
            }
            (Ok(_) | Err(_), Ok(_) | Err(_)) => None,
        };
        let next = batches.next_offset;
        let mut batches = FetchedBatches {
            chunks: batches.chunks,
            size_bytes: batches.size_bytes,
        };
        if let Some(stable) = &stable
            && next > stable.end
        {
            cut_at(&mut batches, stable.end);
        }
        if let Ok(log) = &place.log {
            log.traffic().fetched(batches.size_bytes as u64);
        }
        self.taken_bytes += batches.size_bytes;
        let answer = Fetched {
            batches: Ok(batches),
            ..Fetched::default()
        };
        self.answer(answer, stable);
    }

    fn answer_preferred(&mut self, node: i32) {
        // The client is to hear of it at once.
        self.has_error = true;
        let answer = Fetched {
            preferred: Some(node),
            ..Fetched::default()
        };
        self.answer(answer, None);
    }

    fn answer_error(&mut self, error: ErrorKind) {
        self.has_error = true;
        let group = self.task.places[self.answers.len()].group;
        let answer = Fetched {
            batches: Err(error),
            leader: group.and_then(|group| self.task.node.leader_instead(group, error)),
            ..Fetched::default()
        };
        self.answer(answer, None);
    }

    fn answer(&mut self, answer: Fetched, stable: Option<Stable>) {
        let place = &self.task.places[self.answers.len()];
        let (high_watermark, log_start) = match &place.log {
            Ok(log) => (log.end_offset(), log.start_offset()),
            Err(_) => (Offset(0), Offset(0)),
        };
        let Stable { end, aborted } = stable.unwrap_or(Stable {
            end: high_watermark,
            aborted: Vec::new(),
        });
        self.answers.push(Fetched {
            high_watermark,
            last_stable: end,
            aborted,
            log_start,
            ..answer
        });
    }

    fn finish(self) {
        let least_bytes = self.task.min_bytes.min(self.room.bytes());
        let is_enough = self.taken_bytes >= least_bytes || self.has_error;
        if let Some(deadline) = self.deadline
            && !is_enough
            && !self.must_answer
        {
            drop(self.room);
            return self.task.park(self.taken_bytes, deadline);
        }
        if (is_enough || self.must_answer)
            && let Some(reply) = self.task.take_reply()
        {
            self.room.hand_over();
            reply.send(Outcome::Fetch(self.answers));
        }
    }
}
