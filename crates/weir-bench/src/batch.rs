//! Record batches to produce.

use bytes::Bytes;
use weir_log::{Clock, disk::SystemClock};
use weir_model::{
    Offset,
    batch::{HEADER_BYTES, MAGIC, PATCHED_BYTES, patched_head},
    record::write_record,
};

/// One uncompressed batch of about `size_bytes` with `record_count` records of this moment: older
/// ones would be retention's.
pub(crate) fn batch(size_bytes: usize, record_count: u32) -> Bytes {
    let records = usize::try_from(record_count).expect("a count fits in memory's range");
    let value_bytes = (size_bytes.saturating_sub(HEADER_BYTES) / records).saturating_sub(12);
    let value: Vec<u8> = (0..=u8::MAX).cycle().take(value_bytes.max(1)).collect();
    let mut batch = vec![0; HEADER_BYTES];
    for delta in 0..record_count {
        write_record(0, delta, None, Some(&value), &mut batch);
    }
    let last_delta = i32::try_from(record_count - 1).expect("a batch has few records");
    let head = patched_head(Offset(0), batch.len(), -1);
    batch[..PATCHED_BYTES].copy_from_slice(&head);
    batch[16] = MAGIC.to_be_bytes()[0];
    batch[23..27].copy_from_slice(&last_delta.to_be_bytes());
    let now_ms = SystemClock::default().now().0.to_be_bytes();
    batch[27..35].copy_from_slice(&now_ms);
    batch[35..43].copy_from_slice(&now_ms);
    batch[43..51].copy_from_slice(&(-1_i64).to_be_bytes());
    batch[51..53].copy_from_slice(&(-1_i16).to_be_bytes());
    batch[53..57].copy_from_slice(&(-1_i32).to_be_bytes());
    batch[57..61].copy_from_slice(&(last_delta + 1).to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch.into()
}

#[cfg(test)]
mod tests {
    use weir_model::batch::{BatchHeader, verify_crc};

    use super::*;

    #[test]
    fn batches_are_sound_and_of_the_size_asked_for() {
        for (size_bytes, record_count) in [(100, 1), (1024, 1), (65_536, 64)] {
            let batch = batch(size_bytes, record_count);
            let header = BatchHeader::parse(&batch).unwrap();
            assert_eq!(
                (header.size_bytes, header.record_count),
                (batch.len(), record_count)
            );
            assert_eq!(verify_crc(&batch), Ok(()));
            assert!(
                batch.len().abs_diff(size_bytes) < size_bytes / 10,
                "{}",
                batch.len()
            );
        }
    }
}
