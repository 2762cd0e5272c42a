//! No bytes make the reader of beacons panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_broker::fuzzing::is_beacon;

fuzz_target!(|bytes: &[u8]| {
    is_beacon(bytes);
});
