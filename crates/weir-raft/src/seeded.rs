//! Bugs put in on purpose, so that the simulator can show that it finds them. Without the feature
//! `seeded-bugs` none of them is in the program.

#[cfg(feature = "seeded-bugs")]
use raft::StateRole;
use raft::eraftpb::HardState;

use crate::group_log::GroupLog;

/// A bug to run with.
#[cfg(feature = "seeded-bugs")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaftBug {
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
}

/// Which bug a group runs with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bugs {
    #[cfg(feature = "seeded-bugs")]
    pub(crate) bug: Option<RaftBug>,
}

type Raft = raft::Raft<GroupLog>;

#[cfg(feature = "seeded-bugs")]
impl Bugs {
    pub(crate) fn after_persist(self, raft: &mut Raft) {
        let wanted = match raft.state {
            StateRole::Leader => RaftBug::AckBeforeQuorum,
            StateRole::Follower | StateRole::Candidate | StateRole::PreCandidate => {
                RaftBug::ApplyBeforeCommit
            }
        };
        let persisted = raft.raft_log.persisted;
        if self.bug == Some(wanted) && raft.raft_log.committed < persisted {
            raft.raft_log.commit_to(persisted);
        }
    }

    pub(crate) fn after_step(self, raft: &mut Raft) {
        if self.bug != Some(RaftBug::LearnerCountsAsVoter) || raft.state != StateRole::Leader {
            return;
        }
        let mut matched: Vec<u64> = raft.prs().iter().map(|(_, peer)| peer.matched).collect();
        matched.sort_unstable();
        let half = (matched.len() - 1) / 2;
        let (index, term) = (matched[half], raft.term);
        if raft.raft_log.maybe_commit(index, term) {
            raft.bcast_append();
        }
    }

    pub(crate) fn forget_vote(self, state: &mut HardState) {
        if self.bug == Some(RaftBug::ForgetVote) {
            state.vote = raft::INVALID_ID;
        }
    }

    pub(crate) fn answers_reads_at_once(self) -> bool {
        self.bug == Some(RaftBug::StaleLeaderReads)
    }
}

#[cfg(not(feature = "seeded-bugs"))]
#[expect(
    clippy::unused_self,
    reason = "the same questions as with the feature, which looks at the bug"
)]
impl Bugs {
    pub(crate) fn after_persist(self, _raft: &mut Raft) {}

    pub(crate) fn after_step(self, _raft: &mut Raft) {}

    pub(crate) fn forget_vote(self, _state: &mut HardState) {}

    pub(crate) fn answers_reads_at_once(self) -> bool {
        false
    }
}
