//! The assignor `simple`: every partition has a reader, and every subscriber something to read.

use std::collections::BTreeMap;

use weir_model::PartitionId;

use crate::group::consumer::config::MAX_ASSIGNED_PARTITIONS;

use super::super::consumer::{ConsumerRecord, GroupTopic};

/// Its name.
pub(super) const NAME: &str = "simple";

/// Who is to read what. Topic by topic, members and partitions are paired in turn until each member
/// and each partition has its pair; the next topic goes on with the next member.
pub(super) fn assign(record: &ConsumerRecord) -> BTreeMap<&str, Vec<PartitionId>> {
    let mut targets: BTreeMap<&str, Vec<PartitionId>> = BTreeMap::new();
    let mut subscribers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (id, member) in &record.members {
        targets.insert(id, Vec::new());
        for topic in &member.topics {
            subscribers.entry(topic).or_default().push(id);
        }
    }
    let (mut turn, mut total) = (0, 0);
    for (serial, topic) in read(record) {
        let Some(members) = subscribers.get(topic.name.as_str()) else {
            continue;
        };
        let partition_count = topic.partition_count as usize;
        let pair_count = partition_count.max(members.len());
        total += pair_count as u64;
        if partition_count == 0 || total > MAX_ASSIGNED_PARTITIONS {
            tracing::warn!(group = record.group, topic = topic.name, "not assigned");
            continue;
        }
        for at in 0..pair_count {
            let index = u32::try_from(at % partition_count).expect("a topic's partitions are few");
            let partition = PartitionId::new(*serial, index);
            let member = members[(turn + at) % members.len()];
            targets.entry(member).or_default().push(partition);
        }
        turn += pair_count;
    }
    for partitions in targets.values_mut() {
        partitions.sort_unstable();
        partitions.dedup();
    }
    targets
}

fn read(record: &ConsumerRecord) -> impl Iterator<Item = (&u64, &GroupTopic)> {
    record.topics.iter().filter(|(_, topic)| topic.is_read)
}
