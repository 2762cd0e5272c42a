//! No pattern of a permission makes its reader panic or run away, whatever name it is held against.
//! Between pattern and name stands a line's end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_access::Wanted;

fuzz_target!(|text: &str| {
    let (pattern, name) = text.split_once('\n').unwrap_or((text, ""));
    if Wanted::fault(pattern).is_ok() {
        let _ = Wanted::new(pattern).matches(name);
    }
});
