//! No bytes make a decompressor panic, or give more than it may.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_log::codec::decompress;
use weir_model::batch::Codec;

const LIMIT_BYTES: usize = 64 << 10;

fuzz_target!(|bytes: &[u8]| {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        if let Ok(out) = decompress(codec, bytes, LIMIT_BYTES) {
            assert!(out.len() <= LIMIT_BYTES);
        }
    }
});
