//! All consumer groups that one shard coordinates: which heartbeats wait for which change, and
//! when members are given up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weir_log::Millis;
use weir_model::ErrorKind;

use super::{
    admission::{self, Admitted, Rules},
    config::{BEHIND_PAUSE_MS, MAX_TURN_COUNT, MAX_WAITING_COUNT},
    group::Group,
    record::{ConsumerChange, ConsumerRecord},
    resolve::Catalogue,
};
use crate::{
    api::{ConsumerBeat, ConsumerHeartbeat, Leave, Refused},
    group::config::{GroupConfig, MAX_GROUPS},
};

/// Ties [`ConsumerCoordinator::stored`] to a [`ConsumerAction::Store`]. Never given out twice by
/// one coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoreId(pub u64);

/// What is answered.
#[derive(Debug)]
pub enum ConsumerAnswer {
    /// A heartbeat.
    Beat(Result<ConsumerBeat, Refused>),
    /// Departures, one answer each.
    Left(Result<Vec<Result<(), ErrorKind>>, ErrorKind>),
}

/// What is asked.
#[derive(Debug)]
enum Asked {
    Beat(Box<ConsumerHeartbeat>),
    /// Members with instance ids.
    Leave(Vec<(String, Option<String>)>),
}

/// What the coordinator wants done.
#[derive(Debug)]
pub enum ConsumerAction<T> {
    /// Answer what was asked.
    Answer(T, ConsumerAnswer),
    /// Replicate the change and call [`ConsumerCoordinator::stored`] with the outcome. What depends
    /// on it is held by the coordinator until then.
    Store {
        /// To say which.
        store: StoreId,
        /// The command's content.
        change: ConsumerChange,
    },
}

/// A group, and who waits for it.
struct Slot<T> {
    group: Group,
    waiting: VecDeque<(Asked, T)>,
    /// The change that is being stored, and the answers that depend on it.
    storing: Option<(StoreId, Vec<(T, ConsumerAnswer)>)>,
    /// A deadline has passed.
    is_due: bool,
    /// The time under which the coordinator will look at the group again: no later than any
    /// deadline.
    indexed: Option<Millis>,
}

/// The consumer groups of one shard, as its leader sees them. `T` is what answers a request; every
/// token that is handed in comes back exactly once in an action.
pub struct ConsumerCoordinator<T> {
    config: GroupConfig,
    groups: BTreeMap<String, Slot<T>>,
    deadlines: BTreeSet<(Millis, String)>,
    next_store: u64,
}

impl<T> ConsumerCoordinator<T> {
    /// No groups yet.
    pub fn new(config: GroupConfig) -> Self {
        Self {
            config,
            groups: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            next_store: 0,
        }
    }

    /// Takes up groups as this shard's new leader. Each member has a whole session before it.
    ///
    /// # Panics
    /// Where there are groups: [`Self::unload`] comes first.
    pub fn restore<'a>(
        &mut self,
        now: Millis,
        catalogue: &impl Catalogue,
        records: impl Iterator<Item = &'a ConsumerRecord>,
    ) {
        assert!(
            self.groups.is_empty(),
            "groups are unloaded before others are restored"
        );
        for record in records {
            self.open(now, catalogue, &record.group, Some(record));
        }
    }

    /// Forgets all groups as this shard's leader no more. Everybody who waits is told
    /// `NotCoordinator`.
    pub fn unload(&mut self, out: &mut Vec<ConsumerAction<T>>) {
        self.deadlines.clear();
        for (_, slot) in std::mem::take(&mut self.groups) {
            slot.refuse_all(ErrorKind::NotCoordinator, out);
        }
    }

    /// Whether the group is known here.
    pub fn contains(&self, group: &str) -> bool {
        self.groups.contains_key(group)
    }

    /// When [`Self::handle_timeout`] is due. May come early.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Gives up members that are silent or do not let go of partitions.
    pub fn handle_timeout(
        &mut self,
        now: Millis,
        catalogue: &impl Catalogue,
        out: &mut Vec<ConsumerAction<T>>,
    ) {
        while let Some((at, _)) = self.deadlines.first()
            && *at <= now
        {
            let first = self.deadlines.pop_first();
            let (_, id) = first.expect("the first deadline was just seen");
            if let Some(slot) = self.groups.get_mut(&id) {
                slot.indexed = None;
                slot.is_due = true;
            }
            self.turn(now, catalogue, &id, out);
        }
    }

    /// A member joins, lives, lets go of partitions or leaves. `record` is what is stored of the
    /// group, for one that is not known here.
    pub fn heartbeat(
        &mut self,
        now: Millis,
        catalogue: &impl Catalogue,
        record: Option<&ConsumerRecord>,
        beat: ConsumerHeartbeat,
        reply: T,
        out: &mut Vec<ConsumerAction<T>>,
    ) {
        if let Err(refused) = self.admit(now, catalogue, record, &beat) {
            let answer = ConsumerAnswer::Beat(Err(refused));
            out.push(ConsumerAction::Answer(reply, answer));
            return;
        }
        let id = beat.group.clone();
        let slot = self
            .groups
            .get_mut(&id)
            .expect("an admitted heartbeat has its group");
        slot.waiting.push_back((Asked::Beat(Box::new(beat)), reply));
        self.turn(now, catalogue, &id, out);
    }

    /// Members are taken out by somebody else, by id or instance id.
    pub fn leave(
        &mut self,
        now: Millis,
        catalogue: &impl Catalogue,
        leave: Leave,
        reply: T,
        out: &mut Vec<ConsumerAction<T>>,
    ) {
        let slot = self.groups.get_mut(&leave.group);
        let slot = slot.filter(|slot| slot.waiting.len() < MAX_WAITING_COUNT);
        let Some(slot) = slot else {
            let answer = ConsumerAnswer::Left(Err(ErrorKind::Overloaded));
            out.push(ConsumerAction::Answer(reply, answer));
            return;
        };
        slot.waiting.push_back((Asked::Leave(leave.members), reply));
        self.turn(now, catalogue, &leave.group, out);
    }

    /// Checks what the request says for itself and makes the group for a first member.
    fn admit(
        &mut self,
        now: Millis,
        catalogue: &impl Catalogue,
        record: Option<&ConsumerRecord>,
        beat: &ConsumerHeartbeat,
    ) -> Result<(), Refused> {
        admission::check(beat)?;
        if let Some(slot) = self.groups.get(&beat.group) {
            return if slot.waiting.len() < MAX_WAITING_COUNT {
                Ok(())
            } else {
                Err(ErrorKind::Overloaded.into())
            };
        }
        if beat.epoch != admission::JOINS {
            return Err(Refused {
                error: ErrorKind::GroupNotFound,
                reason: format!("Consumer group {} not found.", beat.group),
            });
        }
        if self.groups.len() >= MAX_GROUPS {
            return Err(ErrorKind::Overloaded.into());
        }
        self.open(now, catalogue, &beat.group, record);
        Ok(())
    }

    fn open(
        &mut self,
        now: Millis,
        catalogue: &impl Catalogue,
        id: &str,
        record: Option<&ConsumerRecord>,
    ) {
        let record = record.cloned();
        let record = record.unwrap_or_else(|| ConsumerRecord::new(id.to_owned()));
        let mut group = Group::new(record);
        group.begin_sessions(now, &catalogue.settings(id), &BTreeMap::new());
        let slot = Slot {
            group,
            waiting: VecDeque::new(),
            storing: None,
            is_due: false,
            indexed: None,
        };
        self.groups.insert(id.to_owned(), slot);
        self.index(id);
    }

    /// The change `store` of `group` was applied, or not. `record` is what is stored of the group
    /// now: where the change was not applied, the group goes on from that.
    pub fn stored(
        &mut self,
        now: Millis,
        catalogue: &impl Catalogue,
        (group, store): (&str, StoreId),
        result: Result<(), ErrorKind>,
        record: Option<&ConsumerRecord>,
        out: &mut Vec<ConsumerAction<T>>,
    ) {
        let Some(slot) = self.groups.get_mut(group) else {
            return;
        };
        let Some((_, answers)) = slot.storing.take_if(|(known, _)| *known == store) else {
            return;
        };
        for (reply, answer) in answers {
            let answer = match result {
                Ok(()) => answer,
                Err(error) => answer.refused(error),
            };
            out.push(ConsumerAction::Answer(reply, answer));
        }
        if result.is_err() {
            let record = record.cloned();
            let record = record.unwrap_or_else(|| ConsumerRecord::new(group.to_owned()));
            let mut again = Group::new(record);
            let settings = catalogue.settings(group);
            again.begin_sessions(now, &settings, &slot.group.presence);
            slot.group = again;
        }
        self.turn(now, catalogue, group, out);
    }

    /// Forgets a group without members. `false`: it has some, or something is under way.
    pub fn forget(&mut self, group: &str) -> bool {
        let Some(slot) = self.groups.get(group) else {
            return true;
        };
        if !slot.is_idle() || !slot.group.record.members.is_empty() {
            return false;
        }
        self.drop_slot(group);
        true
    }

    fn drop_slot(&mut self, id: &str) {
        if let Some(slot) = self.groups.remove(id)
            && let Some(at) = slot.indexed
        {
            self.deadlines.remove(&(at, id.to_owned()));
        }
    }

    pub(super) fn group(&self, id: &str) -> Option<&Group> {
        self.groups.get(id).map(|slot| &slot.group)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Group)> {
        let groups = self.groups.iter();
        groups.map(|(id, slot)| (id.as_str(), &slot.group))
    }

    /// Does what waits, unless something is being stored.
    fn turn(
        &mut self,
        now: Millis,
        catalogue: &impl Catalogue,
        id: &str,
        out: &mut Vec<ConsumerAction<T>>,
    ) {
        let Some(slot) = self.groups.get_mut(id) else {
            return;
        };
        while slot.has_work() {
            if slot.group.is_ahead_of(catalogue) {
                slot.put_off(now, out);
                break;
            }
            let rules = Rules {
                now,
                config: &self.config,
                settings: catalogue.settings(id),
            };
            let answers = slot.take_turn(rules, catalogue);
            if let Some(change) = slot.group.take_change() {
                let store = StoreId(self.next_store);
                self.next_store += 1;
                slot.storing = Some((store, answers));
                out.push(ConsumerAction::Store { store, change });
            } else {
                let answer = |(reply, answer)| ConsumerAction::Answer(reply, answer);
                out.extend(answers.into_iter().map(answer));
            }
        }
        let is_blank = slot.is_idle() && slot.group.record.version == 0;
        if is_blank {
            self.drop_slot(id);
        } else {
            self.index(id);
        }
    }

    /// Finds the group by its next deadline where it is not found earlier than that anyway.
    fn index(&mut self, id: &str) {
        let Some(slot) = self.groups.get_mut(id) else {
            return;
        };
        let soonest = slot.group.soonest.take();
        let next = match slot.indexed {
            // A timer that has fired waits for what is being stored.
            None if slot.is_due => return,
            None => slot.group.next_deadline(),
            Some(at) => soonest.filter(|soonest| *soonest < at),
        };
        let Some(next) = next else {
            return;
        };
        if let Some(old) = slot.indexed.replace(next) {
            self.deadlines.remove(&(old, id.to_owned()));
        }
        self.deadlines.insert((next, id.to_owned()));
    }
}

impl<T> Slot<T> {
    fn has_work(&self) -> bool {
        self.storing.is_none() && (self.is_due || !self.waiting.is_empty())
    }

    fn is_idle(&self) -> bool {
        self.storing.is_none() && self.waiting.is_empty()
    }

    /// Takes what waits all together: one new epoch, one assignment, one change.
    fn take_turn(
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
        self.group.settle(rules.now, catalogue);
        let interval_ms = rules.settings.consumer_heartbeat_interval_ms;
        let answers = heard.into_iter().map(|(reply, turn)| {
            let answer = match turn {
                Turn::Over(answer) => answer,
                Turn::Goes(admitted) => {
                    let beat = self.group.conclude(rules.now, &admitted, interval_ms);
                    ConsumerAnswer::Beat(beat)
                }
            };
            (reply, answer)
        });
        answers.collect()
    }

    /// The metadata here is behind: nobody is given up for that, and who asks comes again.
    fn put_off(&mut self, now: Millis, out: &mut Vec<ConsumerAction<T>>) {
        self.is_due = false;
        for presence in self.group.presence.values_mut() {
            let earliest = now.plus(BEHIND_PAUSE_MS);
            presence.session_deadline = presence.session_deadline.max(earliest);
            if let Some(revoke) = &mut presence.revoke_deadline {
                *revoke = (*revoke).max(earliest);
            }
        }
        for (asked, reply) in self.waiting.drain(..) {
            let answer = asked.refused(ErrorKind::CoordinatorLoading);
            out.push(ConsumerAction::Answer(reply, answer));
        }
    }

    fn refuse_all(self, error: ErrorKind, out: &mut Vec<ConsumerAction<T>>) {
        let storing = self.storing.into_iter().flat_map(|(_, answers)| answers);
        let storing = storing.map(|(reply, answer)| (reply, answer.refused(error)));
        let waiting = self.waiting.into_iter();
        let waiting = waiting.map(|(asked, reply)| (reply, asked.refused(error)));
        let answers = storing.chain(waiting);
        out.extend(answers.map(|(reply, answer)| ConsumerAction::Answer(reply, answer)));
    }
}

impl Asked {
    fn refused(&self, error: ErrorKind) -> ConsumerAnswer {
        match self {
            Self::Beat(_) => ConsumerAnswer::Beat(Err(error.into())),
            Self::Leave(_) => ConsumerAnswer::Left(Err(error)),
        }
    }
}

impl ConsumerAnswer {
    /// What it is where its change was not stored.
    fn refused(&self, error: ErrorKind) -> Self {
        match self {
            Self::Beat(_) => Self::Beat(Err(error.into())),
            Self::Left(_) => Self::Left(Err(error)),
        }
    }
}

/// What a request came to.
enum Turn {
    /// The member goes on.
    Goes(Admitted),
    /// There is nothing more to do.
    Over(ConsumerAnswer),
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
            Asked::Leave(members) => {
                let members = members.into_iter();
                let left =
                    members.map(|(member, instance)| self.take_out(&member, instance.as_deref()));
                ConsumerAnswer::Left(Ok(left.collect()))
            }
        };
        Turn::Over(heard)
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
