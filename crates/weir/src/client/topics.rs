//! Topics: who leads them, made, changed, deleted.

use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
    IncrementalAlterConfigsRequest,
    create_partitions_request::CreatePartitionsTopic,
    create_topics_request::{CreatableTopic, CreatableTopicConfig},
    delete_topics_request::DeleteTopicState,
    describe_configs_request::DescribeConfigsResource,
    incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig},
};
use serde::Serialize;

use super::{
    Client, ClientError, To,
    cluster::{text, topic_name},
    error::check,
};

/// Kafka's number for a topic among the things that have settings.
const TOPIC_RESOURCE: i8 = 2;
/// Kafka's numbers for what is done with a setting.
const SET: i8 = 0;
const DELETE: i8 = 1;
/// Kafka's number of a setting that was set on the topic itself.
const SET_ON_TOPIC: i8 = 1;
/// How long a node may take to change something, in ms.
const CHANGE_LIMIT_MS: i32 = 20_000;
const CREATE_TOPICS_VERSION: i16 = 7;
const DELETE_TOPICS_VERSION: i16 = 6;
const CREATE_PARTITIONS_VERSION: i16 = 3;
const ALTER_CONFIGS_VERSION: i16 = 1;
const DESCRIBE_CONFIGS_VERSION: i16 = 4;

/// A topic as the cluster describes it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) is_internal: bool,
    /// By index.
    pub(crate) partitions: Vec<Partition>,
}

/// One partition.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Partition {
    pub(crate) index: i32,
    /// `None`: nobody leads it now.
    pub(crate) leader: Option<i32>,
    pub(crate) replicas: Vec<i32>,
    pub(crate) in_sync: Vec<i32>,
}

/// A setting of a topic.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Config {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    /// Whether it was set on the topic itself.
    pub(crate) is_set: bool,
}

/// A topic to make; `None`: as the cluster does by itself.
#[derive(Clone, Debug)]
pub(crate) struct NewTopic {
    pub(crate) name: String,
    pub(crate) partition_count: Option<i32>,
    pub(crate) replication_factor: Option<i16>,
    pub(crate) configs: Vec<(String, String)>,
}

impl Client {
    /// All topics, or these; one that is not there is an error. `makes_topics`: it is made then.
    pub(crate) fn topics(
        &mut self,
        names: Option<&[&str]>,
        makes_topics: bool,
    ) -> Result<Vec<Topic>, ClientError> {
        self.retried(|client| {
            let answer = client.metadata(names, makes_topics)?;
            let topics = answer.topics.into_iter().map(|topic| {
                let name = topic
                    .name
                    .map_or_else(String::new, |name| name.0.to_string());
                check(topic.error_code, &format!("topic {name}"), None)?;
                let mut partitions: Vec<Partition> = topic
                    .partitions
                    .into_iter()
                    .map(|partition| {
                        let ids = |nodes: Vec<kafka_protocol::messages::BrokerId>| {
                            nodes.into_iter().map(|node| node.0).collect()
                        };
                        Partition {
                            index: partition.partition_index,
                            leader: (partition.leader_id.0 >= 0).then_some(partition.leader_id.0),
                            replicas: ids(partition.replica_nodes),
                            in_sync: ids(partition.isr_nodes),
                        }
                    })
                    .collect();
                partitions.sort_by_key(|partition| partition.index);
                Ok(Topic {
                    name,
                    id: topic.topic_id.to_string(),
                    is_internal: topic.is_internal,
                    partitions,
                })
            });
            topics.collect()
        })
    }

    /// One topic.
    pub(crate) fn topic(&mut self, name: &str, makes_topics: bool) -> Result<Topic, ClientError> {
        let mut topics = self.topics(Some(&[name]), makes_topics)?;
        topics.pop().ok_or_else(|| ClientError::NoLeader {
            what: format!("topic {name}"),
        })
    }

    /// Makes a topic.
    pub(crate) fn create_topic(&mut self, topic: &NewTopic) -> Result<(), ClientError> {
        let configs = topic.configs.iter().map(|(name, value)| {
            CreatableTopicConfig::default()
                .with_name(text(name))
                .with_value(Some(text(value)))
        });
        let wanted = CreatableTopic::default()
            .with_name(topic_name(&topic.name))
            .with_num_partitions(topic.partition_count.unwrap_or(-1))
            .with_replication_factor(topic.replication_factor.unwrap_or(-1))
            .with_configs(configs.collect());
        let request = CreateTopicsRequest::default()
            .with_topics(vec![wanted])
            .with_timeout_ms(CHANGE_LIMIT_MS);
        self.retried(|client| {
            let answer = client.ask(To::Controller, &request, CREATE_TOPICS_VERSION)?;
            answer.topics.iter().try_for_each(|answer| {
                let what = format!("topic {}", topic.name);
                check(answer.error_code, &what, answer.error_message.as_deref())
            })
        })
    }

    /// Deletes a topic with all that is in it.
    pub(crate) fn delete_topic(&mut self, name: &str) -> Result<(), ClientError> {
        let state = DeleteTopicState::default().with_name(Some(topic_name(name)));
        let what = format!("topic {name}");
        self.retried(|client| {
            let request = DeleteTopicsRequest::default().with_timeout_ms(CHANGE_LIMIT_MS);
            let request = request.with_topics(vec![state.clone()]);
            let answer = client.ask(To::Controller, &request, DELETE_TOPICS_VERSION)?;
            answer.responses.iter().try_for_each(|answer| {
                check(answer.error_code, &what, answer.error_message.as_deref())
            })
        })
    }

    /// Gives a topic more partitions: `count` in all.
    pub(crate) fn grow_topic(&mut self, name: &str, count: i32) -> Result<(), ClientError> {
        let wanted = CreatePartitionsTopic::default()
            .with_name(topic_name(name))
            .with_count(count)
            .with_assignments(None);
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![wanted])
            .with_timeout_ms(CHANGE_LIMIT_MS);
        let what = format!("topic {name}");
        self.retried(|client| {
            let answer = client.ask(To::Controller, &request, CREATE_PARTITIONS_VERSION)?;
            answer.results.iter().try_for_each(|answer| {
                check(answer.error_code, &what, answer.error_message.as_deref())
            })
        })
    }

    /// Sets settings of a topic, and puts others back to what they are by themselves.
    pub(crate) fn alter_topic(
        &mut self,
        name: &str,
        set: &[(String, String)],
        unset: &[String],
    ) -> Result<(), ClientError> {
        let alter = |name: &str, operation: i8, value: Option<&str>| {
            AlterableConfig::default()
                .with_name(text(name))
                .with_config_operation(operation)
                .with_value(value.map(text))
        };
        let set = set.iter();
        let set = set.map(|(name, value)| alter(name, SET, Some(value)));
        let unset = unset.iter().map(|name| alter(name, DELETE, None));
        let resource = AlterConfigsResource::default()
            .with_resource_type(TOPIC_RESOURCE)
            .with_resource_name(text(name))
            .with_configs(set.chain(unset).collect());
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let what = format!("topic {name}");
        self.retried(|client| {
            let answer = client.ask(To::Controller, &request, ALTER_CONFIGS_VERSION)?;
            answer.responses.iter().try_for_each(|answer| {
                check(answer.error_code, &what, answer.error_message.as_deref())
            })
        })
    }

    /// The settings of a topic.
    pub(crate) fn topic_configs(&mut self, name: &str) -> Result<Vec<Config>, ClientError> {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(TOPIC_RESOURCE)
            .with_resource_name(text(name))
            .with_configuration_keys(None);
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
        let what = format!("topic {name}");
        self.retried(|client| {
            let answer = client.ask(To::Any, &request, DESCRIBE_CONFIGS_VERSION)?;
            let mut configs = Vec::new();
            for result in answer.results {
                check(result.error_code, &what, result.error_message.as_deref())?;
                configs.extend(result.configs.into_iter().map(|config| Config {
                    name: config.name.to_string(),
                    value: config.value.map(|value| value.to_string()),
                    is_set: config.config_source == SET_ON_TOPIC,
                }));
            }
            Ok(configs)
        })
    }
}
