//! Requests about the cluster, and changes of topics besides their creation.

use std::sync::Arc;

use weir_model::{ErrorKind, NodeId, TopicId, TopicName};

use super::Node;
use crate::{
    api::{
        Outcome, TopicRef,
        admin::{CreatePartitions, Manage, Managed, MorePartitions, Refusal},
    },
    audit::{Requester, is_internal},
    gather::Gather,
    mailbox::Reply,
    metadata::{
        MetadataCommand, MetadataOutcome, grow, placement, state::MAX_PARTITIONS_PER_TOPIC,
    },
    steward::{AdminAnswer, AdminRequest},
};

type Deleted = Result<(TopicName, TopicId), Refusal>;
pub(super) type Checked = Result<(), Refusal>;

impl Node {
    pub(super) fn manage(self: &Arc<Self>, manage: Manage, reply: Reply) {
        match manage {
            Manage::DeleteTopics(topics) => self.delete_topics(topics, reply),
            Manage::CreatePartitions(create) => self.create_partitions(&create, reply),
            Manage::DeleteRecords(wanted) => self.delete_records(wanted, reply),
            Manage::DescribeConfigs(wanted) => {
                let answers = wanted.iter().map(|each| self.describe_configs(each));
                reply.send(Outcome::Managed(Managed::Configs(answers.collect())));
            }
            Manage::AlterConfigs(alter) => self.alter_configs(alter, reply),
            Manage::ListConfigResources => {
                let resources = self.config_resources();
                reply.send(Outcome::Managed(Managed::ConfigResources(resources)));
            }
            Manage::DescribeQuorum => {
                reply.send(Outcome::Managed(Managed::Quorum(self.quorum())));
            }
            Manage::DescribeLogDirs(wanted) => {
                let dir = self.log_dir(wanted);
                reply.send(Outcome::Managed(Managed::LogDirs(dir)));
            }
            Manage::ElectLeaders(elect) => self.elect_leaders(&elect, reply),
            Manage::Reassign(wanted) => self.reassign(&wanted, reply),
            Manage::ListMoving(wanted) => self.list_moving(wanted.as_deref(), reply),
            Manage::RemoveNode(node) => self.remove_node(node, reply),
        }
    }

    fn remove_node(self: &Arc<Self>, node: i32, reply: Reply) {
        let send = |reply: Reply, answer: Checked| {
            reply.send(Outcome::Managed(Managed::Checked(vec![answer])));
        };
        let id = u64::try_from(node).unwrap_or(0);
        if !self.topology.load().nodes().contains_key(&NodeId(id)) {
            let message = format!("No node has the id {node}.");
            return send(reply, Err(Refusal::new(ErrorKind::UnknownNode, message)));
        }
        let done = Box::new(move |answer| {
            send(
                reply,
                match answer {
                    AdminAnswer::Done { .. } | AdminAnswer::Status(_) => Ok(()),
                    AdminAnswer::Refused { reason } => {
                        Err(Refusal::new(ErrorKind::InvalidRequest, reason))
                    }
                    AdminAnswer::NotYet { reason } => {
                        Err(Refusal::new(ErrorKind::TimedOut, reason))
                    }
                },
            );
        });
        self.admin(
            &Requester::default(),
            AdminRequest::Remove { node: id },
            done,
        );
    }

    fn delete_topics(self: &Arc<Self>, topics: Vec<TopicRef>, reply: Reply) {
        let unsettled: Deleted = Err(ErrorKind::TimedOut.into());
        let outcome = |answers| Outcome::Managed(Managed::DeletedTopics(answers));
        let task = Arc::new(Gather::new(topics.len(), unsettled, reply, outcome));
        let topology = self.topology.load_full();
        for (at, topic) in topics.into_iter().enumerate() {
            let known = match topology.topic(&topic) {
                Ok(known) if is_internal(known.name.as_str()) => {
                    let words = format!("Deletion of internal topic {} is prohibited.", known.name);
                    task.settle(at, Err(Refusal::new(ErrorKind::InvalidTopic, words)));
                    continue;
                }
                Ok(known) => (known.name.clone(), known.id),
                Err(kind) => {
                    task.settle(at, Err(absent(&topic, kind)));
                    continue;
                }
            };
            let task = Arc::clone(&task);
            let command = MetadataCommand::DeleteTopic { id: known.1 };
            self.propose_metadata(command, move |outcome| {
                let deleted = match outcome {
                    Ok(MetadataOutcome::TopicDeleted(_)) => Ok(known),
                    // Gone meanwhile: perhaps by this very command, proposed twice.
                    Ok(MetadataOutcome::Refused(ErrorKind::UnknownTopicId)) => Ok(known),
                    outcome => Err(refused(&outcome)),
                };
                task.settle(at, deleted);
            });
        }
    }

    fn create_partitions(self: &Arc<Self>, create: &CreatePartitions, reply: Reply) {
        let unsettled: Checked = Err(ErrorKind::TimedOut.into());
        let task = checks(create.topics.len(), unsettled, reply);
        for (at, more) in create.topics.iter().enumerate() {
            let command = match self.plan_partitions(more) {
                Ok(command) => command,
                Err(refusal) => {
                    task.settle(at, Err(refusal));
                    continue;
                }
            };
            if create.validate_only {
                task.settle(at, Ok(()));
                continue;
            }
            let task = Arc::clone(&task);
            let command = MetadataCommand::CreatePartitions(command);
            self.propose_metadata(command, move |outcome| {
                task.settle(
                    at,
                    match outcome {
                        Ok(MetadataOutcome::PartitionsCreated) => Ok(()),
                        outcome => Err(refused(&outcome)),
                    },
                );
            });
        }
    }

    fn plan_partitions(&self, more: &MorePartitions) -> Result<grow::CreatePartitions, Refusal> {
        let topology = self.topology.load();
        let unknown = ErrorKind::UnknownTopicOrPartition;
        let name = TopicName::new(&more.topic).map_err(|_| unknown)?;
        let topic = topology.by_name(&name).ok_or_else(|| {
            Refusal::new(unknown, "This server does not host this topic-partition.")
        })?;
        let (current, wanted) = (topic.partitions.len(), i64::from(more.count));
        let wanted = usize::try_from(wanted).unwrap_or(0);
        let refused = |message: String| Err(Refusal::new(ErrorKind::InvalidPartitions, message));
        if wanted == current {
            return refused(format!("Topic already has {current} partition(s)."));
        }
        if wanted < current {
            return refused(format!(
                "The topic {name} currently has {current} partition(s); {} would not be an \
                 increase.",
                more.count
            ));
        }
        if wanted > MAX_PARTITIONS_PER_TOPIC {
            return refused(format!(
                "{MAX_PARTITIONS_PER_TOPIC} partitions is the most."
            ));
        }
        let count = wanted - current;
        let home = topic.partitions.first().copied();
        let groups = match (&more.assignments, home.filter(|group| group.is_transient())) {
            // All of it ends together.
            (_, Some(group)) => vec![group; count],
            (None, None) => {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                placement::place(count, &self.shards(), topology.load())
            }
            (Some(assignments), None) if assignments.len() != count => {
                return Err(Refusal::new(
                    ErrorKind::InvalidReplicaAssignment,
                    format!(
                        "Attempted to add {count} additional partition(s), but only {} \
                         assignment(s) were specified.",
                        assignments.len()
                    ),
                ));
            }
            (Some(assignments), None) => self.assign(assignments, &topology)?,
        };
        Ok(grow::CreatePartitions {
            topic: topic.id,
            from_count: u32::try_from(current).unwrap_or(u32::MAX),
            groups,
        })
    }
}

/// Gathers answers that only say whether something was done.
pub(super) fn checks(count: usize, unsettled: Checked, reply: Reply) -> Arc<Gather<Checked>> {
    let outcome = |answers| Outcome::Managed(Managed::Checked(answers));
    Arc::new(Gather::new(count, unsettled, reply, outcome))
}

/// Why the metadata group did not do what it was asked for.
pub(crate) fn refused(outcome: &Result<MetadataOutcome, ErrorKind>) -> Refusal {
    match outcome {
        Ok(MetadataOutcome::Refused(kind)) | Err(kind) => (*kind).into(),
        Ok(
            MetadataOutcome::ClusterNamed(_)
            | MetadataOutcome::NodeRegistered(_)
            | MetadataOutcome::NodeAdmitted(_)
            | MetadataOutcome::NodeStateSet(_)
            | MetadataOutcome::NodeRemoved(_)
            | MetadataOutcome::TopicCreated(_)
            | MetadataOutcome::TopicDeleted(_)
            | MetadataOutcome::ConfigsAltered
            | MetadataOutcome::PartitionsCreated
            | MetadataOutcome::GroupPlaced
            | MetadataOutcome::Routing(_)
            | MetadataOutcome::Access(_)
            | MetadataOutcome::ProducerIds { .. },
        ) => ErrorKind::InvalidRequest.into(),
    }
}

fn absent(topic: &TopicRef, kind: ErrorKind) -> Refusal {
    let message = match topic {
        TopicRef::Name(_) => "This server does not host this topic-partition.",
        TopicRef::Id(_) => "This server does not host this topic ID.",
    };
    Refusal::new(kind, message)
}
