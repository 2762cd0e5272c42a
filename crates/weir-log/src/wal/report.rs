//! What was found at start, for people.

use std::fmt;

use super::names::wal_path;

/// What was done with one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileVerdict {
    /// Complete.
    Whole,
    /// The last file: writing goes on behind its last frame.
    Continued,
    /// The last file ended in a frame that was never acknowledged: writing goes on in its place.
    TornTailCut,
    /// No longer needed.
    Obsolete,
}

/// One file, as found at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// The file's number.
    pub seq: u64,
    /// What was done with it.
    pub verdict: FileVerdict,
    /// Where its frames end, in bytes.
    pub end_bytes: u64,
    /// Frames read.
    pub frame_count: u64,
    /// Entries read, replaced ones included.
    pub entry_count: u64,
}

impl fmt::Display for FileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            FileVerdict::Whole => "whole",
            FileVerdict::Continued => "continued",
            FileVerdict::TornTailCut => "torn tail cut",
            FileVerdict::Obsolete => "obsolete, removed",
        };
        write!(
            f,
            "{}: {verdict} at byte {}, {} frames, {} entries",
            wal_path(self.seq),
            self.end_bytes,
            self.frame_count,
            self.entry_count
        )
    }
}

/// What was found at start. Prints one line per file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The files, oldest first.
    pub files: Vec<FileReport>,
}

impl RecoveryReport {
    /// Whether there was no log before.
    pub fn is_first_start(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether a frame was cut off that was never acknowledged.
    pub fn has_torn_tail(&self) -> bool {
        let mut verdicts = self.files.iter().map(|file| file.verdict);
        verdicts.any(|verdict| verdict == FileVerdict::TornTailCut)
    }
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_first_start() {
            return writeln!(f, "no write-ahead log yet");
        }
        self.files.iter().try_for_each(|file| writeln!(f, "{file}"))
    }
}
