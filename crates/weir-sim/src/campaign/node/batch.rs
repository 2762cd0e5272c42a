//! Batches whose records say what batch they belong to.

use bytes::Bytes;
use weir_model::Offset;
use weir_model::{
    batch::HEADER_BYTES, batch::PATCHED_BYTES, batch::patched_head, record::write_record,
};

use crate::{campaign::partition::batch::write_header, world::Rng};

/// Different keys that there are: few, so that compaction has work.
const KEY_COUNT: u64 = 12;

/// What a batch is made of.
#[derive(Clone, Copy, Debug)]
pub(in crate::campaign) struct Recipe {
    /// Unique over the run.
    pub(in crate::campaign) serial: u64,
    pub(in crate::campaign) time_ms: i64,
    pub(in crate::campaign) record_count: u32,
    pub(in crate::campaign) data_bytes: usize,
    /// Id, epoch and first sequence of an idempotent producer.
    pub(in crate::campaign) producer: Option<(i64, i16, i32)>,
    /// Part of that producer's transaction.
    pub(in crate::campaign) is_transactional: bool,
}

/// The batch as a client sends it: each value begins with the serial number and the record's
/// place.
pub(in crate::campaign) fn client_batch(recipe: Recipe) -> Bytes {
    let mut rng = Rng::new(recipe.serial);
    let mut bytes = vec![0; HEADER_BYTES];
    for delta in 0..recipe.record_count {
        let key = rng.below(KEY_COUNT).to_be_bytes();
        let mut value = recipe.serial.to_be_bytes().to_vec();
        value.extend_from_slice(&delta.to_be_bytes());
        value.extend(rng.bytes(recipe.data_bytes));
        write_record(
            i64::from(delta),
            delta,
            Some(&key),
            Some(&value),
            &mut bytes,
        );
    }
    let head = patched_head(Offset(0), bytes.len(), -1);
    bytes[..PATCHED_BYTES].copy_from_slice(&head);
    write_header(
        &mut bytes,
        recipe.time_ms,
        recipe.record_count,
        recipe.producer,
        recipe.is_transactional,
    );
    Bytes::from(bytes)
}

/// Serial number and place of the record with this value.
pub(in crate::campaign) fn read_value(value: &[u8]) -> Option<(u64, u32)> {
    let (serial, rest) = value.split_first_chunk()?;
    let (delta, _) = rest.split_first_chunk()?;
    Some((u64::from_be_bytes(*serial), u32::from_be_bytes(*delta)))
}
