//! The writing side.

use bytes::{BufMut, Bytes, BytesMut};
use raft::eraftpb::{Entry, Message, MessageType, Snapshot};
use weir_model::NodeId;

use super::{
    ENTRY_MIN_BYTES, LIST_HEADER_BYTES, MIN_CHUNK_BYTES, RAFT_BYTES, SLEEP_BYTES, SNAPSHOT_BYTES,
    TAG_SLEEP, VERSION,
};
use crate::{Members, PeerMessage, convert::entry_kind, peer::PeerBody};

/// Encodes messages from one node to another; chunks to be sent one behind the other. Large data
/// is referred to and not copied. Messages of another pair of nodes, and those that raft-rs means
/// for its own node, are left out: the other side would refuse them all.
pub fn encode(from: NodeId, to: NodeId, messages: &[PeerMessage]) -> Vec<Bytes> {
    let travelling = || messages.iter().filter(|message| travels(from, to, message));
    let small_bytes: usize = travelling().map(copied_bytes).sum();
    let mut chunks = Chunks {
        done: Vec::new(),
        open: BytesMut::with_capacity(LIST_HEADER_BYTES + small_bytes),
    };
    chunks.open.put_u8(VERSION);
    chunks.open.put_u64_le(from.0);
    chunks.open.put_u64_le(to.0);
    chunks.open.put_u32_le(length(travelling().count()));
    for message in travelling() {
        put_message(&mut chunks, message);
    }
    chunks.finish()
}

/// Bytes that a message takes among others; large data included.
pub fn size_bytes(message: &PeerMessage) -> usize {
    match &message.body {
        PeerBody::Sleep { .. } => SLEEP_BYTES,
        PeerBody::Raft(raft) => {
            let entries: usize = raft.entries.iter().map(entry_bytes).sum();
            raft_bytes(raft) + entries + large_bytes(&raft.get_snapshot().data)
        }
    }
}

/// What encoding copies of a message.
fn copied_bytes(message: &PeerMessage) -> usize {
    match &message.body {
        PeerBody::Sleep { .. } => SLEEP_BYTES,
        PeerBody::Raft(raft) => {
            let copied = |entry: &Entry| entry_bytes(entry) - large_bytes(&entry.data);
            raft_bytes(raft) + raft.entries.iter().map(copied).sum::<usize>()
        }
    }
}

/// A message without its entries and without a snapshot's large data.
fn raft_bytes(raft: &Message) -> usize {
    let snapshot = raft.snapshot.as_ref().map_or(0, |snapshot| {
        let state = snapshot.get_metadata().get_conf_state();
        let ids_count = state.voters.len()
            + state.learners.len()
            + state.voters_outgoing.len()
            + state.learners_next.len();
        SNAPSHOT_BYTES + ids_count * 8 + snapshot.data.len() - large_bytes(&snapshot.data)
    });
    RAFT_BYTES + raft.context.len() + snapshot
}

fn entry_bytes(entry: &Entry) -> usize {
    ENTRY_MIN_BYTES + entry.context.len() + entry.data.len()
}

fn large_bytes(data: &Bytes) -> usize {
    if data.len() < MIN_CHUNK_BYTES {
        0
    } else {
        data.len()
    }
}

fn travels(from: NodeId, to: NodeId, message: &PeerMessage) -> bool {
    let is_ours = message.from == from && message.to == to;
    is_ours
        && match &message.body {
            PeerBody::Sleep { .. } => true,
            PeerBody::Raft(raft) => {
                raft.from == from.0
                    && raft.to == to.0
                    && !is_local(raft.msg_type)
                    && (raft.msg_type == MessageType::MsgSnapshot) == raft.snapshot.is_some()
            }
        }
}

/// Whether raft-rs means such a message for its own node alone.
pub(super) fn is_local(kind: MessageType) -> bool {
    use MessageType as M;
    match kind {
        M::MsgHup
        | M::MsgBeat
        | M::MsgPropose
        | M::MsgUnreachable
        | M::MsgSnapStatus
        | M::MsgCheckQuorum => true,
        M::MsgAppend
        | M::MsgAppendResponse
        | M::MsgRequestVote
        | M::MsgRequestVoteResponse
        | M::MsgSnapshot
        | M::MsgHeartbeat
        | M::MsgHeartbeatResponse
        | M::MsgTransferLeader
        | M::MsgTimeoutNow
        | M::MsgReadIndex
        | M::MsgReadIndexResp
        | M::MsgRequestPreVote
        | M::MsgRequestPreVoteResponse => false,
    }
}

/// The kind's tag: never used again for something else.
pub(super) fn tag(kind: MessageType) -> u8 {
    use MessageType as M;
    match kind {
        M::MsgHup => 0,
        M::MsgBeat => 1,
        M::MsgPropose => 2,
        M::MsgAppend => 3,
        M::MsgAppendResponse => 4,
        M::MsgRequestVote => 5,
        M::MsgRequestVoteResponse => 6,
        M::MsgSnapshot => 7,
        M::MsgHeartbeat => 8,
        M::MsgHeartbeatResponse => 9,
        M::MsgUnreachable => 10,
        M::MsgSnapStatus => 11,
        M::MsgCheckQuorum => 12,
        M::MsgTransferLeader => 13,
        M::MsgTimeoutNow => 14,
        M::MsgReadIndex => 15,
        M::MsgReadIndexResp => 16,
        M::MsgRequestPreVote => 17,
        M::MsgRequestPreVoteResponse => 18,
    }
}

struct Chunks {
    done: Vec<Bytes>,
    open: BytesMut,
}

impl Chunks {
    fn bytes(&mut self, bytes: &Bytes) {
        self.open.put_u32_le(length(bytes.len()));
        if bytes.len() < MIN_CHUNK_BYTES {
            self.open.put_slice(bytes);
        } else {
            self.done.push(self.open.split().freeze());
            self.done.push(bytes.clone());
        }
    }

    fn copied(&mut self, bytes: &[u8]) {
        self.open.put_u32_le(length(bytes.len()));
        self.open.put_slice(bytes);
    }

    fn finish(mut self) -> Vec<Bytes> {
        if !self.open.is_empty() {
            self.done.push(self.open.freeze());
        }
        self.done
    }
}

fn length(count: usize) -> u32 {
    u32::try_from(count).expect("what a worker sends in one turn is below 4 GiB")
}

fn put_message(chunks: &mut Chunks, message: &PeerMessage) {
    match &message.body {
        PeerBody::Sleep { term, commit } => {
            chunks.open.put_u8(TAG_SLEEP);
            chunks.open.put_u32_le(message.group.0);
            chunks.open.put_u64_le(*term);
            chunks.open.put_u64_le(*commit);
        }
        PeerBody::Raft(raft) => {
            chunks.open.put_u8(tag(raft.msg_type));
            chunks.open.put_u32_le(message.group.0);
            put_raft(chunks, raft);
        }
    }
}

fn put_raft(chunks: &mut Chunks, raft: &Message) {
    let numbers = [
        raft.term,
        raft.log_term,
        raft.index,
        raft.commit,
        raft.commit_term,
        raft.request_snapshot,
        raft.reject_hint,
        raft.deprecated_priority,
    ];
    for number in numbers {
        chunks.open.put_u64_le(number);
    }
    chunks.open.put_i64_le(raft.priority);
    chunks.open.put_u8(u8::from(raft.reject));
    chunks.copied(&raft.context);
    chunks.open.put_u32_le(length(raft.entries.len()));
    for entry in &raft.entries {
        chunks.open.put_u8(entry_kind(entry.entry_type));
        chunks.open.put_u64_le(entry.term);
        chunks.open.put_u64_le(entry.index);
        chunks.copied(&entry.context);
        chunks.bytes(&entry.data);
    }
    chunks.open.put_u8(u8::from(raft.snapshot.is_some()));
    if let Some(snapshot) = raft.snapshot.as_ref() {
        put_snapshot(chunks, snapshot);
    }
}

fn put_snapshot(chunks: &mut Chunks, snapshot: &Snapshot) {
    let metadata = snapshot.get_metadata();
    chunks.open.put_u64_le(metadata.index);
    chunks.open.put_u64_le(metadata.term);
    Members::from_conf_state(metadata.get_conf_state()).encode(&mut chunks.open);
    chunks.bytes(&snapshot.data);
}
