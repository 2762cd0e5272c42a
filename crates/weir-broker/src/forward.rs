//! Commands for the metadata group, from whichever node: they go to its leader.
//!
//! The call: tag `METADATA`, then the command. Its answer: `u8` 0, `u64` index and `u32` place of the
//! command, then its outcome; or `u8` 1 and the `u16` code of the error that kept it from being
//! decided.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use weir_log::Millis;
use weir_model::{ErrorKind, GroupId, NodeId};
use weir_raft::NotCommitted;

use crate::{
    Node,
    call::{JOIN, METADATA},
    encoding::{DecodeError, Reader, Writer},
    join,
    metadata::{MetadataCommand, MetadataOutcome},
    metadata_host,
    outcome::AppliedOutcome,
    peer::Answer,
};

/// Tries of one command: the first, and others when the leader changed on the way.
const MAX_TRIES_COUNT: u32 = 8;
/// Pause before another try, in ms.
const RETRY_MS: u64 = 250;
/// No try begins later than this after the first, in ms.
const MAX_TRYING_MS: u64 = 5_000;
/// Longest wait for this node to apply what the leader has decided, in ms.
const APPLY_WAIT_MS: u64 = 5_000;

const DECIDED: u8 = 0;
const FAILED: u8 = 1;

/// Where a command stands: entry, and place within its bundle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    index: u64,
    place: u32,
}

impl Place {
    /// The place of the next command, which stands in entry `index`.
    pub(crate) fn next(self, index: u64) -> Self {
        let place = if self.index == index {
            self.place + 1
        } else {
            0
        };
        Self { index, place }
    }
}

/// What became of a command, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decided {
    pub(crate) place: Place,
    pub(crate) outcome: MetadataOutcome,
}

type Done = Box<dyn FnOnce(Result<MetadataOutcome, ErrorKind>) + Send>;

/// A command on its way.
struct Forward {
    node: Arc<Node>,
    command: MetadataCommand,
    tries_count: u32,
    give_up: Millis,
    done: Done,
}

impl Node {
    /// Lets group 0's leader decide on a command, whichever node it is. `done` hears the outcome
    /// once this node has applied it too, or why there is none: the command may have been decided
    /// even so. It may be proposed twice: all commands bear that. Where this node is too far behind
    /// to apply it, what routes and who may do what is told as [`ErrorKind::TimedOut`]: whoever
    /// hears of it looks here next, and would find what was before. Anything else is told as it was
    /// decided.
    pub fn propose_metadata(
        self: &Arc<Self>,
        command: MetadataCommand,
        done: impl FnOnce(Result<MetadataOutcome, ErrorKind>) + Send + 'static,
    ) {
        let forward = Forward {
            node: Arc::clone(self),
            command,
            tries_count: 0,
            give_up: self.elapsed().plus(MAX_TRYING_MS),
            done: Box::new(done),
        };
        forward.attempt();
    }

    /// Another node, each time another.
    fn in_turn(&self, try_count: u32) -> Option<NodeId> {
        let others = self.known_others();
        let at = usize::try_from(try_count).ok()?.checked_rem(others.len())?;
        others.get(at).copied()
    }

    fn propose_here(
        &self,
        command: &MetadataCommand,
        done: impl FnOnce(Result<Decided, ErrorKind>) + Send + 'static,
    ) {
        let done = move |outcome: Result<AppliedOutcome, NotCommitted>| {
            done(match outcome {
                Ok(AppliedOutcome::Metadata(decided)) => Ok(decided),
                Ok(
                    AppliedOutcome::Appended(_)
                    | AppliedOutcome::Offsets(_)
                    | AppliedOutcome::Transaction(_)
                    | AppliedOutcome::Marked(_)
                    | AppliedOutcome::Group(_)
                    | AppliedOutcome::Queue(_)
                    | AppliedOutcome::Share(_)
                    | AppliedOutcome::Done,
                ) => Err(ErrorKind::InvalidRequest),
                Err(error) => Err(error.kind()),
            });
        };
        let (group, done) = (GroupId::METADATA, Box::new(done));
        let proposed = metadata_host::command(command);
        if matches!(command, MetadataCommand::Routing(_)) {
            self.propose_in_spite(group, proposed, done);
        } else {
            self.propose(group, proposed, done);
        }
    }
}

impl Forward {
    fn attempt(mut self) {
        self.tries_count += 1;
        let node = Arc::clone(&self.node);
        match node.leader_of(GroupId::METADATA) {
            Some((leader, _)) if leader == node.id() => {
                let command = self.command.clone();
                node.propose_here(&command, move |decided| self.tried(decided));
            }
            Some((leader, _)) => self.call(leader),
            // Nobody reaches a node whose address has changed, so nobody tells it who leads; but
            // it reaches the others, and one of them leads.
            None => match node.in_turn(self.tries_count) {
                Some(other) => self.call(other),
                None => self.tried(Err(ErrorKind::NotLeader)),
            },
        }
    }

    fn call(self, to: NodeId) {
        let node = Arc::clone(&self.node);
        let mut request = BytesMut::new();
        request.put_u8(METADATA);
        request.put_slice(&self.command.encode());
        let done =
            Box::new(move |answer: Result<Bytes, _>| {
                let answer = answer.map_err(|_| ErrorKind::NotLeader);
                self.tried(answer.and_then(|answer| {
                    read_answer(&answer).unwrap_or(Err(ErrorKind::InvalidRequest))
                }));
            });
        node.peers.call(to, request.freeze(), done);
    }

    fn tried(self, decided: Result<Decided, ErrorKind>) {
        match decided {
            Ok(decided) => self.decided(decided),
            Err(ErrorKind::NotLeader) => self.retry(),
            Err(error) => (self.done)(Err(error)),
        }
    }

    fn retry(self) {
        let node = Arc::clone(&self.node);
        let now = node.elapsed();
        if self.tries_count >= MAX_TRIES_COUNT || now > self.give_up || node.is_alone() {
            return (self.done)(Err(ErrorKind::NotLeader));
        }
        let again = Box::new(move || self.attempt());
        node.purgatory.at(now.plus(RETRY_MS), again);
    }

    fn decided(self, decided: Decided) {
        let Self {
            node,
            command,
            done,
            ..
        } = self;
        let Decided { place, outcome } = decided;
        let is_looked_at_here = is_looked_at_here(&command);
        drop(command);
        let waiter = Box::new(move |is_applied| {
            done(match is_applied || !is_looked_at_here {
                true => Ok(outcome),
                false => Err(ErrorKind::TimedOut),
            });
        });
        if let Some(key) = node.topology.when_applied(place, waiter) {
            let give_up = node.elapsed().plus(APPLY_WAIT_MS);
            let waiting = Arc::clone(&node.topology);
            node.purgatory
                .at(give_up, Box::new(move || waiting.give_up(key)));
        }
    }
}

/// Whether who hears of the outcome goes on by what this node has applied.
fn is_looked_at_here(command: &MetadataCommand) -> bool {
    matches!(
        command,
        MetadataCommand::Routing(_) | MetadataCommand::Access(_)
    )
}

/// Answers calls for the metadata group.
pub(crate) fn serve(node: &Arc<Node>, from: NodeId, tag: u8, request: &Bytes, answer: Answer) {
    match tag {
        JOIN => join::serve(node, request, answer),
        // Nobody but members changes the metadata.
        METADATA if from.0 != 0 => match MetadataCommand::decode(request) {
            Ok(command) => node.propose_here(&command, move |decided| {
                answer(write_answer(&decided));
            }),
            Err(error) => tracing::warn!(%from, %error, "a command that is damaged or unknown"),
        },
        tag => tracing::warn!(%from, tag, "a call that is not the metadata group's"),
    }
}

fn write_answer(decided: &Result<Decided, ErrorKind>) -> Bytes {
    let mut writer = Writer::new();
    match decided {
        Ok(decided) => {
            writer.u8(DECIDED);
            writer.u64(decided.place.index);
            writer.u32(decided.place.place);
            decided.outcome.write(&mut writer);
        }
        Err(error) => {
            writer.u8(FAILED);
            writer.u16(error.code());
        }
    }
    writer.finish()
}

fn read_answer(bytes: &[u8]) -> Result<Result<Decided, ErrorKind>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let decided = match reader.u8()? {
        DECIDED => Ok(Decided {
            place: Place {
                index: reader.u64()?,
                place: reader.u32()?,
            },
            outcome: MetadataOutcome::read(&mut reader)?,
        }),
        FAILED => {
            let error = ErrorKind::from_code(reader.u16()?);
            Err(error.ok_or_else(|| reader.invalid("error code"))?)
        }
        tag => return Err(reader.unknown_tag("answer", tag)),
    };
    reader.finish()?;
    Ok(decided)
}

/// The body of a metadata command's call as it is understood, written again.
pub(crate) fn reread_call(body: &[u8]) -> Option<Bytes> {
    let command = MetadataCommand::decode(body).ok()?;
    Some([&[METADATA], &command.encode()[..]].concat().into())
}

/// An answer to a metadata command as it is understood, written again.
pub(crate) fn reread_answer(answer: &[u8]) -> Option<Bytes> {
    read_answer(answer).ok().map(|answer| write_answer(&answer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{encoding::trial, routing::RoutingCommand};

    #[test]
    fn what_routes_is_looked_at_where_it_was_declared_and_a_range_of_ids_is_not() {
        let declared = MetadataCommand::Routing(RoutingCommand::Nothing);
        let ids = MetadataCommand::AllocateProducerIds {
            node: NodeId(2),
            count: 10,
        };
        assert_eq!([&declared, &ids].map(is_looked_at_here), [true, false]);
    }

    #[test]
    fn answers_come_back_and_damage_is_an_error() {
        let decided = Decided {
            place: Place { index: 9, place: 2 },
            outcome: MetadataOutcome::NodeAdmitted(NodeId(4)),
        };
        for answer in [Ok(decided), Err(ErrorKind::StorageFull)] {
            let bytes = write_answer(&answer);
            assert_eq!(read_answer(&bytes), Ok(answer));
            trial::damage(&bytes, read_answer);
        }
    }

    #[test]
    fn commands_of_an_entry_stand_one_after_the_other() {
        let first = Place::default().next(3);
        assert!(first < first.next(3) && first.next(3) < first.next(4));
        assert_eq!(first.next(4), Place { index: 4, place: 0 });
    }
}
