//! What consumers get: whole batches as they were sent, one behind the other.

use weir_broker::api::FetchedBatches;
use weir_model::{
    batch::{BatchHeader, HEADER_BYTES, PATCHED_BYTES, verify_crc},
    record::Records,
};

use super::books::{Books, Place, Stood};
use crate::{
    campaign::node::batch::read_value,
    oracle::{Broken, broken},
    verdict::oracle_name,
};

fn wrong(place: Place, what: &str) -> Broken {
    broken(oracle_name::CORRUPTION, format!("{place:?}: {what}"))
}

/// A batch that was served.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServedBatch {
    pub(super) base: u64,
    pub(super) end: u64,
    /// Whose transaction it is part of, or the end of.
    pub(super) transactional: Option<i64>,
    pub(super) stood: Stood,
}

/// Holds what was served from `from` on against what was sent; gives the batches and where to go
/// on.
pub(super) fn check_served(
    books: &mut Books,
    place: Place,
    from: u64,
    served: &FetchedBatches,
) -> Result<(Vec<ServedBatch>, u64), Broken> {
    let seen = read_batches(books, place, served)?;
    let mut next = from;
    for (number, batch) in seen.iter().enumerate() {
        let is_next = if number == 0 {
            batch.base <= from && batch.end > from
        } else {
            batch.base == next
        };
        if !is_next {
            let base = batch.base;
            let detail = format!("{place:?}: read from {from}, came to {base} behind {next}");
            return Err(broken(oracle_name::LOST, detail));
        }
        next = batch.end;
    }
    Ok((seen, next))
}

/// Holds batches against what was sent, each by itself.
pub(super) fn read_batches(
    books: &mut Books,
    place: Place,
    served: &FetchedBatches,
) -> Result<Vec<ServedBatch>, Broken> {
    let bytes: Vec<u8> = served.chunks.concat();
    if bytes.len() != served.size_bytes {
        return Err(wrong(place, "the size is not that of the chunks"));
    }
    let mut rest = bytes.as_slice();
    let mut seen = Vec::new();
    while !rest.is_empty() {
        let parsed = BatchHeader::parse(rest).map_err(|error| wrong(place, &error.to_string()))?;
        if parsed.size_bytes > rest.len() {
            return Err(wrong(place, "a batch is cut"));
        }
        let (batch, behind) = rest.split_at(parsed.size_bytes);
        verify_crc(batch).map_err(|error| wrong(place, &error.to_string()))?;
        let base =
            u64::try_from(parsed.base_offset).map_err(|_| wrong(place, "negative offset"))?;
        let stood = learn(books, place, &parsed, batch)?;
        let producer = parsed.producer_id.map(|id| id.0);
        seen.push(ServedBatch {
            base,
            end: base + parsed.offset_count(),
            transactional: producer.filter(|_| parsed.is_transactional()),
            stood,
        });
        rest = behind;
    }
    Ok(seen)
}

fn learn(
    books: &mut Books,
    place: Place,
    parsed: &BatchHeader,
    batch: &[u8],
) -> Result<Stood, Broken> {
    let base = parsed.base_offset.unsigned_abs();
    let first = Records::new(&batch[HEADER_BYTES..], parsed.record_count).next();
    let record = first.ok_or_else(|| wrong(place, "a batch without records"))?;
    let record = record.map_err(|error| wrong(place, &error.to_string()))?;
    if parsed.is_control() {
        let marker = marker(parsed, record.key);
        let marker = marker.ok_or_else(|| wrong(place, "a marker that is none"))?;
        let span = (base, base + parsed.offset_count());
        books.stand(marker, place, span, Some(parsed.leader_epoch))?;
        return Ok(marker);
    }
    let named = record.value.and_then(read_value);
    let (serial, _) = named.ok_or_else(|| wrong(place, "a record without a name"))?;
    let sent = books.batch(serial);
    let sent = sent.ok_or_else(|| wrong(place, "a record that nobody sent"))?;
    let is_as_sent = |sent: &bytes::Bytes| batch[PATCHED_BYTES..] == sent[PATCHED_BYTES..];
    if !sent.sent.iter().any(is_as_sent) {
        let detail = format!("batch {serial} at {base} is not as it was sent");
        return Err(wrong(place, &detail));
    }
    books.learn(serial, place, base, Some(parsed.leader_epoch))?;
    Ok(Stood::Batch(serial))
}

/// The end of a transaction, as Kafka's clients read it.
fn marker(parsed: &BatchHeader, key: Option<&[u8]>) -> Option<Stood> {
    let (version, kind) = key?.split_first_chunk::<2>()?;
    let commit = match (version, kind) {
        ([0, 0], [0, 1]) => true,
        ([0, 0], [0, 0]) => false,
        _ => return None,
    };
    let is_one = parsed.offset_count() == 1 && parsed.is_transactional();
    is_one.then_some(Stood::Marker {
        producer: parsed.producer_id?.0,
        epoch: parsed.producer_epoch,
        commit,
    })
}
