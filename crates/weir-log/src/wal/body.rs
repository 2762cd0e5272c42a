//! The bytes of records within a frame's body. `docs/formats.md` has the table.

use bytes::{Buf, Bytes};
use weir_model::{GroupId, Term};

use super::{HardState, WalEntry, WalRecord, format::FrameBody};

const TAG_ENTRIES: u8 = 1;
const TAG_HARD_STATE: u8 = 2;
const TAG_RESET: u8 = 3;

/// Tag and group.
const RECORD_START_BYTES: usize = 1 + 4;
/// Index, term, kind, length of the context, length of the data.
const ENTRY_START_BYTES: usize = 8 + 8 + 1 + 4 + 4;

/// Bytes that `records` take.
pub(super) fn body_bytes(records: &[WalRecord]) -> usize {
    records.iter().map(record_bytes).sum()
}

/// Bytes that `record` takes.
pub(super) fn record_bytes(record: &WalRecord) -> usize {
    RECORD_START_BYTES
        + match record {
            WalRecord::Entries { entries, .. } => {
                4 + entries
                    .iter()
                    .map(|entry| ENTRY_START_BYTES + entry.context.len() + entry.data.len())
                    .sum::<usize>()
            }
            WalRecord::HardState { .. } => 24,
            WalRecord::Reset { .. } => 16,
        }
}

/// Appends `record`.
pub(super) fn encode(record: &WalRecord, out: &mut FrameBody<'_>) {
    match record {
        WalRecord::Entries { group, entries } => {
            start(out, TAG_ENTRIES, *group);
            out.put(&length(entries.len()));
            for entry in entries {
                encode_entry(entry, out);
            }
        }
        WalRecord::HardState { group, state } => {
            start(out, TAG_HARD_STATE, *group);
            out.put(&state.term.0.to_le_bytes());
            out.put(&state.vote.to_le_bytes());
            out.put(&state.commit.to_le_bytes());
        }
        WalRecord::Reset { group, index, term } => {
            start(out, TAG_RESET, *group);
            out.put(&index.to_le_bytes());
            out.put(&term.0.to_le_bytes());
        }
    }
}

fn start(out: &mut FrameBody<'_>, tag: u8, group: GroupId) {
    out.put(&[tag]);
    out.put(&group.0.to_le_bytes());
}

fn encode_entry(entry: &WalEntry, out: &mut FrameBody<'_>) {
    let mut bytes = [0; ENTRY_START_BYTES];
    bytes[..8].copy_from_slice(&entry.index.to_le_bytes());
    bytes[8..16].copy_from_slice(&entry.term.0.to_le_bytes());
    bytes[16] = entry.kind;
    bytes[17..21].copy_from_slice(&length(entry.context.len()));
    bytes[21..25].copy_from_slice(&length(entry.data.len()));
    out.put(&bytes);
    out.put(&entry.context);
    out.put(&entry.data);
}

fn length(count: usize) -> [u8; 4] {
    let count = u32::try_from(count).expect("a body has at most 1 GiB");
    count.to_le_bytes()
}

/// The bytes with the right checksum are not `record_count` records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Undecodable;

/// Reads a whole body. Entries share the body's memory.
pub(super) fn decode(mut body: Bytes, record_count: u32) -> Result<Vec<WalRecord>, Undecodable> {
    let mut records = Vec::new();
    for _ in 0..record_count {
        records.push(decode_record(&mut body)?);
    }
    if body.is_empty() {
        Ok(records)
    } else {
        Err(Undecodable)
    }
}

fn decode_record(body: &mut Bytes) -> Result<WalRecord, Undecodable> {
    need(body, RECORD_START_BYTES)?;
    let tag = body.get_u8();
    let group = GroupId(body.get_u32_le());
    match tag {
        TAG_ENTRIES => {
            need(body, 4)?;
            let count = body.get_u32_le();
            let mut entries = Vec::new();
            for _ in 0..count {
                entries.push(decode_entry(body)?);
            }
            Ok(WalRecord::Entries { group, entries })
        }
        TAG_HARD_STATE => {
            need(body, 24)?;
            let state = HardState {
                term: Term(body.get_u64_le()),
                vote: body.get_u64_le(),
                commit: body.get_u64_le(),
            };
            Ok(WalRecord::HardState { group, state })
        }
        TAG_RESET => {
            need(body, 16)?;
            Ok(WalRecord::Reset {
                group,
                index: body.get_u64_le(),
                term: Term(body.get_u64_le()),
            })
        }
        _ => Err(Undecodable),
    }
}

fn decode_entry(body: &mut Bytes) -> Result<WalEntry, Undecodable> {
    need(body, ENTRY_START_BYTES)?;
    let index = body.get_u64_le();
    let term = Term(body.get_u64_le());
    let kind = body.get_u8();
    let context_bytes = usize::try_from(body.get_u32_le()).map_err(|_| Undecodable)?;
    let data_bytes = usize::try_from(body.get_u32_le()).map_err(|_| Undecodable)?;
    need(body, context_bytes)?;
    let context = body.split_to(context_bytes);
    need(body, data_bytes)?;
    let data = body.split_to(data_bytes);
    Ok(WalEntry {
        index,
        term,
        kind,
        context,
        data,
    })
}

fn need(body: &Bytes, bytes: usize) -> Result<(), Undecodable> {
    if body.len() < bytes {
        return Err(Undecodable);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::AlignedBuf;

    fn sample() -> Vec<WalRecord> {
        let entry = |index, data: &'static [u8]| WalEntry {
            index,
            term: Term(3),
            kind: 1,
            context: Bytes::from_static(b"c"),
            data: Bytes::from_static(data),
        };
        vec![
            WalRecord::Entries {
                group: GroupId(1),
                entries: vec![entry(4, b"four"), entry(5, b"")],
            },
            WalRecord::HardState {
                group: GroupId(2),
                state: HardState {
                    term: Term(3),
                    vote: 1,
                    commit: 4,
                },
            },
            WalRecord::Reset {
                group: GroupId(3),
                index: 9,
                term: Term(2),
            },
        ]
    }

    fn encoded(records: &[WalRecord]) -> Bytes {
        let mut buf = AlignedBuf::default();
        let mut body = FrameBody::new(&mut buf);
        records.iter().for_each(|record| encode(record, &mut body));
        assert_eq!(buf.len(), body_bytes(records));
        Bytes::copy_from_slice(buf.as_slice())
    }

    #[test]
    fn records_come_back() {
        assert_eq!(decode(encoded(&sample()), 3), Ok(sample()));
    }

    #[test]
    fn the_layout_stays() {
        let hard_state = &sample()[1..2];
        let mut expected = vec![2, 2, 0, 0, 0];
        expected.extend([3, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([4, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(encoded(hard_state), expected);
        let mut expected = vec![1, 1, 0, 0, 0, 2, 0, 0, 0];
        expected.extend([4, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1]);
        expected.extend([1, 0, 0, 0, 4, 0, 0, 0, b'c', b'f', b'o', b'u', b'r']);
        expected.extend([5, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1]);
        expected.extend([1, 0, 0, 0, 0, 0, 0, 0, b'c']);
        assert_eq!(encoded(&sample()[..1]), expected);
    }

    #[test]
    fn a_body_cut_anywhere_is_refused() {
        let body = encoded(&sample());
        for len in 0..body.len() {
            assert_eq!(decode(body.slice(..len), 3), Err(Undecodable), "{len}");
        }
    }

    #[test]
    fn bytes_behind_the_last_record_are_refused() {
        assert_eq!(decode(encoded(&sample()), 2), Err(Undecodable));
    }

    #[test]
    fn an_unknown_tag_is_refused() {
        let body = Bytes::from_static(&[9; 64]);
        assert_eq!(decode(body, 1), Err(Undecodable));
    }

    #[test]
    fn entries_share_the_memory_of_the_body() {
        let body = encoded(&sample());
        let range = body.as_ptr_range();
        let records = decode(body, 3).unwrap();
        let WalRecord::Entries { entries, .. } = &records[0] else {
            panic!("the first record has entries");
        };
        assert!(range.contains(&entries[0].data.as_ptr()));
    }
}
