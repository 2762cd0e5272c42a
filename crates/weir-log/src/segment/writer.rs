//! Appending batches to one segment file and its index.

use std::{io, ops::Range, sync::Arc};

use weir_model::batch::PATCHED_BYTES;

use super::SegmentKey;
use crate::{
    disk::{AlignedBuf, BLOCK_BYTES, Disk, DiskFile, FileKind},
    index::{BatchFacts, ENTRY_BYTES},
    partition::{FlushError, SegmentMeta},
};

/// Writes go out in pieces of about this length, in bytes.
const WRITE_BYTES: usize = 1 << 20;

/// Translates a failed write. After a full disk the write may be tried again.
pub(crate) fn write_error(path: &str, error: &io::Error) -> FlushError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FlushError::Full {
            path: path.to_owned(),
        },
        _ => FlushError::Failed {
            path: path.to_owned(),
            reason: error.to_string(),
        },
    }
}

/// How bytes go to the file.
#[derive(Clone, Copy)]
enum Way {
    /// Past the page cache where the disk can do that: whole blocks only.
    Direct,
    /// Through the page cache.
    Cached,
}

/// A segment that is being written. What a file holds behind the last byte that counts is
/// overwritten and then cut, never cut first: should a checkpoint name it after all, it is whole.
pub(crate) struct SegmentWriter {
    disk: Arc<dyn Disk>,
    key: SegmentKey,
    path: String,
    file: Arc<dyn DiskFile>,
    /// For whole blocks: the page cache would cost a copy into fresh memory. Opened when first
    /// needed.
    direct: Option<Arc<dyn DiskFile>>,
    meta: SegmentMeta,
    /// What is not written yet, behind `lead_bytes` that count for nothing: so a block of the
    /// file is a block of the buffer.
    buffer: AlignedBuf,
    lead_bytes: usize,
    written_bytes: u64,
    index_from: u32,
    index: Vec<u8>,
}

/// What was written and is not synced.
pub(crate) struct WrittenSegment {
    pub(crate) meta: SegmentMeta,
    /// With their paths.
    pub(crate) files: Vec<(String, Arc<dyn DiskFile>)>,
    /// To be used for the next segment.
    pub(crate) buffer: AlignedBuf,
}

impl SegmentWriter {
    /// Goes on where `meta` ends; begins the file where it is empty. `buffer` is memory to use.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        key: SegmentKey,
        meta: SegmentMeta,
        mut buffer: AlignedBuf,
    ) -> Result<Self, FlushError> {
        let path = key.segment_path();
        let is_new = meta.size_bytes == 0;
        let kind = if is_new {
            FileKind::CreateBuffered
        } else {
            FileKind::Buffered
        };
        let corrupt = |position, reason: &str| FlushError::Corrupt {
            path: path.clone(),
            position,
            reason: reason.to_owned(),
        };
        let file = match disk.open(&path, kind) {
            Ok(file) => file,
            Err(error) if !is_new && error.kind() == io::ErrorKind::NotFound => {
                return Err(corrupt(0, "the file is missing"));
            }
            Err(error) => return Err(write_error(&path, &error)),
        };
        let had_bytes = file
            .size_bytes()
            .map_err(|error| write_error(&path, &error))?;
        if had_bytes < meta.size_bytes {
            return Err(corrupt(had_bytes, "the file ends early"));
        }
        let lead_bytes = usize::try_from(meta.size_bytes % BLOCK_BYTES as u64)
            .expect("less than a block fits in a usize");
        buffer.clear();
        buffer.resize(lead_bytes);
        Ok(Self {
            disk: Arc::clone(disk),
            key,
            path,
            file,
            direct: None,
            meta,
            buffer,
            lead_bytes,
            written_bytes: meta.size_bytes,
            index_from: meta.index_count,
            index: Vec::new(),
        })
    }

    /// The segment as it will be.
    pub(crate) fn meta(&self) -> &SegmentMeta {
        &self.meta
    }

    /// Makes the segment responsible for offsets up to here.
    pub(crate) fn set_next_offset(&mut self, next_offset: weir_model::Offset) {
        assert!(next_offset >= self.meta.next_offset, "offsets only rise");
        self.meta.next_offset = next_offset;
    }

    /// Appends a batch with its head as `facts` have it.
    pub(crate) fn push(&mut self, facts: &BatchFacts, batch: &[u8]) -> Result<(), FlushError> {
        assert_eq!(facts.size_bytes, batch.len() as u64, "the batch is whole");
        if let Some(entry) = self.meta.add(facts) {
            entry.encode(self.key, self.meta.index_count - 1, &mut self.index);
        }
        self.buffer.extend_from_slice(&facts.head());
        self.buffer.extend_from_slice(&batch[PATCHED_BYTES..]);
        if self.buffer.len() >= WRITE_BYTES {
            self.write_blocks()?;
        }
        Ok(())
    }

    /// Writes the whole blocks of the buffer.
    fn write_blocks(&mut self) -> Result<(), FlushError> {
        let end = self.buffer.len() - self.buffer.len() % BLOCK_BYTES;
        let begun = match self.lead_bytes {
            0 => 0,
            lead_bytes => {
                self.write(lead_bytes..BLOCK_BYTES, Way::Cached)?;
                BLOCK_BYTES
            }
        };
        self.write(begun..end, Way::Direct)?;
        self.buffer.drop_front(end);
        self.lead_bytes = 0;
        Ok(())
    }

    fn write(&mut self, range: Range<usize>, way: Way) -> Result<(), FlushError> {
        let failed = |error: io::Error| write_error(&self.path, &error);
        let file = match way {
            Way::Direct if self.disk.supports_direct() => match &mut self.direct {
                Some(file) => file,
                none => {
                    let opened = self.disk.open(&self.path, FileKind::Direct);
                    none.insert(opened.map_err(failed)?)
                }
            },
            Way::Direct | Way::Cached => &mut self.file,
        };
        let bytes = &self.buffer.as_slice()[range];
        file.write_at(bytes, self.written_bytes).map_err(failed)?;
        self.written_bytes += bytes.len() as u64;
        Ok(())
    }

    /// Writes the rest, the index, and cuts what does not count.
    pub(crate) fn finish(mut self) -> Result<WrittenSegment, FlushError> {
        self.write(self.lead_bytes..self.buffer.len(), Way::Cached)?;
        assert_eq!(self.written_bytes, self.meta.size_bytes, "all is written");
        cut(&self.path, self.file.as_ref(), self.written_bytes)?;
        let mut files = Vec::with_capacity(2);
        if !self.index.is_empty() {
            let path = self.key.index_path();
            let failed = |error: io::Error| write_error(&path, &error);
            let file = self
                .disk
                .open(&path, FileKind::CreateBuffered)
                .map_err(failed)?;
            let from = u64::from(self.index_from) * ENTRY_BYTES as u64;
            file.write_at(&self.index, from).map_err(failed)?;
            cut(&path, file.as_ref(), from + self.index.len() as u64)?;
            files.push((path, file));
        }
        files.push((self.path, self.file));
        Ok(WrittenSegment {
            meta: self.meta,
            files,
            buffer: self.buffer,
        })
    }
}

fn cut(path: &str, file: &dyn DiskFile, size_bytes: u64) -> Result<(), FlushError> {
    let failed = |error: io::Error| write_error(path, &error);
    if file.size_bytes().map_err(failed)? > size_bytes {
        file.set_size(size_bytes).map_err(failed)?;
    }
    Ok(())
}
