//! No call between nodes and no answer makes its reader panic, and what is understood is
//! understood again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_broker::{
    fuzzing::{call, metadata_answer, queue_answer, range_answer, share_answer},
    join,
};

fuzz_target!(|bytes: &[u8]| {
    for reread in [call, metadata_answer, queue_answer, range_answer, share_answer] {
        if let Some(again) = reread(bytes) {
            assert_eq!(reread(&again), Some(again));
        }
    }
    let mut mended = bytes.to_vec();
    if let Some((head, batches)) = mended.split_at_mut_checked(13) {
        head[9..].copy_from_slice(&crc32c::crc32c(batches).to_le_bytes());
        if let Some(again) = range_answer(&mended) {
            assert_eq!(range_answer(&again), Some(again));
        }
    }
    drop(join::read_answer(bytes.to_vec().into()));
});
