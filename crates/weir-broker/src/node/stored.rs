//! What is where: the metadata group's replicas, and what this node stores.

use std::collections::{BTreeMap, BTreeSet};

use weir_model::{ErrorKind, GroupId, NodeId, TopicName};

use super::{Node, topics::wire};
use crate::{
    api::admin::{LogDir, Quorum, QuorumReplica, StoredPartition},
    view,
};

impl Node {
    pub(super) fn quorum(&self) -> Result<Quorum, ErrorKind> {
        let view = self.view_of(GroupId::METADATA);
        let leader = view.leader.ok_or(ErrorKind::NotLeader)?;
        let applied = if leader == self.id() {
            self.applied(GroupId::METADATA)
        } else {
            let cluster = self.cluster();
            let known = cluster.nodes.get(&leader);
            known.map_or(0, |node| node.metadata_applied)
        };
        // The view's may be older.
        let last_index = view.last_index.max(applied);
        let index = |index: u64| i64::try_from(index).unwrap_or(i64::MAX).saturating_add(1);
        let replica = |node: &NodeId| {
            let follower = view.followers.iter().find(|each| each.node == *node);
            let is_leader = *node == leader;
            let log_end = match follower {
                _ if is_leader => index(last_index),
                Some(follower) => index(follower.matched),
                None => -1,
            };
            Some(QuorumReplica {
                node: wire(*node)?,
                log_end,
                is_active: is_leader || follower.is_some_and(|each| each.is_active),
            })
        };
        let brokers = self.brokers(&self.topology.load());
        Ok(Quorum {
            leader: wire(leader).ok_or(ErrorKind::NotLeader)?,
            leader_epoch: view.term.leader_epoch(),
            high_watermark: index(applied),
            voters: view::voters(&view).iter().filter_map(replica).collect(),
            observers: view.members.learners.iter().filter_map(replica).collect(),
            nodes: brokers
                .into_iter()
                .map(|each| (each.node, each.host, each.port))
                .collect(),
        })
    }

    /// Topics that are deleted are left out, even while files of theirs are there.
    pub(super) fn log_dir(&self, wanted: Option<Vec<(TopicName, Vec<i32>)>>) -> LogDir {
        let topology = self.topology.load();
        let mut topics: BTreeMap<TopicName, Vec<StoredPartition>> = BTreeMap::new();
        let is_voter = |group: &GroupId| view::voters(&self.view_of(*group)).contains(&self.id());
        let here: BTreeSet<GroupId> = self.groups_with_partitions().filter(is_voter).collect();
        let stored = |topic: &crate::metadata::TopicRecord, index: i32| {
            let (id, group) = topic.partition(index)?;
            // What was never written to takes nothing.
            let log = self.env.registry.get(id);
            let size_bytes = log.map_or(0, |log| log.size_bytes());
            here.contains(&group)
                .then_some(StoredPartition { index, size_bytes })
        };
        match wanted {
            Some(wanted) => {
                for (name, indexes) in wanted {
                    let Some(topic) = topology.by_name(&name) else {
                        continue;
                    };
                    let found = indexes.into_iter().filter_map(|index| stored(topic, index));
                    topics.entry(name).or_default().extend(found);
                }
            }
            None => {
                for topic in topology.topics() {
                    let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
                    let found = (0..count).filter_map(|index| stored(topic, index));
                    topics.insert(topic.name.clone(), found.collect());
                }
            }
        }
        topics.retain(|_, partitions| !partitions.is_empty());
        LogDir {
            path: self.config.data_dir.clone(),
            total_bytes: None,
            usable_bytes: self.disk.free_bytes().ok(),
            topics: topics.into_iter().collect(),
        }
    }
}
