//! One group on this node: raft-rs's state, the log window, the state machine, and who waits.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use raft::{
    Config, RawNode, Ready, StateRole,
    eraftpb::{Entry, Message, MessageType},
};
use weir_log::{Millis, wal::WalRecord};
use weir_model::{GroupId, NodeId, Term};

use crate::{
    ApplyError, Command, Context, Done, GroupStatus, Members, Moment, NotCommitted, SnapshotOffer,
    StateMachine,
    bundle::BundleBuilder,
    convert,
    group_log::GroupLog,
    peer::{PeerBody, PeerMessage},
    seeded::Bugs,
};

mod apply;
mod catch_up;
mod clock;
mod guard;
mod liveness;
mod members;
mod open;
mod view;

pub use self::open::{GroupSeed, Lifetime};
use self::{catch_up::CatchUp, clock::GroupClock, liveness::Liveness, view::Viewed};

type Waiters<O> = Vec<Option<Done<O>>>;
pub(crate) type Answer = Box<dyn FnOnce(Result<(), NotCommitted>) + Send>;

struct InFlight<O> {
    index: u64,
    term: u64,
    waiters: Waiters<O>,
}

/// What a turn of a group wants from the outside.
#[derive(Default)]
pub(crate) struct Output {
    pub(crate) records: Vec<WalRecord>,
    pub(crate) readies: Vec<(GroupId, u64)>,
    pub(crate) messages: Vec<PeerMessage>,
    pub(crate) offers: Vec<SnapshotOffer>,
}

pub(crate) struct Group<S: StateMachine> {
    id: GroupId,
    lifetime: Lifetime,
    config: Config,
    raw: RawNode<GroupLog>,
    machine: S,
    members: Members,
    /// Index of the entry, or of the checkpoint, that made `members` what they are.
    conf_index: u64,
    bundle: BundleBuilder<S::Outcome>,
    in_flight: VecDeque<InFlight<S::Outcome>>,
    proposals: Vec<(Command, Option<Done<S::Outcome>>)>,
    applied: (u64, u64),
    leads: bool,
    clock: GroupClock,
    /// What this replica had before it forgot its log. It neither votes nor campaigns until it
    /// has applied that much again: others may have counted on it. Kept as the commit index of
    /// the hard state on disk.
    regains: u64,
    /// At least the term of the last entry it had.
    regains_term: u64,
    /// Messages that must not leave before the ready of this number is on stable storage.
    after_persist: VecDeque<(u64, Vec<Message>)>,
    /// Ready numbers are raft-rs's own plus this: it begins anew where a checkpoint is taken over.
    number_base: u64,
    submitted: u64,
    persisted: u64,
    /// The write that had the last change of term or vote.
    promise_number: u64,
    /// Term and vote as of that write.
    promise: (u64, u64),
    /// Told to campaign while that was not yet possible.
    held_campaign: Option<Message>,
    /// The write-ahead log must be told where the log begins before it gets an entry.
    reset_due: bool,
    barriers: BTreeMap<u64, Answer>,
    barriers_at: VecDeque<(u64, u64)>,
    next_barrier: u64,
    member_change: Option<(u64, u64, Answer)>,
    catch_up: CatchUp,
    liveness: Liveness,
    pub(crate) bugs: Bugs,
    viewed: Viewed,
    status: Arc<GroupStatus>,
}

impl<S: StateMachine> Group<S> {
    pub(crate) fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    pub(crate) fn status(&self) -> Arc<GroupStatus> {
        Arc::clone(&self.status)
    }

    /// A group with one voter need not wait for an election.
    pub(crate) fn campaign_if_alone(&mut self) {
        if self.is_alone() && self.may_vote() {
            // Refused only where this node is not the voter.
            let _ = self.raw.campaign();
        }
    }

    fn is_alone(&self) -> bool {
        self.members.voters == [NodeId(self.raw.raft.id)]
            && self.members.learners.is_empty()
            && self.members.voters_outgoing.is_empty()
    }

    /// Whether what this replica knows is at least what it once said it knew.
    fn may_vote(&self) -> bool {
        self.applied.0 >= self.regains
    }

    /// A candidate that has all that was forgotten here is as good as any.
    fn may_vote_for(&self, candidate: &Message) -> bool {
        let has_all = candidate.index >= self.regains && candidate.log_term >= self.regains_term;
        has_all || self.may_vote()
    }

    /// A sole voter leads without asking anyone: raft-rs takes for granted that all of its log is
    /// on the disk by then.
    fn may_win_at_once(&self) -> bool {
        let voters = self.members.voters.iter();
        let needs_others = voters
            .chain(&self.members.voters_outgoing)
            .any(|voter| *voter != self.node());
        let log = &self.raw.raft.raft_log;
        needs_others || (self.persisted == self.submitted && log.persisted == log.last_index())
    }

    fn node(&self) -> NodeId {
        NodeId(self.raw.raft.id)
    }

    fn has_peers(&self) -> bool {
        self.members.all().any(|node| node != self.node())
    }

    pub(crate) fn step(&mut self, from: NodeId, body: PeerBody, out: &mut Output) {
        let mut message = match body {
            PeerBody::Raft(message) => *message,
            PeerBody::Sleep { term, commit } => return self.follow_to_sleep(from, term, commit),
        };
        if !guard::is_sane(&message, from, &self.raw.raft) {
            return;
        }
        self.hear(&message);
        let is_empty = self.members.voters.is_empty();
        match message.get_msg_type() {
            MessageType::MsgSnapshot => return self.hear_offer(message, out),
            // Entries mean nothing without the members that they begin with.
            MessageType::MsgAppend if is_empty && message.index == 0 => return,
            MessageType::MsgAppend if self.is_catching_up() => return,
            MessageType::MsgTimeoutNow if !self.may_vote() => return,
            MessageType::MsgTimeoutNow if !self.may_win_at_once() => {
                self.held_campaign = Some(message);
                return;
            }
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote
                if !self.may_vote_for(&message) =>
            {
                return;
            }
            MessageType::MsgHeartbeat if self.is_catching_up() => message.commit = 0,
            // Said of a log that this replica has given up since.
            MessageType::MsgHeartbeat if message.commit > self.raw.raft.raft_log.last_index() => {
                message.commit = 0;
            }
            _ => {}
        }
        let (kind, peer) = (message.get_msg_type(), message.from);
        // An error means that the message is of no use to this group any more.
        drop(self.raw.step(message));
        self.bugs.after_step(&mut self.raw.raft);
        if kind == MessageType::MsgAppendResponse {
            self.follow_catch_up(peer);
        }
    }

    pub(crate) fn propose(&mut self, at: Moment, command: Command, done: Option<Done<S::Outcome>>) {
        if command.size_bytes() > Command::MAX_BYTES {
            return settle(done, NotCommitted::TooLarge);
        }
        if self.raw.raft.state != StateRole::Leader {
            return settle(done, NotCommitted::NotLeader);
        }
        self.wake();
        if !self.bundle.has_room_for(&command) {
            self.propose_bundle();
        }
        let stamp = self.stamp(at);
        self.bundle.push(stamp, command, done);
    }

    fn propose_bundle(&mut self) {
        if self.bundle.is_empty() {
            return;
        }
        let (data, waiters) = self.bundle.finish();
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = self.raw.raft.id;
        message.set_entries(
            vec![Entry {
                data,
                ..Entry::default()
            }]
            .into(),
        );
        if self.raw.step(message).is_err() {
            settle_all(waiters, NotCommitted::NotLeader);
            return;
        }
        let (index, term) = (self.raw.raft.raft_log.last_index(), self.raw.raft.term);
        self.in_flight.push_back(InFlight {
            index,
            term,
            waiters,
        });
    }

    pub(crate) fn visit(
        &mut self,
        at: Moment,
        visit: impl FnOnce(&mut S, &mut Context<'_, S::Outcome>),
    ) {
        let mut context = Context {
            now: at.now,
            elapsed: at.elapsed(),
            group_elapsed: Millis(self.clock.shows_ms(self.raw.raft.term, at)),
            leads: self.leads,
            applied: self.applied.0,
            applied_term: Term(self.applied.1),
            members: &self.members,
            proposals: &mut self.proposals,
        };
        visit(&mut self.machine, &mut context);
        self.take_proposals(at);
    }

    fn take_proposals(&mut self, at: Moment) {
        for (command, done) in std::mem::take(&mut self.proposals) {
            self.propose(at, command, done);
        }
    }

    pub(crate) fn next_deadline(&self, at: Moment) -> Option<Millis> {
        self.machine.next_deadline(at)
    }

    pub(crate) fn read_barrier(&mut self, done: Answer) {
        if !self.leads {
            return done(Err(NotCommitted::NotLeader));
        }
        if self.bugs.answers_reads_at_once() {
            return done(Ok(()));
        }
        self.wake();
        self.next_barrier += 1;
        self.barriers.insert(self.next_barrier, done);
        self.raw
            .read_index(self.next_barrier.to_le_bytes().to_vec());
    }

    /// The records of ready `number`, and of all before it, are on stable storage.
    pub(crate) fn persisted(&mut self, number: u64, out: &mut Output) {
        assert!(
            number > self.persisted && number <= self.submitted,
            "readies persist in order"
        );
        self.persisted = number;
        if let Some(number) = number.checked_sub(self.number_base) {
            self.raw.on_persist_ready(number);
            self.bugs.after_persist(&mut self.raw.raft);
        }
        self.release_messages(out);
        self.finish_retirements();
        if self.may_win_at_once()
            && let Some(message) = self.held_campaign.take()
        {
            // An error means that it is not wanted any more.
            drop(self.raw.step(message));
        }
    }

    fn send(&self, messages: Vec<Message>, out: &mut Output) {
        out.messages
            .extend(messages.into_iter().map(|message| PeerMessage {
                from: NodeId(message.from),
                to: NodeId(message.to),
                group: self.id,
                body: PeerBody::Raft(Box::new(message)),
            }));
    }

    fn release_messages(&mut self, out: &mut Output) {
        while self
            .after_persist
            .front()
            .is_some_and(|(number, _)| *number <= self.persisted)
        {
            let (_, messages) = self
                .after_persist
                .pop_front()
                .expect("the front was just seen");
            self.send(messages, out);
        }
    }

    /// Does everything that can be done now.
    pub(crate) fn advance(&mut self, at: Moment, out: &mut Output) -> Result<(), ApplyError> {
        if self.reset_due {
            self.reset_wal(out);
        }
        self.follow_leadership(at);
        self.propose_bundle();
        while self.raw.has_ready() {
            let ready = self.raw.ready();
            let committed = self.store(ready, out);
            let conf_index = self.conf_index;
            self.apply_all(at, committed)?;
            if self.conf_index != conf_index {
                // Who left may forget the log: this replica must not ask for its vote again.
                self.store_hard_state(self.applied.0, out);
            }
            self.follow_leadership(at);
            self.propose_bundle();
            self.step_down_where_removed();
        }
        self.compact();
        self.fall_asleep(out);
        self.publish();
        Ok(())
    }

    /// Hands a ready's changes to the log window and to `out`; gives its committed entries.
    fn store(&mut self, mut ready: Ready, out: &mut Output) -> Vec<Entry> {
        let number = self.number_base + ready.number();
        let committed = ready.take_committed_entries();
        let entries = ready.take_entries();
        for state in ready.take_read_states() {
            if let Ok(id) = <[u8; 8]>::try_from(state.request_ctx.as_slice()) {
                self.barriers_at
                    .push_back((state.index, u64::from_le_bytes(id)));
            }
        }
        let at_once = ready.take_messages();
        let mut held = ready.take_persisted_messages();
        // A commit index alone is not worth a sync: it travels with the next entries, and is
        // found again without it.
        if ready.must_sync() {
            if self.lifetime == Lifetime::Durable {
                self.submit(number, &entries, out);
            }
            self.submitted = number;
            self.follow_promise();
        }
        if self.persisted >= self.promise_number {
            self.send(at_once, out);
        } else {
            // Of a sole voter that has just begun to lead. Without its term on the disk it could
            // lead once more in the same one, with other entries.
            held.extend(at_once);
        }
        if !held.is_empty() {
            self.after_persist.push_back((self.submitted, held));
            self.release_messages(out);
        }
        if let Some(first) = entries.first() {
            self.clock.written_from(first.index);
        }
        self.raw.mut_store().append(entries);
        let own_number = ready.number();
        self.raw.advance_append_async(ready);
        if self.lifetime == Lifetime::Transient && self.persisted < self.submitted {
            self.persisted(self.submitted, out);
        }
        if self.persisted == self.submitted {
            // raft-rs keeps a record of each ready until then, also of those without a write: a
            // group that only sends heartbeats would collect them without end.
            self.raw.on_persist_ready(own_number);
        }
        committed
    }

    /// Hands a ready's entries and hard state over to be written.
    fn submit(&self, number: u64, entries: &[Entry], out: &mut Output) {
        self.store_hard_state(self.raw.raft.raft_log.committed, out);
        if !entries.is_empty() {
            let entries = entries.iter().map(convert::to_wal).collect();
            out.records.push(WalRecord::Entries {
                group: self.id,
                entries,
            });
        }
        out.readies.push((self.id, number));
    }

    fn follow_promise(&mut self) {
        let raft = &self.raw.raft;
        if self.promise != (raft.term, raft.vote) {
            self.promise = (raft.term, raft.vote);
            self.promise_number = self.submitted;
        }
    }

    fn store_hard_state(&self, commit: u64, out: &mut Output) {
        let mut state = self.raw.raft.hard_state();
        state.commit = commit.max(self.regains);
        self.bugs.forget_vote(&mut state);
        out.records.push(WalRecord::HardState {
            group: self.id,
            state: convert::hard_state_to_wal(&state),
        });
    }

    fn follow_leadership(&mut self, at: Moment) {
        let is_leader = self.raw.raft.state == StateRole::Leader;
        let leads = is_leader && self.applied.1 == self.raw.raft.term;
        if !is_leader {
            self.settle_in_flight(NotCommitted::LeadershipLost);
        }
        if leads != self.leads {
            self.leads = leads;
            if leads {
                self.stamp(at);
            }
            // Asked in an earlier term, which raft-rs has forgotten.
            self.settle_barriers(NotCommitted::LeadershipLost);
            self.visit(at, |machine, context| machine.leadership(context));
        }
    }

    /// Whether every proposal has its answer and every write its acknowledgement.
    pub(crate) fn is_settled(&self) -> bool {
        self.in_flight.is_empty() && self.bundle.is_empty() && self.persisted == self.submitted
    }

    pub(crate) fn settle_in_flight(&mut self, why: NotCommitted) {
        for in_flight in std::mem::take(&mut self.in_flight) {
            settle_all(in_flight.waiters, why);
        }
        settle_all(self.bundle.abandon(), why);
        if let Some((_, _, done)) = self.member_change.take() {
            done(Err(why));
        }
        self.settle_barriers(why);
    }

    fn settle_barriers(&mut self, why: NotCommitted) {
        self.barriers_at.clear();
        for done in std::mem::take(&mut self.barriers).into_values() {
            done(Err(why));
        }
    }
}

fn settle<O>(done: Option<Done<O>>, why: NotCommitted) {
    if let Some(done) = done {
        done(Err(why));
    }
}

fn settle_all<O>(waiters: Waiters<O>, why: NotCommitted) {
    waiters.into_iter().for_each(|done| settle(done, why));
}
