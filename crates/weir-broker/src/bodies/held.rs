//! The chunks of bodies that one partition's log refers to.
//!
//! Encoded: `u32` chunks in ascending order of what refers to them last, each `u64` first offset of
//! the chunk, `u64` last offset of the partition's log that may refer to it.

use std::collections::{BTreeSet, VecDeque};

use weir_model::Offset;

use super::Chunks;
use crate::encoding::{DecodeError, Reader, Writer};

const HELD_BYTES: usize = 8 + 8;

/// Chunks, in ascending order of the last offset that refers to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeldChunks(VecDeque<Held>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    chunk: u64,
    last: u64,
}

impl HeldChunks {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A batch that ends with offset `last` refers to these chunks. All of it counts: who reads from
    /// within a batch is given its beginning as well.
    pub(crate) fn refer(&mut self, chunks: BTreeSet<u64>, last: Offset, bodies: &mut Chunks) {
        for chunk in chunks {
            // As a rule it is one of the last.
            match self.0.iter().rposition(|held| held.chunk == chunk) {
                Some(at) => {
                    self.0.remove(at);
                }
                None => bodies.hold(chunk),
            }
            self.0.push_back(Held {
                chunk,
                last: last.0,
            });
        }
    }

    /// The log begins with `start` now.
    pub(crate) fn trimmed(&mut self, start: Offset, bodies: &mut Chunks) {
        while let Some(held) = self.0.front().copied().filter(|held| held.last < start.0) {
            self.0.pop_front();
            bodies.let_go(held.chunk);
        }
    }

    /// The log is gone.
    pub(crate) fn forget(&mut self, bodies: &mut Chunks) {
        for held in self.0.drain(..) {
            bodies.let_go(held.chunk);
        }
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.count(self.0.len());
        for held in &self.0 {
            writer.u64(held.chunk);
            writer.u64(held.last);
        }
    }

    /// Takes its chunks in `bodies`.
    pub(crate) fn decode(
        reader: &mut Reader<'_>,
        bodies: &mut Chunks,
    ) -> Result<Self, DecodeError> {
        let mut held = Self::default();
        let mut seen = BTreeSet::new();
        let mut before = 0;
        for _ in 0..reader.count(HELD_BYTES)? {
            let (chunk, last) = (reader.u64()?, reader.u64()?);
            if last < before || !bodies.has(chunk) || !seen.insert(chunk) {
                return Err(reader.invalid("chunk that a log refers to"));
            }
            before = last;
            bodies.hold(chunk);
            held.0.push_back(Held { chunk, last });
        }
        Ok(held)
    }
}
