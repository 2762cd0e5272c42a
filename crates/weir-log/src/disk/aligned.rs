//! Memory that direct I/O accepts, without `unsafe`.

use super::BLOCK_BYTES;

/// A growable buffer whose bytes start at an address that is a multiple of [`BLOCK_BYTES`].
#[derive(Debug, Default)]
pub struct AlignedBuf {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuf {
    /// An empty buffer with room for `capacity_bytes`.
    pub fn with_capacity(capacity_bytes: usize) -> Self {
        let mut buf = Self::default();
        buf.reserve(capacity_bytes);
        buf
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }

    /// The bytes, to be changed in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets the bytes and keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Appends `bytes`.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        let at = self.start + self.len;
        self.memory[at..at + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Cuts, or extends by zeros.
    pub fn resize(&mut self, len: usize) {
        if len > self.len {
            self.reserve(len - self.len);
            let (from, to) = (self.start + self.len, self.start + len);
            self.memory[from..to].fill(0);
        }
        self.len = len;
    }

    /// Forgets the first `count` bytes. Those behind them move up.
    pub fn drop_front(&mut self, count: usize) {
        let from = self.start + count;
        self.memory
            .copy_within(from..self.start + self.len, self.start);
        self.len -= count;
    }

    fn reserve(&mut self, additional_bytes: usize) {
        let needed = self.len + additional_bytes;
        if self.start + needed <= self.memory.len() {
            return;
        }
        let capacity = needed.max(self.len * 2).next_multiple_of(BLOCK_BYTES);
        let mut memory = vec![0; capacity + BLOCK_BYTES];
        let start = memory.as_ptr().align_offset(BLOCK_BYTES);
        assert!(start < BLOCK_BYTES, "a byte pointer can always be aligned");
        memory[start..start + self.len].copy_from_slice(self.as_slice());
        (self.memory, self.start) = (memory, start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_aligned_and_keeps_its_bytes_while_it_grows() {
        let mut buf = AlignedBuf::default();
        for i in 0..10_000_u32 {
            buf.extend_from_slice(&i.to_le_bytes());
            assert_eq!(buf.as_slice().as_ptr().align_offset(BLOCK_BYTES), 0);
        }
        assert_eq!(buf.len(), 40_000);
        assert_eq!(&buf.as_slice()[39_996..], 9_999_u32.to_le_bytes());
    }

    #[test]
    fn what_stands_behind_the_dropped_front_moves_up() {
        let mut buf = AlignedBuf::default();
        buf.extend_from_slice(b"front and rest");
        buf.drop_front(10);
        buf.extend_from_slice(b"!");
        assert_eq!(buf.as_slice(), b"rest!");
        buf.drop_front(5);
        assert!(buf.is_empty());
    }

    #[test]
    fn old_bytes_do_not_show_after_clear_and_resize() {
        let mut buf = AlignedBuf::with_capacity(8);
        buf.extend_from_slice(&[7; 8]);
        buf.clear();
        buf.resize(8);
        assert_eq!(buf.as_slice(), [0; 8]);
    }
}
