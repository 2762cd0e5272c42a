//! No bytes make the readers of checkpoints, manifests and indexes panic, and what is understood is
//! understood again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_log::fuzzing::{checkpoint, index, manifest};

const CHECKPOINT_HEADER_BYTES: usize = 48;
const ENTRY_BYTES: usize = 32;

fn check(reread: fn(&[u8]) -> Option<Vec<u8>>, bytes: &[u8]) {
    if let Some(again) = reread(bytes) {
        assert_eq!(again, bytes);
    }
}

fuzz_target!(|bytes: &[u8]| {
    check(manifest, bytes);
    check(index, bytes);
    check(checkpoint, bytes);
    // Checksums are hard to guess: here they are right.
    let mut entries = bytes.to_vec();
    for (at, entry) in (0_u32..).zip(entries.chunks_exact_mut(ENTRY_BYTES)) {
        let (fields, checksum) = entry.split_at_mut(ENTRY_BYTES - 4);
        // The index of the first segment of partition 1.
        let sum = crc32c::crc32c(&1_u64.to_le_bytes());
        let sum = crc32c::crc32c_append(sum, &0_u64.to_le_bytes());
        let sum = crc32c::crc32c_append(sum, &0_u32.to_le_bytes());
        let sum = crc32c::crc32c_append(sum, &at.to_le_bytes());
        checksum.copy_from_slice(&crc32c::crc32c_append(sum, fields).to_le_bytes());
    }
    check(index, &entries);
    let mut file = bytes.to_vec();
    if file.len() >= CHECKPOINT_HEADER_BYTES {
        file[..12].copy_from_slice(b"WEIRCKPT\x01\0\0\0");
        file[12..16].fill(0);
        let checksum = crc32c::crc32c(&file).to_le_bytes();
        file[12..16].copy_from_slice(&checksum);
        let _ = checkpoint(&file);
    }
});
