//! Commands of one loop as one Raft entry.
//!
//! | Offset | Field |
//! |---|---|
//! | 0 | version u8, 2 |
//! | 1 | leader's wall clock i64 little-endian, ms since 1970 |
//! | 9 | the group's clock i64 little-endian, ms since whenever |
//! | 17 | per command: length u32 little-endian, bytes |

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use weir_log::Millis;

use crate::{BufferPool, Command, Done, machine::Stamp};

const VERSION: u8 = 2;
const HEADER_BYTES: usize = 17;
const LENGTH_BYTES: usize = 4;

/// A bundle takes no further command once it has this length, in bytes: large enough to make
/// per-entry costs vanish, small enough to be replicated in pieces.
pub(crate) const MAX_BUNDLE_BYTES: usize = 1 << 20;

/// A bundle being gathered, with who waits for its commands. Its bytes are put together once, at
/// the end, in memory of just that size: growing on the way would copy them again.
pub(crate) struct BundleBuilder<O> {
    buffers: Arc<BufferPool>,
    stamp: Stamp,
    commands: Vec<Command>,
    size_bytes: usize,
    waiters: Vec<Option<Done<O>>>,
}

impl<O> BundleBuilder<O> {
    /// An empty one, whose bundles lie in memory of `buffers`.
    pub(crate) fn new(buffers: &Arc<BufferPool>) -> Self {
        Self {
            buffers: Arc::clone(buffers),
            stamp: Stamp::default(),
            commands: Vec::new(),
            size_bytes: HEADER_BYTES,
            waiters: Vec::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub(crate) fn has_room_for(&self, command: &Command) -> bool {
        let grown = self.size_bytes + LENGTH_BYTES + command.size_bytes();
        self.is_empty() || grown <= MAX_BUNDLE_BYTES
    }

    /// Adds a command; the first one's times are the bundle's.
    pub(crate) fn push(&mut self, stamp: Stamp, command: Command, done: Option<Done<O>>) {
        if self.is_empty() {
            self.stamp = stamp;
        }
        self.size_bytes += LENGTH_BYTES + command.size_bytes();
        self.commands.push(command);
        self.waiters.push(done);
    }

    /// The entry's data and its waiters; the builder is empty again.
    pub(crate) fn finish(&mut self) -> (Bytes, Vec<Option<Done<O>>>) {
        let mut buffer = self.buffers.take(self.size_bytes);
        let bytes = buffer.memory();
        bytes.put_u8(VERSION);
        bytes.put_i64_le(self.stamp.now.0);
        bytes.put_i64_le(self.stamp.elapsed.0);
        for command in self.commands.drain(..) {
            let length = u32::try_from(command.size_bytes()).expect("a command is below 4 GiB");
            bytes.put_u32_le(length);
            bytes.put_slice(&command.head);
            bytes.put_slice(&command.payload);
        }
        assert_eq!(
            bytes.len(),
            self.size_bytes,
            "a bundle has the size it was counted to have"
        );
        self.size_bytes = HEADER_BYTES;
        (buffer.freeze(), std::mem::take(&mut self.waiters))
    }

    /// Who waits for what comes to nothing.
    pub(crate) fn abandon(&mut self) -> Vec<Option<Done<O>>> {
        self.commands.clear();
        self.size_bytes = HEADER_BYTES;
        std::mem::take(&mut self.waiters)
    }
}

/// Reads a bundle's commands without copying.
#[derive(Debug)]
pub(crate) struct BundleReader {
    stamp: Stamp,
    rest: Bytes,
}

impl BundleReader {
    pub(crate) fn new(mut bytes: Bytes) -> Result<Self, String> {
        if bytes.len() < HEADER_BYTES {
            return Err(format!("bundle of {} bytes has no header", bytes.len()));
        }
        let version = bytes.get_u8();
        if version != VERSION {
            return Err(format!("bundle version {version}, only {VERSION} is known"));
        }
        Ok(Self {
            stamp: Stamp {
                now: Millis(bytes.get_i64_le()),
                elapsed: Millis(bytes.get_i64_le()),
            },
            rest: bytes,
        })
    }

    pub(crate) fn stamp(&self) -> Stamp {
        self.stamp
    }

    pub(crate) fn next_command(&mut self) -> Result<Option<Bytes>, String> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        if self.rest.len() < LENGTH_BYTES {
            return Err(format!("bundle ends in {} stray bytes", self.rest.len()));
        }
        let length = self.rest.get_u32_le() as usize;
        if self.rest.len() < length {
            return Err(format!(
                "command of {length} bytes, {} are left",
                self.rest.len()
            ));
        }
        Ok(Some(self.rest.split_to(length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(head: &'static [u8], payload: &'static [u8]) -> Command {
        Command {
            head: Bytes::from_static(head),
            payload: Bytes::from_static(payload),
        }
    }

    fn at(now_ms: i64, elapsed_ms: i64) -> Stamp {
        Stamp {
            now: Millis(now_ms),
            elapsed: Millis(elapsed_ms),
        }
    }

    fn bundle() -> Bytes {
        let mut builder = BundleBuilder::<()>::new(&Arc::default());
        builder.push(at(7, 70), command(b"a", b"bc"), None);
        builder.push(at(9, 90), command(b"d", b""), None);
        builder.finish().0
    }

    #[test]
    fn commands_come_back_in_order_with_the_first_ones_times() {
        let mut reader = BundleReader::new(bundle()).unwrap();
        assert_eq!(reader.stamp(), at(7, 70));
        assert_eq!(reader.next_command().unwrap().unwrap(), &b"abc"[..]);
        assert_eq!(reader.next_command().unwrap().unwrap(), &b"d"[..]);
        assert_eq!(reader.next_command(), Ok(None));
    }

    #[test]
    fn a_cut_at_every_byte_never_gives_a_wrong_command() {
        let whole = bundle();
        for cut in 0..whole.len() {
            let Ok(mut reader) = BundleReader::new(whole.slice(..cut)) else {
                continue;
            };
            let mut seen = Vec::new();
            while let Ok(Some(command)) = reader.next_command() {
                seen.push(command);
            }
            assert!(seen.len() < 2, "cut at {cut}");
            assert!(seen.iter().all(|command| command == &b"abc"[..]));
        }
    }

    #[test]
    fn an_oversized_command_still_gets_a_bundle_of_its_own() {
        let mut builder = BundleBuilder::<()>::new(&Arc::default());
        let big = Command {
            head: Bytes::new(),
            payload: vec![0; MAX_BUNDLE_BYTES + 1].into(),
        };
        assert!(builder.has_room_for(&big));
        builder.push(at(0, 0), big, None);
        assert!(!builder.has_room_for(&command(b"x", b"")));
    }
}
