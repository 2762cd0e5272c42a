//! No bytes make the readers of the write-ahead log panic, and records that are understood take as
//! many bytes as they came in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_log::fuzzing::{is_wal_header, wal_body_bytes, wal_frame_bytes};

const BLOCK_BYTES: usize = 4_096;

fuzz_target!(|bytes: &[u8]| {
    if let Some(size_bytes) = wal_frame_bytes(bytes) {
        assert_eq!(size_bytes % BLOCK_BYTES, 0);
    }
    if let Some((count, body)) = bytes.split_first()
        && let Some(size_bytes) = wal_body_bytes(u32::from(*count), body)
    {
        assert_eq!(size_bytes, body.len());
    }
    // A checksum is hard to guess.
    let mut block = bytes.to_vec();
    block.resize(BLOCK_BYTES, 0);
    block[..8].copy_from_slice(b"WEIR-WAL");
    block[12..16].fill(0);
    let checksum = crc32c::crc32c(&block).to_le_bytes();
    block[12..16].copy_from_slice(&checksum);
    is_wal_header(&block);
});
