//! Nothing that members of a group say about themselves makes its reader panic, and assignments
//! that are made of it are understood.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_broker::group::subscription::{read, read_assignment, topics, write_assignment};

fuzz_target!(|bytes: &[u8]| {
    let subscription = read(bytes);
    assert!(subscription.is_none() || topics(bytes).is_some());
    let _ = read_assignment(bytes);
    if let Some(subscription) = subscription {
        let written = write_assignment(bytes, &subscription.owned);
        assert!(read_assignment(&written).is_some());
    }
});
