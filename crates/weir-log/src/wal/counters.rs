//! What the writer did, for others to read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the writer did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalFigures {
    /// Frames written: group commits.
    pub frame_count: u64,
    /// Bytes written, padding included.
    pub written_bytes: u64,
    /// Syncs of file contents.
    pub sync_count: u64,
    /// Files put to use.
    pub file_count: u64,
    /// Length of all files that are needed.
    pub live_bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) frames: AtomicU64,
    pub(super) written_bytes: AtomicU64,
    pub(super) syncs: AtomicU64,
    pub(super) files: AtomicU64,
    pub(super) live_bytes: AtomicU64,
}

impl Counters {
    pub(super) fn wrote_frame(&self, bytes: usize) {
        self.frames.fetch_add(1, Relaxed);
        self.written_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn synced(&self) {
        self.syncs.fetch_add(1, Relaxed);
    }

    pub(super) fn figures(&self) -> WalFigures {
        WalFigures {
            frame_count: self.frames.load(Relaxed),
            written_bytes: self.written_bytes.load(Relaxed),
            sync_count: self.syncs.load(Relaxed),
            file_count: self.files.load(Relaxed),
            live_bytes: self.live_bytes.load(Relaxed),
        }
    }
}
