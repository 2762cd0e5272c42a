//! OffsetCommit 10 and OffsetFetch 10, which name topics by id. The crate of the schemas knows
//! their answers only.
//!
//! OffsetCommit: text group, `i32` epoch, text member, optional text instance, topics, each `u128`
//! id and partitions, each `i32` index, `i64` offset, `i32` leader epoch, optional text metadata.
//! OffsetFetch: groups, each text id, optional text member, `i32` epoch, topics or none, each `u128`
//! id and `i32` indexes; `u8` whether stable offsets are asked for. Lengths are compact, and tags
//! end each structure.

use bytes::{Buf, Bytes};
use kafka_protocol::{
    messages::{
        OffsetCommitRequest, OffsetFetchRequest,
        offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
        offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics},
    },
    protocol::StrBytes,
};
use uuid::Uuid;

use super::shape::DecodeError;

/// A body and how far it was read.
pub(super) struct Body {
    left: Bytes,
    length: usize,
}

impl Body {
    pub(super) fn new(left: Bytes) -> Self {
        let length = left.len();
        Self { left, length }
    }

    fn ended(&self) -> DecodeError {
        self.error("ends early".to_owned())
    }

    pub(super) fn flag(&mut self) -> Result<bool, DecodeError> {
        let byte = self.left.try_get_u8().map_err(|_| self.ended())?;
        Ok(byte != 0)
    }

    pub(super) fn i8(&mut self) -> Result<i8, DecodeError> {
        self.left.try_get_i8().map_err(|_| self.ended())
    }

    pub(super) fn i32(&mut self) -> Result<i32, DecodeError> {
        self.left.try_get_i32().map_err(|_| self.ended())
    }

    pub(super) fn i64(&mut self) -> Result<i64, DecodeError> {
        self.left.try_get_i64().map_err(|_| self.ended())
    }

    pub(super) fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        let id = self.left.try_get_u128().map_err(|_| self.ended())?;
        Ok(Uuid::from_u128(id))
    }

    fn varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0;
        for shift in (0..u32::BITS).step_by(7) {
            let byte = self.left.try_get_u8().map_err(|_| self.ended())?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.error("a number that is too long".to_owned()))
    }

    fn bytes(&mut self, length: u32) -> Result<Bytes, DecodeError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > self.left.len() {
            return Err(self.ended());
        }
        Ok(self.left.split_to(length))
    }

    pub(super) fn optional_text(&mut self) -> Result<Option<StrBytes>, DecodeError> {
        let Some(length) = self.varint()?.checked_sub(1) else {
            return Ok(None);
        };
        let text = StrBytes::try_from(self.bytes(length)?);
        text.map(Some)
            .map_err(|error| self.error(error.to_string()))
    }

    fn text(&mut self) -> Result<StrBytes, DecodeError> {
        let text = self.optional_text()?;
        text.ok_or_else(|| self.error("a text that is not there".to_owned()))
    }

    fn error(&self, what: String) -> DecodeError {
        DecodeError {
            at: self.length - self.left.len(),
            what,
        }
    }

    /// Takes as many items as come; `None`: there is no list.
    pub(super) fn list<V>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<V, DecodeError>,
    ) -> Result<Option<Vec<V>>, DecodeError> {
        let Some(count) = self.varint()?.checked_sub(1) else {
            return Ok(None);
        };
        // Not sized by the count, which is a claim.
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(Some(items))
    }

    /// Passes over tags: none is known.
    pub(super) fn tags(&mut self) -> Result<(), DecodeError> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let length = self.varint()?;
            self.bytes(length)?;
        }
        Ok(())
    }

    /// Passes over the last tags.
    pub(super) fn finish(mut self) -> Result<(), DecodeError> {
        self.tags()?;
        if self.left.is_empty() {
            return Ok(());
        }
        Err(self.error(format!("{} bytes left over", self.left.len())))
    }
}

/// OffsetCommit 10.
pub fn offset_commit(body: Bytes) -> Result<OffsetCommitRequest, DecodeError> {
    let mut body = Body::new(body);
    let request = OffsetCommitRequest::default()
        .with_group_id(body.text()?.into())
        .with_generation_id_or_member_epoch(body.i32()?)
        .with_member_id(body.text()?)
        .with_group_instance_id(body.optional_text()?)
        .with_topics(body.list(committed_topic)?.unwrap_or_default());
    body.finish()?;
    Ok(request)
}

fn committed_topic(body: &mut Body) -> Result<OffsetCommitRequestTopic, DecodeError> {
    let topic = OffsetCommitRequestTopic::default()
        .with_topic_id(body.uuid()?)
        .with_partitions(body.list(committed_partition)?.unwrap_or_default());
    body.tags()?;
    Ok(topic)
}

fn committed_partition(body: &mut Body) -> Result<OffsetCommitRequestPartition, DecodeError> {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(body.i32()?)
        .with_committed_offset(body.i64()?)
        .with_committed_leader_epoch(body.i32()?)
        .with_committed_metadata(body.optional_text()?);
    body.tags()?;
    Ok(partition)
}

/// OffsetFetch 10.
pub fn offset_fetch(body: Bytes) -> Result<OffsetFetchRequest, DecodeError> {
    let mut body = Body::new(body);
    let request = OffsetFetchRequest::default()
        .with_groups(body.list(asked_group)?.unwrap_or_default())
        .with_require_stable(body.flag()?);
    body.finish()?;
    Ok(request)
}

fn asked_group(body: &mut Body) -> Result<OffsetFetchRequestGroup, DecodeError> {
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(body.text()?.into())
        .with_member_id(body.optional_text()?)
        .with_member_epoch(body.i32()?)
        .with_topics(body.list(asked_topic)?);
    body.tags()?;
    Ok(group)
}

fn asked_topic(body: &mut Body) -> Result<OffsetFetchRequestTopics, DecodeError> {
    let topic = OffsetFetchRequestTopics::default()
        .with_topic_id(body.uuid()?)
        .with_partition_indexes(body.list(Body::i32)?.unwrap_or_default());
    body.tags()?;
    Ok(topic)
}
