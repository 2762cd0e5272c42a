//! Reading batches from segments.

use bytes::Bytes;
use weir_model::Offset;

use crate::{
    partition::{ColdRead, PartitionLog, Read, ReadBatches, ReadError, SegmentMeta},
    segment::{SegmentFiles, SegmentKey, SegmentReader},
};

/// How often a read starts again because its segment was replaced or dropped meanwhile.
const MAX_ATTEMPTS: u32 = 16;

/// What is less than this part of what was read from disk at once, one in so many, is copied out of it.
const MIN_SLICED_PART: usize = 4;

/// Carries out a cold read. Goes over to the tail where the segments hold nothing more.
pub(crate) fn read(files: &SegmentFiles, read: &ColdRead) -> Result<ReadBatches, ReadError> {
    let partition = &read.partition;
    let mut from = read.from;
    let mut attempt = 0;
    loop {
        match partition.read(from, read.max_bytes, read.min_one) {
            Read::Batches(batches) => return Ok(batches),
            Read::AtEnd => return Ok(nothing(from)),
            Read::OutOfRange { start, end } => return Err(ReadError::OutOfRange { start, end }),
            Read::Cold(_) => {}
        }
        let manifest = partition.manifest();
        let Some(segment) = manifest.segments.get(manifest.segment_at(from)) else {
            continue;
        };
        match read_segment(files, partition, segment, from, read) {
            Ok(Some(batches)) => return Ok(batches),
            Ok(None) => from = segment.next_offset,
            Err(error) if partition.manifest().names(segment) || attempt == MAX_ATTEMPTS => {
                return Err(error);
            }
            Err(_replaced) => attempt += 1,
        }
    }
}

fn nothing(from: Offset) -> ReadBatches {
    ReadBatches {
        next_offset: from,
        ..ReadBatches::default()
    }
}

/// Batches of one segment; `None` where it holds none from `from` on. Damage behind the first
/// batch ends the answer and is reported to whoever reads on.
fn read_segment(
    files: &SegmentFiles,
    partition: &PartitionLog,
    segment: &SegmentMeta,
    from: Offset,
    read: &ColdRead,
) -> Result<Option<ReadBatches>, ReadError> {
    if segment.size_bytes == 0 {
        return Ok(None);
    }
    let key = SegmentKey::new(partition.id(), segment);
    let mut reader = SegmentReader::open(files, key, *segment)?;
    reader.seek(from, i64::MIN);
    reader.take_read_ahead();
    let mut answer = nothing(from);
    let mut run_from = reader.position();
    loop {
        match step(&mut reader, &mut run_from, from, read, &mut answer) {
            Ok(Step::Went) => {}
            Ok(Step::Full) => break,
            Ok(Step::End) if answer.size_bytes == 0 => return Ok(None),
            Ok(Step::End) => break,
            Err(error) if answer.size_bytes == 0 => return Err(error),
            Err(_later) => break,
        }
    }
    push(&mut answer.chunks, &reader, run_from);
    reader.keep_read_ahead();
    Ok(Some(answer))
}

enum Step {
    Went,
    Full,
    End,
}

/// Takes one more batch, or skips one before `from`.
fn step(
    reader: &mut SegmentReader<'_>,
    run_from: &mut u64,
    from: Offset,
    read: &ColdRead,
    answer: &mut ReadBatches,
) -> Result<Step, ReadError> {
    let is_first = answer.size_bytes == 0;
    if !is_first {
        // Only a whole batch's head may have to be loaded to learn its size, and loading moves
        // the window: what it holds is taken first.
        if !reader.is_head_in_window() {
            push(&mut answer.chunks, reader, *run_from);
            *run_from = reader.position();
        }
    }
    let Some(size_bytes) = reader.next_size_bytes()? else {
        return Ok(Step::End);
    };
    let sum_bytes = (answer.size_bytes as u64).saturating_add(size_bytes);
    if !is_first && sum_bytes > read.max_bytes as u64 {
        return Ok(Step::Full);
    }
    if !is_first && !reader.is_in_window(size_bytes) {
        push(&mut answer.chunks, reader, *run_from);
        *run_from = reader.position();
    }
    let at = reader.position();
    let Some((header, batch)) = reader.next()? else {
        return Ok(Step::End);
    };
    let next = Offset::from_wire(header.base_offset)
        .expect("the reader checked the offset")
        .plus(header.offset_count());
    if next <= from {
        *run_from = reader.position();
        return Ok(Step::Went);
    }
    if is_first {
        if batch.len() > read.max_bytes && !read.min_one {
            reader.seek_back(at);
            *run_from = at;
            return Ok(Step::Full);
        }
        *run_from = at;
    }
    answer.size_bytes += batch.len();
    answer.next_offset = next;
    Ok(Step::Went)
}

/// Adds what was read from `run_from` on. A small part of the window is copied: its reader may hold it for long,
/// and would hold all of the window.
fn push(chunks: &mut Vec<Bytes>, reader: &SegmentReader<'_>, run_from: u64) {
    let run = reader.read_since(run_from);
    if run.is_empty() {
        return;
    }
    chunks.push(match run.len() * MIN_SLICED_PART <= reader.window_bytes() {
        true => Bytes::copy_from_slice(&run),
        false => run,
    });
}
