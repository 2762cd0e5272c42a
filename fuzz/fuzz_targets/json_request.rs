//! No JSON makes the readers of what people ask a node panic, and what is understood is understood
//! again. The bytes are the text behind the tag of each kind of request.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_broker::fuzzing::{JSON_CALLS, call};

fuzz_target!(|bytes: &[u8]| {
    for tag in JSON_CALLS {
        let request = [&[tag][..], bytes].concat();
        if let Some(again) = call(&request) {
            assert_eq!(call(&again), Some(again));
        }
    }
});
