//! Record batches as a client makes and reads them, with all of Kafka's codecs.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use weir_log::codec;
use weir_model::{
    batch::{self, BatchHeader, Codec, HEADER_BYTES, LENGTH_PREFIX_BYTES, MAGIC},
    record::{Header, Records, write_record_with},
};

/// A header's name and value.
pub(crate) type OwnedHeader = (String, Option<Bytes>);

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Option<Bytes>,
    pub(crate) headers: Vec<OwnedHeader>,
    pub(crate) timestamp_ms: i64,
}

/// A message that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Incoming {
    pub(crate) offset: i64,
    pub(crate) message: Outgoing,
}

/// Who sends a batch, and which one it is: sent again, it is stored once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) producer: i64,
    pub(crate) epoch: i16,
    /// Number of the batch's first message in its partition.
    pub(crate) sequence: i32,
}

impl Signature {
    /// Nobody's: sent again, it is stored again.
    pub(crate) const NONE: Self = Self {
        producer: -1,
        epoch: -1,
        sequence: -1,
    };

    /// Of the batch after one with `count` messages.
    pub(crate) fn after(self, count: usize) -> Self {
        if self == Self::NONE {
            return self;
        }
        // Kafka's own numbers begin anew where they would turn negative.
        let count = i64::try_from(count).unwrap_or(0);
        let next = (i64::from(self.sequence) + count) & i64::from(i32::MAX);
        Self {
            sequence: i32::try_from(next).unwrap_or(0),
            ..self
        }
    }
}

/// What came with one answer for one partition.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// The messages; control records are left out.
    pub(crate) messages: Vec<Incoming>,
    /// Offset after the last batch; `None`: there was no whole batch.
    pub(crate) next_offset: Option<i64>,
}

impl Outgoing {
    /// About what it takes in a batch, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        /// What a record has besides texts, at most.
        const FRAME_BYTES: usize = 32;
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers = self.headers.iter();
        let headers: usize = headers
            .map(|(name, value)| name.len() + length(value) + FRAME_BYTES)
            .sum();
        FRAME_BYTES + length(&self.key) + length(&self.value) + headers
    }
}

/// One batch of these messages, of which there is at least one.
pub(crate) fn encode(
    messages: &[Outgoing],
    codec: Codec,
    signature: Signature,
) -> anyhow::Result<Bytes> {
    let times = || messages.iter().map(|message| message.timestamp_ms);
    let base_ms = times().min().context("a batch of nothing")?;
    let last_ms = times().max().unwrap_or(base_ms);
    let mut body = Vec::new();
    for (delta, message) in (0..).zip(messages) {
        let headers: Vec<Header<'_>> = message
            .headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_deref()))
            .collect();
        write_record_with(
            message.timestamp_ms - base_ms,
            delta,
            message.key.as_deref(),
            message.value.as_deref(),
            &headers,
            &mut body,
        );
    }
    let body = codec::compress(codec, &body)?;
    let count = i32::try_from(messages.len())?;
    let length = i32::try_from(HEADER_BYTES - LENGTH_PREFIX_BYTES + body.len())?;
    let mut out = Vec::with_capacity(HEADER_BYTES + body.len());
    out.extend_from_slice(&0_i64.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&(-1_i32).to_be_bytes());
    out.extend_from_slice(&MAGIC.to_be_bytes());
    let crc_at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&attribute(codec).to_be_bytes());
    out.extend_from_slice(&(count - 1).to_be_bytes());
    out.extend_from_slice(&base_ms.to_be_bytes());
    out.extend_from_slice(&last_ms.to_be_bytes());
    out.extend_from_slice(&signature.producer.to_be_bytes());
    out.extend_from_slice(&signature.epoch.to_be_bytes());
    out.extend_from_slice(&signature.sequence.to_be_bytes());
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(&body);
    let crc = crc32c::crc32c(&out[crc_at + 4..]);
    out[crc_at..crc_at + 4].copy_from_slice(&crc.to_be_bytes());
    Ok(out.into())
}

/// All messages from `from` on of the whole batches at the start of `bytes`.
pub(crate) fn decode(bytes: &Bytes, from: i64) -> anyhow::Result<Decoded> {
    let mut decoded = Decoded::default();
    let mut rest = bytes.clone();
    while let Some(size) = whole_batch(&rest) {
        let one = rest.split_to(size);
        batch::verify_crc(&one)?;
        let header = BatchHeader::parse(&one)?;
        let next = header.base_offset + i64::from(header.last_offset_delta) + 1;
        decoded.next_offset = Some(next);
        if header.is_control() || next <= from {
            continue;
        }
        read_batch(&one, &header, from, &mut decoded.messages)?;
    }
    Ok(decoded)
}

fn read_batch(
    one: &Bytes,
    header: &BatchHeader,
    from: i64,
    into: &mut Vec<Incoming>,
) -> anyhow::Result<()> {
    let body = &one[HEADER_BYTES..];
    let body = codec::decompress(header.codec, body, codec::MAX_DECOMPRESSED_BYTES)?;
    let body = Bytes::from(body);
    for record in Records::new(&body, header.record_count) {
        let record = record?;
        let offset = header.base_offset + i64::from(record.offset_delta);
        // A batch comes as a whole, though somebody asks for its middle.
        if offset < from {
            continue;
        }
        let slice = |part: Option<&[u8]>| part.map(|part| body.slice_ref(part));
        let timestamp_ms = if header.is_log_append_time() {
            header.max_timestamp_ms
        } else {
            header
                .base_timestamp_ms
                .saturating_add(record.timestamp_delta_ms)
        };
        let headers = record.headers().map(|(name, value)| {
            let name = String::from_utf8_lossy(name).into_owned();
            (name, slice(value))
        });
        into.push(Incoming {
            offset,
            message: Outgoing {
                key: slice(record.key),
                value: slice(record.value),
                headers: headers.collect(),
                timestamp_ms,
            },
        });
    }
    Ok(())
}

/// Size of the batch at the start; `None`: an answer may end in the middle of one.
fn whole_batch(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(8..LENGTH_PREFIX_BYTES)?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    let size = LENGTH_PREFIX_BYTES.checked_add(usize::try_from(length).ok()?)?;
    (size >= HEADER_BYTES && bytes.len() >= size).then_some(size)
}

fn attribute(codec: Codec) -> i16 {
    match codec {
        Codec::None => 0,
        Codec::Gzip => 1,
        Codec::Snappy => 2,
        Codec::Lz4 => 3,
        Codec::Zstd => 4,
    }
}

/// A codec by Kafka's name.
pub(crate) fn codec_named(name: &str) -> anyhow::Result<Codec> {
    let found = match name {
        "none" => Some(Codec::None),
        "gzip" => Some(Codec::Gzip),
        "snappy" => Some(Codec::Snappy),
        "lz4" => Some(Codec::Lz4),
        "zstd" => Some(Codec::Zstd),
        _ => None,
    };
    ensure!(found.is_some(), "no codec is called {name}");
    found.context("no codec")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: usize) -> Outgoing {
        let value = Bytes::from_static(b"b");
        Outgoing {
            key: (!number.is_multiple_of(3)).then(|| Bytes::from(format!("key {number}"))),
            value: (!number.is_multiple_of(5)).then(|| Bytes::from(vec![7; number])),
            headers: vec![("a".to_owned(), Some(value)), ("a".to_owned(), None)],
            timestamp_ms: 1_000 + i64::try_from(number).unwrap(),
        }
    }

    #[test]
    fn batches_of_every_codec_read_back_from_any_offset_on() {
        let messages: Vec<Outgoing> = (0..100).map(message).collect();
        for name in ["none", "gzip", "snappy", "lz4", "zstd"] {
            let batch = encode(&messages, codec_named(name).unwrap(), Signature::NONE).unwrap();
            let cut = batch.slice(..batch.len() - 1);
            let both: Bytes = [&batch[..], &cut[..]].concat().into();
            let decoded = decode(&both, 40).unwrap();
            assert_eq!(decoded.next_offset, Some(100));
            let read: Vec<&Outgoing> = decoded.messages.iter().map(|it| &it.message).collect();
            assert_eq!(read, messages[40..].iter().collect::<Vec<_>>(), "{name}");
            assert_eq!(decoded.messages[0].offset, 40);
        }
        assert!(codec_named("zip").is_err());
    }

    #[test]
    fn sequences_follow_each_other_and_begin_anew_past_the_last() {
        let first = Signature {
            producer: 1,
            epoch: 0,
            sequence: i32::MAX - 1,
        };
        assert_eq!(first.after(1).sequence, i32::MAX);
        assert_eq!(first.after(2).sequence, 0);
        assert_eq!(Signature::NONE.after(5), Signature::NONE);
    }

    #[test]
    fn a_flipped_bit_is_an_error_and_not_a_message() {
        let batch = encode(&[message(1)], Codec::None, Signature::NONE).unwrap();
        for at in 12..batch.len() {
            let mut bytes = batch.to_vec();
            bytes[at] ^= 1;
            if (12..16).contains(&at) {
                // The leader epoch is the broker's, and outside the checksum.
                continue;
            }
            assert!(decode(&bytes.into(), 0).is_err(), "byte {at}");
        }
    }
}
