//! The reading side: nothing is trusted, no length sizes an allocation.

use bytes::{Buf, Bytes};
use raft::eraftpb::{Entry, Message, MessageType, Snapshot, SnapshotMetadata};
use weir_model::{GroupId, NodeId};

use super::{
    ENTRY_MIN_BYTES, MESSAGE_HEADER_BYTES, MIN_CHUNK_BYTES, TAG_SLEEP, VERSION, WireError,
    encode::is_local,
};
use crate::{Members, PeerMessage, convert::entry_type, peer::PeerBody};

/// Decodes what [`encode`](super::encode) made. `from` is the node at the other end of the
/// connection, `to` this node; both must be who the bytes name.
pub fn decode(from: NodeId, to: NodeId, bytes: Bytes) -> Result<Vec<PeerMessage>, WireError> {
    let mut reader = Reader { bytes, at: 0 };
    let version = reader.u8()?;
    if version != VERSION {
        return Err(reader.unknown("message list version", version));
    }
    let found = reader.u64()?;
    if found != from.0 {
        let expected = from;
        return Err(WireError::Sender { expected, found });
    }
    let found = reader.u64()?;
    if found != to.0 {
        let expected = to;
        return Err(WireError::Receiver { expected, found });
    }
    let count = reader.count(MESSAGE_HEADER_BYTES)?;
    let mut messages = Vec::new();
    for _ in 0..count {
        messages.push(message(&mut reader, from, to)?);
    }
    match reader.bytes.len() {
        0 => Ok(messages),
        left => Err(WireError::Trailing {
            at: reader.at,
            left,
        }),
    }
}

fn message(reader: &mut Reader, from: NodeId, to: NodeId) -> Result<PeerMessage, WireError> {
    let at = reader.at;
    let tag = reader.u8()?;
    if tag == TAG_SLEEP {
        let group = GroupId(reader.u32()?);
        let (term, commit) = (reader.u64()?, reader.u64()?);
        let body = PeerBody::Sleep { term, commit };
        return Ok(PeerMessage {
            from,
            to,
            group,
            body,
        });
    }
    let Some(msg_type) = kind(tag) else {
        return Err(reader.unknown("kind of message", tag));
    };
    if is_local(msg_type) {
        return Err(WireError::Local { at, tag });
    }
    let group = GroupId(reader.u32()?);
    let mut raft = raft(reader)?;
    if (msg_type == MessageType::MsgSnapshot) != raft.snapshot.is_some() {
        return Err(WireError::Snapshot { at });
    }
    (raft.msg_type, raft.from, raft.to) = (msg_type, from.0, to.0);
    Ok(PeerMessage {
        from,
        to,
        group,
        body: PeerBody::Raft(Box::new(raft)),
    })
}

fn raft(reader: &mut Reader) -> Result<Message, WireError> {
    let mut raft = Message {
        term: reader.u64()?,
        log_term: reader.u64()?,
        index: reader.u64()?,
        commit: reader.u64()?,
        commit_term: reader.u64()?,
        request_snapshot: reader.u64()?,
        reject_hint: reader.u64()?,
        deprecated_priority: reader.u64()?,
        priority: reader.u64()?.cast_signed(),
        reject: reader.flag("reject flag")?,
        context: reader.copied()?,
        ..Message::default()
    };
    for _ in 0..reader.count(ENTRY_MIN_BYTES)? {
        raft.entries.push(entry(reader)?);
    }
    if reader.flag("snapshot flag")? {
        raft.snapshot = Some(snapshot(reader)?).into();
    }
    Ok(raft)
}

fn entry(reader: &mut Reader) -> Result<Entry, WireError> {
    let kind = reader.u8()?;
    let Some(entry_type) = entry_type(kind) else {
        return Err(reader.unknown("kind of entry", kind));
    };
    Ok(Entry {
        entry_type,
        term: reader.u64()?,
        index: reader.u64()?,
        context: reader.copied()?,
        data: reader.data()?,
        ..Entry::default()
    })
}

fn snapshot(reader: &mut Reader) -> Result<Snapshot, WireError> {
    let (index, term) = (reader.u64()?, reader.u64()?);
    let (at, left) = (reader.at, reader.bytes.len());
    let members = Members::decode(&mut reader.bytes).ok_or(WireError::Members { at })?;
    reader.at += left - reader.bytes.len();
    let metadata = SnapshotMetadata {
        conf_state: Some(members.to_conf_state()).into(),
        index,
        term,
        ..SnapshotMetadata::default()
    };
    Ok(Snapshot {
        data: reader.data()?,
        metadata: Some(metadata).into(),
        ..Snapshot::default()
    })
}

fn kind(tag: u8) -> Option<MessageType> {
    use MessageType as M;
    Some(match tag {
        0 => M::MsgHup,
        1 => M::MsgBeat,
        2 => M::MsgPropose,
        3 => M::MsgAppend,
        4 => M::MsgAppendResponse,
        5 => M::MsgRequestVote,
        6 => M::MsgRequestVoteResponse,
        7 => M::MsgSnapshot,
        8 => M::MsgHeartbeat,
        9 => M::MsgHeartbeatResponse,
        10 => M::MsgUnreachable,
        11 => M::MsgSnapStatus,
        12 => M::MsgCheckQuorum,
        13 => M::MsgTransferLeader,
        14 => M::MsgTimeoutNow,
        15 => M::MsgReadIndex,
        16 => M::MsgReadIndexResp,
        17 => M::MsgRequestPreVote,
        18 => M::MsgRequestPreVoteResponse,
        _ => return None,
    })
}

struct Reader {
    bytes: Bytes,
    at: usize,
}

impl Reader {
    fn need(&self, needed: usize) -> Result<(), WireError> {
        let left = self.bytes.len();
        if needed > left {
            let at = self.at;
            return Err(WireError::Truncated { at, needed, left });
        }
        Ok(())
    }

    fn u8(&mut self) -> Result<u8, WireError> {
        self.need(1)?;
        self.at += 1;
        Ok(self.bytes.get_u8())
    }

    fn u32(&mut self) -> Result<u32, WireError> {
        self.need(4)?;
        self.at += 4;
        Ok(self.bytes.get_u32_le())
    }

    fn u64(&mut self) -> Result<u64, WireError> {
        self.need(8)?;
        self.at += 8;
        Ok(self.bytes.get_u64_le())
    }

    fn flag(&mut self, what: &'static str) -> Result<bool, WireError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(self.unknown(what, found)),
        }
    }

    /// A count of items that have at least `item_min_bytes` each.
    fn count(&mut self, item_min_bytes: usize) -> Result<usize, WireError> {
        let count = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        self.need(count.saturating_mul(item_min_bytes))?;
        Ok(count)
    }

    /// A length and as many bytes: a slice of what was received, or a copy where that is cheaper
    /// than keeping all of it alive.
    fn data(&mut self) -> Result<Bytes, WireError> {
        let length = self.count(1)?;
        self.at += length;
        let slice = self.bytes.split_to(length);
        Ok(if length < MIN_CHUNK_BYTES {
            Bytes::copy_from_slice(&slice)
        } else {
            slice
        })
    }

    fn copied(&mut self) -> Result<Bytes, WireError> {
        let length = self.count(1)?;
        self.at += length;
        Ok(Bytes::copy_from_slice(&self.bytes.split_to(length)))
    }

    fn unknown(&self, what: &'static str, found: u8) -> WireError {
        WireError::Unknown {
            at: self.at - 1,
            what,
            found,
        }
    }
}
