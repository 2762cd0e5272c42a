//! How to run a plan.

/// A bug to run with, to show that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "kebab-case")]
pub enum Bug {
    /// A commit is reported without its sync.
    AckBeforeSync,
    /// A frame at the tail counts although its checksum is wrong.
    SkipTornTailCheck,
    /// A frame of a recycled file's earlier life counts.
    AcceptRecycled,
    /// A leader counts an entry as committed once it is on its own disk.
    AckBeforeQuorum,
    /// A vote is not written down.
    ForgetVote,
    /// A follower applies entries that may not be committed.
    ApplyBeforeCommit,
    /// A learner's copy counts for the commit.
    LearnerCountsAsVoter,
    /// A leader answers reads without asking whether it still leads.
    StaleLeaderReads,
    /// A replica that takes over a checkpoint leaves out the end of a partition.
    SnapshotMissesLastSegment,
    /// A producer's batch that is stored already is stored again.
    SkipProducerDedup,
    /// A transaction is ended whatever epoch asks for it.
    EndIgnoresEpoch,
    /// A commit of offsets is acknowledged before it is decided.
    OffsetAckBeforeDecided,
    /// Transactions that are open do not hold back what counts as decided.
    StableAheadOfOpen,
    /// Settlements are answered before they are stored.
    SettleAckBeforeStored,
    /// What a session holds when it ends stays its own for ever.
    LockOutlivesSession,
    /// A new leader of a queue does not wake what waits for its time there.
    TimersLostWithLeader,
    /// A dead letter is settled where it died before it is stored where it belongs.
    LetterSettledBeforeStored,
    /// What members of share groups acknowledge is answered before it is stored.
    ShareAckBeforeStored,
    /// Locks of share groups' members that are gone never end.
    ShareLockOutlivesMember,
    /// Share groups that read what is committed are given what was aborted.
    ShareSeesAborted,
}

impl Bug {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::AckBeforeSync => "ack-before-sync",
            Self::SkipTornTailCheck => "skip-torn-tail-check",
            Self::AcceptRecycled => "accept-recycled",
            Self::AckBeforeQuorum => "ack-before-quorum",
            Self::ForgetVote => "forget-vote",
            Self::ApplyBeforeCommit => "apply-before-commit",
            Self::LearnerCountsAsVoter => "learner-counts-as-voter",
            Self::StaleLeaderReads => "stale-leader-reads",
            Self::SnapshotMissesLastSegment => "snapshot-misses-last-segment",
            Self::SkipProducerDedup => "skip-producer-dedup",
            Self::EndIgnoresEpoch => "end-ignores-epoch",
            Self::OffsetAckBeforeDecided => "offset-ack-before-decided",
            Self::StableAheadOfOpen => "stable-ahead-of-open",
            Self::SettleAckBeforeStored => "settle-ack-before-stored",
            Self::LockOutlivesSession => "lock-outlives-session",
            Self::TimersLostWithLeader => "timers-lost-with-leader",
            Self::LetterSettledBeforeStored => "letter-settled-before-stored",
            Self::ShareAckBeforeStored => "share-ack-before-stored",
            Self::ShareLockOutlivesMember => "share-lock-outlives-member",
            Self::ShareSeesAborted => "share-sees-aborted",
        }
    }
}

/// How to run a plan.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether to keep the trace's lines.
    pub with_trace: bool,
    /// The bug to run with. Without the feature `seeded-bugs` it has no effect.
    pub bug: Option<Bug>,
    /// Runs plans without their queues, to see what queues cost.
    pub without_queues: bool,
}
