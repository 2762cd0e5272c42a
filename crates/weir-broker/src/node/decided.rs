//! Batches that a reader of committed records only may see.

use bytes::Bytes;
use weir_model::{Offset, batch::LENGTH_PREFIX_BYTES};

use crate::api::FetchedBatches;

/// Leaves out the batches from `end` on, which is the first offset of one.
pub(super) fn cut_at(batches: &mut FetchedBatches, end: Offset) {
    let mut kept_bytes = 0;
    while let Some((base, size)) = head_at(&batches.chunks, kept_bytes) {
        if base >= end.wire() {
            break;
        }
        kept_bytes += size;
    }
    let mut left = kept_bytes;
    for chunk in &mut batches.chunks {
        let kept = left.min(chunk.len());
        chunk.truncate(kept);
        left -= kept;
    }
    batches.chunks.retain(|chunk| !chunk.is_empty());
    batches.size_bytes = kept_bytes.min(batches.size_bytes);
}

/// Base offset and size of the batch that begins at byte `at`.
fn head_at(chunks: &[Bytes], at: usize) -> Option<(i64, usize)> {
    let mut head = [0; LENGTH_PREFIX_BYTES];
    let mut filled = 0;
    let mut skipped = at;
    for chunk in chunks {
        let Some(rest) = chunk.get(skipped..) else {
            skipped -= chunk.len();
            continue;
        };
        skipped = 0;
        let taken = rest.len().min(head.len() - filled);
        head[filled..filled + taken].copy_from_slice(&rest[..taken]);
        filled += taken;
        if filled == head.len() {
            break;
        }
    }
    if filled < head.len() {
        return None;
    }
    let base = i64::from_be_bytes(*head.first_chunk::<8>()?);
    let length = i32::from_be_bytes(*head.last_chunk::<4>()?);
    let size = usize::try_from(length).ok()? + LENGTH_PREFIX_BYTES;
    Some((base, size))
}

#[cfg(test)]
mod tests {
    use weir_model::batch::patched_head;

    use super::*;

    fn batches(cuts: &[usize]) -> FetchedBatches {
        let mut whole = Vec::new();
        for base in [5, 7, 9] {
            whole.extend_from_slice(&patched_head(Offset(base), 70, 0));
            whole.resize(whole.len() + 54, 0xff);
        }
        let mut whole = Bytes::from(whole);
        let mut chunks = Vec::new();
        let mut from = 0;
        for cut in cuts {
            chunks.push(whole.split_to(cut - from));
            from = *cut;
        }
        chunks.push(whole);
        FetchedBatches {
            chunks,
            size_bytes: 210,
        }
    }

    #[test]
    fn batches_from_the_first_undecided_one_on_are_left_out_wherever_chunks_end() {
        let cuts: [&[usize]; 4] = [&[], &[70, 140], &[3, 72, 80, 150], &[64, 145]];
        for cuts in cuts {
            for (end, kept_bytes) in [(5, 0), (7, 70), (9, 140), (11, 210)] {
                let mut batches = batches(cuts);
                let whole = batches.chunks.concat();
                cut_at(&mut batches, Offset(end));
                assert_eq!(batches.size_bytes, kept_bytes, "{cuts:?} {end}");
                assert_eq!(batches.chunks.concat(), whole[..kept_bytes]);
            }
        }
    }
}
