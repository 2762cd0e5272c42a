//! One share group as its leader works on it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weir_log::Millis;
use weir_model::{ErrorKind, PartitionId, TopicId};

use super::assign;
use crate::{
    api::{ConsumerBeat, GroupPhase, Refused, ShareHeartbeat},
    configs::group::ShareSettings,
    group::{
        Catalogue, ConsumerChange, ConsumerMember, ConsumerRecord, StoreId,
        config::MAX_CLIENT_TEXT_BYTES,
    },
};

/// A member joins.
pub(super) const JOINS: i32 = 0;
/// A member leaves.
pub(super) const LEAVES: i32 = -1;

/// An answer to a heartbeat.
pub(super) type BeatAnswer = Result<ConsumerBeat, Refused>;

/// A change that is being stored, and the answers that depend on it.
pub(super) struct Storing<T> {
    pub(super) store: StoreId,
    pub(super) answers: Vec<(T, BeatAnswer)>,
}

/// A group, and who waits for it. Everything but the record is made again by the next leader.
pub(super) struct ShareGroup<T> {
    pub(super) record: ConsumerRecord,
    /// When members without a heartbeat are given up.
    pub(super) sessions: BTreeMap<String, Millis>,
    pub(super) waiting: VecDeque<(ShareHeartbeat, T)>,
    pub(super) storing: Option<Storing<T>>,
    /// The time under which the coordinator looks at the group again.
    pub(super) indexed: Option<Millis>,
    /// The state of the metadata that the topics were resolved against.
    seen: Option<u64>,
    must_assign: bool,
    changed: BTreeSet<String>,
    removed: BTreeSet<String>,
    has_new_topics: bool,
}

fn refused(error: ErrorKind, reason: impl Into<String>) -> Refused {
    Refused {
        error,
        reason: reason.into(),
    }
}

fn kept(text: &str) -> String {
    let mut end = text.len().min(MAX_CLIENT_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

impl<T> ShareGroup<T> {
    /// A whole session before every member.
    pub(super) fn new(now: Millis, record: ConsumerRecord, settings: &ShareSettings) -> Self {
        let deadline = now.plus(settings.session_timeout_ms.into());
        let members = record.members.keys();
        Self {
            sessions: members.map(|id| (id.clone(), deadline)).collect(),
            waiting: VecDeque::new(),
            storing: None,
            indexed: None,
            seen: None,
            must_assign: false,
            changed: BTreeSet::new(),
            removed: BTreeSet::new(),
            has_new_topics: false,
            record,
        }
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.storing.is_none()
    }

    pub(super) fn phase(&self) -> GroupPhase {
        match self.record.members.is_empty() {
            true => GroupPhase::Empty,
            false => GroupPhase::Stable,
        }
    }

    /// Whether the metadata on this node is older than what the group has seen: topics would seem
    /// to be gone.
    pub(super) fn is_ahead_of(&self, catalogue: &impl Catalogue) -> bool {
        let mut serials = self.record.topics.keys();
        self.seen != Some(catalogue.revision()) && serials.any(|it| catalogue.is_behind(*it))
    }

    /// Gives up members that are silent.
    pub(super) fn expire(&mut self, now: Millis) {
        let due = self.sessions.iter().filter(|(_, at)| **at <= now);
        let due: Vec<String> = due.map(|(id, _)| id.clone()).collect();
        for id in due {
            tracing::info!(group = self.record.group, member = id, "given up");
            self.remove(&id);
        }
    }

    fn remove(&mut self, id: &str) -> bool {
        self.sessions.remove(id);
        let is_member = self.record.members.remove(id).is_some();
        if is_member {
            self.changed.remove(id);
            self.removed.insert(id.to_owned());
            self.must_assign = true;
        }
        is_member
    }

    /// Hears a member, before the group is [settled](Self::settle).
    pub(super) fn hear(
        &mut self,
        now: Millis,
        beat: &ShareHeartbeat,
        settings: &ShareSettings,
        max_member_count: usize,
    ) -> Result<(), Refused> {
        let known = self.record.members.get(&beat.member);
        match (beat.epoch, known) {
            (LEAVES, Some(_)) => {
                self.remove(&beat.member);
                return Ok(());
            }
            (JOINS, None) if self.record.members.len() >= max_member_count => {
                let reason = format!(
                    "The share group has reached its maximum capacity of {max_member_count} members."
                );
                return Err(refused(ErrorKind::GroupMaxSizeReached, reason));
            }
            (JOINS, _) => {}
            (_, None) => {
                let (member, group) = (&beat.member, &self.record.group);
                let reason = format!("Member {member} is not a member of group {group}.");
                return Err(refused(ErrorKind::UnknownMember, reason));
            }
            (epoch, Some(known)) if epoch != known.epoch && epoch != known.previous_epoch => {
                let reason = format!(
                    "The share group member has another epoch ({epoch}) than the group coordinator ({}). \
                     The member must abandon all its partitions and rejoin.",
                    known.epoch
                );
                return Err(refused(ErrorKind::FencedMemberEpoch, reason));
            }
            (_, Some(_)) => {}
        }
        self.update(beat);
        let deadline = now.plus(settings.session_timeout_ms.into());
        self.sessions.insert(beat.member.clone(), deadline);
        Ok(())
    }

    fn update(&mut self, beat: &ShareHeartbeat) {
        let before = self.record.members.get(&beat.member);
        let mut member = before.cloned().unwrap_or_else(|| new_member(beat));
        member.client_id = kept(&beat.client_id);
        member.client_host = kept(&beat.client_host);
        if let Some(rack) = &beat.rack {
            member.rack = Some(rack.clone());
        }
        if let Some(topics) = &beat.topics {
            member.topics.clone_from(topics);
            member.topics.sort_unstable();
            member.topics.dedup();
        }
        if before == Some(&member) {
            return;
        }
        let is_other = before.is_none_or(|before| before.topics != member.topics);
        self.must_assign |= is_other;
        self.changed.insert(beat.member.clone());
        self.removed.remove(&beat.member);
        self.record.members.insert(beat.member.clone(), member);
    }

    /// Brings topics and targets up to date.
    pub(super) fn settle(&mut self, catalogue: &impl Catalogue) {
        let revision = catalogue.revision();
        if self.seen != Some(revision) || self.must_assign {
            self.seen = Some(revision);
            self.resolve(catalogue);
        }
        if !std::mem::take(&mut self.must_assign) {
            return;
        }
        self.record.epoch = self.record.epoch.saturating_add(1);
        self.record.target_epoch = self.record.epoch;
        let targets = assign::assign(&self.record).into_iter();
        let targets: Vec<(String, Vec<PartitionId>)> = targets
            .map(|(id, target)| (id.to_owned(), target))
            .collect();
        for (id, target) in targets {
            if let Some(member) = self.record.members.get_mut(&id)
                && member.target != target
            {
                member.target = target;
                self.changed.insert(id);
            }
        }
    }

    /// Topics that nobody reads any more stay, since the group has something of them.
    fn resolve(&mut self, catalogue: &impl Catalogue) {
        let mut topics = std::mem::take(&mut self.record.topics);
        let before = topics.clone();
        topics.retain(|serial, topic| match catalogue.by_serial(*serial) {
            Some(now) => {
                *topic = now;
                topic.is_read = false;
                true
            }
            None => false,
        });
        let members = self.record.members.values();
        let names: BTreeSet<&String> = members.flat_map(|member| &member.topics).collect();
        for name in names {
            if let Some((serial, mut topic)) = catalogue.by_name(name) {
                topic.is_read = true;
                topics.insert(serial, topic);
            }
        }
        if topics != before {
            self.has_new_topics = true;
            self.must_assign = true;
        }
        self.record.topics = topics;
    }

    /// Topics that nobody reads are the group's no more.
    pub(super) fn forget_topics(&mut self, serials: &BTreeSet<u64>) {
        let before = self.record.topics.len();
        let is_kept = |serial: &u64, is_read: bool| is_read || !serials.contains(serial);
        let topics = &mut self.record.topics;
        let is_empty = self.record.members.is_empty();
        topics.retain(|serial, topic| is_kept(serial, topic.is_read && !is_empty));
        self.has_new_topics |= topics.len() != before;
    }

    /// The answer to a member that was heard: it is told of what has changed since.
    pub(super) fn answer(&mut self, beat: &ShareHeartbeat, settings: &ShareSettings) -> BeatAnswer {
        let group_epoch = self.record.epoch;
        let Some(member) = self.record.members.get_mut(&beat.member) else {
            return Ok(ConsumerBeat {
                member: beat.member.clone(),
                epoch: beat.epoch,
                interval_ms: settings.heartbeat_interval_ms,
                assignment: None,
            });
        };
        let is_full = beat.topics.is_some() || beat.epoch != member.epoch;
        let is_behind = member.epoch != group_epoch;
        if is_behind {
            member.previous_epoch = member.epoch;
            member.epoch = group_epoch;
            member.assigned.clone_from(&member.target);
            self.changed.insert(beat.member.clone());
        }
        let assigned = member.assigned.clone();
        let tells = is_full || is_behind;
        Ok(ConsumerBeat {
            member: beat.member.clone(),
            epoch: group_epoch,
            interval_ms: settings.heartbeat_interval_ms,
            assignment: tells.then(|| self.told(&assigned)),
        })
    }

    fn told(&self, partitions: &[PartitionId]) -> Vec<(TopicId, Vec<i32>)> {
        let mut told: Vec<(TopicId, Vec<i32>)> = Vec::new();
        for partition in partitions {
            let Some(topic) = self.record.topics.get(&partition.topic_serial()) else {
                continue;
            };
            let index = i32::try_from(partition.index()).unwrap_or(i32::MAX);
            match told.last_mut() {
                Some((id, indexes)) if *id == topic.id => indexes.push(index),
                Some(_) | None => told.push((topic.id, vec![index])),
            }
        }
        told
    }

    /// What is to be stored, where there is anything; the group is one version on then.
    pub(super) fn take_change(&mut self) -> Option<ConsumerChange> {
        let (changed, removed) = (
            std::mem::take(&mut self.changed),
            std::mem::take(&mut self.removed),
        );
        let has_new_topics = std::mem::take(&mut self.has_new_topics);
        if changed.is_empty() && removed.is_empty() && !has_new_topics {
            return None;
        }
        let based_on = self.record.version;
        self.record.version += 1;
        let members = changed.iter();
        let members = members.filter_map(|id| self.record.members.get(id).cloned());
        Some(ConsumerChange {
            group: self.record.group.clone(),
            based_on,
            epoch: self.record.epoch,
            target_epoch: self.record.target_epoch,
            since: self.record.since,
            topics: has_new_topics.then(|| self.record.topics.clone()),
            members: members.collect(),
            removed: removed.into_iter().collect(),
        })
    }
}

fn new_member(beat: &ShareHeartbeat) -> ConsumerMember {
    ConsumerMember {
        member: beat.member.clone(),
        instance: None,
        rack: None,
        client_id: String::new(),
        client_host: String::new(),
        rebalance_timeout_ms: 0,
        topics: Vec::new(),
        pattern: None,
        assignor: None,
        classic: None,
        epoch: 0,
        previous_epoch: 0,
        assigned: Vec::new(),
        revoking: Vec::new(),
        target: Vec::new(),
    }
}
