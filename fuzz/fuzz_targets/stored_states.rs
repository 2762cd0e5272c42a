//! No bytes make the readers of commands and states panic, and what is understood is understood
//! again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_broker::fuzzing::{
    is_shard_command, is_shard_table, metadata_command, metadata_state, shard_state,
};

fuzz_target!(|bytes: &[u8]| {
    for reread in [metadata_command, metadata_state, shard_state] {
        if let Some(again) = reread(bytes) {
            assert_eq!(reread(&again), Some(again));
        }
    }
    is_shard_command(bytes);
    if let Some((kind, table)) = bytes.split_first() {
        is_shard_table(*kind, table);
    }
});
