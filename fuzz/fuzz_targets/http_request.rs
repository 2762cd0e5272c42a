//! No request makes the HTTP API's table of routes panic. The first line is method and target, what follows
//! the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_door_http::fuzzing::request;

fuzz_target!(|bytes: &[u8]| {
    let at = bytes.iter().position(|byte| *byte == b'\n');
    let (line, rest) = bytes.split_at(at.unwrap_or(bytes.len()));
    let Ok(line) = std::str::from_utf8(line) else {
        return;
    };
    let (method, target) = line.split_once(' ').unwrap_or((line, ""));
    let _ = request(method, target, rest.get(1..).unwrap_or_default());
});
