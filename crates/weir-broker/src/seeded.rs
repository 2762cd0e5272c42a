//! Bugs put in on purpose, so that the simulator can show that it finds them. Without the feature
//! `seeded-bugs` none of them is in the program.

use crate::NodeConfig;

/// A bug to run with.
#[cfg(feature = "seeded-bugs")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeededBug {
    /// A replica that takes over a checkpoint leaves out the last range of the last partition.
    SnapshotMissesLastSegment,
}

#[cfg(feature = "seeded-bugs")]
impl NodeConfig {
    pub(crate) fn misses_last_segment(&self) -> bool {
        self.seeded_bug == Some(SeededBug::SnapshotMissesLastSegment)
    }
}

#[cfg(not(feature = "seeded-bugs"))]
#[expect(
    clippy::unused_self,
    reason = "the same questions as with the feature, which looks at the settings"
)]
impl NodeConfig {
    pub(crate) fn misses_last_segment(&self) -> bool {
        false
    }
}
