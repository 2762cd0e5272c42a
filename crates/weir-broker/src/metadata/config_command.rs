//! Settings in group 0. A change: resource, `u8` whether whole, `u32` count and for each text
//! name, `u8` operation, optional text value. A resource: `u8` kind, then `i32` node or text
//! name; the resource of all nodes has nothing.

use std::sync::Arc;

use weir_model::{ErrorKind, TopicName};

use super::{MetadataState, TopicConfig, Topology, outcome::MetadataOutcome};
use crate::{
    api::admin::{ConfigChange, ConfigMap, ConfigOp, ConfigResource, Refusal},
    configs::{alter, group::GroupSettings},
    encoding::{DecodeError, Reader, Writer},
};

/// Most resources besides topics that have settings.
pub const MAX_CONFIG_RESOURCES: usize = 100_000;
/// Longest name of a resource, in bytes.
pub const MAX_RESOURCE_NAME_BYTES: usize = 1024;

// Numbers are never used again for something else.
const TOPIC: u8 = 1;
const ALL_BROKERS: u8 = 2;
const BROKER: u8 = 3;
const BROKER_LOGGER: u8 = 4;
const GROUP: u8 = 5;
const CLIENT_METRICS: u8 = 6;

const SET: u8 = 0;
const DELETE: u8 = 1;
const APPEND: u8 = 2;
const SUBTRACT: u8 = 3;

/// Changes of one resource's settings, all or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterResource {
    /// Whose.
    pub resource: ConfigResource,
    /// Whether what is not named goes back to its default.
    pub is_whole: bool,
    /// The changes, in order.
    pub changes: Vec<ConfigChange>,
}

impl Topology {
    /// What is set for a resource; empty where nothing is. Topics are named in `resource`.
    pub fn configs_of(&self, resource: &ConfigResource) -> ConfigMap {
        if let ConfigResource::Topic(name) = resource {
            let name = TopicName::new(name).ok();
            let topic = name.and_then(|name| self.by_name(&name));
            return topic.map_or_else(ConfigMap::new, |topic| topic.configs.clone());
        }
        let set = self.configs.get(resource);
        set.map_or_else(ConfigMap::new, |configs| ConfigMap::clone(configs))
    }

    /// A consumer group's settings.
    pub fn group_settings(&self, group: &str) -> GroupSettings {
        GroupSettings::resolve(&self.configs_of(&ConfigResource::Group(group.to_owned())))
    }

    /// Resources besides topics for which something is set, in order.
    pub fn config_resources(&self) -> impl Iterator<Item = &ConfigResource> {
        self.configs.keys()
    }

    /// The resource's settings after the changes, or why they cannot be made.
    pub fn altered(&self, change: &AlterResource) -> Result<ConfigMap, Refusal> {
        match &change.resource {
            ConfigResource::Topic(name) => {
                let name = TopicName::new(name).map_err(|_| ErrorKind::InvalidTopic)?;
                if self.by_name(&name).is_none() {
                    return Err(Refusal::new(
                        ErrorKind::UnknownTopicOrPartition,
                        format!("The topic '{name}' does not exist."),
                    ));
                }
            }
            ConfigResource::Broker(Some(node)) => {
                let is_known = |id: &weir_model::NodeId| u64::try_from(*node) == Ok(id.0);
                if !self.nodes.keys().any(is_known) {
                    return Err(Refusal::new(
                        ErrorKind::InvalidRequest,
                        format!("No node has the id {node}."),
                    ));
                }
            }
            ConfigResource::Broker(None)
            | ConfigResource::BrokerLogger(_)
            | ConfigResource::Group(_)
            | ConfigResource::ClientMetrics(_) => {}
        }
        let before = self.configs_of(&change.resource);
        let is_new = before.is_empty();
        if is_new && self.configs.len() >= MAX_CONFIG_RESOURCES {
            return Err(ErrorKind::Overloaded.into());
        }
        alter::alter(&change.resource, &before, change.is_whole, &change.changes)
    }
}

impl MetadataState {
    pub(super) fn alter_configs(
        &mut self,
        change: AlterResource,
    ) -> Result<MetadataOutcome, ErrorKind> {
        let after = self.topology.altered(&change);
        let after = after.map_err(|refusal| refusal.kind)?;
        match &change.resource {
            ConfigResource::Topic(name) => {
                let name = TopicName::new(name).map_err(|_| ErrorKind::InvalidTopic)?;
                let topic = self.topology.by_name(&name);
                let topic = topic.ok_or(ErrorKind::UnknownTopicOrPartition)?;
                let mut topic = super::TopicRecord::clone(topic);
                topic.settings = TopicConfig::resolve(&after, &self.topology.broker_configs());
                topic.configs = after;
                self.topology.replace(Arc::new(topic));
            }
            ConfigResource::Broker(_)
            | ConfigResource::BrokerLogger(_)
            | ConfigResource::Group(_)
            | ConfigResource::ClientMetrics(_) => {
                self.topology.put_configs(change.resource, after);
            }
        }
        Ok(MetadataOutcome::ConfigsAltered)
    }
}

impl Topology {
    /// What is set for all nodes.
    pub(super) fn broker_configs(&self) -> ConfigMap {
        self.configs_of(&ConfigResource::Broker(None))
    }

    pub(super) fn put_configs(&mut self, resource: ConfigResource, configs: ConfigMap) {
        let is_for_topics = resource == ConfigResource::Broker(None);
        if configs.is_empty() {
            self.configs.remove(&resource);
        } else {
            self.configs.insert(resource, Arc::new(configs));
        }
        if is_for_topics {
            self.resolve_topics();
        }
    }

    /// Works the settings of all topics out again.
    fn resolve_topics(&mut self) {
        let brokers = self.broker_configs();
        let resolved = self.topics().filter_map(|topic| {
            let settings = TopicConfig::resolve(&topic.configs, &brokers);
            (settings != topic.settings).then(|| {
                let mut topic = super::TopicRecord::clone(topic);
                topic.settings = settings;
                Arc::new(topic)
            })
        });
        let changed: Vec<_> = resolved.collect();
        for topic in changed {
            self.replace(topic);
        }
    }
}

impl AlterResource {
    pub(super) fn write(&self, writer: &mut Writer) {
        write_resource(writer, &self.resource);
        writer.u8(u8::from(self.is_whole));
        writer.count(self.changes.len());
        for change in &self.changes {
            writer.text(&change.name);
            writer.u8(match change.op {
                ConfigOp::Set => SET,
                ConfigOp::Delete => DELETE,
                ConfigOp::Append => APPEND,
                ConfigOp::Subtract => SUBTRACT,
            });
            writer.optional_text(change.value.as_deref());
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let resource = read_resource(reader)?;
        let is_whole = reader.u8()? != 0;
        let mut changes = Vec::new();
        for _ in 0..reader.count(4 + 1 + 1)? {
            let name = reader.text()?.to_owned();
            let op = match reader.u8()? {
                SET => ConfigOp::Set,
                DELETE => ConfigOp::Delete,
                APPEND => ConfigOp::Append,
                SUBTRACT => ConfigOp::Subtract,
                tag => return Err(reader.unknown_tag("operation on a setting", tag)),
            };
            let value = reader.optional_text()?.map(str::to_owned);
            changes.push(ConfigChange { name, op, value });
        }
        Ok(Self {
            resource,
            is_whole,
            changes,
        })
    }
}

pub(super) fn write_resource(writer: &mut Writer, resource: &ConfigResource) {
    let mut named = |kind, name: &str| {
        writer.u8(kind);
        writer.text(name);
    };
    match resource {
        ConfigResource::Topic(name) => named(TOPIC, name),
        ConfigResource::BrokerLogger(name) => named(BROKER_LOGGER, name),
        ConfigResource::Group(name) => named(GROUP, name),
        ConfigResource::ClientMetrics(name) => named(CLIENT_METRICS, name),
        ConfigResource::Broker(None) => writer.u8(ALL_BROKERS),
        ConfigResource::Broker(Some(node)) => {
            writer.u8(BROKER);
            writer.i32(*node);
        }
    }
}

pub(super) fn read_resource(reader: &mut Reader<'_>) -> Result<ConfigResource, DecodeError> {
    Ok(match reader.u8()? {
        TOPIC => ConfigResource::Topic(reader.text()?.to_owned()),
        ALL_BROKERS => ConfigResource::Broker(None),
        BROKER => ConfigResource::Broker(Some(reader.i32()?)),
        BROKER_LOGGER => ConfigResource::BrokerLogger(reader.text()?.to_owned()),
        GROUP => ConfigResource::Group(reader.text()?.to_owned()),
        CLIENT_METRICS => ConfigResource::ClientMetrics(reader.text()?.to_owned()),
        tag => return Err(reader.unknown_tag("kind of resource", tag)),
    })
}
