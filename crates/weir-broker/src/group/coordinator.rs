//! All groups that one shard coordinates, and when to look at them again.

use std::collections::{BTreeMap, BTreeSet};

use weir_log::Millis;
use weir_model::ErrorKind;

use super::{
    classic::{Group, GroupState, Step},
    config::{GroupConfig, MAX_GROUP_ID_BYTES, MAX_GROUPS},
    record::GroupRecord,
};
use crate::api::{JoinRefused, Joined, Synced};

/// Ties [`Coordinator::persisted`] to an [`Action::Persist`]. Never given out twice by one
/// coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersistId(pub u64);

/// What the coordinator wants done.
#[derive(Debug)]
pub enum Action<T> {
    /// Answer a join.
    AnswerJoin(T, Result<Joined, JoinRefused>),
    /// Answer a sync.
    AnswerSync(T, Result<Synced, ErrorKind>),
    /// Replicate the record, in the order of the actions, and call
    /// [`Coordinator::persisted`] with the outcome. The answers that depend on it are held by
    /// the coordinator until then, so nothing else needs to wait.
    Persist {
        /// To say which.
        persist: PersistId,
        /// The command's content.
        record: GroupRecord,
    },
}

/// The classic groups of one shard, as its leader sees them. `T` is what answers a request; every
/// token that is handed in comes back exactly once in an [`Action`].
///
/// Steps take the time from outside. It may jump: a deadline that was passed is noticed late,
/// never missed.
pub struct Coordinator<T> {
    config: GroupConfig,
    groups: BTreeMap<String, Group<T>>,
    /// No later than the groups' own deadlines; may be earlier, after heartbeats.
    deadlines: BTreeSet<(Millis, String)>,
    next_persist: u64,
}

impl<T> Coordinator<T> {
    /// No groups yet.
    pub fn new(config: GroupConfig) -> Self {
        Self {
            config,
            groups: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            next_persist: 0,
        }
    }

    /// Takes up groups as this shard's new leader. Each member's session begins anew, so that
    /// its next heartbeat succeeds.
    ///
    /// # Panics
    /// Where there are groups: [`Self::unload`] comes first.
    pub fn restore<'a>(&mut self, now: Millis, records: impl Iterator<Item = &'a GroupRecord>) {
        assert!(
            self.groups.is_empty(),
            "groups are unloaded before others are restored"
        );
        for record in records {
            self.groups
                .insert(record.group.clone(), Group::restore(record, now));
            self.reindex(&record.group);
        }
    }

    /// Forgets all groups as this shard's leader no more. Everybody who waits is told
    /// `NotCoordinator`.
    pub fn unload(&mut self, out: &mut Vec<Action<T>>) {
        self.deadlines.clear();
        for (_, group) in std::mem::take(&mut self.groups) {
            group.dismiss(ErrorKind::NotCoordinator, out);
        }
    }

    /// Takes up one more group that is not known here, as it was stored.
    pub fn adopt(&mut self, now: Millis, record: &GroupRecord) {
        assert!(
            !self.groups.contains_key(&record.group),
            "a group is not replaced by what was stored of it earlier"
        );
        self.groups
            .insert(record.group.clone(), Group::restore(record, now));
        self.reindex(&record.group);
    }

    /// Forgets a group that goes on as one of another kind: who waits is told to join again.
    pub fn hand_over(&mut self, id: &str, out: &mut Vec<Action<T>>) {
        if let Some(group) = self.groups.remove(id) {
            if let Some(at) = group.indexed {
                self.deadlines.remove(&(at, id.to_owned()));
            }
            group.dismiss(ErrorKind::RebalanceInProgress, out);
        }
    }

    /// When [`Self::handle_timeout`] is due. May come early after heartbeats.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Millis, out: &mut Vec<Action<T>>) {
        while let Some((at, _)) = self.deadlines.first()
            && *at <= now
        {
            let (_, id) = self
                .deadlines
                .pop_first()
                .expect("the first deadline was just seen");
            if let Some(group) = self.groups.get_mut(&id) {
                group.indexed = None;
            }
            self.with_group(now, &id, out, |group, step| group.on_time(step));
            let next = self.groups.get(&id).and_then(|group| group.indexed);
            assert!(
                next.is_none_or(|next| next > now),
                "what is due is done in one go"
            );
        }
    }

    /// Where a group stands; `Dead` for one that is not known.
    pub fn state(&self, group: &str) -> GroupState {
        self.groups
            .get(group)
            .map_or(GroupState::Dead, |group| group.state)
    }

    /// The group as its record would be now; `None` for one that is not known.
    pub fn describe(&self, now: Millis, group: &str) -> Option<GroupRecord> {
        self.groups.get(group).map(|group| group.record(now))
    }

    /// All groups with their states and protocol types, in ascending order of id.
    pub fn states(&self) -> impl Iterator<Item = (&str, GroupState, &str)> {
        let groups = self.groups.iter();
        groups.map(|(id, group)| (id.as_str(), group.state, group.protocol_type.as_str()))
    }

    /// Forgets a group without members and without ids that wait for their first join. `false`:
    /// it has some.
    pub fn forget(&mut self, group: &str) -> bool {
        let Some(known) = self.groups.get(group) else {
            return true;
        };
        if known.state != GroupState::Empty || !known.pending.is_empty() {
            return false;
        }
        if let Some(at) = known.indexed {
            self.deadlines.remove(&(at, group.to_owned()));
        }
        self.groups.remove(group);
        true
    }

    /// The record `persist` of `group` is replicated, or failed to be with an error that those
    /// who wait for it are told.
    pub fn persisted(
        &mut self,
        now: Millis,
        group: &str,
        persist: PersistId,
        result: Result<(), ErrorKind>,
        out: &mut Vec<Action<T>>,
    ) {
        self.with_group(now, group, out, |group, step| {
            group.persisted(step, persist, result);
        });
    }

    pub(super) fn group(&self, id: &str) -> Option<&Group<T>> {
        self.groups.get(id)
    }

    pub(super) fn group_mut(&mut self, id: &str) -> Option<&mut Group<T>> {
        self.groups.get_mut(id)
    }

    pub(super) fn config(&self) -> &GroupConfig {
        &self.config
    }

    /// Makes the group where it is not there yet.
    pub(super) fn open_group(&mut self, id: &str) -> Result<(), ErrorKind> {
        if !self.groups.contains_key(id) {
            if self.groups.len() >= MAX_GROUPS {
                return Err(ErrorKind::Overloaded);
            }
            self.groups.insert(id.to_owned(), Group::new(id.to_owned()));
        }
        Ok(())
    }

    /// One step of one group, where it is known.
    pub(super) fn with_group<R>(
        &mut self,
        now: Millis,
        id: &str,
        out: &mut Vec<Action<T>>,
        act: impl FnOnce(&mut Group<T>, &mut Step<'_, T>) -> R,
    ) -> Option<R> {
        let group = self.groups.get_mut(id)?;
        let mut step = Step {
            now,
            config: &self.config,
            next_persist: &mut self.next_persist,
            out,
        };
        let result = act(group, &mut step);
        group.assert_sound();
        self.reindex(id);
        Some(result)
    }

    fn reindex(&mut self, id: &str) {
        let Some(group) = self.groups.get_mut(id) else {
            return;
        };
        let next = group.next_deadline();
        if next != group.indexed {
            if let Some(old) = group.indexed {
                self.deadlines.remove(&(old, id.to_owned()));
            }
            group.indexed = next;
            if let Some(next) = next {
                self.deadlines.insert((next, id.to_owned()));
            }
        }
        if group.is_blank() {
            self.groups.remove(id);
        }
    }
}

impl<T> Group<T> {
    /// Tells everybody who waits why that is over.
    fn dismiss(self, error: ErrorKind, out: &mut Vec<Action<T>>) {
        for (member, waiting) in self.members {
            if let Some(reply) = waiting.awaiting_join {
                out.push(Action::AnswerJoin(
                    reply,
                    Err(JoinRefused { error, member }),
                ));
            }
            if let Some(reply) = waiting.awaiting_sync {
                out.push(Action::AnswerSync(reply, Err(error)));
            }
        }
    }
}

/// Whether a text can be a group's id.
pub(super) fn check_group_id(id: &str) -> Result<(), ErrorKind> {
    if id.is_empty() || id.len() > MAX_GROUP_ID_BYTES {
        return Err(ErrorKind::InvalidGroupId);
    }
    Ok(())
}
