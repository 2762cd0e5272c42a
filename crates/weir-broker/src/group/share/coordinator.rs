//! All share groups that one shard coordinates.

use std::collections::{BTreeMap, BTreeSet};

use weir_log::Millis;
use weir_model::ErrorKind;

use super::group::{BeatAnswer, JOINS, LEAVES, ShareGroup, Storing};
use crate::{
    api::{Refused, ShareHeartbeat},
    group::{
        Catalogue, ConsumerChange, ConsumerRecord, StoreId,
        config::{GroupConfig, MAX_GROUP_ID_BYTES, MAX_GROUPS},
        consumer::config::{
            MAX_MEMBER_ID_BYTES, MAX_RACK_BYTES, MAX_SUBSCRIPTION_BYTES, MAX_WAITING_COUNT,
        },
    },
};

/// What the coordinator wants done.
#[derive(Debug)]
pub enum ShareAction<T> {
    /// Answer a heartbeat.
    Answer(T, BeatAnswer),
    /// Replicate the change and call [`ShareCoordinator::stored`] with the outcome.
    Store {
        /// To say which.
        store: StoreId,
        /// The command's content.
        change: ConsumerChange,
    },
}

/// The share groups of one shard, as its leader sees them. Every token that is handed in comes back
/// exactly once in an action.
pub struct ShareCoordinator<T> {
    config: GroupConfig,
    pub(super) groups: BTreeMap<String, ShareGroup<T>>,
    deadlines: BTreeSet<(Millis, String)>,
    next_store: u64,
}

impl<T> ShareCoordinator<T> {
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
            self.open(now, catalogue, record.clone());
        }
    }

    /// Forgets all groups as this shard's leader no more. Everybody who waits is told
    /// `NotCoordinator`.
    pub fn unload(&mut self, out: &mut Vec<ShareAction<T>>) {
        self.deadlines.clear();
        for (_, group) in std::mem::take(&mut self.groups) {
            refuse_all(group, ErrorKind::NotCoordinator, out);
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

    /// Gives up members that are silent.
    pub fn handle_timeout(
        &mut self,
        now: Millis,
        catalogue: &impl Catalogue,
        out: &mut Vec<ShareAction<T>>,
    ) {
        while let Some((at, _)) = self.deadlines.first()
            && *at <= now
        {
            let first = self.deadlines.pop_first();
            let (_, id) = first.expect("the first deadline was just seen");
            if let Some(group) = self.groups.get_mut(&id) {
                group.indexed = None;
            }
            self.turn(now, catalogue, &id, out);
        }
    }

    /// A member joins, lives or leaves.
    pub fn heartbeat(
        &mut self,
        now: Millis,
        catalogue: &impl Catalogue,
        beat: ShareHeartbeat,
        reply: T,
        out: &mut Vec<ShareAction<T>>,
    ) {
        if let Err(refused) = self.admit(now, catalogue, &beat) {
            return out.push(ShareAction::Answer(reply, Err(refused)));
        }
        let id = beat.group.clone();
        let Some(group) = self.groups.get_mut(&id) else {
            let refused = ErrorKind::Overloaded.into();
            return out.push(ShareAction::Answer(reply, Err(refused)));
        };
        if group.waiting.len() >= MAX_WAITING_COUNT {
            let refused = ErrorKind::Overloaded.into();
            return out.push(ShareAction::Answer(reply, Err(refused)));
        }
        group.waiting.push_back((beat, reply));
        self.turn(now, catalogue, &id, out);
    }

    fn admit(
        &mut self,
        now: Millis,
        catalogue: &impl Catalogue,
        beat: &ShareHeartbeat,
    ) -> Result<(), Refused> {
        check(beat)?;
        if self.groups.contains_key(&beat.group) {
            return Ok(());
        }
        if beat.epoch != JOINS {
            return Err(Refused {
                error: ErrorKind::GroupNotFound,
                reason: format!("Share group {} not found.", beat.group),
            });
        }
        if self.groups.len() >= MAX_GROUPS {
            return Err(ErrorKind::Overloaded.into());
        }
        self.open(now, catalogue, ConsumerRecord::new(beat.group.clone()));
        Ok(())
    }

    fn open(&mut self, now: Millis, catalogue: &impl Catalogue, record: ConsumerRecord) {
        let id = record.group.clone();
        let settings = catalogue.settings(&id).share;
        let group = ShareGroup::new(now, record, &settings);
        self.groups.insert(id.clone(), group);
        self.index(&id);
    }

    /// The change `store` of `group` was applied, or not. `record` is what is stored of the group
    /// now: where the change was not applied, the group goes on from that.
    pub fn stored(
        &mut self,
        now: Millis,
        catalogue: &impl Catalogue,
        (id, store): (&str, StoreId),
        result: Result<(), ErrorKind>,
        record: Option<&ConsumerRecord>,
        out: &mut Vec<ShareAction<T>>,
    ) {
        let Some(group) = self.groups.get_mut(id) else {
            return;
        };
        let Some(storing) = group.storing.take_if(|it| it.store == store) else {
            return;
        };
        for (reply, answer) in storing.answers {
            let answer = match (result, answer) {
                (Err(error), Ok(_)) => Err(error.into()),
                (_, answer) => answer,
            };
            out.push(ShareAction::Answer(reply, answer));
        }
        if result.is_err() {
            let Some(record) = record else {
                if let Some(group) = self.drop_group(id) {
                    refuse_all(group, ErrorKind::CoordinatorLoading, out);
                }
                return;
            };
            let settings = catalogue.settings(id).share;
            let mut again = ShareGroup::new(now, record.clone(), &settings);
            again.waiting = std::mem::take(&mut group.waiting);
            again.indexed = group.indexed;
            *group = again;
        }
        self.turn(now, catalogue, id, out);
    }

    /// A group without members has nothing of these topics any more.
    pub fn forget_topics(
        &mut self,
        now: Millis,
        catalogue: &impl Catalogue,
        (id, serials): (&str, &BTreeSet<u64>),
        out: &mut Vec<ShareAction<T>>,
    ) {
        if let Some(group) = self.groups.get_mut(id) {
            group.forget_topics(serials);
            self.turn(now, catalogue, id, out);
        }
    }

    /// Forgets a group without members. `false`: it has some, or something is under way.
    pub fn forget(&mut self, id: &str) -> bool {
        let Some(group) = self.groups.get(id) else {
            return true;
        };
        if !group.is_idle() || !group.record.members.is_empty() {
            return false;
        }
        self.drop_group(id);
        true
    }

    fn drop_group(&mut self, id: &str) -> Option<ShareGroup<T>> {
        let group = self.groups.remove(id)?;
        if let Some(at) = group.indexed {
            self.deadlines.remove(&(at, id.to_owned()));
        }
        Some(group)
    }

    /// Does what waits, unless something is being stored.
    fn turn(
        &mut self,
        now: Millis,
        catalogue: &impl Catalogue,
        id: &str,
        out: &mut Vec<ShareAction<T>>,
    ) {
        let Some(group) = self.groups.get_mut(id) else {
            return;
        };
        if group.storing.is_some() {
            return;
        }
        group.expire(now);
        let mut answers = Vec::new();
        if group.is_ahead_of(catalogue) {
            let waiting = std::mem::take(&mut group.waiting).into_iter();
            let loading = || Err(ErrorKind::CoordinatorLoading.into());
            out.extend(waiting.map(|(_, reply)| ShareAction::Answer(reply, loading())));
        } else {
            let settings = catalogue.settings(id).share;
            let waiting: Vec<_> = std::mem::take(&mut group.waiting).into();
            let most = self.config.max_member_count;
            let mut heard = Vec::with_capacity(waiting.len());
            for (beat, reply) in waiting {
                let result = group.hear(now, &beat, &settings, most);
                heard.push((beat, reply, result));
            }
            group.settle(catalogue);
            for (beat, reply, result) in heard {
                let answer = result.and_then(|()| group.answer(&beat, &settings));
                answers.push((reply, answer));
            }
        }
        if let Some(change) = group.take_change() {
            let store = StoreId(self.next_store);
            self.next_store += 1;
            group.storing = Some(Storing { store, answers });
            out.push(ShareAction::Store { store, change });
        } else {
            let answer = |(reply, answer)| ShareAction::Answer(reply, answer);
            out.extend(answers.into_iter().map(answer));
            if group.record.version == 0 {
                self.drop_group(id);
                return;
            }
        }
        self.index(id);
    }

    /// Finds the group by the end of its members' sessions, where it is not found earlier anyway.
    fn index(&mut self, id: &str) {
        let Some(group) = self.groups.get_mut(id) else {
            return;
        };
        if group.indexed.is_some() {
            return;
        }
        // What is being stored comes back here.
        let next = group.sessions.values().min().copied();
        let Some(next) = next.filter(|_| group.storing.is_none()) else {
            return;
        };
        group.indexed = Some(next);
        self.deadlines.insert((next, id.to_owned()));
    }
}

fn refuse_all<T>(group: ShareGroup<T>, error: ErrorKind, out: &mut Vec<ShareAction<T>>) {
    let storing = group.storing.into_iter().flat_map(|it| it.answers);
    let storing = storing.map(|(reply, _)| reply);
    let waiting = group.waiting.into_iter().map(|(_, reply)| reply);
    let replies = storing.chain(waiting);
    out.extend(replies.map(|reply| ShareAction::Answer(reply, Err(error.into()))));
}

/// Whether the request makes sense by itself.
fn check(beat: &ShareHeartbeat) -> Result<(), Refused> {
    let invalid = |reason: &str| {
        Err(Refused {
            error: ErrorKind::InvalidRequest,
            reason: reason.to_owned(),
        })
    };
    let names = beat.topics.iter().flatten();
    if beat.group.is_empty() {
        invalid("GroupId can't be empty.")
    } else if beat.group.len() > MAX_GROUP_ID_BYTES {
        Err(ErrorKind::InvalidGroupId.into())
    } else if beat.member.is_empty() {
        invalid("MemberId can't be empty.")
    } else if beat.member.len() > MAX_MEMBER_ID_BYTES
        || beat
            .rack
            .as_ref()
            .is_some_and(|rack| rack.len() > MAX_RACK_BYTES)
    {
        invalid("MemberId or RackId is too long.")
    } else if beat.rack.as_ref().is_some_and(String::is_empty) {
        invalid("RackId can't be empty.")
    } else if beat.epoch < LEAVES {
        invalid("MemberEpoch is invalid.")
    } else if beat.epoch == JOINS && beat.topics.as_ref().is_none_or(Vec::is_empty) {
        invalid("SubscribedTopicNames must be set in first request.")
    } else if names.map(String::len).sum::<usize>() > MAX_SUBSCRIPTION_BYTES {
        invalid("SubscribedTopicNames are too long.")
    } else {
        Ok(())
    }
}
