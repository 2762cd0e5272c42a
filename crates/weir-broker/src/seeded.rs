//! Bugs put in on purpose, so that the simulator can show that it finds them. Without the feature
//! `seeded-bugs` none of them is in the program.

#[cfg(feature = "seeded-bugs")]
use std::collections::BTreeSet;

use weir_model::PartitionId;

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
    /// Settlements are answered as soon as they are proposed, before a majority has them.
    SettleAckBeforeStored,
    /// What a session holds when it ends stays its own for ever.
    LockOutlivesSession,
    /// Who begins to lead does not wake what began to wait for its time under others.
    TimersLostWithLeader,
    /// A dead letter is settled where it died as soon as it is sent, before it is stored where it
    /// belongs.
    LetterSettledBeforeStored,
    /// What members of share groups acknowledge is answered as soon as it is proposed, before a
    /// majority has it.
    ShareAckBeforeStored,
    /// Locks of share groups' members that are gone never end.
    ShareLockOutlivesMember,
    /// Share groups that read what is committed are given what was aborted.
    ShareSeesAborted,
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

    pub(crate) fn acks_settlements_early(self) -> bool {
        self.has(SeededBug::SettleAckBeforeStored)
    }

    pub(crate) fn keeps_locks(self) -> bool {
        self.has(SeededBug::LockOutlivesSession)
    }

    pub(crate) fn settles_letters_early(self) -> bool {
        self.has(SeededBug::LetterSettledBeforeStored)
    }

    pub(crate) fn acks_shares_early(self) -> bool {
        self.has(SeededBug::ShareAckBeforeStored)
    }

    pub(crate) fn keeps_share_locks(self) -> bool {
        self.has(SeededBug::ShareLockOutlivesMember)
    }

    pub(crate) fn shares_aborted(self) -> bool {
        self.has(SeededBug::ShareSeesAborted)
    }

    /// Of queues where something waits for its time, those that a new leader does not wake.
    pub(crate) fn lost_timers(self, waiting: impl Iterator<Item = PartitionId>) -> LostTimers {
        let is_so = self.has(SeededBug::TimersLostWithLeader);
        LostTimers {
            queues: waiting.filter(|_| is_so).collect(),
        }
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

    pub(crate) fn acks_settlements_early(self) -> bool {
        false
    }

    pub(crate) fn keeps_locks(self) -> bool {
        false
    }

    pub(crate) fn settles_letters_early(self) -> bool {
        false
    }

    pub(crate) fn acks_shares_early(self) -> bool {
        false
    }

    pub(crate) fn keeps_share_locks(self) -> bool {
        false
    }

    pub(crate) fn shares_aborted(self) -> bool {
        false
    }

    pub(crate) fn lost_timers(self, _waiting: impl Iterator<Item = PartitionId>) -> LostTimers {
        LostTimers {}
    }
}

/// Queues that their leader does not wake.
#[derive(Default)]
pub(crate) struct LostTimers {
    #[cfg(feature = "seeded-bugs")]
    queues: BTreeSet<PartitionId>,
}

#[cfg(feature = "seeded-bugs")]
impl LostTimers {
    pub(crate) fn has(&self, queue: PartitionId) -> bool {
        self.queues.contains(&queue)
    }
}

#[cfg(not(feature = "seeded-bugs"))]
#[expect(
    clippy::unused_self,
    reason = "the same question as with the feature, which remembers queues"
)]
impl LostTimers {
    pub(crate) fn has(&self, _queue: PartitionId) -> bool {
        false
    }
}
