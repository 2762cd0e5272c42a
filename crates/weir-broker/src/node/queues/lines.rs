//! A session's calls to the leaders of partitions: to each partition one after the other, in the
//! session's order, settlements that wait for an earlier call together.

use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use weir_model::{ErrorKind, GroupId, PartitionId};

use super::{
    QueueCallDone,
    ask::{ANYWHERE, Patience},
};
use crate::{
    Node,
    api::queues::Settlement,
    queue::{QueueAnswer, QueueCall, SessionKey},
};

/// Most settlements in one call: as many as a command of a megabyte holds.
const MAX_SETTLED_COUNT: usize = 50_000;

/// A delivery by offset and serial, and what becomes of it.
pub(super) type Settled = (u64, u64, Settlement);
/// Called once, without blocking.
pub(super) type Then = Box<dyn FnOnce() + Send>;

/// One session's calls. Outlives the session until all is told. Bounded by the session's requests
/// in flight and by what it holds.
///
/// A mutex: taken by one session's requests and whoever answers them.
pub(super) struct Lines {
    session: SessionKey,
    node: Weak<Node>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Those with calls.
    lines: BTreeMap<PartitionId, Line>,
    groups: BTreeMap<GroupId, Group>,
    end: Option<End>,
}

/// What a session has in a group.
#[derive(Default)]
struct Group {
    /// Lines with calls.
    line_count: usize,
    /// Something in it may be the session's.
    is_used: bool,
}

/// A session that ends.
#[derive(Default)]
struct End {
    /// Groups that do not know it yet.
    open_count: usize,
    then: Vec<Then>,
}

struct Line {
    group: GroupId,
    waiting: VecDeque<Work>,
}

enum Work {
    Settle(Vec<Settled>, Vec<QueueCallDone>),
    Call(QueueCall, Patience, QueueCallDone),
}

impl Lines {
    pub(super) fn new(session: SessionKey, node: Weak<Node>) -> Arc<Self> {
        Arc::new(Self {
            session,
            node,
            state: Mutex::default(),
        })
    }

    /// Settles deliveries, tried as long as the node runs.
    pub(super) fn settle(
        self: &Arc<Self>,
        group: GroupId,
        partition: PartitionId,
        deliveries: Vec<Settled>,
        done: QueueCallDone,
    ) {
        self.push(group, partition, Work::Settle(deliveries, vec![done]));
    }

    /// Asks the partition's leader.
    pub(super) fn call(
        self: &Arc<Self>,
        group: GroupId,
        partition: PartitionId,
        call: QueueCall,
        patience: Patience,
        done: QueueCallDone,
    ) {
        self.push(group, partition, Work::Call(call, patience, done));
    }

    /// Calls `then` once every group knows that the session has ended. After that nothing is asked
    /// any more.
    pub(super) fn end(self: &Arc<Self>, then: Option<Then>) {
        let mut state = self.lock();
        let idle: Vec<GroupId> = match &mut state.end {
            Some(end) => {
                end.then.extend(then);
                Vec::new()
            }
            None => {
                let used = state.groups.iter().filter(|(_, group)| group.is_used);
                let idle = used.clone().filter(|(_, group)| group.line_count == 0);
                let idle = idle.map(|(id, _)| *id).collect();
                let open_count = used.count();
                let then = then.into_iter().collect();
                state.end = Some(End { open_count, then });
                idle
            }
        };
        let over = state.take_over();
        drop(state);
        over.into_iter().for_each(|then| then());
        idle.into_iter().for_each(|group| self.end_in(group));
    }

    fn end_in(self: &Arc<Self>, group: GroupId) {
        let Some(node) = self.node.upgrade() else {
            return;
        };
        let lines = Arc::clone(self);
        let done = move |_| lines.ended_in();
        let call = QueueCall::EndSession(self.session);
        node.ask_queue(group, ANYWHERE, call, Patience::Endless, Box::new(done));
    }

    fn ended_in(&self) {
        let mut state = self.lock();
        if let Some(end) = &mut state.end {
            end.open_count -= 1;
        }
        let over = state.take_over();
        drop(state);
        over.into_iter().for_each(|then| then());
    }

    fn push(self: &Arc<Self>, group: GroupId, partition: PartitionId, work: Work) {
        let mut state = self.lock();
        if state.end.is_some() {
            drop(state);
            return work.refuse();
        }
        let uses_group = work.uses_group();
        state.groups.entry(group).or_default().is_used |= uses_group;
        let first = match state.lines.entry(partition) {
            Entry::Occupied(line) => {
                line.into_mut().push(work);
                return;
            }
            Entry::Vacant(place) => {
                let waiting = VecDeque::new();
                place.insert(Line { group, waiting });
                work
            }
        };
        state.groups.entry(group).or_default().line_count += 1;
        drop(state);
        self.run(group, partition, first);
    }

    /// Does the first of a line's work.
    fn run(self: &Arc<Self>, group: GroupId, partition: PartitionId, work: Work) {
        let Some(node) = self.node.upgrade() else {
            return;
        };
        let (call, patience, done) = self.as_call(work);
        let lines = Arc::clone(self);
        let again = call.clone();
        let answered = move |answer| match (answer, lines.node.upgrade()) {
            (Ok(QueueAnswer::NotAQueue), Some(node)) if node.queue_of(partition).is_some() => {
                let then = move |answer| lines.done(partition, answer, done);
                node.ask_anew(group, partition, again, patience, Box::new(then));
            }
            (Ok(QueueAnswer::SessionLost), Some(node)) => {
                node.lose_sessions(&[lines.session]);
                lines.done(partition, Ok(QueueAnswer::SessionLost), done);
            }
            (answer, _) => lines.done(partition, answer, done),
        };
        node.ask_queue(group, partition, call, patience, Box::new(answered));
    }

    fn as_call(&self, work: Work) -> (QueueCall, Patience, QueueCallDone) {
        match work {
            Work::Call(call, patience, done) => (call, patience, done),
            Work::Settle(mut deliveries, dones) => {
                deliveries.sort_unstable_by_key(|(_, serial, _)| *serial);
                let session = self.session;
                let call = QueueCall::Settle {
                    session,
                    deliveries,
                };
                let done = move |answer: Result<QueueAnswer, ErrorKind>| {
                    dones.into_iter().for_each(|done| done(answer.clone()));
                };
                (call, Patience::Endless, Box::new(done))
            }
        }
    }

    /// A line's first work is done.
    fn done(
        self: &Arc<Self>,
        partition: PartitionId,
        answer: Result<QueueAnswer, ErrorKind>,
        done: QueueCallDone,
    ) {
        done(answer);
        let mut state = self.lock();
        let Entry::Occupied(mut line) = state.lines.entry(partition) else {
            return;
        };
        let group = line.get().group;
        if let Some(next) = line.get_mut().waiting.pop_front() {
            drop(state);
            return self.run(group, partition, next);
        }
        line.remove();
        let is_ending = state.end.is_some();
        let used = state.groups.entry(group).or_default();
        used.line_count -= 1;
        let is_last = is_ending && used.is_used && used.line_count == 0;
        drop(state);
        if is_last {
            self.end_in(group);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Who waits for the end, where that has come.
    fn take_over(&mut self) -> Vec<Then> {
        match &mut self.end {
            Some(end) if end.open_count == 0 => mem::take(&mut end.then),
            Some(_) | None => Vec::new(),
        }
    }
}

impl Line {
    fn push(&mut self, work: Work) {
        let work = match (self.waiting.back_mut(), work) {
            (Some(Work::Settle(last, last_dones)), Work::Settle(more, dones))
                if last.len() + more.len() <= MAX_SETTLED_COUNT =>
            {
                last.extend(more);
                last_dones.extend(dones);
                return;
            }
            (_, work) => work,
        };
        self.waiting.push_back(work);
    }
}

impl Work {
    /// Whether something may be the session's afterwards.
    fn uses_group(&self) -> bool {
        match self {
            Self::Settle(..) => false,
            Self::Call(call, ..) => match call {
                QueueCall::Attach(_) | QueueCall::Get { .. } => true,
                QueueCall::Configure(_)
                | QueueCall::Detach(..)
                | QueueCall::EndSession(_)
                | QueueCall::Settle { .. }
                | QueueCall::Purge
                | QueueCall::Close(..)
                | QueueCall::Reopen(_)
                | QueueCall::Figures { .. } => false,
            },
        }
    }

    /// The session has ended.
    fn refuse(self) {
        match self {
            Self::Settle(_, dones) => dones
                .into_iter()
                .for_each(|done| done(Err(ErrorKind::ShuttingDown))),
            Self::Call(_, _, done) => done(Err(ErrorKind::ShuttingDown)),
        }
    }
}
