//! Between raft-rs's messages and the write-ahead log's words, by plain fields: no protobuf
//! bytes are read from disk or network here.

use raft::eraftpb::{Entry, EntryType, HardState as RaftHardState};
use weir_log::wal::{HardState, WalEntry};
use weir_model::Term;

const KIND_NORMAL: u8 = 0;
const KIND_CONF_CHANGE: u8 = 1;
const KIND_CONF_CHANGE_V2: u8 = 2;

/// What the write-ahead log and the wire call an entry's type.
pub(crate) fn entry_kind(entry_type: EntryType) -> u8 {
    match entry_type {
        EntryType::EntryNormal => KIND_NORMAL,
        EntryType::EntryConfChange => KIND_CONF_CHANGE,
        EntryType::EntryConfChangeV2 => KIND_CONF_CHANGE_V2,
    }
}

/// The reverse of [`entry_kind`].
pub(crate) fn entry_type(kind: u8) -> Option<EntryType> {
    match kind {
        KIND_NORMAL => Some(EntryType::EntryNormal),
        KIND_CONF_CHANGE => Some(EntryType::EntryConfChange),
        KIND_CONF_CHANGE_V2 => Some(EntryType::EntryConfChangeV2),
        _ => None,
    }
}

pub(crate) fn to_wal(entry: &Entry) -> WalEntry {
    WalEntry {
        index: entry.index,
        term: Term(entry.term),
        kind: entry_kind(entry.entry_type),
        context: entry.context.clone(),
        data: entry.data.clone(),
    }
}

pub(crate) fn from_wal(entry: WalEntry) -> Result<Entry, String> {
    let kind = entry.kind;
    let entry_type =
        entry_type(kind).ok_or_else(|| format!("entry {} has unknown kind {kind}", entry.index))?;
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
