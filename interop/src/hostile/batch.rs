//! Kafka's record batches (magic 2), right but for what a row spoils, and compression bombs.

use super::wire::Wire;
use anyhow::Result;
use std::io::Write;

/// From the batch's begin to its magic byte's successor: what the checksum does not cover.
const UNCHECKED_BYTES: usize = 21;
/// Zeros in a bomb.
const BOMB_BYTES: usize = 256 << 20;

/// The parts of a batch that rows spoil.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) base_offset: i64,
    pub(super) magic: i8,
    pub(super) attributes: i16,
    pub(super) last_offset_delta: i32,
    pub(super) producer: (i64, i16, i32),
    pub(super) count: i32,
    pub(super) records: Vec<u8>,
    pub(super) is_checksum_wrong: bool,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            base_offset: 0,
            magic: 2,
            attributes: 0,
            last_offset_delta: 0,
            producer: (-1, -1, -1),
            count: 1,
            records: record(0, b"hostile"),
            is_checksum_wrong: false,
        }
    }
}

impl Batch {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let (id, epoch, sequence) = self.producer;
        let checked = Wire::new()
            .i16(self.attributes)
            .i32(self.last_offset_delta)
            .i64(0)
            .i64(0)
            .i64(id)
            .i16(epoch)
            .i32(sequence)
            .i32(self.count)
            .raw(&self.records)
            .end();
        let checksum = crc32c::crc32c(&checked) ^ u32::from(self.is_checksum_wrong);
        let length = checked.len() + UNCHECKED_BYTES - 12;
        Wire::new()
            .i64(self.base_offset)
            .i32(i32::try_from(length).expect("rows have less than 2 GiB"))
            .i32(-1)
            .i8(self.magic)
            .u32(checksum)
            .raw(&checked)
            .end()
    }
}

/// One record of a batch.
pub(super) fn record(offset_delta: i32, value: &[u8]) -> Vec<u8> {
    let length = i32::try_from(value.len()).expect("rows have small records");
    let body = Wire::new()
        .i8(0)
        .varint(0)
        .varint(offset_delta)
        .varint(-1)
        .varint(length)
        .raw(value)
        .varint(0)
        .end();
    let length = i32::try_from(body.len()).expect("rows have small records");
    Wire::new().varint(length).raw(&body).end()
}

/// Kafka's number of a codec, in a batch's attributes.
pub(super) const GZIP: i16 = 1;
pub(super) const SNAPPY: i16 = 2;
pub(super) const LZ4: i16 = 3;
pub(super) const ZSTD: i16 = 4;

/// Zeros that become small in that codec: 256 MiB, of Snappy 16 MiB, which makes little of them.
pub(super) fn bomb(codec: i16) -> Result<Vec<u8>> {
    compress(
        codec,
        if codec == SNAPPY {
            16 << 20
        } else {
            BOMB_BYTES
        },
    )
}

/// A record that is compressed twice.
pub(super) fn nested() -> Result<Batch> {
    let gzip = |bytes: &[u8]| -> Result<Vec<u8>> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes)?;
        Ok(encoder.finish()?)
    };
    Ok(Batch {
        attributes: GZIP,
        records: gzip(&gzip(&record(0, b"hostile"))?)?,
        ..Batch::default()
    })
}

fn compress(codec: i16, size_bytes: usize) -> Result<Vec<u8>> {
    const PIECE_BYTES: usize = 1 << 20;
    let piece = vec![0; PIECE_BYTES];
    let fill = |to: &mut dyn Write| -> std::io::Result<()> {
        (0..size_bytes / PIECE_BYTES).try_for_each(|_| to.write_all(&piece))
    };
    Ok(match codec {
        GZIP => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            fill(&mut encoder)?;
            encoder.finish()?
        }
        LZ4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            fill(&mut encoder)?;
            encoder.finish()?
        }
        ZSTD => {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1)?;
            fill(&mut encoder)?;
            encoder.finish()?
        }
        _ => snap::raw::Encoder::new().compress_vec(&vec![0; size_bytes])?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_the_length_that_it_states() {
        let bytes = Batch::default().bytes();
        let stated = u32::from_be_bytes(bytes[8..12].try_into().unwrap());
        assert_eq!(bytes.len(), 12 + stated as usize);
        assert_eq!(bytes[16], 2);
        let stored = u32::from_be_bytes(bytes[17..21].try_into().unwrap());
        assert_eq!(stored, crc32c::crc32c(&bytes[21..]));
    }

    #[test]
    fn a_bomb_is_a_hundredth_of_what_it_becomes() {
        for codec in [GZIP, LZ4, ZSTD] {
            let size_bytes = 8 << 20;
            assert!(compress(codec, size_bytes).unwrap().len() < size_bytes / 100);
        }
    }
}
