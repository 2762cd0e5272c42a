//! No messages of a client make a login panic, and none of one who does not know the password lets
//! anybody in. Between two messages of an exchange stands a line's end.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use weir_access::{Access, Hash, PlainMessage, Seed, User, scram::Exchange};

/// With a user whom no password lets in.
static ACCESS: LazyLock<Access> = LazyLock::new(|| {
    let mut access = Access::default();
    let created = access.create_user(User::new("user"), Seed([7; 32]));
    created.expect("the first user is taken");
    access
});

fuzz_target!(|bytes: &[u8]| {
    let _ = PlainMessage::parse(bytes);
    let at = bytes.iter().position(|byte| *byte == b'\n');
    let (first, last) = bytes.split_at(at.unwrap_or(bytes.len()));
    for hash in Hash::ALL {
        let Ok((exchange, answer)) = Exchange::begin(&ACCESS, hash, "nonce", first) else {
            continue;
        };
        assert!(answer.starts_with("r="));
        let last = last.get(1..).unwrap_or_default();
        assert!(exchange.finish(&ACCESS, last).is_err());
    }
});
