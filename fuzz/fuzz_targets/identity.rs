//! No bytes make the reader of a node's identity panic, and what it understands it understands
//! again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_broker::fuzzing::identity;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // A checksum is hard to guess: what lies behind it is reached with one that is right.
    let mut mended = bytes.to_vec();
    if let Some((head, body)) = mended.split_at_mut_checked(12) {
        head[..8].copy_from_slice(b"WEIRNODE");
        head[8..].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
        check(&mended);
    }
});

fn check(bytes: &[u8]) {
    if let Some(again) = identity(bytes) {
        assert_eq!(identity(&again), Some(again));
    }
}
