//! The way into a worker.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use weir_log::wal::WalError;
use weir_model::{GroupId, NodeId};

use crate::{
    Command, Done, GroupCheckpoint, MemberChange, NotCommitted, PeerMessage, SnapshotOffer,
    StateMachine, Visit,
};

/// What a worker is told.
pub enum Input<S: StateMachine> {
    /// Propose a command.
    Propose {
        /// To this group.
        group: GroupId,
        /// The command.
        command: Command,
        /// Who waits for it.
        done: Option<Done<S::Outcome>>,
    },
    /// Call into a group's state machine. Dropped where the group is not here.
    Visit {
        /// The group.
        group: GroupId,
        /// The call.
        visit: Visit<S>,
    },
    /// Call back once everything committed before now is applied on this node (ReadIndex).
    ReadBarrier {
        /// The group.
        group: GroupId,
        /// Who waits.
        done: Box<dyn FnOnce(Result<(), NotCommitted>) + Send>,
    },
    /// A checkpoint is durable: entries up to its index may go, replicas that are far behind
    /// are offered it.
    Checkpointed {
        /// The group.
        group: GroupId,
        /// The checkpoint.
        checkpoint: GroupCheckpoint,
    },
    /// An offer was taken up, or could not be.
    CaughtUp {
        /// The offer.
        offer: SnapshotOffer,
        /// The machine's state as this node's checkpoint has it, which is durable; `None` where
        /// the offer is dropped.
        body: Option<Bytes>,
    },
    /// Another node was lost, or is back.
    PeerChanged {
        /// The node.
        node: NodeId,
        /// Whether it answers.
        is_up: bool,
    },
    /// This node takes no part in the group any more, for certain: its replica forgets the log
    /// and the state, and keeps term and vote.
    Retire {
        /// The group.
        group: GroupId,
        /// Called once the replica has let go of everything.
        done: Box<dyn FnOnce() + Send>,
    },
    /// Change who takes part in a group. Called back when the change is applied here.
    ChangeMembers {
        /// The group.
        group: GroupId,
        /// The change.
        changes: Vec<MemberChange>,
        /// Who waits.
        done: Box<dyn FnOnce(Result<(), NotCommitted>) + Send>,
    },
    /// Hand the group's leadership over.
    TransferLeadership {
        /// The group.
        group: GroupId,
        /// The node that should lead.
        to: NodeId,
    },
    /// Records of an earlier turn are on stable storage, or never will be.
    #[doc(hidden)]
    Persisted {
        /// The groups with their ready numbers.
        readies: Vec<(GroupId, u64)>,
        /// Whether it worked.
        result: Result<(), WalError>,
    },
    /// A message from a peer.
    #[doc(hidden)]
    Step(PeerMessage),
    /// Look again: whatever held proposals back may be over.
    Nudge,
    /// Refuse new work and end once everything under way is settled.
    Stop,
}

struct Queue<S: StateMachine> {
    inputs: Vec<Input<S>>,
    waiting: bool,
}

/// Sends to one worker. Cheap to clone. Bounded by what its senders may have in flight: the
/// doors' budget of request bytes, one acknowledgement per submitted write, one checkpoint per
/// group.
pub struct Handle<S: StateMachine> {
    shared: Arc<(Mutex<Queue<S>>, Condvar)>,
}

impl<S: StateMachine> Clone for Handle<S> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<S: StateMachine> Default for Handle<S> {
    fn default() -> Self {
        let queue = Queue {
            inputs: Vec::new(),
            waiting: false,
        };
        Self {
            shared: Arc::new((Mutex::new(queue), Condvar::new())),
        }
    }
}

impl<S: StateMachine> Handle<S> {
    /// Hands over one input.
    pub fn send(&self, input: Input<S>) {
        let mut queue = self.lock();
        queue.inputs.push(input);
        if std::mem::take(&mut queue.waiting) {
            drop(queue);
            self.shared.1.notify_one();
        }
    }

    /// Moves everything that is waiting to the end of `into`.
    pub(crate) fn drain(&self, into: &mut Vec<Input<S>>) {
        into.append(&mut self.lock().inputs);
    }

    /// Drops everything that is waiting, unanswered: of a worker that is gone. What waits may hold
    /// the handle's owner, and so itself.
    pub fn discard(&self) {
        let inputs = std::mem::take(&mut self.lock().inputs);
        drop(inputs);
    }

    /// Whether anything is waiting.
    pub fn has_input(&self) -> bool {
        !self.lock().inputs.is_empty()
    }

    /// Sleeps until something arrives, at most for `limit`.
    pub(crate) fn wait(&self, limit: Duration) {
        let mut queue = self.lock();
        if queue.inputs.is_empty() {
            queue.waiting = true;
            let woken = self.shared.1.wait_timeout(queue, limit);
            woken.unwrap_or_else(PoisonError::into_inner).0.waiting = false;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<S>> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
