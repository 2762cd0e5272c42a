//! Batches brought from another replica: verified, and written to segments of their own.
//!
//! Nothing of it counts before [`PartitionLog::take_over`]. Not synced before
//! [`PartitionStore::sync_brought`].

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use weir_model::{
    Offset,
    batch::{BatchError, BatchHeader, verify_crc},
};

use crate::{
    disk::{AlignedBuf, FileKind},
    index::BatchFacts,
    partition::{
        FlushError, MissingRange, PartitionLog, PartitionStore, SegmentMeta, SegmentPolicy,
        log::Replacement, tidy::tidy,
    },
    segment::{PARTITIONS_DIR, SegmentKey, SegmentWriter, write_error},
};

/// Up to this many segments are synced one by one; for more the whole file system is, at once.
const MAX_SINGLE_SYNCS: usize = 32;

/// Why bytes were not taken in. None of a call's batches counts then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// They are not what the range holds: damaged on the way, or the other replica is wrong.
    #[error("at offset {at}: {reason}")]
    Refused {
        /// Where.
        at: Offset,
        /// What is wrong.
        reason: String,
    },
    /// They could not be written.
    #[error(transparent)]
    Write(#[from] FlushError),
}

/// One range that is being brought, in order.
pub struct Ingest {
    store: Arc<PartitionStore>,
    log: Arc<PartitionLog>,
    range: MissingRange,
    policy: SegmentPolicy,
    /// Up to where the range is here.
    next: Offset,
    /// From where on the segment that is being written answers for offsets.
    segment_from: Offset,
    writer: Option<(SegmentKey, SegmentWriter)>,
    buffer: AlignedBuf,
    /// Where the range takes the place of a damaged segment: that one, and what is done.
    replaces: Option<(SegmentMeta, Vec<SegmentMeta>)>,
}

impl Ingest {
    /// Begins with a range that [`PartitionLog::missing`] named.
    pub fn begin(
        store: &Arc<PartitionStore>,
        log: &Arc<PartitionLog>,
        range: MissingRange,
        policy: SegmentPolicy,
    ) -> Result<Self, FlushError> {
        // First of all: it would take what is brought for left over.
        tidy(store.disk(), log)?;
        Ok(Self {
            store: Arc::clone(store),
            log: Arc::clone(log),
            range,
            policy,
            next: range.from,
            segment_from: range.from,
            writer: None,
            buffer: AlignedBuf::default(),
            replaces: None,
        })
    }

    /// Begins to bring what a damaged segment held, from another replica of the same log.
    /// `is_compacted`: that replica may have fewer batches.
    pub fn begin_replacement(
        store: &Arc<PartitionStore>,
        log: &Arc<PartitionLog>,
        damaged: SegmentMeta,
        is_compacted: bool,
        policy: SegmentPolicy,
    ) -> Result<Self, FlushError> {
        let range = MissingRange {
            from: damaged.base_offset,
            to: damaged.next_offset,
            begins_inside: false,
            may_have_gaps: is_compacted || damaged.generation > 0,
            size_bytes: damaged.size_bytes,
        };
        let mut ingest = Self::begin(store, log, range, policy)?;
        ingest.skip_to(log.start_offset());
        ingest.replaces = Some((damaged, Vec::new()));
        Ok(ingest)
    }

    /// Leaves out what is before `start`: it was trimmed.
    pub fn skip_to(&mut self, start: Offset) {
        self.next = self.next.max(start.min(self.range.to));
        if let Some((_, writer)) = &mut self.writer {
            writer.set_next_offset(self.next);
        }
    }

    /// Ends a replacement that is whole: the partition's next flush puts it in the damaged
    /// segment's place. `false`: the segment is not there any more, or another replacement waits.
    pub fn replace(mut self) -> Result<bool, FlushError> {
        assert_eq!(self.next, self.range.to, "a replacement is whole");
        let finished = self.finish_segment();
        let Some((damaged, segments)) = self.replaces.take() else {
            return finished.map(|()| false);
        };
        let synced = finished.and_then(|()| self.sync(&segments));
        let is_staged = synced.is_ok()
            && self.log.manifest().names(&damaged)
            && self.log.stage(Replacement {
                from: damaged.base_offset,
                to: damaged.next_offset,
                segments: segments.clone(),
            });
        if !is_staged {
            self.remove(&segments);
        }
        synced.map(|()| is_staged)
    }

    /// Gives a replacement up.
    pub fn abandon(mut self) {
        self.remove_unfinished();
        if let Some((_, segments)) = self.replaces.take() {
            self.remove(&segments);
        }
    }

    fn remove(&self, segments: &[SegmentMeta]) {
        for segment in segments.iter().filter(|segment| segment.size_bytes > 0) {
            let key = SegmentKey::new(self.log.id(), segment);
            self.store.files().remove(key);
        }
    }

    fn sync(&self, segments: &[SegmentMeta]) -> Result<(), FlushError> {
        let id = self.log.id();
        let written = segments.iter().filter(|segment| segment.size_bytes > 0);
        let written = written.map(|segment| (*segment, SegmentKey::new(id, segment)));
        self.store.sync_segments(written.collect())
    }

    /// The partition.
    pub fn log(&self) -> &Arc<PartitionLog> {
        &self.log
    }

    /// The range.
    pub fn range(&self) -> MissingRange {
        self.range
    }

    /// Where to read on; the range's end when all of it is here.
    pub fn next_offset(&self) -> Offset {
        self.next
    }

    /// Takes in whole batches, which are all that there is up to `next`. They are checked first:
    /// either all of them count or none.
    pub fn push(&mut self, batches: &Bytes, next: Offset) -> Result<(), IngestError> {
        let checked = self.check(batches, next)?;
        for (header, batch) in checked {
            if let Err(error) = self.write(&header, &batch) {
                self.remove_unfinished();
                return Err(error.into());
            }
        }
        self.next = next;
        if let Some((_, writer)) = &mut self.writer {
            writer.set_next_offset(next);
        }
        Ok(())
    }

    fn check(
        &self,
        batches: &Bytes,
        next: Offset,
    ) -> Result<Vec<(BatchHeader, Bytes)>, IngestError> {
        let mut expected = self.next;
        let mut checked = Vec::new();
        let mut rest = batches.clone();
        while !rest.is_empty() {
            let refused = |error: BatchError| IngestError::Refused {
                at: expected,
                reason: error.to_string(),
            };
            let header = BatchHeader::parse(&rest).map_err(refused)?;
            let batch = rest.split_to(header.size_bytes);
            verify_crc(&batch).map_err(refused)?;
            let is_first = self.next == self.range.from && checked.is_empty();
            expected = self.check_offsets(&header, expected, is_first, next)?;
            checked.push((header, batch));
        }
        let reaches = expected == next || (self.range.may_have_gaps && expected < next);
        if !reaches || next > self.range.to {
            return Err(IngestError::Refused {
                at: expected,
                reason: format!("batches do not reach {next}"),
            });
        }
        Ok(checked)
    }

    /// Returns the offset after the batch.
    fn check_offsets(
        &self,
        header: &BatchHeader,
        expected: Offset,
        is_first: bool,
        next: Offset,
    ) -> Result<Offset, IngestError> {
        let refused = || IngestError::Refused {
            at: expected,
            reason: format!("a batch has base offset {}", header.base_offset),
        };
        let base = Offset::from_wire(header.base_offset).ok_or_else(refused)?;
        let end = base.0.saturating_add(header.offset_count());
        let fits = base == expected
            || (base > expected && self.range.may_have_gaps)
            || (base < expected && is_first && self.range.begins_inside);
        if fits && end > expected.0 && end <= next.0 && end <= self.range.to.0 {
            Ok(Offset(end))
        } else {
            Err(refused())
        }
    }

    fn write(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<(), FlushError> {
        let facts = BatchFacts::of(header);
        let is_full = self.writer.as_ref().is_some_and(|(_, writer)| {
            writer.meta().size_bytes + facts.size_bytes > self.policy.segment_bytes
        });
        if is_full {
            self.finish_segment()?;
        }
        let writer = match &mut self.writer {
            Some((_, writer)) => writer,
            none => {
                let base = self.segment_from.min(facts.base_offset);
                let meta = self.log.begin_brought(base, self.store.now_ms());
                let key = SegmentKey::new(self.log.id(), &meta);
                let buffer = std::mem::take(&mut self.buffer);
                let writer = SegmentWriter::open(self.store.disk(), key, meta, buffer)?;
                &mut none.insert((key, writer)).1
            }
        };
        writer.push(&facts, batch)?;
        self.next = facts.last_offset.plus(1);
        Ok(())
    }

    /// Ends where it is: what is here stays for whoever takes the range up again.
    pub fn finish(mut self) -> Result<(), FlushError> {
        let finished = self.finish_segment();
        if finished.is_err() {
            self.remove_unfinished();
        }
        finished
    }

    fn finish_segment(&mut self) -> Result<(), FlushError> {
        let meta = match self.writer.take() {
            Some((key, writer)) => {
                let written = writer.finish().inspect_err(|_| {
                    self.store.files().remove(key);
                })?;
                self.buffer = written.buffer;
                written.meta
            }
            None if self.next > self.segment_from => {
                // Nothing is left of these offsets: a segment without a file answers for them.
                let now_ms = self.store.now_ms();
                let mut meta = self.log.begin_brought(self.segment_from, now_ms);
                meta.next_offset = self.next;
                meta
            }
            None => return Ok(()),
        };
        self.segment_from = meta.next_offset;
        match &mut self.replaces {
            Some((_, segments)) => segments.push(meta),
            None => self.log.keep_brought(meta),
        }
        Ok(())
    }

    fn remove_unfinished(&mut self) {
        // Else a segment without a file would answer for what was lost.
        self.next = self.segment_from;
        if let Some((key, writer)) = self.writer.take() {
            drop(writer);
            self.store.files().remove(key);
        }
    }
}

impl PartitionStore {
    /// Makes durable what was brought to these partitions. The node must stop where it fails.
    pub fn sync_brought(&self, logs: &[Arc<PartitionLog>]) -> Result<(), FlushError> {
        let brought = |log: &Arc<PartitionLog>| {
            let id = log.id();
            let segments = log.brought().into_iter();
            segments.map(move |segment| (segment, SegmentKey::new(id, &segment)))
        };
        let written: Vec<(SegmentMeta, SegmentKey)> = logs
            .iter()
            .flat_map(brought)
            .filter(|(segment, _)| segment.size_bytes > 0)
            .collect();
        self.sync_segments(written)
    }

    fn sync_segments(&self, written: Vec<(SegmentMeta, SegmentKey)>) -> Result<(), FlushError> {
        if written.is_empty() {
            return Ok(());
        }
        let failed = |path: &str, error| write_error(path, &error);
        let disk = self.disk();
        let made = disk.create_dir(PARTITIONS_DIR);
        made.map_err(|error| failed(PARTITIONS_DIR, error))?;
        if written.len() > MAX_SINGLE_SYNCS {
            let synced = disk.sync_everything();
            return synced.map_err(|error| failed(PARTITIONS_DIR, error));
        }
        let mut dirs = BTreeSet::from([PARTITIONS_DIR.to_owned()]);
        for (segment, key) in written {
            dirs.insert(SegmentKey::dir(key.partition));
            let index = (segment.index_count > 0).then(|| key.index_path());
            for path in std::iter::once(key.segment_path()).chain(index) {
                let opened = disk.open(&path, FileKind::Buffered);
                let synced = opened.and_then(|file| file.sync_data());
                synced.map_err(|error| failed(&path, error))?;
            }
        }
        for dir in dirs {
            disk.sync_dir(&dir).map_err(|error| failed(&dir, error))?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Ingest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingest")
            .field("partition", &self.log.id())
            .field("range", &self.range)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}
