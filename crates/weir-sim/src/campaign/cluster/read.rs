//! What consumers get: whole batches as they were sent, one behind the other.

use weir_broker::api::FetchedBatches;
use weir_model::{
    batch::{BatchHeader, HEADER_BYTES, PATCHED_BYTES, verify_crc},
    record::Records,
};

use super::books::{Books, Place};
use crate::{
    campaign::node::batch::read_value,
    oracle::{Broken, broken},
    verdict::oracle_name,
};

fn wrong(place: Place, what: &str) -> Broken {
    broken(oracle_name::CORRUPTION, format!("{place:?}: {what}"))
}

/// Holds what was served from `from` on against what was sent; gives the batches' first offsets
/// and where to go on.
pub(super) fn check_served(
    books: &mut Books,
    place: Place,
    from: u64,
    served: &FetchedBatches,
) -> Result<(Vec<u64>, u64), Broken> {
    let bytes: Vec<u8> = served.chunks.concat();
    if bytes.len() != served.size_bytes {
        return Err(wrong(place, "the size is not that of the chunks"));
    }
    let mut rest = bytes.as_slice();
    let mut offsets = Vec::new();
    let mut next = from;
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
        let is_next = if offsets.is_empty() {
            base <= from && end > from
        } else {
            base == next
        };
        if !is_next {
            let detail = format!("{place:?}: read from {from}, came to {base} behind {next}");
            return Err(broken(oracle_name::LOST, detail));
        }
        learn(books, place, &parsed, batch)?;
        offsets.push(base);
        next = end;
        rest = behind;
    }
    Ok((offsets, next))
}

fn learn(
    books: &mut Books,
    place: Place,
    parsed: &BatchHeader,
    batch: &[u8],
) -> Result<(), Broken> {
    let base = parsed.base_offset.unsigned_abs();
    let first = Records::new(&batch[HEADER_BYTES..], parsed.record_count).next();
    let record = first.ok_or_else(|| wrong(place, "a batch without records"))?;
    let record = record.map_err(|error| wrong(place, &error.to_string()))?;
    let named = record.value.and_then(read_value);
    let (serial, _) = named.ok_or_else(|| wrong(place, "a record without a name"))?;
    let sent = books.batch(serial);
    let sent = sent.ok_or_else(|| wrong(place, "a record that nobody sent"))?;
    let is_as_sent = |sent: &bytes::Bytes| batch[PATCHED_BYTES..] == sent[PATCHED_BYTES..];
    if !sent.sent.iter().any(is_as_sent) {
        let detail = format!("batch {serial} at {base} is not as it was sent");
        return Err(wrong(place, &detail));
    }
    books.learn(serial, place, base, Some(parsed.leader_epoch))
}
