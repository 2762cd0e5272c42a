//! What a client's batch must be to be stored, and what it is stored as.
//!
//! A batch stays as it came wherever the topic's settings allow that. Compressed records are
//! looked into only where a setting asks for it: keys of a compacted topic, a lower bound of
//! timestamps, another codec. That is done on the connection's own thread, so that batches of one
//! producer keep their order, and no more of them are open at once than there are such threads.
//!
//! Source: Kafka's `LogValidator`.

mod records;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use weir_log::{
    Millis,
    codec::{CodecError, compress_at, decompress},
};
use weir_model::{
    ErrorKind,
    batch::{self, BatchError, BatchHeader, Codec, HEADER_BYTES},
};

use self::records::Rules;
use crate::{
    api::{Refusal, RefusedRecord},
    metadata::{
        TopicConfig,
        topic_config::{CompressionType, TimestampType},
    },
};

/// Most bytes that the records of one batch may take when they are decompressed here. A batch
/// beyond it is refused as too large, which clients answer by splitting it.
pub(crate) const MAX_INFLATED_BYTES: usize = 64 << 20;

/// Why a batch is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) error: ErrorKind,
    pub(crate) detail: Option<Box<Refusal>>,
}

impl From<ErrorKind> for Refused {
    fn from(error: ErrorKind) -> Self {
        Self {
            error,
            detail: None,
        }
    }
}

impl Refused {
    fn batch(error: ErrorKind, message: impl Into<String>) -> Self {
        Self::records(error, message, Vec::new())
    }

    fn records(error: ErrorKind, message: impl Into<String>, records: Vec<RefusedRecord>) -> Self {
        let message = message.into();
        Self {
            error,
            detail: Some(Box::new(Refusal { message, records })),
        }
    }
}

/// Checks one batch that arrives at `now`; gives it as it is to be stored.
pub(crate) fn admit(batch: Bytes, config: &TopicConfig, now: Millis) -> Result<Bytes, Refused> {
    let header = BatchHeader::parse(&batch).map_err(kind_of)?;
    check_header(&batch, &header, config)?;
    batch::verify_crc(&batch).map_err(kind_of)?;
    let target = target_codec(config.compression_type, header.codec);
    let rules = Rules::new(config, &header, now);
    let mut max_timestamp_ms = header.max_timestamp_ms;
    let body = &batch[HEADER_BYTES..];
    let is_open = header.codec == Codec::None;
    let recoded = if is_open || target != header.codec || rules.look_inside() {
        let records = inflate(header.codec, body)?;
        max_timestamp_ms = rules.check(&records)?;
        (target != header.codec).then_some(records)
    } else {
        rules.check_header()?;
        None
    };
    let recoded = match recoded {
        Some(records) => Some(recode(&batch, &records, target, config)?),
        None => None,
    };
    let stamp = match config.timestamp_type {
        TimestampType::LogAppendTime => Some((now.0, true)),
        // Kafka mends a header that does not say what its records do.
        TimestampType::CreateTime if max_timestamp_ms != header.max_timestamp_ms => {
            Some((max_timestamp_ms, false))
        }
        TimestampType::CreateTime => None,
    };
    Ok(match (recoded, stamp) {
        (None, None) => batch,
        (recoded, stamp) => {
            let mut bytes = recoded.unwrap_or_else(|| BytesMut::from(&batch[..]));
            match stamp {
                Some((time_ms, true)) => batch::stamp_append_time(&mut bytes, time_ms),
                Some((time_ms, false)) => batch::set_max_timestamp(&mut bytes, time_ms),
                None => batch::mend_crc(&mut bytes),
            }
            bytes.freeze()
        }
    })
}

fn check_header(batch: &[u8], header: &BatchHeader, config: &TopicConfig) -> Result<(), Refused> {
    if header.size_bytes != batch.len() {
        // Kafka allows one batch a partition since Produce version 3.
        return Err(ErrorKind::InvalidRecord.into());
    }
    check_size(batch.len(), config)?;
    let is_dense = u64::from(header.record_count) == header.offset_count();
    if !is_dense {
        let message = "The batch has another count of records than of offsets.";
        return Err(Refused::batch(ErrorKind::InvalidRecord, message));
    }
    let has_producer = header.producer_id.is_some();
    if header.is_control() || (header.is_transactional() && !has_producer) {
        let message = "Clients are not allowed to write control records.";
        return Err(Refused::batch(ErrorKind::InvalidRecord, message));
    }
    if header.has_references() {
        let message = "The batch has an attribute that clients do not use.";
        return Err(Refused::batch(ErrorKind::InvalidRecord, message));
    }
    if header.is_log_append_time() {
        let message = "Producer should not set timestamp type to LogAppendTime.";
        return Err(Refused::batch(ErrorKind::InvalidTimestamp, message));
    }
    if header.producer_id.is_some() && (header.base_sequence < 0 || header.producer_epoch < 0) {
        let message = "The batch has a producer id and no sequence number.";
        return Err(Refused::batch(ErrorKind::InvalidRecord, message));
    }
    Ok(())
}

fn check_size(size_bytes: usize, config: &TopicConfig) -> Result<(), Refused> {
    let max_bytes = usize::try_from(config.max_message_bytes).unwrap_or(usize::MAX);
    if size_bytes <= max_bytes {
        return Ok(());
    }
    let message = format!(
        "The record batch size is {size_bytes} bytes which exceeds the maximum configured value \
         of {max_bytes}."
    );
    Err(Refused::batch(ErrorKind::MessageTooLarge, message))
}

fn target_codec(setting: CompressionType, came: Codec) -> Codec {
    match setting {
        CompressionType::Producer => came,
        CompressionType::Uncompressed => Codec::None,
        CompressionType::Gzip => Codec::Gzip,
        CompressionType::Snappy => Codec::Snappy,
        CompressionType::Lz4 => Codec::Lz4,
        CompressionType::Zstd => Codec::Zstd,
    }
}

fn inflate(codec: Codec, body: &[u8]) -> Result<Cow<'_, [u8]>, Refused> {
    if codec == Codec::None {
        return Ok(Cow::Borrowed(body));
    }
    match decompress(codec, body, MAX_INFLATED_BYTES) {
        Ok(records) => Ok(Cow::Owned(records)),
        Err(error @ CodecError::TooLarge { .. }) => Err(Refused::batch(
            ErrorKind::MessageTooLarge,
            error.to_string(),
        )),
        Err(error @ CodecError::Malformed(_)) => {
            Err(Refused::batch(ErrorKind::InvalidRecord, error.to_string()))
        }
    }
}

/// The batch with its records in another codec; its checksum is still to be mended.
fn recode(
    batch: &[u8],
    records: &[u8],
    target: Codec,
    config: &TopicConfig,
) -> Result<BytesMut, Refused> {
    let level = match target {
        Codec::Gzip => config.gzip_level,
        Codec::Zstd => config.zstd_level,
        Codec::None | Codec::Snappy | Codec::Lz4 => -1,
    };
    let packed;
    let body = if target == Codec::None {
        records
    } else {
        packed = compress_at(target, level, records).map_err(|error| {
            tracing::error!(%error, ?target, "records are not compressed");
            Refused::from(ErrorKind::StorageFailed)
        })?;
        &packed
    };
    let size_bytes = HEADER_BYTES + body.len();
    check_size(size_bytes, config)?;
    let mut bytes = BytesMut::with_capacity(size_bytes);
    bytes.extend_from_slice(&batch[..HEADER_BYTES]);
    bytes.extend_from_slice(body);
    batch::set_codec(&mut bytes, target);
    Ok(bytes)
}

fn kind_of(error: BatchError) -> ErrorKind {
    match error {
        BatchError::Truncated { .. } | BatchError::Checksum { .. } | BatchError::Length(_) => {
            ErrorKind::CorruptBatch
        }
        BatchError::Magic(_) => ErrorKind::UnsupportedFormat,
        BatchError::Codec(_) | BatchError::NegativeCount => ErrorKind::InvalidRecord,
    }
}
