//! No bytes make the reader of Raft messages panic, and what it understands it understands again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_model::NodeId;
use weir_raft::wire::{decode, encode};

/// The bytes name both nodes: they are taken at their word.
fn node_at(bytes: &[u8], at: usize) -> NodeId {
    let id = bytes.get(at..at + 8).and_then(|id| id.try_into().ok());
    NodeId(id.map_or(0, u64::from_le_bytes))
}

fuzz_target!(|bytes: &[u8]| {
    let (from, to) = (node_at(bytes, 1), node_at(bytes, 9));
    if let Ok(messages) = decode(from, to, bytes.to_vec().into()) {
        // Members may be told in any order, and are written in theirs.
        let again = encode(from, to, &messages).concat();
        let messages = decode(from, to, again.clone().into()).expect("what was encoded decodes");
        assert_eq!(encode(from, to, &messages).concat(), again);
    }
});
