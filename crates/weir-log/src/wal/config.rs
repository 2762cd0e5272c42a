//! How the write-ahead log is laid out.

use crate::disk::BLOCK_BYTES;

/// Most bytes that one entry may have: data and context together.
pub const MAX_ENTRY_BYTES: usize = 64 << 20;
/// Most bytes of one frame's body. A length beyond it, read from disk, is damage.
pub const MAX_BODY_BYTES: usize = 1 << 30;
/// Most bytes that may wait in the queue before [`super::WalPort::accepts`] says no.
pub const MAX_QUEUE_BYTES: usize = 256 << 20;
/// Most submissions that may wait in the queue before [`super::WalPort::accepts`] says no.
pub const MAX_QUEUE_COUNT: usize = 65_536;
/// Size of a file that has to be made while a writer waits for it: the first file of an empty
/// log, and one for which no spare was ready. Small, since every byte of it is written first.
pub(super) const QUICK_FILE_BYTES: u64 = 4 << 20;

/// Layout and limits of the write-ahead log.
#[derive(Clone, Debug)]
pub struct WalConfig {
    /// Size of a file. A frame that does not fit gets a file of its own size.
    pub file_size_bytes: u64,
    /// How much is gathered into one frame. A single larger submission makes a larger frame.
    pub max_frame_bytes: usize,
    /// Above this length of all live files no new work is taken in.
    pub max_total_bytes: u64,
    /// How many files are held ready for the writer.
    pub spare_count: usize,
    /// The bug to run with.
    #[cfg(feature = "seeded-bugs")]
    pub seeded_bug: Option<super::SeededBug>,
}

impl Default for WalConfig {
    fn default() -> Self {
        Self {
            file_size_bytes: 64 << 20,
            max_frame_bytes: 8 << 20,
            max_total_bytes: 4 << 30,
            spare_count: 2,
            #[cfg(feature = "seeded-bugs")]
            seeded_bug: None,
        }
    }
}

/// A setting out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalConfigError {
    /// The file size is not a multiple of the block size, or has fewer than four blocks.
    #[error("file size of {bytes} bytes is not a multiple of {BLOCK_BYTES}, four at least")]
    FileSize {
        /// The size asked for.
        bytes: u64,
    },
    /// A frame would have no room, or more than a body may have.
    #[error("frame limit of {bytes} bytes is not between {BLOCK_BYTES} and {MAX_BODY_BYTES}")]
    FrameSize {
        /// The limit asked for.
        bytes: usize,
    },
    /// The total leaves no room for the file in use and the one behind it.
    #[error("total of {total_bytes} bytes is less than two files of {file_size_bytes} bytes")]
    TotalSize {
        /// The total asked for.
        total_bytes: u64,
        /// The size of a file.
        file_size_bytes: u64,
    },
}

impl WalConfig {
    /// Refuses settings out of their range.
    pub fn check(&self) -> Result<(), WalConfigError> {
        let block = BLOCK_BYTES as u64;
        let file_size_bytes = self.file_size_bytes;
        if !file_size_bytes.is_multiple_of(block) || file_size_bytes < 4 * block {
            return Err(WalConfigError::FileSize {
                bytes: file_size_bytes,
            });
        }
        if self.max_frame_bytes < BLOCK_BYTES || self.max_frame_bytes > MAX_BODY_BYTES {
            return Err(WalConfigError::FrameSize {
                bytes: self.max_frame_bytes,
            });
        }
        if self.max_total_bytes / 2 < file_size_bytes {
            return Err(WalConfigError::TotalSize {
                total_bytes: self.max_total_bytes,
                file_size_bytes,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_settings_are_in_range() {
        assert_eq!(WalConfig::default().check(), Ok(()));
    }

    #[test]
    fn settings_at_the_limit_pass_and_one_past_it_do_not() {
        let smallest = WalConfig {
            file_size_bytes: 4 * 4096,
            max_frame_bytes: 4096,
            max_total_bytes: 8 * 4096,
            ..WalConfig::default()
        };
        assert_eq!(smallest.check(), Ok(()));
        let mut odd = smallest.clone();
        odd.file_size_bytes += 1;
        assert!(matches!(odd.check(), Err(WalConfigError::FileSize { .. })));
        let mut frame = smallest.clone();
        frame.max_frame_bytes -= 1;
        assert!(matches!(
            frame.check(),
            Err(WalConfigError::FrameSize { .. })
        ));
        let mut total = smallest;
        total.max_total_bytes -= 1;
        assert!(matches!(
            total.check(),
            Err(WalConfigError::TotalSize { .. })
        ));
    }
}
