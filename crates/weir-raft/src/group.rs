//! One group on this node: raft-rs's state, the log window, the state machine, and who waits.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use raft::{
    RawNode, Ready, StateRole,
    eraftpb::{Entry, Message, MessageType},
};
use weir_log::{Millis, wal::WalRecord};
use weir_model::{GroupId, NodeId, Term};

use crate::{
    ApplyError, Command, Context, Done, GroupStatus, MemberChange, Members, NotCommitted,
    StateMachine, bundle::BundleBuilder, conf, convert, group_log::GroupLog, peer::PeerBody,
};

mod apply;
mod open;

pub use open::GroupSeed;

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
    pub(crate) messages: Vec<(GroupId, Message)>,
}

pub(crate) struct Group<S: StateMachine> {
    id: GroupId,
    raw: RawNode<GroupLog>,
    machine: S,
    members: Members,
    bundle: BundleBuilder<S::Outcome>,
    in_flight: VecDeque<InFlight<S::Outcome>>,
    proposals: Vec<(Command, Option<Done<S::Outcome>>)>,
    applied: (u64, u64),
    leads: bool,
    /// Messages that must not leave before the ready of this number is on stable storage.
    after_persist: VecDeque<(u64, Vec<Message>)>,
    submitted: u64,
    persisted: u64,
    barriers: BTreeMap<u64, Answer>,
    barriers_at: VecDeque<(u64, u64)>,
    next_barrier: u64,
    member_change: Option<(u64, u64, Answer)>,
    status: Arc<GroupStatus>,
}

impl<S: StateMachine> Group<S> {
    pub(crate) fn status(&self) -> Arc<GroupStatus> {
        Arc::clone(&self.status)
    }

    /// A group with one voter need not wait for an election.
    pub(crate) fn campaign_if_alone(&mut self) {
        if self.is_alone() {
            // Refused only where this node is not the voter.
            let _ = self.raw.campaign();
        }
    }

    fn is_alone(&self) -> bool {
        self.members.voters == [NodeId(self.raw.raft.id)]
            && self.members.learners.is_empty()
            && self.members.voters_outgoing.is_empty()
    }

    /// Whether time must pass for this group: a lone leader has nobody to send heartbeats to.
    pub(crate) fn needs_ticks(&self) -> bool {
        !(self.is_alone() && self.raw.raft.state == StateRole::Leader)
    }

    pub(crate) fn tick(&mut self) {
        self.raw.tick();
    }

    pub(crate) fn step(&mut self, body: PeerBody) {
        match body {
            // An error means that the message is of no use to this group any more.
            PeerBody::Raft(message) => drop(self.raw.step(*message)),
            PeerBody::Sleep { .. } => {}
        }
    }

    pub(crate) fn transfer_leadership(&mut self, to: NodeId) {
        self.raw.transfer_leader(to.0);
    }

    pub(crate) fn propose(
        &mut self,
        now: Millis,
        command: &Command,
        done: Option<Done<S::Outcome>>,
    ) {
        if command.size_bytes() > Command::MAX_BYTES {
            return settle(done, NotCommitted::TooLarge);
        }
        if self.raw.raft.state != StateRole::Leader {
            return settle(done, NotCommitted::NotLeader);
        }
        if !self.bundle.has_room_for(command) {
            self.propose_bundle();
        }
        self.bundle.push(now, command, done);
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
        now: Millis,
        visit: impl FnOnce(&mut S, &mut Context<'_, S::Outcome>),
    ) {
        let mut context = Context {
            now,
            leads: self.leads,
            applied: self.applied.0,
            applied_term: Term(self.applied.1),
            members: &self.members,
            proposals: &mut self.proposals,
        };
        visit(&mut self.machine, &mut context);
        self.take_proposals(now);
    }

    fn take_proposals(&mut self, now: Millis) {
        for (command, done) in std::mem::take(&mut self.proposals) {
            self.propose(now, &command, done);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        self.machine.next_deadline()
    }

    pub(crate) fn read_barrier(&mut self, done: Answer) {
        if !self.leads {
            return done(Err(NotCommitted::NotLeader));
        }
        self.next_barrier += 1;
        self.barriers.insert(self.next_barrier, done);
        self.raw
            .read_index(self.next_barrier.to_le_bytes().to_vec());
    }

    /// Proposes a joint change of who takes part; the group leaves the joint configuration by
    /// itself. One change at a time.
    pub(crate) fn change_members(&mut self, changes: &[MemberChange], done: Answer) {
        if self.raw.raft.state != StateRole::Leader || self.member_change.is_some() {
            return done(Err(NotCommitted::NotLeader));
        }
        self.propose_bundle();
        if self
            .raw
            .propose_conf_change(Vec::new(), conf::to_conf_change(changes))
            .is_err()
        {
            return done(Err(NotCommitted::NotLeader));
        }
        let at = (self.raw.raft.raft_log.last_index(), self.raw.raft.term);
        self.member_change = Some((at.0, at.1, done));
    }

    fn answer_member_change(&mut self, at: (u64, u64)) {
        if let Some((index, term, done)) = self.member_change.take_if(|change| change.0 <= at.0) {
            let ours = (index, term) == at;
            done(if ours {
                Ok(())
            } else {
                Err(NotCommitted::LeadershipLost)
            });
        }
    }

    /// The records of ready `number`, and of all before it, are on stable storage.
    pub(crate) fn persisted(&mut self, number: u64, out: &mut Output) {
        assert!(
            number > self.persisted && number <= self.submitted,
            "readies persist in order"
        );
        self.persisted = number;
        self.raw.on_persist_ready(number);
        self.release_messages(out);
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
            out.messages
                .extend(messages.into_iter().map(|message| (self.id, message)));
        }
    }

    pub(crate) fn checkpointed(&mut self, index: u64) {
        assert!(
            index <= self.applied.0,
            "only applied entries are in a checkpoint"
        );
        self.raw.mut_store().compact(index);
    }

    /// Does everything that can be done now.
    pub(crate) fn advance(&mut self, now: Millis, out: &mut Output) -> Result<(), ApplyError> {
        self.propose_bundle();
        while self.raw.has_ready() {
            let ready = self.raw.ready();
            let committed = self.store(ready, out);
            self.apply_all(committed)?;
            self.follow_leadership(now);
            self.propose_bundle();
        }
        self.status
            .publish(self.raw.raft.term, self.known_leader(), self.applied.0);
        Ok(())
    }

    /// The leader, as far as others may act on it: this node leads only once it has applied
    /// everything that earlier leaders committed.
    fn known_leader(&self) -> u64 {
        let raft = &self.raw.raft;
        if raft.leader_id == raft.id && !self.leads {
            raft::INVALID_ID
        } else {
            raft.leader_id
        }
    }

    /// Hands a ready's changes to the log window and to `out`; gives its committed entries.
    fn store(&mut self, mut ready: Ready, out: &mut Output) -> Vec<Entry> {
        let number = ready.number();
        let committed = ready.take_committed_entries();
        let entries = ready.take_entries();
        out.messages.extend(
            ready
                .take_messages()
                .into_iter()
                .map(|message| (self.id, message)),
        );
        for state in ready.take_read_states() {
            if let Ok(id) = <[u8; 8]>::try_from(state.request_ctx.as_slice()) {
                self.barriers_at
                    .push_back((state.index, u64::from_le_bytes(id)));
            }
        }
        let held = ready.take_persisted_messages();
        // A commit index alone is not worth a sync: it travels with the next entries, and is
        // found again without it.
        if ready.must_sync() {
            let state = convert::hard_state_to_wal(&self.raw.raft.hard_state());
            out.records.push(WalRecord::HardState {
                group: self.id,
                state,
            });
            if !entries.is_empty() {
                let entries = entries.iter().map(convert::to_wal).collect();
                out.records.push(WalRecord::Entries {
                    group: self.id,
                    entries,
                });
            }
            out.readies.push((self.id, number));
            self.submitted = number;
        }
        if !held.is_empty() {
            self.after_persist.push_back((self.submitted, held));
            self.release_messages(out);
        }
        self.raw.mut_store().append(entries);
        self.raw.advance_append_async(ready);
        committed
    }

    fn follow_leadership(&mut self, now: Millis) {
        let is_leader = self.raw.raft.state == StateRole::Leader;
        let leads = is_leader && self.applied.1 == self.raw.raft.term;
        if !is_leader {
            self.settle_in_flight(NotCommitted::LeadershipLost);
        }
        if leads != self.leads {
            self.leads = leads;
            self.visit(now, |machine, context| machine.leadership(context));
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
        settle_all(self.bundle.finish().1, why);
        if let Some((_, _, done)) = self.member_change.take() {
            done(Err(why));
        }
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
