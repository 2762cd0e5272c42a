//! What waits for a group, and one turn of it: all that waits is heard together and becomes one
//! change.

use std::collections::VecDeque;

use weir_log::Millis;
use weir_model::ErrorKind;

use super::{
    admission::{self, Admitted, Rules},
    config::{BEHIND_PAUSE_MS, MAX_TURN_COUNT},
    coordinator::{ConsumerAction, StoreId},
    group::Group,
    resolve::Catalogue,
};
use crate::api::{
    ConsumerBeat, ConsumerHeartbeat, Heartbeat, Join, JoinRefused, Joined, Refused, Sync, Synced,
};

/// What is answered.
#[derive(Debug)]
pub enum ConsumerAnswer {
    /// A heartbeat.
    Beat(Result<ConsumerBeat, Refused>),
    /// Departures, one answer each.
    Left(Result<Vec<Result<(), ErrorKind>>, ErrorKind>),
    /// A join by the classic protocol.
    Joined(Result<Joined, JoinRefused>),
    /// A sync by the classic protocol.
    Synced(Result<Synced, ErrorKind>),
    /// A heartbeat by the classic protocol.
    Lives(Result<(), ErrorKind>),
}

/// What is asked.
#[derive(Debug)]
pub(super) enum Asked {
    Beat(Box<ConsumerHeartbeat>),
    /// Members with instance ids.
    Leave(Vec<(String, Option<String>)>),
    Join(Box<ClassicJoin>),
    Sync(Box<Sync>),
    Heartbeat(Box<Heartbeat>),
}

/// A join by the classic protocol.
#[derive(Debug)]
pub(super) struct ClassicJoin {
    pub(super) join: Join,
    /// The member came without an id; that in `join` was made for it.
    pub(super) is_new: bool,
}

/// A change that is being stored, and the answers that depend on it.
pub(super) struct Storing<T> {
    pub(super) store: StoreId,
    pub(super) answers: Vec<(T, ConsumerAnswer)>,
    /// The group is a classic one after it.
    pub(super) is_downgrade: bool,
}

/// A group, and who waits for it.
pub(super) struct Slot<T> {
    pub(super) group: Group,
    pub(super) waiting: VecDeque<(Asked, T)>,
    pub(super) storing: Option<Storing<T>>,
    /// A deadline has passed.
    pub(super) is_due: bool,
    /// The time under which the coordinator will look at the group again: no later than any
    /// deadline.
    pub(super) indexed: Option<Millis>,
}

impl<T> Slot<T> {
    pub(super) fn new(group: Group) -> Self {
        Self {
            group,
            waiting: VecDeque::new(),
            storing: None,
            is_due: false,
            indexed: None,
        }
    }

    pub(super) fn has_work(&self) -> bool {
        self.storing.is_none() && (self.is_due || !self.waiting.is_empty())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.storing.is_none() && self.waiting.is_empty()
    }

    /// Takes what waits all together: one new epoch, one assignment, one change.
    pub(super) fn take_turn(
        &mut self,
        rules: Rules<'_>,
        catalogue: &impl Catalogue,
    ) -> Vec<(T, ConsumerAnswer)> {
        let count = self.waiting.len().min(MAX_TURN_COUNT);
        let mut heard = Vec::with_capacity(count);
        for (asked, reply) in self.waiting.drain(..count) {
            heard.push((reply, self.group.hear(rules, asked)));
        }
        if std::mem::take(&mut self.is_due) {
            self.group.give_up(rules.now);
        }
        if self.group.is_all_classic() {
            let displaced = heard
                .into_iter()
                .map(|(reply, turn)| (reply, turn.displaced()));
            return displaced.collect();
        }
        self.group.settle(rules.now, catalogue);
        let answers = heard.into_iter();
        let answers = answers.map(|(reply, turn)| (reply, self.group.answer(rules, turn)));
        answers.collect()
    }

    /// The metadata here is behind: nobody is given up for that, and who asks comes again.
    pub(super) fn put_off(&mut self, now: Millis, out: &mut Vec<ConsumerAction<T>>) {
        self.is_due = false;
        let presences = self.group.presence.values_mut();
        presences.for_each(|presence| presence.put_off(now.plus(BEHIND_PAUSE_MS)));
        for (asked, reply) in self.waiting.drain(..) {
            let answer = asked.refused(ErrorKind::CoordinatorLoading);
            out.push(ConsumerAction::Answer(reply, answer));
        }
    }

    pub(super) fn refuse_all(self, error: ErrorKind, out: &mut Vec<ConsumerAction<T>>) {
        let storing = self.storing.into_iter().flat_map(|it| it.answers);
        let storing = storing.map(|(reply, answer)| (reply, answer.refused(error)));
        let waiting = self.waiting.into_iter();
        let waiting = waiting.map(|(asked, reply)| (reply, asked.refused(error)));
        let answers = storing.chain(waiting);
        out.extend(answers.map(|(reply, answer)| ConsumerAction::Answer(reply, answer)));
    }
}

impl Asked {
    pub(super) fn refused(&self, error: ErrorKind) -> ConsumerAnswer {
        match self {
            Self::Beat(_) => ConsumerAnswer::Beat(Err(error.into())),
            Self::Leave(_) => ConsumerAnswer::Left(Err(error)),
            Self::Join(asked) => ConsumerAnswer::Joined(Err(asked.refused(error))),
            Self::Sync(_) => ConsumerAnswer::Synced(Err(of_sync(error))),
            Self::Heartbeat(_) => ConsumerAnswer::Lives(Err(error)),
        }
    }
}

impl ClassicJoin {
    /// A member that came without an id hears of one only where it is to come back with it.
    pub(super) fn refused(&self, error: ErrorKind) -> JoinRefused {
        let is_told = !self.is_new || error == ErrorKind::MemberIdRequired;
        let member = if is_told {
            self.join.member.as_str()
        } else {
            ""
        };
        JoinRefused {
            error,
            member: member.to_owned(),
        }
    }
}

/// Clients give up on a sync that is refused since something loads; told to join again, they do.
fn of_sync(error: ErrorKind) -> ErrorKind {
    match error {
        ErrorKind::CoordinatorLoading | ErrorKind::Overloaded => ErrorKind::RebalanceInProgress,
        error => error,
    }
}

impl ConsumerAnswer {
    /// What it is where its change was not stored.
    pub(super) fn refused(&self, error: ErrorKind) -> Self {
        match self {
            Self::Beat(_) => Self::Beat(Err(error.into())),
            Self::Left(_) => Self::Left(Err(error)),
            Self::Joined(Ok(_)) => Self::Joined(Err(JoinRefused {
                error,
                member: String::new(),
            })),
            Self::Joined(Err(refused)) => Self::Joined(Err(JoinRefused {
                error,
                ..refused.clone()
            })),
            Self::Synced(_) => Self::Synced(Err(of_sync(error))),
            Self::Lives(_) => Self::Lives(Err(error)),
        }
    }
}

/// What a request came to.
enum Turn {
    /// The member goes on.
    Goes(Admitted),
    /// It goes on by the classic protocol.
    Joins(Box<ClassicJoin>, Admitted),
    /// It asks what it is to have.
    Syncs(Box<Sync>),
    /// It asks whether it may go on.
    Lives(Box<Heartbeat>),
    /// There is nothing more to do.
    Over(ConsumerAnswer),
}

impl Turn {
    /// The answer where the group is about to be a classic one: its members join that.
    fn displaced(self) -> ConsumerAnswer {
        let error = ErrorKind::RebalanceInProgress;
        match self {
            Self::Goes(_) => ConsumerAnswer::Beat(Err(ErrorKind::UnknownMember.into())),
            Self::Joins(asked, _) => ConsumerAnswer::Joined(Err(asked.refused(error))),
            Self::Syncs(_) => ConsumerAnswer::Synced(Err(error)),
            Self::Lives(_) => ConsumerAnswer::Lives(Err(error)),
            Self::Over(answer) => answer,
        }
    }
}

impl Group {
    fn hear(&mut self, rules: Rules<'_>, asked: Asked) -> Turn {
        let heard = match asked {
            Asked::Beat(beat) if beat.epoch >= admission::JOINS => {
                return match self.admit(rules, &beat) {
                    Ok(admitted) => Turn::Goes(admitted),
                    Err(refused) => Turn::Over(ConsumerAnswer::Beat(Err(refused))),
                };
            }
            Asked::Beat(beat) => {
                let left = self.leave(&beat);
                ConsumerAnswer::Beat(left.map(|()| ConsumerBeat {
                    member: beat.member,
                    epoch: beat.epoch,
                    interval_ms: 0,
                    assignment: None,
                }))
            }
            Asked::Join(asked) => {
                return match self.admit_join(rules, &asked) {
                    Ok(admitted) => Turn::Joins(asked, admitted),
                    Err(error) => Turn::Over(ConsumerAnswer::Joined(Err(asked.refused(error)))),
                };
            }
            Asked::Sync(sync) => return Turn::Syncs(sync),
            Asked::Heartbeat(heartbeat) => return Turn::Lives(heartbeat),
            Asked::Leave(members) => {
                let members = members.into_iter();
                let left =
                    members.map(|(member, instance)| self.take_out(&member, instance.as_deref()));
                ConsumerAnswer::Left(Ok(left.collect()))
            }
        };
        Turn::Over(heard)
    }

    fn answer(&mut self, rules: Rules<'_>, turn: Turn) -> ConsumerAnswer {
        let interval_ms = rules.settings.consumer_heartbeat_interval_ms;
        match turn {
            Turn::Over(answer) => answer,
            Turn::Goes(admitted) => {
                ConsumerAnswer::Beat(self.conclude(rules.now, &admitted, interval_ms))
            }
            Turn::Joins(asked, admitted) => {
                let joined = self.conclude_join(rules.now, &admitted);
                ConsumerAnswer::Joined(joined.map_err(|error| asked.refused(error)))
            }
            Turn::Syncs(sync) => ConsumerAnswer::Synced(self.sync(rules.now, &sync)),
            Turn::Lives(heartbeat) => ConsumerAnswer::Lives(self.lives(rules.now, &heartbeat)),
        }
    }

    /// Removes members whose time is up.
    fn give_up(&mut self, now: Millis) {
        let due = self.presence.iter().filter(|(_, it)| it.deadline() <= now);
        let due: Vec<String> = due.map(|(id, _)| id.clone()).collect();
        for id in due {
            tracing::info!(group = self.record.group, member = id, "given up");
            self.remove(&id);
        }
    }
}
