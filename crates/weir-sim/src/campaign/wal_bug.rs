//! Puts a seeded bug where it belongs, where the build has them.

use weir_broker::{Engine, NodeConfig};
use weir_log::wal::WalConfig;

use crate::options::Options;

#[cfg(feature = "seeded-bugs")]
pub(super) fn with_bug(mut config: WalConfig, options: Options) -> WalConfig {
    use weir_log::wal::SeededBug;

    use crate::options::Bug;

    config.seeded_bug = options.bug.and_then(|bug| match bug {
        Bug::AckBeforeSync => Some(SeededBug::AckBeforeSync),
        Bug::SkipTornTailCheck => Some(SeededBug::SkipTornTailCheck),
        Bug::AcceptRecycled => Some(SeededBug::AcceptRecycled),
        Bug::AckBeforeQuorum
        | Bug::ForgetVote
        | Bug::ApplyBeforeCommit
        | Bug::LearnerCountsAsVoter
        | Bug::StaleLeaderReads
        | Bug::SnapshotMissesLastSegment
        | Bug::SkipProducerDedup
        | Bug::EndIgnoresEpoch
        | Bug::OffsetAckBeforeDecided
        | Bug::StableAheadOfOpen
        | Bug::SettleAckBeforeStored
        | Bug::LockOutlivesSession
        | Bug::TimersLostWithLeader
        | Bug::LetterSettledBeforeStored
        | Bug::ShareAckBeforeStored
        | Bug::ShareLockOutlivesMember
        | Bug::ShareSeesAborted => None,
    });
    config
}

#[cfg(not(feature = "seeded-bugs"))]
pub(super) fn with_bug(config: WalConfig, _options: Options) -> WalConfig {
    config
}

/// The bug of a node, apart from that of its log.
#[cfg(feature = "seeded-bugs")]
pub(super) fn with_node_bug(mut config: NodeConfig, options: Options) -> NodeConfig {
    use weir_broker::SeededBug;

    use crate::options::Bug;

    config.seeded_bug = options.bug.and_then(|bug| match bug {
        Bug::SnapshotMissesLastSegment => Some(SeededBug::SnapshotMissesLastSegment),
        Bug::SkipProducerDedup => Some(SeededBug::SkipProducerDedup),
        Bug::EndIgnoresEpoch => Some(SeededBug::EndIgnoresEpoch),
        Bug::OffsetAckBeforeDecided => Some(SeededBug::OffsetAckBeforeDecided),
        Bug::StableAheadOfOpen => Some(SeededBug::StableAheadOfOpen),
        Bug::SettleAckBeforeStored => Some(SeededBug::SettleAckBeforeStored),
        Bug::LockOutlivesSession => Some(SeededBug::LockOutlivesSession),
        Bug::TimersLostWithLeader => Some(SeededBug::TimersLostWithLeader),
        Bug::LetterSettledBeforeStored => Some(SeededBug::LetterSettledBeforeStored),
        Bug::ShareAckBeforeStored => Some(SeededBug::ShareAckBeforeStored),
        Bug::ShareLockOutlivesMember => Some(SeededBug::ShareLockOutlivesMember),
        Bug::ShareSeesAborted => Some(SeededBug::ShareSeesAborted),
        Bug::AckBeforeSync
        | Bug::SkipTornTailCheck
        | Bug::AcceptRecycled
        | Bug::AckBeforeQuorum
        | Bug::ForgetVote
        | Bug::ApplyBeforeCommit
        | Bug::LearnerCountsAsVoter
        | Bug::StaleLeaderReads => None,
    });
    config
}

#[cfg(not(feature = "seeded-bugs"))]
pub(super) fn with_node_bug(config: NodeConfig, _options: Options) -> NodeConfig {
    config
}

/// Puts a bug into the groups of a node that is open.
#[cfg(feature = "seeded-bugs")]
pub(super) fn seed(engine: &mut Engine, options: Options) {
    use weir_raft::RaftBug;

    use crate::options::Bug;

    let bug = options.bug.and_then(|bug| match bug {
        Bug::AckBeforeQuorum => Some(RaftBug::AckBeforeQuorum),
        Bug::ForgetVote => Some(RaftBug::ForgetVote),
        Bug::ApplyBeforeCommit => Some(RaftBug::ApplyBeforeCommit),
        Bug::LearnerCountsAsVoter => Some(RaftBug::LearnerCountsAsVoter),
        Bug::StaleLeaderReads => Some(RaftBug::StaleLeaderReads),
        Bug::AckBeforeSync
        | Bug::SkipTornTailCheck
        | Bug::AcceptRecycled
        | Bug::SnapshotMissesLastSegment
        | Bug::SkipProducerDedup
        | Bug::EndIgnoresEpoch
        | Bug::OffsetAckBeforeDecided
        | Bug::StableAheadOfOpen
        | Bug::SettleAckBeforeStored
        | Bug::LockOutlivesSession
        | Bug::TimersLostWithLeader
        | Bug::LetterSettledBeforeStored
        | Bug::ShareAckBeforeStored
        | Bug::ShareLockOutlivesMember
        | Bug::ShareSeesAborted => None,
    });
    if let Some(bug) = bug {
        engine.seed_bug(bug);
    }
}

#[cfg(not(feature = "seeded-bugs"))]
pub(super) fn seed(_engine: &mut Engine, _options: Options) {}
