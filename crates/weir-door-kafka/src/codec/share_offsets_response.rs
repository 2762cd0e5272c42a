//! The answer to DescribeShareGroupOffsets 1, which tells lags (KIP-1226). The crate of the schemas
//! knows version 0 alone. After the answer header:
//!
//! ```text
//! throttle i32 | groups [
//!   id | topics [
//!     name | id | partitions [
//!       index i32 | start i64 | leader epoch i32 | lag i64 | error i16 | message | tags
//!     ] | tags
//!   ] | error i16 | message | tags
//! ] | tags
//! ```

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{
    DescribeShareGroupOffsetsResponse,
    describe_share_group_offsets_response::{
        DescribeShareGroupOffsetsResponseGroup as Group,
        DescribeShareGroupOffsetsResponsePartition as Partition,
        DescribeShareGroupOffsetsResponseTopic as Topic,
    },
};

use super::{
    header::Head,
    response::EncodeError,
    share_response::{put_length, put_text},
};

/// The frame; `lags` are those of all partitions in order.
pub fn encode(
    head: &Head,
    response: &DescribeShareGroupOffsetsResponse,
    lags: &[i64],
) -> Result<Bytes, EncodeError> {
    let mut lags = lags.iter().copied();
    let mut frame = head.begin(256);
    frame.put_i32(head.throttle_ms);
    put_length(head, &mut frame, response.groups.len())?;
    for group in &response.groups {
        put_group(head, &mut frame, group, &mut lags)?;
    }
    frame.put_u8(0);
    head.close(&mut frame, 0)?;
    Ok(frame.freeze())
}

fn put_group(
    head: &Head,
    frame: &mut BytesMut,
    group: &Group,
    lags: &mut impl Iterator<Item = i64>,
) -> Result<(), EncodeError> {
    put_text(head, frame, Some(&group.group_id))?;
    put_length(head, frame, group.topics.len())?;
    for topic in &group.topics {
        put_topic(head, frame, topic, lags)?;
    }
    frame.put_i16(group.error_code);
    put_text(head, frame, group.error_message.as_deref())?;
    frame.put_u8(0);
    Ok(())
}

fn put_topic(
    head: &Head,
    frame: &mut BytesMut,
    topic: &Topic,
    lags: &mut impl Iterator<Item = i64>,
) -> Result<(), EncodeError> {
    put_text(head, frame, Some(&topic.topic_name))?;
    frame.put_slice(topic.topic_id.as_bytes());
    put_length(head, frame, topic.partitions.len())?;
    for partition in &topic.partitions {
        put_partition(head, frame, partition, lags.next().unwrap_or(-1))?;
    }
    frame.put_u8(0);
    Ok(())
}

fn put_partition(
    head: &Head,
    frame: &mut BytesMut,
    partition: &Partition,
    lag: i64,
) -> Result<(), EncodeError> {
    frame.put_i32(partition.partition_index);
    frame.put_i64(partition.start_offset);
    frame.put_i32(partition.leader_epoch);
    frame.put_i64(lag);
    frame.put_i16(partition.error_code);
    put_text(head, frame, partition.error_message.as_deref())?;
    frame.put_u8(0);
    Ok(())
}
