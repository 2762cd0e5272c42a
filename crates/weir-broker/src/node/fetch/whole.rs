//! What was read, on its way into the answer: batches that refer to bodies are made whole, on the
//! pool for cold reads.

use std::sync::Arc;

use bytes::Bytes;
use weir_log::partition::{PartitionLog, PartitionStore, Read, ReadBatches, ReadError};
use weir_model::{
    ErrorKind, Offset,
    batch::BatchHeader,
    reference::{self, BodyReference, NotWhole},
};

use super::{Pass, Place};
use crate::{
    bodies::bodies_of,
    shard::{BodyCache, OpenBodies},
};

/// Most bytes that are read at once of a log whose batches are to be made whole, which makes them
/// longer.
pub(super) const MAX_REFERRING_BYTES: usize = 256 << 10;
/// Bytes of one read of bodies.
const READ_BYTES: usize = 1 << 20;

/// What an answer may hold.
#[derive(Clone, Copy)]
pub(in crate::node) struct Limits {
    pub(in crate::node) max_bytes: usize,
    /// The first batch whatever its size.
    pub(in crate::node) min_one: bool,
    /// Whether batches might have to be made whole before they were read: afterwards those may be
    /// gone, and with them what the log says.
    pub(in crate::node) refers: bool,
}

/// Why a batch was not made whole.
#[derive(Debug, thiserror::Error)]
pub(in crate::node) enum Lacking {
    #[error(transparent)]
    Read(ReadError),
    #[error(transparent)]
    Batch(NotWhole),
}

/// Bodies of one answer.
struct Bodies<'a> {
    store: &'a PartitionStore,
    log: Option<Arc<PartitionLog>>,
    cache: BodyCache,
    error: Option<ReadError>,
}

impl Pass {
    pub(super) fn limits(&self, place: &Place) -> Limits {
        let left = self.room.bytes().saturating_sub(self.taken_bytes);
        Limits {
            max_bytes: left.min(place.max_bytes),
            min_one: self.taken_bytes == 0,
            refers: place.refers(),
        }
    }

    pub(super) fn answer_cold(
        mut self,
        result: Result<ReadBatches, ReadError>,
        limits: Limits,
    ) -> Option<Self> {
        match result {
            Ok(batches) => return self.answer_read(batches, limits),
            // An empty answer: the client asks again.
            Err(ReadError::Busy) => self.answer_batches(ReadBatches::default()),
            Err(ReadError::Closed) => self.answer_error(ErrorKind::ShuttingDown),
            Err(ReadError::OutOfRange { start, .. }) => return self.out_of_range(start),
            Err(error @ (ReadError::Corrupt { .. } | ReadError::Failed { .. })) => {
                self.note_damage(&error);
                self.answer_error(ErrorKind::StorageFailed);
            }
        }
        Some(self)
    }

    fn note_damage(&self, error: &ReadError) {
        tracing::error!(%error, "stored data cannot be read");
        let place = &self.task.places[self.answers.len()];
        if let (ReadError::Corrupt { path, .. }, Ok(log)) = (error, &place.log) {
            self.task.node.offers.found_damage(log, path);
        }
    }

    /// Answers with what was read; `None`: goes on once it is whole.
    pub(super) fn answer_read(mut self, read: ReadBatches, limits: Limits) -> Option<Self> {
        let place = &self.task.places[self.answers.len()];
        let may_refer = (limits.refers || place.refers()) && read.size_bytes > 0;
        let (true, Some(group)) = (may_refer, place.group) else {
            self.answer_batches(read);
            return Some(self);
        };
        let node = Arc::clone(&self.task.node);
        let bodies = node.env.registry.get(bodies_of(group));
        let log = bodies.clone();
        let work = move |store: &PartitionStore| Ok(make_whole(store, log, read, limits));
        let done = move |result: Result<Result<ReadBatches, Lacking>, ReadError>| {
            let same = match result {
                Ok(Ok(batches)) => {
                    self.answer_batches(batches);
                    Some(self)
                }
                Ok(Err(lacking)) => self.answer_lacking(&lacking, bodies.as_ref()),
                Err(refused) => self.answer_cold(Err(refused), limits),
            };
            if let Some(same) = same {
                same.run();
            }
        };
        node.env.store.run_on_pool(work, Box::new(done));
        None
    }

    fn answer_lacking(
        mut self,
        lacking: &Lacking,
        bodies: Option<&Arc<PartitionLog>>,
    ) -> Option<Self> {
        let place = &self.task.places[self.answers.len()];
        if let (Ok(log), Ok(from)) = (&place.log, &place.from) {
            let start = log.start_offset();
            // What is gone needs no body.
            if *from < start {
                return self.out_of_range(start);
            }
            tracing::error!(partition = %log.id(), %from, %lacking, "a body cannot be read");
        }
        if let (Lacking::Read(ReadError::Corrupt { path, .. }), Some(bodies)) = (lacking, bodies) {
            self.task.node.offers.found_damage(bodies, path);
        }
        self.answer_error(ErrorKind::StorageFailed);
        Some(self)
    }
}

impl Place {
    /// Whether batches may have to be made whole.
    pub(super) fn refers(&self) -> bool {
        self.log.as_ref().is_ok_and(|log| log.refers())
    }
}

/// Whole batches, as many as fit. What the first one lacks is an error; what a later one lacks is
/// left to the next read.
pub(in crate::node) fn make_whole(
    store: &PartitionStore,
    log: Option<Arc<PartitionLog>>,
    read: ReadBatches,
    limits: Limits,
) -> Result<ReadBatches, Lacking> {
    let mut bodies = Bodies {
        store,
        log,
        cache: BodyCache::default(),
        error: None,
    };
    let end = read.next_offset;
    let mut rest = read.joined();
    let mut answer = ReadBatches {
        next_offset: end,
        ..ReadBatches::default()
    };
    while let Ok(header) = BatchHeader::parse(&rest) {
        let batch = rest.split_to(header.size_bytes);
        let whole = match header.has_references() {
            true => bodies.make_whole(&batch),
            false => Ok(batch),
        };
        let is_first = answer.size_bytes == 0;
        let whole = match whole {
            Ok(whole) => whole,
            Err(lacking) if is_first => return Err(lacking),
            Err(_) => return Ok(cut(answer, &header)),
        };
        let is_needed = is_first && limits.min_one;
        if !is_needed && answer.size_bytes + whole.len() > limits.max_bytes {
            return Ok(cut(answer, &header));
        }
        answer.size_bytes += whole.len();
        answer.chunks.push(whole);
    }
    Ok(answer)
}

/// The batch with this header is not part of the answer.
fn cut(answer: ReadBatches, header: &BatchHeader) -> ReadBatches {
    let base = Offset::from_wire(header.base_offset).unwrap_or(answer.next_offset);
    ReadBatches {
        next_offset: base,
        ..answer
    }
}

impl Bodies<'_> {
    fn make_whole(&mut self, batch: &[u8]) -> Result<Bytes, Lacking> {
        let whole = reference::whole(batch, |reference| self.find(reference));
        match (whole, self.error.take()) {
            (Ok(whole), _) => Ok(whole.into()),
            (Err(_), Some(error)) => Err(Lacking::Read(error)),
            (Err(not_whole), None) => Err(Lacking::Batch(not_whole)),
        }
    }

    fn find(&mut self, reference: BodyReference) -> Option<Bytes> {
        if let Some(body) = self.cache.find(reference) {
            return Some(body);
        }
        let read = match self.log.as_ref()?.read(reference.offset, READ_BYTES, true) {
            Read::Batches(batches) => batches,
            Read::Cold(cold) => match self.store.run_cold(&cold) {
                Ok(batches) => batches,
                Err(error) => {
                    self.error = Some(error);
                    return None;
                }
            },
            Read::AtEnd | Read::OutOfRange { .. } => return None,
        };
        self.cache.keep(OpenBodies::open_all(read));
        self.cache.find(reference)
    }
}
