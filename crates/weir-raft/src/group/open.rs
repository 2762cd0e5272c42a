//! A group from what the disk kept of it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use raft::{Config, RawNode, ReadOnlyOption, eraftpb::HardState};
use weir_log::wal::RecoveredGroup;
use weir_model::{GroupId, NodeId, Term};

use super::Group;
use crate::{
    FoundError, Members, StateMachine, bundle::BundleBuilder, convert, group_log::GroupLog,
};

/// Most bytes of committed entries handled in one turn of a group.
const MAX_COMMITTED_BYTES_PER_TURN: u64 = 16 << 20;
/// Most bytes of entries in one message to a peer.
const MAX_APPEND_BYTES: u64 = 1 << 20;
/// Most append messages on their way to one peer.
const MAX_INFLIGHT_MESSAGES: usize = 256;
/// Ticks without a word from the leader before a follower campaigns.
const ELECTION_TICKS: usize = 10;
/// Ticks between two heartbeats.
const HEARTBEAT_TICKS: usize = 2;

/// What a group is opened from.
pub struct GroupSeed<S> {
    /// The group.
    pub group: GroupId,
    /// Who takes part: from the checkpoint, or the founders.
    pub members: Members,
    /// Index and term of the last entry in `machine`; zeros without a checkpoint.
    pub checkpoint: (u64, Term),
    /// The checkpoint's body, to be offered to replicas that are far behind; `None` without a
    /// checkpoint.
    pub snapshot: Option<Bytes>,
    /// What the write-ahead log had.
    pub recovered: RecoveredGroup,
    /// The state machine as of the checkpoint.
    pub machine: S,
    /// Spreads elections: any number.
    pub election_seed: u64,
}

impl<S: StateMachine> Group<S> {
    pub(crate) fn open(node: NodeId, seed: GroupSeed<S>) -> Result<Self, FoundError> {
        let GroupSeed {
            group,
            members,
            checkpoint,
            snapshot: _,
            recovered,
            machine,
            election_seed,
        } = seed;
        let refused = |reason: String| FoundError::Refused { group, reason };
        let mut entries = recovered.entries;
        entries.retain(|entry| entry.index > checkpoint.0);
        if let Some(first) = entries.first().map(|entry| entry.index)
            && first != checkpoint.0 + 1
        {
            return Err(FoundError::Gap {
                group,
                checkpoint: checkpoint.0,
                first,
            });
        }
        let last = checkpoint.0 + entries.len() as u64;
        if recovered.hard_state.commit > last {
            let commit = recovered.hard_state.commit;
            return Err(refused(format!(
                "committed up to {commit}, the log ends at {last}"
            )));
        }
        let hard_state = HardState {
            term: recovered.hard_state.term.max(checkpoint.1).0,
            vote: recovered.hard_state.vote,
            commit: recovered.hard_state.commit.max(checkpoint.0),
            ..HardState::default()
        };
        let entries = entries
            .into_iter()
            .map(convert::from_wal)
            .collect::<Result<Vec<_>, _>>();
        let entries = entries.map_err(refused)?;
        let conf_state = members.to_conf_state();
        let log = GroupLog::new(
            (checkpoint.0, checkpoint.1.0),
            hard_state,
            conf_state,
            entries,
        );
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raw = RawNode::new(&config(node, checkpoint.0, election_seed), log, &logger)
            .map_err(|error| refused(error.to_string()))?;
        Ok(Self {
            id: group,
            raw,
            machine,
            members,
            bundle: BundleBuilder::default(),
            in_flight: VecDeque::new(),
            proposals: Vec::new(),
            applied: (checkpoint.0, checkpoint.1.0),
            leads: false,
            after_persist: VecDeque::new(),
            submitted: 0,
            persisted: 0,
            barriers: BTreeMap::new(),
            barriers_at: VecDeque::new(),
            next_barrier: 0,
            member_change: None,
            status: Arc::default(),
        })
    }
}

fn config(node: NodeId, applied: u64, election_seed: u64) -> Config {
    let spread = ELECTION_TICKS
        + usize::try_from(election_seed % ELECTION_TICKS as u64).expect("a remainder of ten fits");
    Config {
        id: node.0,
        election_tick: ELECTION_TICKS,
        heartbeat_tick: HEARTBEAT_TICKS,
        // An interval of one: raft-rs draws from it with a generator of its own.
        min_election_tick: spread,
        max_election_tick: spread + 1,
        applied,
        max_size_per_msg: MAX_APPEND_BYTES,
        max_inflight_msgs: MAX_INFLIGHT_MESSAGES,
        max_committed_size_per_ready: MAX_COMMITTED_BYTES_PER_TURN,
        check_quorum: true,
        pre_vote: true,
        read_only_option: ReadOnlyOption::Safe,
        ..Config::default()
    }
}
