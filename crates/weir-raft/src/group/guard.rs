//! Which messages raft-rs can be given: it takes some as the word of its own process, and ends
//! the process over others.

use raft::{
    Raft,
    eraftpb::{Message, MessageType},
};
use weir_model::NodeId;

use crate::group_log::GroupLog;

/// Whether `message` is one that a sound replica on `from` may send to `raft`'s node.
pub(super) fn is_sane(message: &Message, from: NodeId, raft: &Raft<GroupLog>) -> bool {
    let addressed = message.from == from.0 && message.to == raft.id && message.from != raft.id;
    if !addressed || message.from == raft::INVALID_ID || message.term == 0 {
        return false;
    }
    match message.get_msg_type() {
        MessageType::MsgAppend => is_sane_append(message),
        MessageType::MsgAppendResponse => {
            message.reject || message.index <= raft.raft_log.last_index()
        }
        MessageType::MsgSnapshot => {
            let metadata = message.get_snapshot().get_metadata();
            metadata.index > 0 && metadata.term > 0 && metadata.term <= message.term
        }
        MessageType::MsgRequestVote
        | MessageType::MsgRequestVoteResponse
        | MessageType::MsgRequestPreVote
        | MessageType::MsgRequestPreVoteResponse
        | MessageType::MsgHeartbeat
        | MessageType::MsgHeartbeatResponse
        | MessageType::MsgTimeoutNow => true,
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgPropose
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum
        | MessageType::MsgTransferLeader
        | MessageType::MsgReadIndex
        | MessageType::MsgReadIndexResp => false,
    }
}

/// raft-rs looks neither at gaps nor at a position past its end without a term.
fn is_sane_append(message: &Message) -> bool {
    let starts = (message.index == 0) == (message.log_term == 0);
    let Some(first) = message.index.checked_add(1) else {
        return false;
    };
    let mut expected = (first..).zip(&message.entries);
    starts && expected.all(|(index, entry)| entry.index == index && entry.term <= message.term)
}
