//! Bugs put in on purpose, so that the simulator can show that it finds them. Without the feature
//! `seeded-bugs` none of them is in the program.

use crate::{NodeConfig, api::ProducerEpoch};

/// A bug to run with.
#[cfg(feature = "seeded-bugs")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeededBug {
    /// A replica that takes over a checkpoint leaves out the last range of the last partition.
    SnapshotMissesLastSegment,
    /// A producer's batch that is stored already is stored again.
    SkipProducerDedup,
    /// A transaction is ended whatever epoch asks for it.
    EndIgnoresEpoch,
    /// A commit of offsets is acknowledged as soon as it is proposed, before a majority has it:
    /// what was delivered counts as settled while a lost leader may take it back.
    OffsetAckBeforeDecided,
    /// Transactions that are open do not hold back what counts as decided.
    StableAheadOfOpen,
}

/// Which bug a part of the node has to do with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seeded {
    #[cfg(feature = "seeded-bugs")]
    bug: Option<SeededBug>,
}

#[cfg(feature = "seeded-bugs")]
impl Seeded {
    pub(crate) fn of(config: &NodeConfig) -> Self {
        Self {
            bug: config.seeded_bug,
        }
    }

    fn has(self, bug: SeededBug) -> bool {
        self.bug == Some(bug)
    }

    pub(crate) fn misses_last_segment(self) -> bool {
        self.has(SeededBug::SnapshotMissesLastSegment)
    }

    pub(crate) fn skips_dedup(self) -> bool {
        self.has(SeededBug::SkipProducerDedup)
    }

    /// The epoch with which the end of a transaction is asked for, where `current` is the one that
    /// counts.
    pub(crate) fn end_epoch(
        self,
        asked: ProducerEpoch,
        current: Option<ProducerEpoch>,
    ) -> ProducerEpoch {
        let ignores = self.has(SeededBug::EndIgnoresEpoch);
        let current = current.filter(|current| ignores && current.id == asked.id);
        current.unwrap_or(asked)
    }

    pub(crate) fn acks_offsets_early(self) -> bool {
        self.has(SeededBug::OffsetAckBeforeDecided)
    }

    pub(crate) fn ignores_open(self) -> bool {
        self.has(SeededBug::StableAheadOfOpen)
    }
}

#[cfg(not(feature = "seeded-bugs"))]
#[expect(
    clippy::unused_self,
    reason = "the same questions as with the feature, which looks at the settings"
)]
impl Seeded {
    pub(crate) fn of(_config: &NodeConfig) -> Self {
        Self {}
    }

    pub(crate) fn misses_last_segment(self) -> bool {
        false
    }

    pub(crate) fn skips_dedup(self) -> bool {
        false
    }

    pub(crate) fn end_epoch(
        self,
        asked: ProducerEpoch,
        _current: Option<ProducerEpoch>,
    ) -> ProducerEpoch {
        asked
    }

    pub(crate) fn acks_offsets_early(self) -> bool {
        false
    }

    pub(crate) fn ignores_open(self) -> bool {
        false
    }
}
