//! Between raft-rs's messages and the write-ahead log's words, by plain fields: no protobuf
//! bytes are read from disk or network here.

use raft::eraftpb::{Entry, EntryType, HardState as RaftHardState};
use weir_log::wal::{HardState, WalEntry};
use weir_model::Term;

const KIND_NORMAL: u8 = 0;
const KIND_CONF_CHANGE: u8 = 1;
const KIND_CONF_CHANGE_V2: u8 = 2;

pub(crate) fn to_wal(entry: &Entry) -> WalEntry {
    let kind = match entry.entry_type {
        EntryType::EntryNormal => KIND_NORMAL,
        EntryType::EntryConfChange => KIND_CONF_CHANGE,
        EntryType::EntryConfChangeV2 => KIND_CONF_CHANGE_V2,
    };
    WalEntry {
        index: entry.index,
        term: Term(entry.term),
        kind,
        context: entry.context.clone(),
        data: entry.data.clone(),
    }
}

pub(crate) fn from_wal(entry: WalEntry) -> Result<Entry, String> {
    let entry_type = match entry.kind {
        KIND_NORMAL => EntryType::EntryNormal,
        KIND_CONF_CHANGE => EntryType::EntryConfChange,
        KIND_CONF_CHANGE_V2 => EntryType::EntryConfChangeV2,
        other => return Err(format!("entry {} has unknown kind {other}", entry.index)),
    };
    Ok(Entry {
        entry_type,
        term: entry.term.0,
        index: entry.index,
        data: entry.data,
        context: entry.context,
        ..Entry::default()
    })
}

pub(crate) fn hard_state_to_wal(state: &RaftHardState) -> HardState {
    HardState {
        term: Term(state.term),
        vote: state.vote,
        commit: state.commit,
    }
}
