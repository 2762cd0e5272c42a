//! All consumer groups that one shard coordinates: which heartbeats wait for which change, and
//! when members are given up.

use std::collections::{BTreeMap, BTreeSet};

use weir_log::Millis;
use weir_model::ErrorKind;

use super::{
    admission::{self, Rules},
    config::MAX_WAITING_COUNT,
    group::Group,
    record::{ConsumerChange, ConsumerRecord},
    resolve::Catalogue,
    turn::{Asked, ConsumerAnswer, Slot, Storing},
};
use crate::{
    api::{ConsumerHeartbeat, Leave, Refused},
    group::{
        config::{GroupConfig, MAX_GROUPS},
        record::GroupRecord,
    },
};

/// Ties [`ConsumerCoordinator::stored`] to a [`ConsumerAction::Store`]. Never given out twice by
/// one coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoreId(pub u64);

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
    /// Replicate the record in the group's place: only members of the classic protocol are left.
    /// Then as above; where the group is not known here after that, it goes on as what is stored.
    Downgrade {
        /// To say which.
        store: StoreId,
        /// The command's content.
        record: GroupRecord,
    },
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
        self.ask(
            now,
            catalogue,
            &id,
            (Asked::Beat(Box::new(beat)), reply),
            out,
        );
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
        let id = leave.group;
        self.ask(
            now,
            catalogue,
            &id,
            (Asked::Leave(leave.members), reply),
            out,
        );
    }

    /// Lets a request wait for its turn, which may be now.
    pub(super) fn ask(
        &mut self,
        now: Millis,
        catalogue: &impl Catalogue,
        id: &str,
        (asked, reply): (Asked, T),
        out: &mut Vec<ConsumerAction<T>>,
    ) {
        let slot = self.groups.get_mut(id);
        let slot = slot.filter(|slot| slot.waiting.len() < MAX_WAITING_COUNT);
        let Some(slot) = slot else {
            let answer = asked.refused(ErrorKind::Overloaded);
            out.push(ConsumerAction::Answer(reply, answer));
            return;
        };
        slot.waiting.push_back((asked, reply));
        self.turn(now, catalogue, id, out);
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
        if self.groups.contains_key(&beat.group) {
            return Ok(());
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
        self.take_up(group);
    }

    /// A group whose sessions have begun.
    pub(super) fn take_up(&mut self, group: Group) {
        let id = group.record.group.clone();
        self.groups.insert(id.clone(), Slot::new(group));
        self.index(&id);
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
        let Some(storing) = slot.storing.take_if(|it| it.store == store) else {
            return;
        };
        for (reply, answer) in storing.answers {
            let answer = match result {
                Ok(()) => answer,
                Err(error) => answer.refused(error),
            };
            out.push(ConsumerAction::Answer(reply, answer));
        }
        let is_gone = match result {
            Ok(()) => storing.is_downgrade,
            // Whoever waits would begin anew where a classic group may still stand.
            Err(_) => record.is_none(),
        };
        if is_gone {
            if let Some(slot) = self.drop_slot(group) {
                slot.refuse_all(ErrorKind::CoordinatorLoading, out);
            }
            return;
        }
        if let (Err(_), Some(record)) = (result, record) {
            let mut again = Group::new(record.clone());
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

    fn drop_slot(&mut self, id: &str) -> Option<Slot<T>> {
        let slot = self.groups.remove(id)?;
        if let Some(at) = slot.indexed {
            self.deadlines.remove(&(at, id.to_owned()));
        }
        Some(slot)
    }

    pub(super) fn config(&self) -> &GroupConfig {
        &self.config
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
            let store = StoreId(self.next_store);
            let is_downgrade = slot.group.is_all_classic();
            if is_downgrade {
                let record = slot.group.downgraded(now);
                out.push(ConsumerAction::Downgrade { store, record });
            } else if let Some(change) = slot.group.take_change() {
                out.push(ConsumerAction::Store { store, change });
            } else {
                let answer = |(reply, answer)| ConsumerAction::Answer(reply, answer);
                out.extend(answers.into_iter().map(answer));
                continue;
            }
            self.next_store += 1;
            slot.storing = Some(Storing {
                store,
                answers,
                is_downgrade,
            });
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
