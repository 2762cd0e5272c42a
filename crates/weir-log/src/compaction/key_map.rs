//! The latest offset of each key, exact: keys themselves, no hashes that might collide.

use std::collections::HashMap;

use weir_model::Offset;

/// What a key costs in memory besides its bytes: table slot, allocation.
const KEY_OVERHEAD_BYTES: usize = 64;

/// A table that is full when it has its limit in bytes. It is looked up, never walked.
pub(super) struct KeyMap {
    latest: HashMap<Box<[u8]>, Offset>,
    size_bytes: usize,
    limit_bytes: usize,
}

impl KeyMap {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self {
            latest: HashMap::new(),
            size_bytes: 0,
            limit_bytes,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.size_bytes >= self.limit_bytes
    }

    /// Notes a record. Offsets only rise.
    pub(super) fn insert(&mut self, key: &[u8], offset: Offset) {
        if let Some(latest) = self.latest.get_mut(key) {
            assert!(*latest < offset, "records are met in order");
            *latest = offset;
        } else {
            self.size_bytes += key.len() + KEY_OVERHEAD_BYTES;
            self.latest.insert(key.into(), offset);
        }
    }

    /// Whether a later record than the one at `offset` has this key.
    pub(super) fn has_later(&self, key: &[u8], offset: Offset) -> bool {
        self.latest.get(key).is_some_and(|latest| *latest > offset)
    }
}
