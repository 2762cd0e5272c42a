//! Settings: told and changed.

use std::sync::Arc;

use weir_model::{ErrorKind, TopicName};

use super::{Node, manage, topics::wire};
use crate::{
    api::admin::{AlterConfigs, ConfigEntry, ConfigMap, ConfigResource, DescribeConfigs, Refusal},
    configs::describe,
    mailbox::Reply,
    metadata::{
        MetadataCommand, MetadataOutcome,
        config_command::{AlterResource, MAX_RESOURCE_NAME_BYTES},
    },
};

impl Node {
    pub(super) fn describe_configs(
        &self,
        wanted: &DescribeConfigs,
    ) -> Result<Vec<ConfigEntry>, Refusal> {
        let topology = self.topology.load();
        let resource = &wanted.resource;
        check_name(resource)?;
        if let ConfigResource::Topic(name) = resource {
            let name = TopicName::new(name).map_err(|_| ErrorKind::InvalidTopic)?;
            let known = topology.by_name(&name);
            known.ok_or(ErrorKind::UnknownTopicOrPartition)?;
        }
        let layers = self.layers(topology.configs_of(resource));
        let names = wanted.names.as_deref();
        match resource {
            ConfigResource::Topic(_) => Ok(describe::topic(&layers, names)),
            ConfigResource::Group(_) => Ok(describe::group(&layers, names)),
            ConfigResource::ClientMetrics(_) => Ok(describe::client_metrics(&layers, names)),
            ConfigResource::Broker(None) => Ok(describe::broker(&layers, names, true)),
            ConfigResource::Broker(Some(node)) => {
                self.check_own(&node.to_string())?;
                Ok(describe::broker(&layers, names, false))
            }
            ConfigResource::BrokerLogger(node) => {
                self.check_own(node)?;
                Ok(Vec::new())
            }
        }
    }

    /// A node tells its own file's settings only.
    fn check_own(&self, node: &str) -> Result<(), Refusal> {
        let own = self.id().to_string();
        if node == own {
            return Ok(());
        }
        Err(Refusal::new(
            ErrorKind::InvalidRequest,
            format!("Unexpected broker id, expected {own} or empty string, but received {node}"),
        ))
    }

    pub(super) fn alter_configs(self: &Arc<Self>, alter: AlterConfigs, reply: Reply) {
        let unsettled = Err(ErrorKind::TimedOut.into());
        let task = manage::checks(alter.resources.len(), unsettled, reply);
        for (at, (resource, changes)) in alter.resources.into_iter().enumerate() {
            let change = AlterResource {
                resource,
                is_whole: alter.is_whole,
                changes,
            };
            let checked = check_name(&change.resource)
                .and_then(|()| self.topology.load().altered(&change).map(drop));
            if checked.is_err() || alter.validate_only {
                task.settle(at, checked);
                continue;
            }
            let task = Arc::clone(&task);
            self.propose_metadata(MetadataCommand::AlterConfigs(change), move |outcome| {
                task.settle(
                    at,
                    match outcome {
                        Ok(MetadataOutcome::ConfigsAltered) => Ok(()),
                        outcome => Err(manage::refused(&outcome)),
                    },
                );
            });
        }
    }

    pub(super) fn config_resources(&self) -> Vec<ConfigResource> {
        let topology = self.topology.load();
        let topics = topology.topics();
        let topics = topics.map(|topic| ConfigResource::Topic(topic.name.as_str().to_owned()));
        let nodes: Vec<i32> = topology.nodes().keys().copied().filter_map(wire).collect();
        let brokers = nodes.iter().map(|node| ConfigResource::Broker(Some(*node)));
        let loggers = nodes
            .iter()
            .map(|node| ConfigResource::BrokerLogger(node.to_string()));
        let others = topology
            .config_resources()
            .filter(|resource| match resource {
                ConfigResource::Group(_) | ConfigResource::ClientMetrics(_) => true,
                ConfigResource::Topic(_)
                | ConfigResource::Broker(_)
                | ConfigResource::BrokerLogger(_) => false,
            });
        topics
            .chain(brokers)
            .chain(loggers)
            .chain(others.cloned())
            .collect()
    }

    /// This node's file, by Kafka's names.
    pub(super) fn fixed_configs(&self) -> ConfigMap {
        let config = &self.config;
        let id = self.id().to_string();
        let address = format!("KAFKA://{}:{}", config.kafka_host, config.kafka_port);
        let groups = &config.groups;
        let fixed = [
            ("advertised.listeners", address.clone()),
            (
                "auto.create.topics.enable",
                config.auto_create_topics.to_string(),
            ),
            ("broker.id", id.clone()),
            (
                "group.initial.rebalance.delay.ms",
                groups.initial_rebalance_delay_ms.to_string(),
            ),
            (
                "group.max.session.timeout.ms",
                groups.max_session_timeout_ms.to_string(),
            ),
            ("group.max.size", groups.max_member_count.to_string()),
            (
                "group.min.session.timeout.ms",
                groups.min_session_timeout_ms.to_string(),
            ),
            (
                "listener.security.protocol.map",
                "KAFKA:PLAINTEXT,PEER:SSL".to_owned(),
            ),
            ("listeners", address),
            ("log.dirs", config.data_dir.clone()),
            (
                "log.retention.check.interval.ms",
                config.cleanup_interval_ms.to_string(),
            ),
            ("node.id", id),
            ("num.partitions", config.default_partition_count.to_string()),
        ];
        fixed.map(|(name, value)| (name.to_owned(), value)).into()
    }
}

fn check_name(resource: &ConfigResource) -> Result<(), Refusal> {
    let refused = |message: &str| Err(Refusal::new(ErrorKind::InvalidRequest, message));
    match resource {
        ConfigResource::Group(name) if name.is_empty() => refused("Group name must not be empty"),
        ConfigResource::ClientMetrics(name) if name.is_empty() => {
            refused("Client metrics subscription name must not be empty")
        }
        ConfigResource::Group(name)
        | ConfigResource::ClientMetrics(name)
        | ConfigResource::Topic(name)
        | ConfigResource::BrokerLogger(name)
            if name.len() > MAX_RESOURCE_NAME_BYTES =>
        {
            refused("the resource's name is too long")
        }
        ConfigResource::Topic(_)
        | ConfigResource::Group(_)
        | ConfigResource::ClientMetrics(_)
        | ConfigResource::Broker(_)
        | ConfigResource::BrokerLogger(_) => Ok(()),
    }
}
