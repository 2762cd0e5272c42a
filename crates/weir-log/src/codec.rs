//! The four codecs of record batches, with a limit on what comes out.

use std::io::{self, Read, Write};

use weir_model::batch::Codec;

/// Most bytes that one batch's records may take when they are decompressed. A batch beyond it is
/// kept and served as it is; nobody looks inside.
pub const MAX_DECOMPRESSED_BYTES: usize = 128 << 20;

/// A codec's own default level.
pub const DEFAULT_LEVEL: i32 = -1;
/// Highest level of gzip.
const MAX_GZIP_LEVEL: u32 = 9;

/// Begins snappy in xerial's framing; version 1 and least reader version 1 follow.
const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
/// Length of a xerial block before compression, in bytes; its Java writer's default.
const XERIAL_BLOCK_BYTES: usize = 32 << 10;

/// Why a batch's records could not be decompressed.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// More comes out than is allowed.
    #[error("decompressed records exceed {limit_bytes} bytes")]
    TooLarge {
        /// What is allowed, in bytes.
        limit_bytes: usize,
    },
    /// The bytes are not of this codec.
    #[error("compressed records are malformed: {0}")]
    Malformed(io::Error),
}

/// Decompresses the records of one batch; never returns more than `limit_bytes`.
pub fn decompress(codec: Codec, body: &[u8], limit_bytes: usize) -> Result<Vec<u8>, CodecError> {
    match codec {
        Codec::None => read_limited(body, limit_bytes),
        Codec::Gzip => read_limited(flate2::read::MultiGzDecoder::new(body), limit_bytes),
        Codec::Snappy => decompress_snappy(body, limit_bytes),
        Codec::Lz4 => read_limited(lz4_flex::frame::FrameDecoder::new(body), limit_bytes),
        Codec::Zstd => {
            let reader =
                zstd::stream::read::Decoder::with_buffer(body).map_err(CodecError::Malformed)?;
            read_limited(reader, limit_bytes)
        }
    }
}

fn read_limited(reader: impl Read, limit_bytes: usize) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    reader
        .take(limit_bytes as u64 + 1)
        .read_to_end(&mut out)
        .map_err(CodecError::Malformed)?;
    if out.len() > limit_bytes {
        return Err(CodecError::TooLarge { limit_bytes });
    }
    Ok(out)
}

/// Xerial's framing, or one bare block as some clients write it.
fn decompress_snappy(body: &[u8], limit_bytes: usize) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    let Some(framed) = body.strip_prefix(&XERIAL_MAGIC) else {
        decompress_block(body, limit_bytes, &mut out)?;
        return Ok(out);
    };
    let mut rest = framed.get(XERIAL_VERSIONS.len()..).ok_or_else(ends_early)?;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(ends_early)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let (block, after) = after.split_at_checked(length).ok_or_else(ends_early)?;
        decompress_block(block, limit_bytes, &mut out)?;
        rest = after;
    }
    Ok(out)
}

fn decompress_block(block: &[u8], limit_bytes: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
    // Snappy expands at most about 64 / 3 times; a length beyond that is a lie.
    const MAX_EXPANSION: usize = 32;
    let malformed = |error: snap::Error| CodecError::Malformed(error.into());
    let length = snap::raw::decompress_len(block).map_err(malformed)?;
    if length > limit_bytes - out.len() {
        return Err(CodecError::TooLarge { limit_bytes });
    }
    if length > block.len().saturating_mul(MAX_EXPANSION) {
        return Err(ends_early());
    }
    let from = out.len();
    out.resize(from + length, 0);
    let count = snap::raw::Decoder::new()
        .decompress(block, &mut out[from..])
        .map_err(malformed)?;
    out.truncate(from + count);
    Ok(())
}

fn ends_early() -> CodecError {
    CodecError::Malformed(io::ErrorKind::UnexpectedEof.into())
}

/// Compresses the records of one batch as Kafka's clients expect it.
pub fn compress(codec: Codec, body: &[u8]) -> io::Result<Vec<u8>> {
    compress_at(codec, DEFAULT_LEVEL, body)
}

/// Like [`compress`], with the codec's own level; [`DEFAULT_LEVEL`]: its default. Snappy and LZ4
/// have one level here.
pub fn compress_at(codec: Codec, level: i32, body: &[u8]) -> io::Result<Vec<u8>> {
    match codec {
        Codec::None => Ok(body.to_vec()),
        Codec::Gzip => {
            let level = u32::try_from(level).map_or_else(
                |_| flate2::Compression::default(),
                |level| flate2::Compression::new(level.min(MAX_GZIP_LEVEL)),
            );
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
            writer.write_all(body)?;
            writer.finish()
        }
        Codec::Snappy => {
            let mut out = [XERIAL_MAGIC, XERIAL_VERSIONS].concat();
            for block in body.chunks(XERIAL_BLOCK_BYTES) {
                let packed = snap::raw::Encoder::new().compress_vec(block)?;
                let length = u32::try_from(packed.len()).expect("a block is short");
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(&packed);
            }
            Ok(out)
        }
        Codec::Lz4 => {
            let mut writer = lz4_flex::frame::FrameEncoder::new(Vec::new());
            writer.write_all(body)?;
            Ok(writer.finish()?)
        }
        Codec::Zstd if level == DEFAULT_LEVEL => {
            zstd::stream::encode_all(body, zstd::DEFAULT_COMPRESSION_LEVEL)
        }
        Codec::Zstd => zstd::stream::encode_all(body, level),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODECS: [Codec; 5] = [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ];

    fn text() -> Vec<u8> {
        b"the weir holds back the flood ".repeat(4000)
    }

    #[test]
    fn every_codec_reads_back_across_block_boundaries() {
        for codec in CODECS {
            let packed = compress(codec, &text()).unwrap();
            let unpacked = decompress(codec, &packed, text().len()).unwrap();
            assert_eq!(unpacked, text(), "{codec:?}");
        }
    }

    #[test]
    fn one_byte_past_the_limit_is_refused() {
        for codec in CODECS {
            let packed = compress(codec, &text()).unwrap();
            let refused = decompress(codec, &packed, text().len() - 1);
            assert!(
                matches!(refused, Err(CodecError::TooLarge { .. })),
                "{codec:?}"
            );
        }
    }

    #[test]
    fn a_bare_snappy_block_is_read() {
        let packed = snap::raw::Encoder::new().compress_vec(b"bare").unwrap();
        assert_eq!(decompress(Codec::Snappy, &packed, 100).unwrap(), b"bare");
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        for codec in CODECS.into_iter().skip(1) {
            let packed = compress(codec, &text()).unwrap();
            for cut in [0, 1, 9, 17, packed.len() / 2] {
                let short = decompress(codec, &packed[..cut], 1 << 20);
                assert!(
                    short.is_err() || short.unwrap() != text(),
                    "{codec:?} {cut}"
                );
            }
            for at in 0..packed.len().min(64) {
                let mut damaged = packed.clone();
                damaged[at] ^= 0x55;
                // Either outcome is fine; what must not happen is a panic or a huge allocation.
                let _ = decompress(codec, &damaged, 1 << 20);
            }
        }
    }

    #[test]
    fn a_snappy_length_does_not_size_an_allocation() {
        let huge = [0xff, 0xff, 0xff, 0x3f, 0];
        assert!(decompress(Codec::Snappy, &huge, usize::MAX).is_err());
    }
}
