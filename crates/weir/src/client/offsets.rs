//! Offsets of partitions: where they begin and end, and what they were at a time.

use std::collections::BTreeMap;

use kafka_protocol::messages::{
    BrokerId, ListOffsetsRequest,
    list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
};

use super::{Client, ClientError, To, cluster::topic_name, error::check};

const LIST_OFFSETS_VERSION: i16 = 7;

/// A partition of a topic.
pub(crate) type Place = (String, i32);

/// Which offset is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Earliest,
    Latest,
    /// The first message at or after this time, in ms since 1970; the end where there is none.
    Time(i64),
}

impl At {
    fn wire(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::Time(ms) => ms.max(0),
        }
    }
}

impl Client {
    /// These partitions by their leaders.
    pub(crate) fn leaders(
        &mut self,
        places: &[Place],
    ) -> Result<BTreeMap<i32, Vec<Place>>, ClientError> {
        if places.iter().any(|place| !self.leaders.contains_key(place)) {
            self.learn_leaders(places)?;
        }
        let mut led: BTreeMap<i32, Vec<Place>> = BTreeMap::new();
        for place in places {
            let leader = self.leaders.get(place).copied();
            let leader = leader.ok_or_else(|| ClientError::NoLeader {
                what: format!("partition {} of topic {}", place.1, place.0),
            })?;
            led.entry(leader).or_default().push(place.clone());
        }
        Ok(led)
    }

    fn learn_leaders(&mut self, places: &[Place]) -> Result<(), ClientError> {
        let mut names: Vec<&str> = places.iter().map(|(topic, _)| topic.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let answer = self.metadata(Some(&names), false)?;
        for topic in answer.topics {
            let name = topic
                .name
                .map_or_else(String::new, |name| name.0.to_string());
            check(topic.error_code, &format!("topic {name}"), None)?;
            for partition in topic.partitions {
                let place = (name.clone(), partition.partition_index);
                if partition.leader_id.0 >= 0 {
                    self.leaders.insert(place, partition.leader_id.0);
                }
            }
        }
        Ok(())
    }

    /// What was known of leaders is no longer true.
    pub(crate) fn forget_leaders(&mut self) {
        self.leaders.clear();
    }

    /// The offset of each of these partitions.
    pub(crate) fn offsets(
        &mut self,
        places: &[Place],
        at: At,
    ) -> Result<BTreeMap<Place, i64>, ClientError> {
        self.retried(|client| {
            let mut found = BTreeMap::new();
            for (leader, led) in client.leaders(places)? {
                client.offsets_on(leader, &led, at, &mut found)?;
            }
            Ok(found)
        })
        .and_then(|mut found| {
            // Nothing that late: reading goes on with what comes.
            let missing: Vec<Place> = found
                .iter()
                .filter(|(_, offset)| **offset < 0)
                .map(|(place, _)| place.clone())
                .collect();
            if !missing.is_empty() && at != At::Latest {
                found.extend(self.offsets(&missing, At::Latest)?);
            }
            Ok(found)
        })
    }

    fn offsets_on(
        &mut self,
        leader: i32,
        places: &[Place],
        at: At,
        found: &mut BTreeMap<Place, i64>,
    ) -> Result<(), ClientError> {
        let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for (topic, index) in places {
            let partition = ListOffsetsPartition::default()
                .with_partition_index(*index)
                .with_current_leader_epoch(-1)
                .with_timestamp(at.wire());
            topics.entry(topic).or_default().push(partition);
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            ListOffsetsTopic::default()
                .with_name(topic_name(name))
                .with_partitions(partitions)
        });
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_topics(topics.collect());
        let answer = self.ask(To::Node(leader), &request, LIST_OFFSETS_VERSION)?;
        for topic in answer.topics {
            for partition in topic.partitions {
                let (name, index) = (topic.name.0.to_string(), partition.partition_index);
                let what = format!("partition {index} of topic {name}");
                check(partition.error_code, &what, None)?;
                found.insert((name, index), partition.offset);
            }
        }
        Ok(())
    }
}
