//! The whole state as bytes, version 7: `u8` version, `u64` next serial, `u64` next node id, `i64`
//! next producer id, text cluster id, `u32` nodes by id, `u32` topics by serial, each `u64` serial and the fields
//! of its creating command, `u32` resources in order, each with `u32` count and two texts for each
//! setting, `u32` placements by group (`placed`), then what routes (`routing/checkpoint`), then
//! users and rules (`access/checkpoint`), then quotas (`quota/record`).

use std::sync::Arc;

use bytes::Bytes;

use super::{
    config_command::{read_resource, write_resource},
    placed,
    record::{NodeRecord, TopicRecord},
    state::{FIRST_SERIAL, FOUNDER, MAX_PARTITIONS_PER_TOPIC, MAX_SERIAL, MetadataState},
};
use crate::access::checkpoint;
use crate::api::admin::ConfigMap;
use crate::encoding::{DecodeError, Reader, Writer, fingerprint};
use crate::quota::record;
use crate::routing::Routing;

const VERSION: u8 = 7;
const NODE_MIN_BYTES: usize = 8 + 16 + 4 + 4 + 2 + 1;
const PLACEMENT_MIN_BYTES: usize = 4 + 4 + 8 + 4;
const TOPIC_MIN_BYTES: usize = 8 + 4 + 16 + 4 + 2 + 4 + 8;

impl MetadataState {
    /// The state as bytes: equal for equal states.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        writer.u8(VERSION);
        writer.u64(self.next_serial);
        writer.u64(self.next_node);
        writer.i64(self.next_producer_id);
        writer.text(&self.topology.cluster_id);
        writer.count(self.topology.nodes.len());
        for node in self.topology.nodes.values() {
            node.write(&mut writer);
        }
        writer.count(self.topology.topic_count());
        for topic in self.topology.by_serial.values() {
            topic.write(&mut writer);
        }
        writer.count(self.topology.configs.len());
        for (resource, configs) in self.topology.configs.iter() {
            write_resource(&mut writer, resource);
            writer.count(configs.len());
            for (name, value) in configs.iter() {
                writer.text(name);
                writer.text(value);
            }
        }
        writer.count(self.topology.placements.len());
        for (group, placement) in self.topology.placements.iter() {
            placed::write(&mut writer, *group, placement);
        }
        self.topology.routing.write(&mut writer);
        checkpoint::write(&mut writer, &self.topology.access);
        record::write(&mut writer, &self.topology.quotas);
        writer.finish()
    }

    /// The state that [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version("metadata version", VERSION)?;
        let mut state = Self::new();
        state.next_serial = reader.u64()?;
        state.next_node = reader.u64()?;
        state.next_producer_id = reader.i64()?;
        if !(FIRST_SERIAL..=MAX_SERIAL + 1).contains(&state.next_serial)
            || state.next_node < FOUNDER.0
            || state.next_producer_id < 0
        {
            return Err(reader.invalid("metadata counter"));
        }
        state.topology.next_serial = state.next_serial;
        state.topology.cluster_id = reader.text()?.into();
        for _ in 0..reader.count(NODE_MIN_BYTES)? {
            let node = NodeRecord::read(&mut reader)?;
            if !(FOUNDER.0..state.next_node).contains(&node.id.0) {
                return Err(reader.invalid("node"));
            }
            if Arc::make_mut(&mut state.topology.nodes)
                .insert(node.id, node)
                .is_some()
            {
                return Err(reader.invalid("node"));
            }
        }
        for _ in 0..reader.count(TOPIC_MIN_BYTES)? {
            let topic = state.read_topic(&mut reader)?;
            state.topology.add(topic);
        }
        for _ in 0..reader.count(1 + 4)? {
            let resource = read_resource(&mut reader)?;
            let mut configs = ConfigMap::new();
            for _ in 0..reader.count(4 + 4)? {
                let name = reader.text()?.to_owned();
                configs.insert(name, reader.text()?.to_owned());
            }
            state.topology.put_configs(resource, configs);
        }
        for _ in 0..reader.count(PLACEMENT_MIN_BYTES)? {
            state.read_placement(&mut reader)?;
        }
        let has_topic = |serial| state.topology.by_serial(serial).is_some();
        state.topology.routing = Routing::read(&mut reader, has_topic)?;
        state.topology.access = checkpoint::read(&mut reader)?;
        state.topology.quotas = record::read(&mut reader)?;
        reader.finish()?;
        Ok(state)
    }

    /// Equal on replicas that are equal. Costs an encoding.
    pub fn fingerprint(&self) -> u64 {
        fingerprint(&self.encode())
    }

    fn read_topic(&self, reader: &mut Reader<'_>) -> Result<TopicRecord, DecodeError> {
        let topic = TopicRecord::read(reader)?;
        let is_new = self.topology.by_serial(topic.serial).is_none()
            && self.topology.by_id(topic.id).is_none()
            && self.topology.by_name(&topic.name).is_none();
        let is_fit = (1..=MAX_PARTITIONS_PER_TOPIC).contains(&topic.partitions.len());
        if !is_new || !is_fit || !(FIRST_SERIAL..self.next_serial).contains(&topic.serial) {
            return Err(reader.invalid("topic"));
        }
        Ok(topic)
    }
}
