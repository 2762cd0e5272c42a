//! What one fetch session knows (KIP-227): the partitions that the client reads, and what it was
//! last told of each. A request then names what changed, and so does its answer.
//!
//! A session is served round-robin: the next answer begins behind the last partition that got
//! records, so that one with much to read does not starve the others.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
};

use weir_broker::api::{FetchPartition, Fetched, TopicRef};

/// Most partitions of one session, about 150 bytes each. A client with more is served without
/// one.
pub const MAX_SESSION_PARTITIONS_COUNT: usize = 20_000;

/// A partition as the client names it.
pub type Key = (TopicRef, i32);

/// One session's partitions.
#[derive(Debug)]
pub struct FetchSession {
    /// The next request's epoch.
    epoch: i32,
    /// Whether topics are named by id. Names and ids are never mixed.
    by_id: bool,
    partitions: BTreeMap<Key, Cached>,
    /// The last partition that got records.
    served: Option<Key>,
}

#[derive(Debug)]
struct Cached {
    offset: i64,
    max_bytes: usize,
    leader_epoch: i32,
    last_epoch: i32,
    /// High watermark and log start as last told; `None`: to be told whatever they are.
    told: Option<(u64, u64, u64)>,
}

/// A request that does not fit the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// Not the next epoch.
    Epoch,
    /// Names in a session of ids, or the other way round.
    TopicIds,
    /// More partitions than a session may have.
    TooMany,
}

impl FetchSession {
    /// A session of these partitions; `None` where they are too many.
    pub fn new(by_id: bool, partitions: &[FetchPartition]) -> Option<Self> {
        let mut session = Self {
            epoch: 1,
            by_id,
            partitions: BTreeMap::new(),
            served: None,
        };
        session.put(partitions).ok().map(|()| session)
    }

    /// Number of partitions.
    pub fn count(&self) -> usize {
        self.partitions.len()
    }

    /// Takes in what an incremental request changes: it forgets first, as Kafka does.
    pub fn update(
        &mut self,
        epoch: i32,
        by_id: bool,
        forgotten: &[Key],
        changed: &[FetchPartition],
    ) -> Result<(), Misfit> {
        if epoch != self.epoch {
            return Err(Misfit::Epoch);
        }
        if by_id != self.by_id {
            return Err(Misfit::TopicIds);
        }
        for key in forgotten {
            self.partitions.remove(key);
        }
        self.put(changed)?;
        // 0 is for new sessions.
        self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        Ok(())
    }

    fn put(&mut self, partitions: &[FetchPartition]) -> Result<(), Misfit> {
        for partition in partitions {
            let key = (partition.topic.clone(), partition.index);
            let cached = self.partitions.entry(key).or_insert_with(|| Cached {
                offset: 0,
                max_bytes: 0,
                leader_epoch: -1,
                last_epoch: -1,
                told: None,
            });
            cached.offset = partition.offset;
            cached.max_bytes = partition.max_bytes;
            cached.leader_epoch = partition.leader_epoch;
            cached.last_epoch = partition.last_epoch;
            if self.partitions.len() > MAX_SESSION_PARTITIONS_COUNT {
                return Err(Misfit::TooMany);
            }
        }
        Ok(())
    }

    /// All partitions, beginning behind the last one that got records.
    pub fn wanted(&self) -> Vec<FetchPartition> {
        let all = &self.partitions;
        let served = self.served.as_ref();
        let behind = all.range((served.map_or(Unbounded, Excluded), Unbounded));
        let up_to = served.into_iter().flat_map(|served| all.range(..=served));
        behind
            .chain(up_to)
            .map(|((topic, index), cached)| FetchPartition {
                topic: topic.clone(),
                index: *index,
                offset: cached.offset,
                max_bytes: cached.max_bytes,
                leader_epoch: cached.leader_epoch,
                last_epoch: cached.last_epoch,
            })
            .collect()
    }

    /// Whether the client must hear of `fetched`; from then on it has. A partition that was
    /// forgotten meanwhile is told.
    pub fn tell(&mut self, key: &Key, fetched: &Fetched) -> bool {
        let Some(cached) = self.partitions.get_mut(key) else {
            return true;
        };
        let now = (
            fetched.high_watermark.0,
            fetched.last_stable.0,
            fetched.log_start.0,
        );
        let Ok(batches) = &fetched.batches else {
            // What comes after an error is told again.
            cached.told = None;
            return true;
        };
        let has_records = batches.size_bytes > 0;
        if has_records {
            self.served = Some(key.clone());
        }
        let is_news = cached.told.replace(now) != Some(now);
        has_records || is_news || fetched.preferred.is_some() || fetched.diverging.is_some()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weir_broker::api::FetchedBatches;
    use weir_model::{ErrorKind, Offset, TopicName};

    use super::*;

    fn topic() -> TopicRef {
        TopicRef::Name(TopicName::new("t").unwrap())
    }

    fn partition(index: i32, offset: i64) -> FetchPartition {
        FetchPartition {
            topic: topic(),
            index,
            offset,
            max_bytes: 100,
            leader_epoch: 1,
            last_epoch: -1,
        }
    }

    fn session(count: i32) -> FetchSession {
        let partitions: Vec<_> = (0..count).map(|index| partition(index, 0)).collect();
        FetchSession::new(false, &partitions).unwrap()
    }

    fn fetched(size_bytes: usize, high_watermark: u64) -> Fetched {
        let chunks = vec![Bytes::from(vec![0; size_bytes])];
        Fetched {
            batches: Ok(FetchedBatches { chunks, size_bytes }),
            high_watermark: Offset(high_watermark),
            ..Fetched::default()
        }
    }

    fn order(session: &FetchSession) -> Vec<i32> {
        session.wanted().iter().map(|each| each.index).collect()
    }

    #[test]
    fn epochs_follow_each_other_and_wrap_past_the_one_of_new_sessions() {
        let mut session = session(1);
        assert_eq!(session.update(2, false, &[], &[]), Err(Misfit::Epoch));
        assert_eq!(session.update(1, true, &[], &[]), Err(Misfit::TopicIds));
        assert_eq!(session.update(1, false, &[], &[]), Ok(()));
        assert_eq!(session.update(1, false, &[], &[]), Err(Misfit::Epoch));
        session.epoch = i32::MAX;
        assert_eq!(session.update(i32::MAX, false, &[], &[]), Ok(()));
        assert_eq!(session.epoch, 1);
    }

    #[test]
    fn a_request_changes_adds_and_forgets() {
        let mut session = session(2);
        let forgotten = [(topic(), 1), (topic(), 9)];
        let changed = [partition(0, 50), partition(5, 7)];
        session.update(1, false, &forgotten, &changed).unwrap();
        let wanted: Vec<_> = session
            .wanted()
            .iter()
            .map(|p| (p.index, p.offset))
            .collect();
        assert_eq!(wanted, [(0, 50), (5, 7)]);
        // Forgotten and named at once: it is there.
        let both = [partition(0, 51)];
        session.update(2, false, &[(topic(), 0)], &both).unwrap();
        assert_eq!(session.count(), 2);
    }

    #[test]
    fn only_news_is_told() {
        let mut session = session(1);
        let key = (topic(), 0);
        assert!(session.tell(&key, &fetched(0, 5)), "never told");
        assert!(!session.tell(&key, &fetched(0, 5)));
        assert!(session.tell(&key, &fetched(0, 6)), "high watermark");
        let trimmed = Fetched {
            log_start: Offset(2),
            ..fetched(0, 6)
        };
        assert!(session.tell(&key, &trimmed), "log start");
        assert!(!session.tell(&key, &trimmed));
        assert!(session.tell(
            &key,
            &Fetched {
                preferred: Some(2),
                ..trimmed
            }
        ));
        let failed = Fetched {
            batches: Err(ErrorKind::NotLeader),
            ..fetched(0, 6)
        };
        assert!(session.tell(&key, &failed));
        assert!(session.tell(&key, &failed), "an error each time");
        assert!(session.tell(&key, &fetched(0, 6)), "after an error");
        assert!(session.tell(&key, &fetched(10, 6)), "records");
        assert!(session.tell(&(topic(), 3), &fetched(0, 0)), "forgotten");
    }

    #[test]
    fn the_next_answer_begins_behind_the_last_partition_that_got_records() {
        let mut session = session(4);
        assert_eq!(order(&session), [0, 1, 2, 3]);
        session.tell(&(topic(), 0), &fetched(9, 1));
        session.tell(&(topic(), 1), &fetched(9, 1));
        session.tell(&(topic(), 2), &fetched(0, 1));
        assert_eq!(order(&session), [2, 3, 0, 1]);
        session.update(1, false, &[(topic(), 1)], &[]).unwrap();
        assert_eq!(order(&session), [2, 3, 0], "also behind one that is gone");
        session.tell(&(topic(), 3), &fetched(9, 1));
        assert_eq!(order(&session), [0, 2, 3]);
    }

    #[test]
    fn a_session_has_a_limit_and_one_past_it_is_refused() {
        let most = i32::try_from(MAX_SESSION_PARTITIONS_COUNT).unwrap();
        let mut full = session(most);
        let one_more = [partition(most, 0)];
        assert_eq!(full.update(1, false, &[], &one_more), Err(Misfit::TooMany));
        let all: Vec<_> = (0..=most).map(|index| partition(index, 0)).collect();
        assert!(FetchSession::new(false, &all).is_none());
    }
}
