//! No bytes make the readers of queues and of their changes panic, and what is understood is
//! understood again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_broker::fuzzing::{queue_command, queue_state};

fuzz_target!(|bytes: &[u8]| {
    for reread in [queue_command, queue_state] {
        if let Some(again) = reread(bytes) {
            assert_eq!(reread(&again), Some(again));
        }
    }
});
