//! No bytes make the reader of frames between nodes panic, and what it takes it takes again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_peer::fuzzing::frames;

const MAX_BYTES: usize = 64 << 10;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // A checksum is hard to guess: what lies behind it is reached with one that is right.
    let mut mended = bytes.to_vec();
    let length = mended
        .get(12..16)
        .and_then(|field| <[u8; 4]>::try_from(field).ok())
        .and_then(|field| usize::try_from(u32::from_le_bytes(field)).ok());
    if let Some(whole) = length.and_then(|length| mended.get_mut(..length.checked_add(32)?)) {
        let checksum = crc32c::crc32c(&whole[8..]);
        whole[4..8].copy_from_slice(&checksum.to_le_bytes());
        check(&mended);
    }
});

fn check(bytes: &[u8]) {
    let again = frames(bytes, MAX_BYTES);
    assert_eq!(frames(&again, MAX_BYTES), again);
}
