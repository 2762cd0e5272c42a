//! Carrying out a compaction: passes over sealed segments, each as long as its key map lasts.

use std::sync::Arc;

use weir_model::{Offset, PartitionId, batch::BatchHeader};

use super::{
    rewrite::{Fate, Times, fate},
    survey::{base_offset, survey},
};
use crate::{
    clock::Millis,
    disk::AlignedBuf,
    index::BatchFacts,
    partition::{
        FlushError, PartitionLog, PartitionStore, ReadError, SegmentMeta, log::Replacement,
        manifest::BROUGHT_BIT, tidy::tidy,
    },
    retention::last_written,
    segment::{SegmentKey, SegmentReader, SegmentWriter, write_error},
};

/// Memory for the keys of one pass, in bytes. More keys take more passes.
pub const MAX_KEY_MAP_BYTES: usize = 128 << 20;

/// When and how to compact.
#[derive(Clone, Copy, Debug)]
pub struct CompactionPolicy {
    /// How long a tombstone stays after everything it deletes is gone.
    pub delete_retention_ms: u64,
    /// Least share of bytes never compacted before among all sealed ones, in percent.
    pub min_dirty_percent: u8,
    /// Segments with records younger than this are left alone, and those behind them.
    pub min_lag_ms: u64,
    /// A segment never compacted before whose latest record is older than this is compacted
    /// whatever its share.
    pub max_lag_ms: u64,
    /// Rewritten segments are joined up to this length, in bytes.
    pub segment_bytes: u64,
    /// Memory for keys, in bytes: [`MAX_KEY_MAP_BYTES`], or less.
    pub key_map_bytes: usize,
    /// The time.
    pub now: Millis,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compaction {
    /// There was not enough to do, or the log changed meanwhile.
    Nothing,
    /// New segments wait for the partition's next flush, to which this makes it dirty.
    Staged {
        /// Length of the segments before, in bytes.
        before_bytes: u64,
        /// Length after, in bytes.
        after_bytes: u64,
        /// How often segments were gone through.
        pass_count: u32,
    },
}

/// Compacts a partition's sealed segments. Runs long: for a maintenance thread. After an error
/// the log is as it was.
pub fn run(
    store: &PartitionStore,
    partition: &Arc<PartitionLog>,
    policy: CompactionPolicy,
) -> Result<Compaction, FlushError> {
    let manifest = partition.manifest();
    let Some((_active, sealed)) = manifest.segments.split_last() else {
        return Ok(Compaction::Nothing);
    };
    let sealed = &sealed[manifest
        .segment_at(partition.start_offset())
        .min(sealed.len())..];
    let sealed = &sealed[..old_enough_count(sealed, policy)];
    let Some(dirty_from) = dirty_from(sealed, policy) else {
        return Ok(Compaction::Nothing);
    };
    if partition.has_staged() {
        return Ok(Compaction::Nothing);
    }
    tidy(store.disk(), partition)?;
    let mut passes = Passes::new(store, partition.id(), policy.segment_bytes);
    let done = passes.run(sealed, dirty_from, policy);
    passes.stage(partition, sealed, done)
}

/// How many segments come before the first one with records that are too young.
fn old_enough_count(sealed: &[SegmentMeta], policy: CompactionPolicy) -> usize {
    let is_old = |segment: &&SegmentMeta| {
        segment.was_compacted() || policy.now.since(last_written(segment)) >= policy.min_lag_ms
    };
    sealed.iter().take_while(is_old).count()
}

/// Where the part begins that was never compacted, if it is large enough or old.
fn dirty_from(sealed: &[SegmentMeta], policy: CompactionPolicy) -> Option<Offset> {
    let at = sealed.iter().position(|segment| !segment.was_compacted())?;
    let is_overdue = policy.now.since(last_written(&sealed[at])) > policy.max_lag_ms;
    let size = |segments: &[SegmentMeta]| -> u128 {
        segments.iter().map(|s| u128::from(s.size_bytes)).sum()
    };
    let is_enough =
        size(&sealed[at..]) * 100 >= size(sealed) * u128::from(policy.min_dirty_percent);
    (is_enough || is_overdue).then(|| sealed[at].base_offset)
}

pub(super) struct Passes<'a> {
    store: &'a PartitionStore,
    id: PartitionId,
    /// Rewritten segments are joined up to this length, in bytes.
    segment_bytes: u64,
    /// Files of ours that are there.
    made: Vec<SegmentMeta>,
}

impl<'a> Passes<'a> {
    pub(super) fn new(store: &'a PartitionStore, id: PartitionId, segment_bytes: u64) -> Self {
        Self {
            store,
            id,
            segment_bytes,
            made: Vec::new(),
        }
    }

    /// Lets the next flush take over what was done with `sealed`. After an error, or where the log has
    /// changed meanwhile, everything is as it was.
    pub(super) fn stage(
        mut self,
        partition: &Arc<PartitionLog>,
        sealed: &[SegmentMeta],
        done: Result<(Vec<SegmentMeta>, u32), FlushError>,
    ) -> Result<Compaction, FlushError> {
        let is_current = || {
            let manifest = partition.manifest();
            sealed.iter().all(|segment| manifest.names(segment))
        };
        match done {
            Ok((segments, pass_count)) => {
                let outcome = Compaction::Staged {
                    before_bytes: sealed.iter().map(|segment| segment.size_bytes).sum(),
                    after_bytes: segments.iter().map(|segment| segment.size_bytes).sum(),
                    pass_count,
                };
                let replacement = Replacement {
                    from: sealed[0].base_offset,
                    to: sealed[sealed.len() - 1].next_offset,
                    segments,
                };
                if partition.stage(replacement) {
                    return Ok(outcome);
                }
                self.remove_made();
                Ok(Compaction::Nothing)
            }
            Err(error) => {
                self.remove_made();
                if is_current() {
                    Err(error)
                } else {
                    Ok(Compaction::Nothing)
                }
            }
        }
    }

    fn run(
        &mut self,
        sealed: &[SegmentMeta],
        mut dirty_from: Offset,
        policy: CompactionPolicy,
    ) -> Result<(Vec<SegmentMeta>, u32), FlushError> {
        let end = sealed[sealed.len() - 1].next_offset;
        let mut segments = sealed.to_vec();
        let mut pass_count = 0;
        while dirty_from < end {
            let map_bytes = policy.key_map_bytes;
            let survey = survey(
                self.store.files(),
                self.id,
                &segments,
                dirty_from,
                map_bytes,
            )
            .map_err(read_error)?;
            assert!(survey.end > dirty_from, "a pass gets on");
            let covered = segments.partition_point(|segment| segment.base_offset < survey.end);
            let rest = segments.split_off(covered);
            let times = Times {
                now: policy.now,
                delete_retention_ms: policy.delete_retention_ms,
            };
            let fate_of = |header: &BatchHeader, batch: &[u8]| {
                let was_compacted = base_offset(header) < dirty_from;
                fate(header, batch, &survey, times, was_compacted)
            };
            let mut rewritten = self.rewrite(&segments, &fate_of)?;
            self.remove_intermediate(&segments);
            rewritten.extend(rest);
            segments = rewritten;
            dirty_from = survey.end;
            pass_count += 1;
        }
        self.sync_dir()?;
        Ok((segments, pass_count))
    }

    pub(super) fn sync_dir(&self) -> Result<(), FlushError> {
        let dir = SegmentKey::dir(self.id);
        let synced = self.store.disk().sync_dir(&dir);
        synced.map_err(|error| write_error(&dir, &error))
    }

    /// Writes `inputs` anew, joined where they are short.
    pub(super) fn rewrite(
        &mut self,
        inputs: &[SegmentMeta],
        fate_of: &dyn Fn(&BatchHeader, &[u8]) -> Fate,
    ) -> Result<Vec<SegmentMeta>, FlushError> {
        let generations = inputs.iter().map(|s| s.generation & !BROUGHT_BIT);
        let generation = generations.max().unwrap_or(0) + 1;
        let mut outputs = Vec::new();
        let mut buffer = AlignedBuf::default();
        let mut current: Option<Output> = None;
        for input in inputs {
            let joined = current.as_ref().map_or(0, Output::size_bytes) + input.size_bytes;
            if joined > self.segment_bytes
                && let Some(full) = current.take()
            {
                outputs.push(full.finish(&mut buffer)?);
            }
            let out = current.get_or_insert_with(|| Output::new(input, generation));
            self.rewrite_segment(input, fate_of, out, &mut buffer)?;
            out.end_input(input);
        }
        if let Some(last) = current {
            outputs.push(last.finish(&mut buffer)?);
        }
        Ok(outputs)
    }

    fn rewrite_segment(
        &mut self,
        input: &SegmentMeta,
        fate_of: &dyn Fn(&BatchHeader, &[u8]) -> Fate,
        out: &mut Output,
        buffer: &mut AlignedBuf,
    ) -> Result<(), FlushError> {
        if input.size_bytes == 0 {
            return Ok(());
        }
        let key = SegmentKey::new(self.id, input);
        let mut reader =
            SegmentReader::open(self.store.files(), key, *input).map_err(read_error)?;
        while let Some((header, batch)) = reader.next().map_err(read_error)? {
            match fate_of(&header, &batch) {
                Fate::Keep => {
                    let facts = BatchFacts::of(&header);
                    self.writer(out, buffer)?.push(&facts, &batch)?;
                }
                Fate::Drop => {}
                Fate::Rewrite(bytes) => {
                    let header = BatchHeader::parse(&bytes).expect("the batch was made just now");
                    let facts = BatchFacts::of(&header);
                    self.writer(out, buffer)?.push(&facts, &bytes)?;
                }
            }
        }
        Ok(())
    }

    /// The output's file, begun with its first batch.
    fn writer<'w>(
        &mut self,
        out: &'w mut Output,
        buffer: &mut AlignedBuf,
    ) -> Result<&'w mut SegmentWriter, FlushError> {
        match &mut out.writer {
            Some(writer) => Ok(writer),
            none => {
                self.made.push(out.begun);
                let key = SegmentKey::new(self.id, &out.begun);
                let taken = std::mem::take(buffer);
                let writer = SegmentWriter::open(self.store.disk(), key, out.begun, taken)?;
                Ok(none.insert(writer))
            }
        }
    }

    /// Removes those of `inputs` that an earlier pass of this run made.
    fn remove_intermediate(&mut self, inputs: &[SegmentMeta]) {
        for input in inputs {
            if let Some(at) = self.made.iter().position(|made| made.is_same_file(input)) {
                self.made.swap_remove(at);
                self.store.files().remove(SegmentKey::new(self.id, input));
            }
        }
    }

    fn remove_made(&mut self) {
        for made in self.made.drain(..) {
            self.store.files().remove(SegmentKey::new(self.id, &made));
        }
    }
}

/// A segment that is being written. Without a batch it has no file.
struct Output {
    begun: SegmentMeta,
    writer: Option<SegmentWriter>,
}

impl Output {
    fn new(input: &SegmentMeta, generation: u32) -> Self {
        Self {
            begun: SegmentMeta::empty(input.base_offset, generation, input.created_ms),
            writer: None,
        }
    }

    fn size_bytes(&self) -> u64 {
        self.writer
            .as_ref()
            .map_or(0, |writer| writer.meta().size_bytes)
    }

    /// All of `input` is in: the segment answers for its offsets.
    fn end_input(&mut self, input: &SegmentMeta) {
        match &mut self.writer {
            Some(writer) => writer.set_next_offset(input.next_offset),
            None => self.begun.next_offset = input.next_offset,
        }
    }

    fn finish(self, buffer: &mut AlignedBuf) -> Result<SegmentMeta, FlushError> {
        let Some(writer) = self.writer else {
            return Ok(self.begun);
        };
        let written = writer.finish()?;
        for (path, file) in &written.files {
            file.sync_data()
                .map_err(|error| write_error(path, &error))?;
        }
        *buffer = written.buffer;
        Ok(written.meta)
    }
}

fn read_error(error: ReadError) -> FlushError {
    match error {
        ReadError::Corrupt {
            path,
            position,
            reason,
        } => FlushError::Corrupt {
            path,
            position,
            reason,
        },
        ReadError::Failed { path, reason } => FlushError::Failed { path, reason },
        ReadError::Busy | ReadError::Closed | ReadError::OutOfRange { .. } => FlushError::Failed {
            path: crate::segment::PARTITIONS_DIR.to_owned(),
            reason: error.to_string(),
        },
    }
}
