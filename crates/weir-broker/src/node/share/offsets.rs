//! Where share groups stand, as administrators ask for it and set it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weir_model::{ErrorKind, GroupId, PartitionId, TopicId, TopicName};

use super::calls::{CallAnswer, ShareCall, SharePlace};
use crate::{
    Node,
    api::{
        GroupPhase, Outcome, Refused,
        share::{DescribeShareOffsets, DescribedShareOffset, ShareAdmin, ShareAdminAnswer},
    },
    gather::Gather,
    mailbox::Reply,
    shard::Shard,
    share::ShareCommand,
};

type Described = Result<Vec<DescribedShareOffset>, Refused>;

impl Node {
    /// Serves an administrator of share groups.
    pub(in crate::node) fn share_admin(self: &Arc<Self>, asked: ShareAdmin, reply: Reply) {
        match asked {
            ShareAdmin::Describe(groups) => self.describe_share_offsets(groups, reply),
            ShareAdmin::Alter { group, places } => self.alter_share_offsets(group, places, reply),
            ShareAdmin::Delete { group, topics } => self.delete_share_offsets(group, topics, reply),
        }
    }

    fn describe_share_offsets(self: &Arc<Self>, groups: Vec<DescribeShareOffsets>, reply: Reply) {
        let unsettled: Described = Err(ErrorKind::TimedOut.into());
        let told = |all| Outcome::ShareAdmin(ShareAdminAnswer::Described(all));
        let task = Arc::new(Gather::new(groups.len(), unsettled, reply, told));
        for (at, wanted) in groups.into_iter().enumerate() {
            let (node, refuse) = (Arc::clone(self), Arc::clone(&task));
            let (task, id) = (Arc::clone(&task), wanted.group.clone());
            self.visit_group(
                &id,
                move |error| refuse.settle(at, Err(error.into())),
                Box::new(move |shard, _| {
                    let read = match shard.share_topics(&wanted.group) {
                        Ok(read) => read,
                        Err(refused) => return task.settle(at, Err(refused)),
                    };
                    let call = ShareCall::List(wanted.group.clone());
                    let asking = Arc::clone(&node);
                    let done = move |places: CallAnswer| {
                        let described = places.map(|places| node.told(&wanted, &read, &places));
                        task.settle(at, described.map_err(Refused::from));
                    };
                    asking.ask_all_shards(&call, Box::new(done));
                }),
            );
        }
    }

    /// The partitions that are asked for, or all that the group has or reads.
    fn told(
        &self,
        wanted: &DescribeShareOffsets,
        read: &BTreeSet<u64>,
        places: &[SharePlace],
    ) -> Vec<DescribedShareOffset> {
        let topology = self.topology.load();
        let by_id: BTreeMap<PartitionId, &SharePlace> = places
            .iter()
            .map(|place| (place.partition, place))
            .collect();
        let describe = |name: &TopicName, index: i32| {
            let topic = topology.by_name(name);
            let found = topic.and_then(|topic| Some((topic.id, topic.partition(index)?.0)));
            DescribedShareOffset {
                topic: name.clone(),
                id: found.map(|(id, _)| id),
                index,
                place: match found {
                    None => Err(ErrorKind::UnknownTopicOrPartition),
                    Some((_, id)) => Ok(by_id.get(&id).map(|place| (place.start, place.lag))),
                },
            }
        };
        if let Some(topics) = &wanted.topics {
            let asked = topics.iter();
            let asked = asked.flat_map(|(name, indexes)| indexes.iter().map(move |it| (name, *it)));
            return asked.map(|(name, index)| describe(name, index)).collect();
        }
        let had = places.iter().map(|place| place.partition.topic_serial());
        let serials: BTreeSet<u64> = had.chain(read.iter().copied()).collect();
        let topics = serials.into_iter().filter_map(|it| topology.by_serial(it));
        let all = topics.flat_map(|topic| {
            let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
            (0..count).map(move |index| (topic, index))
        });
        all.map(|(topic, index)| describe(&topic.name, index))
            .collect()
    }

    fn alter_share_offsets(
        self: &Arc<Self>,
        group: String,
        places: Vec<(TopicName, i32, i64)>,
        reply: Reply,
    ) {
        let node = Arc::clone(self);
        let refuse =
            |refused: Refused| Outcome::ShareAdmin(ShareAdminAnswer::Changed(Err(refused)));
        self.coordinate(
            &group.clone(),
            reply,
            move |error| refuse(error.into()),
            move |shard, _, reply| {
                if let Err(refused) = shard.check_share_is_empty(&group) {
                    return reply.send(refuse(refused));
                }
                let (mut calls, mut answers) = (Vec::new(), Vec::new());
                for (topic, index, offset) in places {
                    let found = node.share_partition(&topic, index);
                    let start = u64::try_from(offset).map_err(|_| ErrorKind::InvalidRequest);
                    answers.push(found.and_then(|(id, shard, partition)| {
                        calls.push((
                            shard,
                            ShareCall::Change(ShareCommand::Begin {
                                group: group.clone(),
                                partition,
                                start: start?,
                                is_first: false,
                            }),
                        ));
                        Ok(id)
                    }));
                }
                node.ask_shards(calls, changed(answers, reply));
            },
        );
    }

    fn share_partition(
        &self,
        topic: &TopicName,
        index: i32,
    ) -> Result<(TopicId, GroupId, PartitionId), ErrorKind> {
        let topology = self.topology.load();
        let topic = topology.by_name(topic);
        let found = topic.and_then(|topic| {
            let (partition, shard) = topic.partition(index)?;
            Some((topic.id, shard, partition))
        });
        found.ok_or(ErrorKind::UnknownTopicOrPartition)
    }

    fn delete_share_offsets(self: &Arc<Self>, group: String, topics: Vec<TopicName>, reply: Reply) {
        let node = Arc::clone(self);
        let refuse =
            |refused: Refused| Outcome::ShareAdmin(ShareAdminAnswer::Changed(Err(refused)));
        self.coordinate(
            &group.clone(),
            reply,
            move |error| refuse(error.into()),
            move |shard, context, reply| {
                if let Err(refused) = shard.check_share_is_empty(&group) {
                    return reply.send(refuse(refused));
                }
                let topology = node.topology.load_full();
                let found = topics.iter().map(|name| topology.by_name(name));
                let found: Vec<_> = found.collect();
                let serials = found.iter().flatten().map(|topic| topic.serial);
                let serials: BTreeSet<u64> = serials.collect();
                let answers = found.iter().map(|topic| match topic {
                    Some(topic) => Ok(topic.id),
                    None => Err(ErrorKind::UnknownTopicOrPartition),
                });
                let answers = answers.collect();
                shard.forget_share_topics(&group, &serials, context);
                let call = ShareCall::Change(ShareCommand::Forget {
                    group,
                    topics: Some(serials),
                });
                node.ask_all_shards(&call, changed(answers, reply));
            },
        );
    }

    /// Forgets all that a group has, wherever that is.
    pub(in crate::node) fn forget_share_group(
        self: &Arc<Self>,
        group: &str,
        done: impl FnOnce(Result<(), ErrorKind>) + Send + 'static,
    ) {
        let call = ShareCall::Change(ShareCommand::Forget {
            group: group.to_owned(),
            topics: None,
        });
        let done = move |answer: CallAnswer| done(answer.map(drop));
        self.ask_all_shards(&call, Box::new(done));
    }
}

/// Answers once all changes are made; where one is not, none is said to be.
fn changed(
    answers: Vec<Result<TopicId, ErrorKind>>,
    reply: Reply,
) -> Box<dyn FnOnce(CallAnswer) + Send> {
    Box::new(move |made| {
        let answers = match made {
            Ok(_) => answers,
            Err(error) => answers.into_iter().map(|it| it.and(Err(error))).collect(),
        };
        reply.send(Outcome::ShareAdmin(ShareAdminAnswer::Changed(Ok(answers))));
    })
}

impl Shard {
    /// Serials of the topics that a share group reads or has read.
    fn share_topics(&self, id: &str) -> Result<BTreeSet<u64>, Refused> {
        self.describe_share(id)?;
        Ok(self.share_group_topics(id).collect())
    }

    fn check_share_is_empty(&self, id: &str) -> Result<(), Refused> {
        match self.describe_share(id)?.state {
            GroupPhase::Empty => Ok(()),
            _ => Err(Refused {
                error: ErrorKind::NonEmptyGroup,
                reason: format!("Share group {id} is not empty."),
            }),
        }
    }
}
