//! No bytes make the reader of a ledger's snapshot panic, and what is understood is understood again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_ledger::Ledger;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(snapshot) = Ledger::decode(bytes) {
        let again = snapshot.encode();
        let reread = Ledger::decode(&again).expect("what was encoded decodes");
        assert_eq!(reread.encode(), again);
    }
});
