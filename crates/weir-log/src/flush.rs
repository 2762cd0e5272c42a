//! Moving batches from memory to segments.
//!
//! A flush only adds: bytes behind what the installed manifests count, and files that they do not
//! name. So whatever ends it early, a crash included, leaves nothing that counts.

use std::{collections::BTreeSet, io, sync::Arc};

use weir_model::{Offset, PartitionId};

use crate::{
    clock::Clock,
    disk::{AlignedBuf, Disk, DiskFile, FileKind},
    index::BatchFacts,
    partition::{
        FlushError, FlushJob, PartitionManifest, SegmentMeta, SegmentPolicy, log::Replacement,
        tidy::tidy,
    },
    segment::{PARTITIONS_DIR, SegmentKey, SegmentWriter, write_error},
    tail::TailBatch,
};

/// Up to this many segments are synced one by one; for more the whole file system is, at once.
const MAX_SINGLE_SYNCS: usize = 32;

/// One flush of many partitions.
pub(crate) struct Flush<'a> {
    disk: &'a Arc<dyn Disk>,
    now_ms: i64,
    /// What is written outlives the process.
    syncs: bool,
    sync_everything: bool,
    buffer: AlignedBuf,
    /// Files written to, and their length before, in bytes.
    touched: Vec<(String, u64)>,
    unsynced: Vec<(String, Arc<dyn DiskFile>)>,
    unsynced_dirs: BTreeSet<String>,
}

impl<'a> Flush<'a> {
    pub(crate) fn new(disk: &'a Arc<dyn Disk>, clock: &dyn Clock) -> Self {
        Self {
            disk,
            now_ms: clock.now().0,
            syncs: true,
            sync_everything: false,
            buffer: AlignedBuf::default(),
            touched: Vec::new(),
            unsynced: Vec::new(),
            unsynced_dirs: BTreeSet::new(),
        }
    }

    /// Leaves what is written to the page cache: it ends with the process.
    pub(crate) fn without_sync(mut self) -> Self {
        self.syncs = false;
        self
    }

    /// Flushes all jobs, or takes back what was written.
    pub(crate) fn run(
        mut self,
        jobs: &[FlushJob],
    ) -> Result<Vec<(PartitionId, PartitionManifest)>, FlushError> {
        let writing = jobs
            .iter()
            .filter(|job| job.up_to > job.partition.manifest().end())
            .count();
        self.sync_everything = writing > MAX_SINGLE_SYNCS;
        let flushed = jobs
            .iter()
            .map(|job| Ok((job.partition.id(), self.flush_one(job)?)))
            .collect::<Result<Vec<_>, FlushError>>()
            .and_then(|manifests| {
                if self.syncs {
                    self.sync()?;
                }
                Ok(manifests)
            });
        if let Err(FlushError::Full { path }) = &flushed {
            tracing::debug!(path, "disk is full, flush is taken back");
            self.take_back();
        }
        flushed
    }

    fn flush_one(&mut self, job: &FlushJob) -> Result<PartitionManifest, FlushError> {
        let plan = job.partition.plan_flush(job.up_to);
        // The start may have moved on behind the state that the checkpoint describes.
        let start = plan.start.min(job.up_to);
        let mut manifest = PartitionManifest {
            start,
            segments: plan.manifest.segments.clone(),
        };
        if let Some(staged) = &plan.staged {
            replace(&mut manifest.segments, staged);
        }
        if start >= job.up_to {
            manifest.segments.clear();
            return Ok(manifest);
        }
        if plan.manifest.end() < job.up_to {
            if plan.manifest.segments.is_empty() {
                self.expect_new_dir()?;
            }
            tidy(self.disk, &job.partition)?;
            self.append(job, plan.manifest.end(), &mut manifest.segments)?;
        }
        manifest
            .segments
            .retain(|segment| segment.next_offset > start);
        assert_eq!(manifest.check(), Ok(()), "a flush makes a sound manifest");
        assert_eq!(manifest.end(), job.up_to, "a flush reaches its end");
        Ok(manifest)
    }

    /// A partition without segments may have a directory whose name is not durable: an earlier
    /// flush may have made it and failed.
    fn expect_new_dir(&mut self) -> Result<(), FlushError> {
        if self.unsynced_dirs.insert(PARTITIONS_DIR.to_owned()) {
            let made = self.disk.create_dir(PARTITIONS_DIR);
            made.map_err(|error| write_error(PARTITIONS_DIR, &error))?;
        }
        Ok(())
    }

    /// Writes the batches from `from` on.
    fn append(
        &mut self,
        job: &FlushJob,
        mut from: Offset,
        segments: &mut Vec<SegmentMeta>,
    ) -> Result<(), FlushError> {
        let mut writer: Option<SegmentWriter> = None;
        while from < job.up_to {
            for batch in job.partition.unflushed(from, job.up_to) {
                assert_eq!(batch.base_offset, from, "batches leave no gap");
                self.append_one(job, &batch, &mut writer, segments)?;
                from = batch.last_offset.plus(1);
            }
        }
        match writer {
            Some(done) => self.finish(done, segments),
            None => Ok(()),
        }
    }

    fn append_one(
        &mut self,
        job: &FlushJob,
        batch: &TailBatch,
        writer: &mut Option<SegmentWriter>,
        segments: &mut Vec<SegmentMeta>,
    ) -> Result<(), FlushError> {
        let size_bytes = batch.bytes.len() as u64;
        let current = match writer {
            Some(open) => Some(open.meta()),
            None => segments.last(),
        };
        if current.is_none_or(|meta| self.is_roll_due(meta, size_bytes, job.policy)) {
            if let Some(done) = writer.take() {
                self.finish(done, segments)?;
            }
            segments.push(SegmentMeta::empty(batch.base_offset, 0, self.now_ms));
        }
        let open = match writer {
            Some(open) => open,
            none => none.insert(self.open(job.partition.id(), segments)?),
        };
        push(open, batch)
    }

    fn is_roll_due(&self, meta: &SegmentMeta, size_bytes: u64, policy: SegmentPolicy) -> bool {
        let age_ms = u64::try_from(self.now_ms.saturating_sub(meta.created_ms)).unwrap_or(0);
        let is_over = meta.size_bytes.saturating_add(size_bytes) > policy.segment_bytes;
        // A rewritten segment has gaps; batches are appended to gapless ones only.
        meta.generation > 0 || (meta.size_bytes > 0 && (is_over || age_ms >= policy.segment_ms))
    }

    /// Takes the last segment, to be written to.
    fn open(
        &mut self,
        id: PartitionId,
        segments: &mut Vec<SegmentMeta>,
    ) -> Result<SegmentWriter, FlushError> {
        let meta = segments.pop().expect("the caller made sure of one");
        let key = SegmentKey::new(id, &meta);
        self.touched.push((key.segment_path(), meta.size_bytes));
        let index_bytes = u64::from(meta.index_count) * crate::index::ENTRY_BYTES as u64;
        self.touched.push((key.index_path(), index_bytes));
        if meta.size_bytes == 0 || meta.index_count == 0 {
            self.unsynced_dirs.insert(SegmentKey::dir(id));
        }
        SegmentWriter::open(self.disk, key, meta, std::mem::take(&mut self.buffer))
    }

    fn finish(
        &mut self,
        writer: SegmentWriter,
        segments: &mut Vec<SegmentMeta>,
    ) -> Result<(), FlushError> {
        let written = writer.finish()?;
        segments.push(written.meta);
        self.buffer = written.buffer;
        if self.syncs && !self.sync_everything {
            self.unsynced.extend(written.files);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), FlushError> {
        if self.sync_everything {
            let synced = self.disk.sync_everything();
            return synced.map_err(|error| write_error(PARTITIONS_DIR, &error));
        }
        for (path, file) in &self.unsynced {
            file.sync_data()
                .map_err(|error| write_error(path, &error))?;
        }
        for dir in &self.unsynced_dirs {
            self.disk
                .sync_dir(dir)
                .map_err(|error| write_error(dir, &error))?;
        }
        Ok(())
    }

    /// Gives the space back. What cannot be cut or removed now is overwritten by the next flush.
    fn take_back(&mut self) {
        self.unsynced.clear();
        for (path, size_bytes) in &self.touched {
            let done = if *size_bytes == 0 {
                self.disk.remove(path)
            } else {
                self.disk.open(path, FileKind::Buffered).and_then(|file| {
                    if file.size_bytes()? > *size_bytes {
                        file.set_size(*size_bytes)?;
                    }
                    Ok(())
                })
            };
            if let Err(error) = done
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path, %error, "file could not be cut");
            }
        }
    }
}

fn push(writer: &mut SegmentWriter, batch: &TailBatch) -> Result<(), FlushError> {
    let facts = BatchFacts {
        base_offset: batch.base_offset,
        last_offset: batch.last_offset,
        size_bytes: batch.bytes.len() as u64,
        max_timestamp_ms: batch.max_timestamp_ms,
        leader_epoch: batch.leader_epoch,
    };
    writer.push(&facts, &batch.bytes)
}

/// Puts rewritten segments in the place of those they were made from, as far as those are there.
fn replace(segments: &mut Vec<SegmentMeta>, staged: &Replacement) {
    let is_replaced = |segment: &SegmentMeta| {
        segment.base_offset >= staged.from && segment.next_offset <= staged.to
    };
    let Some(at) = segments.iter().position(is_replaced) else {
        return;
    };
    let first = segments[at].base_offset;
    let count = segments[at..].iter().take_while(|s| is_replaced(s)).count();
    let kept = staged
        .segments
        .iter()
        .filter(|segment| segment.next_offset > first);
    segments.splice(at..at + count, kept.copied());
}
