//! What consumers get: whole batches as they were sent, one behind the other.

use weir_broker::api::FetchedBatches;
use weir_model::{
    batch::{BatchHeader, HEADER_BYTES, PATCHED_BYTES, verify_crc},
    record::Records,
};

use super::{
    batch::read_value,
    books::{Books, Place},
};
use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// Keys with offsets, as a compacted log serves them.
pub(super) type Keys = Vec<(Vec<u8>, u64)>;

/// What one answer had.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Where to go on; `None`: nothing was served.
    pub(super) next: Option<u64>,
    pub(super) keys: Keys,
}

fn wrong(place: Place, what: &str) -> Broken {
    broken(oracle_name::CORRUPTION, format!("{place:?}: {what}"))
}

/// Holds what was served from `from` on against what was sent.
pub(super) fn check_served(
    books: &mut Books,
    place: Place,
    is_compacted: bool,
    from: u64,
    served: &FetchedBatches,
) -> Result<Seen, Broken> {
    let bytes: Vec<u8> = served.chunks.concat();
    if bytes.len() != served.size_bytes {
        return Err(wrong(place, "the size is not that of the chunks"));
    }
    let mut rest = bytes.as_slice();
    let mut seen = Seen::default();
    while !rest.is_empty() {
        let parsed = BatchHeader::parse(rest).map_err(|error| wrong(place, &error.to_string()))?;
        if parsed.size_bytes > rest.len() {
            return Err(wrong(place, "a batch is cut"));
        }
        let (batch, behind) = rest.split_at(parsed.size_bytes);
        verify_crc(batch).map_err(|error| wrong(place, &error.to_string()))?;
        let base =
            u64::try_from(parsed.base_offset).map_err(|_| wrong(place, "negative offset"))?;
        let end = base + parsed.offset_count();
        let is_next = match seen.next {
            Some(next) if is_compacted => base >= next,
            Some(next) => base == next,
            None if is_compacted => end > from,
            None => base <= from && end > from,
        };
        if !is_next {
            let detail = format!(
                "{place:?}: read from {from}, came to {base} behind {:?}",
                seen.next
            );
            return Err(broken(oracle_name::LOST, detail));
        }
        check_batch(books, place, is_compacted, &parsed, batch, &mut seen.keys)?;
        seen.next = Some(end);
        rest = behind;
    }
    Ok(seen)
}

fn check_batch(
    books: &mut Books,
    place: Place,
    is_compacted: bool,
    parsed: &BatchHeader,
    batch: &[u8],
    keys: &mut Keys,
) -> Result<(), Broken> {
    let base = parsed.base_offset.unsigned_abs();
    for record in Records::new(&batch[HEADER_BYTES..], parsed.record_count) {
        let record = record.map_err(|error| wrong(place, &error.to_string()))?;
        let offset = base + u64::from(record.offset_delta);
        let named = record.value.and_then(read_value);
        let (serial, delta) = named.ok_or_else(|| wrong(place, "a record without a name"))?;
        let sent = books.sent(serial);
        let sent = sent.ok_or_else(|| wrong(place, "a record that nobody sent"))?;
        let is_same = if is_compacted {
            is_moved(&sent.bytes, &record)
        } else {
            delta == record.offset_delta && batch[PATCHED_BYTES..] == sent.bytes[PATCHED_BYTES..]
        };
        let first = offset.checked_sub(u64::from(delta));
        let (true, Some(first)) = (is_same, first) else {
            let detail = format!("record {delta} of batch {serial} is not at {offset} as sent");
            return Err(wrong(place, &detail));
        };
        books.learn(serial, place, first)?;
        books.learn_epoch(serial, parsed.leader_epoch)?;
        keys.push((record.key.unwrap_or_default().to_vec(), offset));
        if !is_compacted {
            return Ok(());
        }
    }
    Ok(())
}

fn contains(sent: &[u8], raw: &[u8]) -> bool {
    sent.windows(raw.len()).any(|window| window == raw)
}

/// The record has other deltas than when it was sent: key and value are there still.
fn is_moved(sent: &[u8], record: &weir_model::record::Record<'_>) -> bool {
    record.value.is_some_and(|value| contains(sent, value))
        && record.key.is_some_and(|key| contains(sent, key))
}

/// Offset deltas and keys of a batch that was sent.
pub(super) fn keys_of(sent: &[u8], record_count: u32) -> Vec<(u64, Vec<u8>)> {
    let records = Records::new(&sent[HEADER_BYTES..], record_count);
    records
        .filter_map(Result::ok)
        .map(|r| (r.offset_delta.into(), r.key.unwrap_or_default().to_vec()))
        .collect()
}
