//! No bytes make the reader of AMQP frames panic, and what it takes it takes again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_door_amqp::codec::fuzzing::frames;

const MAX_BYTES: usize = 128 << 10;

fuzz_target!(|bytes: &[u8]| {
    let again = frames(bytes, MAX_BYTES);
    assert_eq!(frames(&again, MAX_BYTES), again);
});
