//! All that share groups have of a shard's partitions.

use std::collections::{BTreeMap, BTreeSet};

use weir_log::Millis;
use weir_model::PartitionId;

use super::{MAX_SHARE_PARTITIONS, ShareCommand, SharePartition, Step, partition::NotHeld};
use crate::api::share::AcquiredRange;

/// Most share partitions whose locks one command ends.
const MAX_EXPIRED_COUNT: usize = 1_000;

/// A group's part of a partition.
pub(crate) type ShareKey = (PartitionId, String);

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ShareApplied {
    /// Of each part of a step.
    Stepped(Vec<Stepped>),
    /// There are too many share partitions.
    TooMany,
    /// It cannot fail.
    Done,
}

/// What became of a part of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stepped {
    pub(crate) acknowledged: Result<(), NotHeld>,
    /// Ascending.
    pub(crate) acquired: Vec<AcquiredRange>,
}

/// Replicated.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ShareTable {
    pub(super) partitions: BTreeMap<ShareKey, SharePartition>,
    /// When locks end next, of those that have any; follows from the above.
    ends: BTreeSet<(i64, ShareKey)>,
}

impl ShareTable {
    pub(super) fn of(partitions: BTreeMap<ShareKey, SharePartition>) -> Self {
        let ends = partitions.iter().filter_map(|(key, partition)| {
            let at = partition.next_end_ms()?;
            Some((at, key.clone()))
        });
        Self {
            ends: ends.collect(),
            partitions,
        }
    }

    pub(crate) fn get(&self, key: &ShareKey) -> Option<&SharePartition> {
        self.partitions.get(key)
    }

    /// When the next lock ends, by the group's clock.
    pub(crate) fn next_end(&self) -> Option<Millis> {
        self.ends.first().map(|(at, _)| Millis(*at))
    }

    /// Serials of the topics that anything is kept of.
    pub(crate) fn topics(&self) -> impl Iterator<Item = u64> {
        self.partitions.keys().map(|(id, _)| id.topic_serial())
    }

    /// Those in which records wait for their copies.
    pub(crate) fn with_dead(&self) -> impl Iterator<Item = &ShareKey> {
        let all = self.partitions.iter();
        let dead = all.filter(|(_, partition)| partition.dead_count() > 0);
        dead.map(|(key, _)| key)
    }

    /// What the group has, by partition.
    pub(crate) fn of_group(
        &self,
        group: &str,
    ) -> impl Iterator<Item = (PartitionId, &SharePartition)> {
        let all = self.partitions.iter();
        let own = all.filter(move |((_, of), _)| of == group);
        own.map(|((id, _), partition)| (*id, partition))
    }

    /// Changes one share partition, and notes when its locks end.
    fn with<R>(
        &mut self,
        key: &ShareKey,
        change: impl FnOnce(&mut SharePartition) -> R,
    ) -> Option<R> {
        let partition = self.partitions.get_mut(key)?;
        let before = partition.next_end_ms();
        let result = change(partition);
        let after = partition.next_end_ms();
        if before != after {
            if let Some(before) = before {
                self.ends.remove(&(before, key.clone()));
            }
            if let Some(after) = after {
                self.ends.insert((after, key.clone()));
            }
        }
        Some(result)
    }

    /// Carries a change out. `log_start` tells where a partition's log begins; `stirred` gets the
    /// share partitions in which something may be ready that was not.
    pub(crate) fn apply(
        &mut self,
        now: Millis,
        command: ShareCommand,
        log_start: impl Fn(PartitionId) -> u64,
        stirred: &mut Vec<ShareKey>,
    ) -> ShareApplied {
        match command {
            ShareCommand::Step(step) => {
                return ShareApplied::Stepped(self.step(now, step, log_start, stirred));
            }
            ShareCommand::Release {
                group,
                member,
                partitions,
            } => {
                for id in partitions {
                    let key = (id, group.clone());
                    if self.with(&key, |it| it.release(&member)) == Some(true) {
                        stirred.push(key);
                    }
                }
            }
            ShareCommand::Expire => self.expire(now, stirred),
            ShareCommand::Begin {
                group,
                partition,
                start,
                is_first,
            } => {
                let key = (partition, group);
                let is_new = !self.partitions.contains_key(&key);
                if is_new && self.partitions.len() >= MAX_SHARE_PARTITIONS {
                    return ShareApplied::TooMany;
                }
                if is_new || !is_first {
                    self.remove(&key);
                    let start = start.max(log_start(partition));
                    self.partitions
                        .insert(key.clone(), SharePartition::new(start));
                    stirred.push(key);
                }
            }
            ShareCommand::Forget { group, topics } => {
                let is_meant = |(id, of): &&ShareKey| {
                    let topic = id.topic_serial();
                    *of == group && topics.as_ref().is_none_or(|all| all.contains(&topic))
                };
                let gone: Vec<_> = self.partitions.keys().filter(is_meant).cloned().collect();
                for key in gone {
                    self.remove(&key);
                    stirred.push(key);
                }
            }
            ShareCommand::Copied {
                group,
                partition,
                records,
            } => {
                let key = (partition, group);
                self.with(&key, |it| it.copied(&records));
                stirred.push(key);
            }
        }
        ShareApplied::Done
    }

    fn step(
        &mut self,
        now: Millis,
        step: Step,
        log_start: impl Fn(PartitionId) -> u64,
        stirred: &mut Vec<ShareKey>,
    ) -> Vec<Stepped> {
        let Step {
            group,
            member,
            terms,
            parts,
        } = step;
        let stepped = parts.into_iter().map(|part| {
            let key = (part.partition, group.clone());
            let begin = log_start(part.partition);
            let stepped = self.with(&key, |partition| {
                partition.trim(begin);
                let acks = &part.acks;
                let acknowledged = match acks.is_empty() {
                    true => Ok(()),
                    false => partition.acknowledge(now, &member, acks, begin, terms),
                };
                let take = part.take.as_ref();
                let acquired = take.map(|take| partition.take(now, &member, take, terms));
                Stepped {
                    acknowledged,
                    acquired: acquired.unwrap_or_default(),
                }
            });
            stirred.push(key);
            stepped.unwrap_or(Stepped {
                acknowledged: match part.acks.is_empty() {
                    true => Ok(()),
                    false => Err(NotHeld),
                },
                acquired: Vec::new(),
            })
        });
        stepped.collect()
    }

    fn expire(&mut self, now: Millis, stirred: &mut Vec<ShareKey>) {
        let due = self.ends.iter().take_while(|(at, _)| *at <= now.0);
        let due = due.take(MAX_EXPIRED_COUNT).map(|(_, key)| key.clone());
        for key in due.collect::<Vec<_>>() {
            self.with(&key, |partition| partition.expire(now));
            stirred.push(key);
        }
    }

    fn remove(&mut self, key: &ShareKey) {
        if let Some(partition) = self.partitions.remove(key)
            && let Some(at) = partition.next_end_ms()
        {
            self.ends.remove(&(at, key.clone()));
        }
    }

    /// The partition's log begins at `start`: what was before it is nobody's any more.
    pub(crate) fn trim(&mut self, id: PartitionId, start: u64) {
        let keys = self.partitions.range((id, String::new())..);
        let of_this = keys.take_while(|((other, _), _)| *other == id);
        let keys: Vec<ShareKey> = of_this.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.with(&key, |partition| partition.trim(start));
        }
    }

    /// These topics are gone.
    pub(crate) fn forget_topics(&mut self, topics: &BTreeSet<u64>) {
        let is_gone = |(id, _): &&ShareKey| topics.contains(&id.topic_serial());
        let gone: Vec<_> = self.partitions.keys().filter(is_gone).cloned().collect();
        gone.iter().for_each(|key| self.remove(key));
    }
}
