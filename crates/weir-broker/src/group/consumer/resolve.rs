//! From subscriptions to topics, and from topics to a new target assignment.

use std::collections::{BTreeMap, BTreeSet};

use weir_log::Millis;

use super::{
    assign::{Assignor, Subscriber, Work},
    config::{MATCH_INTERVAL_MS, MAX_ASSIGNED_PARTITIONS},
    group::Group,
    pattern,
    record::{ConsumerMember, ConsumerRecord, GroupTopic, GroupTopics},
};
use crate::configs::group::GroupSettings;
use weir_model::PartitionId;

/// What a group needs to know of its cluster.
pub trait Catalogue {
    /// Changes whenever anything else does.
    fn revision(&self) -> u64;
    /// The topic of this name, with its serial number.
    fn by_name(&self, name: &str) -> Option<(u64, GroupTopic)>;
    /// The topic of this serial number.
    fn by_serial(&self, serial: u64) -> Option<GroupTopic>;
    /// Whether the topic of this serial number is not known yet.
    fn is_behind(&self, serial: u64) -> bool;
    /// Shows every topic's serial number and name.
    fn each(&self, show: &mut dyn FnMut(u64, &str));
    /// A group's settings.
    fn settings(&self, group: &str) -> GroupSettings;
}

impl Group {
    /// Whether the metadata on this node is older than what the group has seen: topics would seem
    /// to be gone.
    pub(super) fn is_ahead_of(&self, catalogue: &impl Catalogue) -> bool {
        self.seen != Some(catalogue.revision())
            && self.record.topics.keys().any(|it| catalogue.is_behind(*it))
    }

    /// Brings topics and target assignment up to date.
    pub(super) fn settle(&mut self, now: Millis, catalogue: &impl Catalogue) {
        self.resolve(now, catalogue);
        if self.must_assign {
            self.must_assign = false;
            self.record.epoch = self.record.epoch.saturating_add(1);
            self.assign();
            self.record.target_epoch = self.record.epoch;
            self.epochs_changed();
        }
    }

    fn resolve(&mut self, now: Millis, catalogue: &impl Catalogue) {
        let revision = catalogue.revision();
        let is_new = self.seen != Some(revision);
        if !is_new && !self.must_resolve {
            return;
        }
        let is_due = self.matched.plus(MATCH_INTERVAL_MS) <= now || self.seen.is_none();
        if !self.must_resolve && !self.matches.is_empty() && !is_due {
            return;
        }
        let is_matched_anew = is_new && is_due;
        self.match_patterns(now, catalogue, is_matched_anew);
        self.must_resolve = false;
        // Patterns may still have to be matched against this state of the metadata.
        if is_matched_anew || self.matches.is_empty() {
            self.seen = Some(revision);
        }
        let topics = self.current_topics(catalogue);
        let read = |topics: &GroupTopics| -> Vec<(u64, u32)> {
            let read = topics.iter().filter(|(_, topic)| topic.is_read);
            read.map(|(serial, topic)| (*serial, topic.partition_count))
                .collect()
        };
        if read(&topics) != read(&self.record.topics) {
            self.must_assign = true;
        }
        if topics != self.record.topics {
            self.record.topics = topics;
            self.topics_changed();
        }
    }

    fn match_patterns(&mut self, now: Millis, catalogue: &impl Catalogue, again: bool) {
        let members = self.record.members.values();
        let patterns: BTreeSet<&String> = members.filter_map(|it| it.pattern.as_ref()).collect();
        let mut matches = std::mem::take(&mut self.matches);
        matches.retain(|pattern, _| patterns.contains(pattern));
        let open = patterns
            .into_iter()
            .filter(|it| again || !matches.contains_key(*it));
        let open: Vec<_> = open
            .map(|it| (it.clone(), pattern::compile(it).ok(), BTreeSet::new()))
            .collect();
        if !open.is_empty() {
            let mut open = open;
            catalogue.each(&mut |serial, name| {
                for (_, regex, found) in &mut open {
                    if regex.as_ref().is_some_and(|regex| regex.is_match(name)) {
                        found.insert(serial);
                    }
                }
            });
            matches.extend(open.into_iter().map(|(pattern, _, found)| (pattern, found)));
            self.matched = now;
        }
        self.matches = matches;
    }

    /// The topics that members are subscribed to and that are there, and those that they still
    /// have to let go of.
    fn current_topics(&self, catalogue: &impl Catalogue) -> GroupTopics {
        let members = self.record.members.values();
        let names: BTreeSet<&String> = members.flat_map(|it| &it.topics).collect();
        let named = names.into_iter().filter_map(|name| catalogue.by_name(name));
        let mut topics: GroupTopics = named.collect();
        for serial in self.matches.values().flatten() {
            if let Some(topic) = catalogue.by_serial(*serial) {
                topics.entry(*serial).or_insert(topic);
            }
        }
        let mut partitions_count = 0;
        topics.retain(|serial, topic| {
            let is_within =
                partitions_count + u64::from(topic.partition_count) <= MAX_ASSIGNED_PARTITIONS;
            if is_within {
                partitions_count += u64::from(topic.partition_count);
            } else {
                let (group, topic) = (&self.record.group, &topic.name);
                tracing::warn!(
                    group,
                    topic,
                    serial,
                    "not assigned: the group has too many partitions"
                );
            }
            is_within
        });
        for (serial, topic) in &self.record.topics {
            if self.holds_any_of(*serial) && catalogue.by_serial(*serial).is_some() {
                let unread = || GroupTopic {
                    is_read: false,
                    ..topic.clone()
                };
                topics.entry(*serial).or_insert_with(unread);
            }
        }
        topics
    }

    fn holds_any_of(&self, serial: u64) -> bool {
        let first = PartitionId::new(serial, 0);
        let held = self.held.range(first..).next();
        held.is_some_and(|partition| partition.topic_serial() == serial)
    }

    /// Makes the target assignment.
    fn assign(&mut self) {
        let assignor = self.record.preferred_assignor();
        let assigned = {
            let work = self.work();
            assignor.assign(&work)
        };
        let ids: Vec<String> = self.record.members.keys().cloned().collect();
        for (id, target) in ids.into_iter().zip(assigned) {
            if self.record.members[&id].target != target {
                let member = self.change(&id).expect("the id was just listed");
                member.target = target;
            }
        }
    }

    fn work(&self) -> Work<'_> {
        let read = self.record.topics.iter().filter(|(_, topic)| topic.is_read);
        let topics: BTreeMap<u64, u32> = read
            .clone()
            .map(|(serial, topic)| (*serial, topic.partition_count))
            .collect();
        let by_name: BTreeMap<&str, u64> = read
            .map(|(serial, topic)| (topic.name.as_str(), *serial))
            .collect();
        let mut work = Work {
            topics,
            ..Work::default()
        };
        let mut known: BTreeMap<(&[String], Option<&String>), usize> = BTreeMap::new();
        for member in self.record.members.values() {
            let key = (member.topics.as_slice(), member.pattern.as_ref());
            let subscription = *known.entry(key).or_insert_with(|| {
                let own = self.subscription(member, &by_name);
                let own = own.into_iter().filter(|it| work.topics.contains_key(it));
                work.subscriptions.push(own.collect());
                work.subscriptions.len() - 1
            });
            let rank = match &member.instance {
                Some(instance) => (false, instance.as_str()),
                None => (true, member.member.as_str()),
            };
            work.subscribers.push(Subscriber {
                subscription,
                before: &member.target,
                rank,
            });
        }
        work
    }

    fn subscription(
        &self,
        member: &ConsumerMember,
        by_name: &BTreeMap<&str, u64>,
    ) -> BTreeSet<u64> {
        let named = member
            .topics
            .iter()
            .filter_map(|it| by_name.get(it.as_str()));
        let matched = member.pattern.as_ref().and_then(|it| self.matches.get(it));
        named
            .chain(matched.into_iter().flatten())
            .copied()
            .collect()
    }
}

impl ConsumerRecord {
    /// The assignor that most of those members ask for who ask for one.
    pub(super) fn preferred_assignor(&self) -> Assignor {
        let asked = self.members.values().filter_map(|it| it.assignor);
        let mut votes: BTreeMap<Assignor, usize> = BTreeMap::new();
        asked.for_each(|assignor| *votes.entry(assignor).or_default() += 1);
        let winner = votes.into_iter().rev().max_by_key(|(_, count)| *count);
        winner.map_or_else(Assignor::default, |(assignor, _)| assignor)
    }
}
