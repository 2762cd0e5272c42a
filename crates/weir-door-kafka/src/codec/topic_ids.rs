//! OffsetCommit 10 and OffsetFetch 10, which name topics by id. The crate of the schemas knows
//! their answers only.
//!
//! OffsetCommit: text group, `i32` epoch, text member, optional text instance, topics, each `u128`
//! id and partitions, each `i32` index, `i64` offset, `i32` leader epoch, optional text metadata.
//! OffsetFetch: groups, each text id, optional text member, `i32` epoch, topics or none, each `u128`
//! id and `i32` indexes; `u8` whether stable offsets are asked for. Lengths are compact, and tags
//! end each structure.

use bytes::Bytes;
use kafka_protocol::{
    messages::{
        OffsetCommitRequest, OffsetFetchRequest,
        offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
        offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics},
    },
    protocol::{Decoder, StrBytes, types},
};
use uuid::Uuid;

use super::shape::DecodeError;

/// A body and how far it was read.
struct Body {
    left: Bytes,
    length: usize,
}

macro_rules! take {
    ($($name:ident $decoder:expr, $value:ty;)*) => {$(
        fn $name(&mut self) -> Result<$value, DecodeError> {
            let taken = $decoder.decode(&mut self.left);
            taken.map_err(|error| self.error(error.to_string()))
        }
    )*};
}

impl Body {
    fn new(left: Bytes) -> Self {
        let length = left.len();
        Self { left, length }
    }

    take! {
        flag types::Boolean, bool;
        i32 types::Int32, i32;
        i64 types::Int64, i64;
        varint types::UnsignedVarInt, u32;
        uuid types::Uuid, Uuid;
        text types::CompactString, StrBytes;
        optional_text types::CompactString, Option<StrBytes>;
    }

    fn error(&self, what: String) -> DecodeError {
        DecodeError {
            at: self.length - self.left.len(),
            what,
        }
    }

    /// Takes as many items as come; `None`: there is no list.
    fn list<V>(
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
    fn tags(&mut self) -> Result<(), DecodeError> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
            if length > self.left.len() {
                return Err(self.error("a tag that is longer than what is left".to_owned()));
            }
            drop(self.left.split_to(length));
        }
        Ok(())
    }

    /// Passes over the last tags.
    fn finish(mut self) -> Result<(), DecodeError> {
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
