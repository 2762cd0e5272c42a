//! A group from what the disk kept of it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use raft::{Config, RawNode, ReadOnlyOption, eraftpb::HardState};
use weir_log::wal::{RecoveredGroup, WalEntry};
use weir_model::{GroupId, NodeId, Term};

use super::{Group, catch_up::CatchUp, clock::GroupClock, liveness::Liveness, view::Viewed};
use crate::{
    FoundError, GroupCheckpoint, GroupStatus, Members, StateMachine, WorkerConfig,
    bundle::BundleBuilder, convert, group_log::GroupLog, seeded::Bugs,
};

/// Most bytes of committed entries handled in one turn of a group.
const MAX_COMMITTED_BYTES_PER_TURN: u64 = 16 << 20;
/// Most bytes of entries in one message to a peer, unless a single entry is larger.
const MAX_APPEND_BYTES: u64 = 1 << 20;
/// Most append messages on their way to one peer. They share their bytes with the log's window.
const MAX_INFLIGHT_MESSAGES: usize = 64;
/// Ticks without a word from the leader before a follower campaigns.
pub(super) const ELECTION_TICKS: usize = 10;
/// Ticks between two heartbeats.
const HEARTBEAT_TICKS: usize = 2;

/// How long what a group stores lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lifetime {
    /// Entries count as stored once they are in the write-ahead log.
    #[default]
    Durable,
    /// The group ends with its node's run: entries count as stored at once, and are let go of
    /// once they are applied. Only where this node is the sole voter, and stays it.
    Transient,
}

/// What a group is opened from.
pub struct GroupSeed<S> {
    /// The group.
    pub group: GroupId,
    /// How long what it stores lasts.
    pub lifetime: Lifetime,
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

/// What of the write-ahead log goes on where the checkpoint ends.
struct Rest {
    entries: Vec<WalEntry>,
    /// The log does not know yet that it goes on behind the checkpoint.
    resets: bool,
}

impl Rest {
    /// A checkpoint that was taken over from a leader may be ahead of the log, or contradict its
    /// end: entries that were never committed.
    fn new(
        group: GroupId,
        checkpoint: (u64, Term),
        all: Vec<WalEntry>,
    ) -> Result<Self, FoundError> {
        let (index, term) = checkpoint;
        let conflicts = all
            .iter()
            .any(|entry| entry.index == index && entry.term != term);
        let reaches = all.last().is_some_and(|last| last.index >= index);
        let mut entries = all;
        entries.retain(|entry| entry.index > index && !conflicts);
        if let Some(first) = entries.first().map(|entry| entry.index)
            && first != index + 1
        {
            return Err(FoundError::Gap {
                group,
                checkpoint: index,
                first,
            });
        }
        Ok(Self {
            entries,
            resets: index > 0 && (conflicts || !reaches),
        })
    }
}

impl<S: StateMachine> Group<S> {
    pub(crate) fn open(worker: &WorkerConfig, seed: GroupSeed<S>) -> Result<Self, FoundError> {
        let (group, checkpoint) = (seed.group, seed.checkpoint);
        assert!(
            seed.lifetime == Lifetime::Durable
                || seed.members.voters == [worker.node] && seed.recovered.entries.is_empty(),
            "a transient group is its node's alone, and begins empty"
        );
        let refused = |reason: String| FoundError::Refused { group, reason };
        let known = seed.recovered.hard_state;
        let rest = Rest::new(group, checkpoint, seed.recovered.entries)?;
        let last = checkpoint.0 + rest.entries.len() as u64;
        if known.commit > last {
            // The replica was retired and is coming back, or its log lost its end: it must hear
            // from the others before it counts again.
            tracing::error!(%group, committed = known.commit, last, "the log ends before its commit");
        }
        let hard_state = hard_state(known, checkpoint, last);
        let entries = rest.entries.into_iter().map(convert::from_wal);
        let entries = entries.collect::<Result<Vec<_>, _>>().map_err(refused)?;
        let at = (checkpoint.0, checkpoint.1.0);
        let mut log = GroupLog::new(at, hard_state, seed.members.to_conf_state(), entries);
        if let Some(body) = seed.snapshot {
            log.set_checkpoint(GroupCheckpoint {
                index: checkpoint.0,
                term: checkpoint.1,
                members: seed.members.clone(),
                body,
            });
        }
        let config = config(worker.node, checkpoint.0, seed.election_seed);
        let raw = raw_node(&config, log).map_err(refused)?;
        let status = Arc::<GroupStatus>::default();
        status.publish_promise(raw.raft.term, raw.raft.vote);
        let promise = (raw.raft.term, raw.raft.vote);
        let stamp = seed.machine.stamp();
        Ok(Self {
            id: group,
            lifetime: seed.lifetime,
            config,
            raw,
            machine: seed.machine,
            members: seed.members,
            conf_index: checkpoint.0,
            bundle: BundleBuilder::new(&worker.buffers),
            in_flight: VecDeque::new(),
            proposals: Vec::new(),
            applied: at,
            leads: false,
            clock: GroupClock::new(last, stamp),
            regains_term: known.term.0,
            regains: if known.commit > last { known.commit } else { 0 },
            after_persist: VecDeque::new(),
            number_base: 0,
            submitted: 0,
            persisted: 0,
            promise_number: 0,
            promise,
            held_campaign: None,
            reset_due: rest.resets,
            barriers: BTreeMap::new(),
            barriers_at: VecDeque::new(),
            next_barrier: 0,
            member_change: None,
            catch_up: CatchUp::default(),
            liveness: Liveness::default(),
            bugs: Bugs::default(),
            viewed: Viewed::default(),
            status,
        })
    }
}

/// What is known, where the log begins behind `checkpoint` and ends at `last`.
fn hard_state(known: weir_log::wal::HardState, checkpoint: (u64, Term), last: u64) -> HardState {
    HardState {
        term: known.term.max(checkpoint.1).0,
        vote: known.vote,
        commit: known.commit.clamp(checkpoint.0, last),
        ..HardState::default()
    }
}

/// raft-rs over `log`, from its floor on.
pub(super) fn raw_node(config: &Config, log: GroupLog) -> Result<RawNode<GroupLog>, String> {
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    RawNode::new(config, log, &logger).map_err(|error| error.to_string())
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
