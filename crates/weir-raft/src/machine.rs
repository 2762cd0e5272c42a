//! What a group runs.

use bytes::Bytes;
use weir_log::Millis;
use weir_model::Term;

use crate::{Applied, ApplyError, Command, Done, Members, Moment};

/// A deterministic state machine with its leader-side companions.
///
/// [`apply`](Self::apply) is the replicated part. Everything else serves this node's clients and
/// may change only volatile state; it reaches the replicated part by proposing commands.
pub trait StateMachine: Send + 'static {
    /// What a command answers, accepted or refused: part of the replicated result.
    type Outcome: Send + 'static;

    /// Applies one committed command. Depends on state, command and `at` alone.
    fn apply(&mut self, at: &Applied, command: Bytes) -> Result<Self::Outcome, ApplyError>;

    /// What the last command's bundle carried that is in the state; `None` where that is of no use to it:
    /// then the group's clock begins anew with the run.
    fn stamp(&self) -> Option<Stamp> {
        None
    }

    /// Takes over a checkpoint's state in the place of its own; `body` is as
    /// [`Input::CaughtUp`](crate::Input::CaughtUp) had it. An error is damage.
    fn restore(&mut self, body: Bytes) -> Result<(), String>;

    /// Forgets all state: this node takes no part in the group any more.
    fn retire(&mut self);

    /// This node began to lead the group, with everything committed before already applied, or
    /// ceased to.
    fn leadership(&mut self, context: &mut Context<'_, Self::Outcome>);

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, by
    /// [`Context::elapsed`]. Asked at `at`.
    fn next_deadline(&self, at: Moment) -> Option<Millis>;

    /// Volatile timers.
    fn handle_timeout(&mut self, context: &mut Context<'_, Self::Outcome>);
}

/// The two times that a bundle carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Its leader's wall clock.
    pub now: Millis,
    /// The group's clock: [`Applied::elapsed`].
    pub elapsed: Millis,
}

/// The group around a state machine, while it is visited.
pub struct Context<'a, O> {
    /// The wall clock, which may jump: for what is stored.
    pub now: Millis,
    /// This node's clock that never jumps: for what is waited for.
    pub elapsed: Millis,
    /// The group's clock as far as it is known here, for sure where this node leads: what
    /// [`Applied::elapsed`] would say of a command proposed now.
    pub group_elapsed: Millis,
    /// Whether this node leads the group and has applied all that was committed before.
    pub leads: bool,
    /// Index of the last entry applied.
    pub applied: u64,
    /// Term of the last entry applied.
    pub applied_term: Term,
    /// Who takes part in the group.
    pub members: &'a Members,
    pub(crate) proposals: &'a mut Vec<(Command, Option<Done<O>>)>,
}

impl<O> Context<'_, O> {
    /// Proposes a command; `done` hears of it.
    pub fn propose(&mut self, command: Command, done: Option<Done<O>>) {
        self.proposals.push((command, done));
    }
}

/// A call into a group's state machine on its worker's thread. Must not block.
pub type Visit<S> = Box<dyn FnOnce(&mut S, &mut Context<'_, <S as StateMachine>::Outcome>) + Send>;
