//! Which offsets nobody needs any more.
//!
//! As Kafka since 2.1 (KIP-211): the offsets of a group without members live for a time after it
//! lost the last one, those of consumers without a group after their commit, and those of a
//! topic that a group's members do not read any more likewise.

use std::collections::BTreeSet;

use weir_log::Millis;
use weir_model::PartitionId;

use super::offsets::StoredOffset;

/// Who may still need a group's offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There never was a member: consumers that choose their partitions themselves.
    Memberless,
    /// No members, since then.
    Empty(Millis),
    /// Members that read the topics with these serial numbers.
    Reads(BTreeSet<u64>),
    /// Members of whom it is not known what they need.
    Busy,
}

/// What a look at one group found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expired {
    /// All is needed.
    Nothing,
    /// These places, each with the time at which it was committed, but not the others.
    Places(Vec<(PartitionId, Millis)>),
    /// All, and the group has no members.
    Group,
}

/// Looks at one group at `now`.
pub fn look<'a>(
    now: Millis,
    retention_ms: u64,
    standing: &Standing,
    places: impl Iterator<Item = (PartitionId, &'a StoredOffset)>,
) -> Expired {
    let is_over = |since: Millis| since.plus(retention_ms) <= now;
    let is_expired = |partition: PartitionId, stored: &StoredOffset| match standing {
        Standing::Memberless => is_over(stored.committed),
        Standing::Empty(since) => is_over(stored.committed.max(*since)),
        Standing::Reads(topics) => {
            !topics.contains(&partition.topic_serial()) && is_over(stored.committed)
        }
        Standing::Busy => false,
    };
    let mut expired = Vec::new();
    let mut is_all = true;
    for (partition, stored) in places {
        if is_expired(partition, stored) {
            expired.push((partition, stored.committed));
        } else {
            is_all = false;
        }
    }
    match standing {
        Standing::Memberless | Standing::Empty(_) if is_all => Expired::Group,
        _ if expired.is_empty() => Expired::Nothing,
        _ => Expired::Places(expired),
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    const RETENTION_MS: u64 = 100;

    fn places(committed: [i64; 2]) -> Vec<(PartitionId, StoredOffset)> {
        let place = |serial, committed| {
            let stored = StoredOffset {
                offset: 1,
                leader_epoch: -1,
                metadata: "".into(),
                committed: Millis(committed),
            };
            (PartitionId::new(serial, 0), stored)
        };
        vec![place(1, committed[0]), place(2, committed[1])]
    }

    fn at(now: i64, standing: &Standing, committed: [i64; 2]) -> Expired {
        let places = places(committed);
        let places = places.iter().map(|(id, stored)| (*id, stored));
        look(Millis(now), RETENTION_MS, standing, places)
    }

    fn first(committed: i64) -> Expired {
        Expired::Places(vec![(PartitionId::new(1, 0), Millis(committed))])
    }

    #[test]
    fn without_members_ever_the_commit_counts() {
        let standing = Standing::Memberless;
        assert_eq!(at(99, &standing, [0, 10]), Expired::Nothing);
        assert_eq!(at(100, &standing, [0, 10]), first(0));
        assert_eq!(at(110, &standing, [0, 10]), Expired::Group);
    }

    #[test]
    fn an_empty_group_keeps_all_until_it_has_been_empty_for_long_enough() {
        let standing = Standing::Empty(Millis(50));
        assert_eq!(at(149, &standing, [0, 10]), Expired::Nothing);
        assert_eq!(at(150, &standing, [0, 10]), Expired::Group);
        assert_eq!(at(150, &standing, [0, 51]), first(0));
    }

    #[test]
    fn members_keep_what_they_read_and_an_unknown_protocol_keeps_all() {
        let reads = Standing::Reads(BTreeSet::from([2]));
        assert_eq!(at(1_000, &reads, [0, 0]), first(0));
        let nothing = Standing::Reads(BTreeSet::new());
        assert!(matches!(at(1_000, &nothing, [0, 0]), Expired::Places(all) if all.len() == 2));
        assert_eq!(at(1_000, &Standing::Busy, [0, 0]), Expired::Nothing);
    }
}
