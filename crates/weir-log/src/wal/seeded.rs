//! Bugs put in on purpose, so that the simulator can show that it finds them. Without the feature
//! `seeded-bugs` none of them is in the program.

use super::WalConfig;

/// A bug to run with.
#[cfg(feature = "seeded-bugs")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeededBug {
    /// A commit is reported without its sync.
    AckBeforeSync,
    /// A frame at the tail counts although its checksum is wrong.
    SkipTornTailCheck,
    /// A frame of a file's earlier life counts.
    AcceptRecycled,
}

#[cfg(feature = "seeded-bugs")]
impl WalConfig {
    pub(super) fn skips_sync(&self) -> bool {
        self.seeded_bug == Some(SeededBug::AckBeforeSync)
    }

    pub(super) fn skips_torn_tail_check(&self) -> bool {
        self.seeded_bug == Some(SeededBug::SkipTornTailCheck)
    }

    pub(super) fn accepts_recycled(&self) -> bool {
        self.seeded_bug == Some(SeededBug::AcceptRecycled)
    }
}

#[cfg(not(feature = "seeded-bugs"))]
#[expect(
    clippy::unused_self,
    reason = "the same questions as with the feature, which looks at the settings"
)]
impl WalConfig {
    pub(super) fn skips_sync(&self) -> bool {
        false
    }

    pub(super) fn skips_torn_tail_check(&self) -> bool {
        false
    }

    pub(super) fn accepts_recycled(&self) -> bool {
        false
    }
}
