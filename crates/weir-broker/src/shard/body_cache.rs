//! Bodies that deliveries refer to, opened: of the batches that were looked at last. A fan-out's
//! queues find the same ones.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use weir_log::partition::ReadBatches;
use weir_model::{
    batch::{BatchHeader, Codec, HEADER_BYTES, PATCHED_BYTES},
    record::Records,
    reference::BodyReference,
};

/// Most bytes of batches that are kept; one alone may be larger.
const MAX_CACHE_BYTES: usize = 8 << 20;
/// What a batch takes of memory at least.
const BATCH_MIN_BYTES: usize = 256;

/// The batches.
#[derive(Default)]
pub(crate) struct BodyCache {
    by_base: BTreeMap<u64, OpenBodies>,
    /// By when they were looked at last.
    by_age: BTreeMap<u64, u64>,
    next_age: u64,
    size_bytes: usize,
}

/// A batch of bodies.
pub(crate) struct OpenBodies {
    base: u64,
    records: Bytes,
    /// Where each record begins.
    places: Vec<usize>,
    age: u64,
}

impl BodyCache {
    /// The body; `None` where it is not here.
    pub(crate) fn find(&mut self, reference: BodyReference) -> Option<Bytes> {
        let offset = reference.offset.0;
        let (base, bodies) = self.by_base.range_mut(..=offset).next_back()?;
        let found = bodies.find(offset)?;
        self.by_age.remove(&bodies.age);
        bodies.age = self.next_age;
        self.by_age.insert(self.next_age, *base);
        self.next_age += 1;
        Some(found)
    }

    /// Keeps what was read.
    pub(crate) fn keep(&mut self, read: Vec<OpenBodies>) {
        for mut bodies in read {
            self.forget(bodies.base);
            bodies.age = self.next_age;
            self.by_age.insert(self.next_age, bodies.base);
            self.next_age += 1;
            self.size_bytes += bodies.size_bytes();
            self.by_base.insert(bodies.base, bodies);
            while self.size_bytes > MAX_CACHE_BYTES && self.by_age.len() > 1 {
                if let Some((_, oldest)) = self.by_age.pop_first() {
                    self.forget(oldest);
                }
            }
        }
    }

    fn forget(&mut self, base: u64) {
        if let Some(bodies) = self.by_base.remove(&base) {
            self.by_age.remove(&bodies.age);
            self.size_bytes -= bodies.size_bytes();
        }
    }
}

impl OpenBodies {
    /// Opens batches that were read: without a copy where each has a chunk of its own, as those
    /// from memory do.
    pub(crate) fn open_all(read: ReadBatches) -> Vec<Self> {
        let mut all = Vec::new();
        let mut chunks = read.chunks.into_iter();
        let mut rest = Bytes::new();
        loop {
            while let Ok(header) = BatchHeader::parse(&rest) {
                let batch = rest.split_to(header.size_bytes);
                all.extend(Self::open(&header, batch.slice(HEADER_BYTES..)));
            }
            let Some(next) = chunks.next() else {
                return all;
            };
            rest = match rest.is_empty() {
                true => next,
                false => match Self::head_and_rest(&rest, &next) {
                    Some(bodies) => {
                        all.push(bodies);
                        Bytes::new()
                    }
                    None => [&rest[..], &next[..]].concat().into(),
                },
            };
        }
    }

    /// A batch whose head stands alone.
    fn head_and_rest(head: &Bytes, rest: &Bytes) -> Option<Self> {
        if head.len() != PATCHED_BYTES || rest.len() < HEADER_BYTES - PATCHED_BYTES {
            return None;
        }
        // The header alone does not parse: it says how long the batch is.
        let mut header = BytesMut::from(&head[..]);
        header.extend_from_slice(&rest[..HEADER_BYTES - PATCHED_BYTES]);
        let header = BatchHeader::parse_head(&header).ok()?;
        let is_all = header.size_bytes == head.len() + rest.len();
        let records = is_all.then(|| rest.slice(HEADER_BYTES - PATCHED_BYTES..));
        Self::open(&header, records?)
    }

    fn open(header: &BatchHeader, records: Bytes) -> Option<Self> {
        if header.codec != Codec::None {
            return None;
        }
        let mut places = Vec::new();
        let mut at = 0;
        for record in Records::new(&records, header.record_count).map_while(Result::ok) {
            places.push(at);
            at += record.raw.len();
        }
        Some(Self {
            base: u64::try_from(header.base_offset).ok()?,
            records,
            places,
            age: 0,
        })
    }

    /// Batches of bodies have no gaps.
    pub(crate) fn find(&self, offset: u64) -> Option<Bytes> {
        let at = usize::try_from(offset.checked_sub(self.base)?).ok()?;
        let place = *self.places.get(at)?;
        let record = Records::new(&self.records[place..], 1).next()?.ok()?;
        record.value.map(|value| self.records.slice_ref(value))
    }

    fn size_bytes(&self) -> usize {
        BATCH_MIN_BYTES + self.records.len() + self.places.len() * size_of::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use weir_model::{Offset, batch::patched_head, batch_builder::BatchBuilder};

    use super::*;

    /// A batch of bodies that say their offsets.
    fn batch(base: u64, count: u64, body_bytes: usize) -> Vec<u8> {
        let mut builder = BatchBuilder::new(0);
        for offset in base..base + count {
            let mut body = offset.to_be_bytes().to_vec();
            body.resize(body_bytes, 7);
            builder.push_plain(None, Some(&body), 0);
        }
        let mut bytes = builder.finish(None).to_vec();
        let head = patched_head(Offset(base), bytes.len(), 1);
        bytes[..head.len()].copy_from_slice(&head);
        bytes
    }

    fn read(chunks: Vec<Vec<u8>>) -> ReadBatches {
        ReadBatches {
            size_bytes: chunks.iter().map(Vec::len).sum(),
            chunks: chunks.into_iter().map(Bytes::from).collect(),
            next_offset: Offset(0),
        }
    }

    fn body(offset: u64) -> BodyReference {
        BodyReference {
            offset: Offset(offset),
            length_bytes: 8,
        }
    }

    fn has(cache: &mut BodyCache, offset: u64) -> bool {
        let found = cache.find(body(offset));
        found.is_some_and(|found| found.starts_with(&offset.to_be_bytes()))
    }

    #[test]
    fn bodies_are_found_however_their_batches_were_read() {
        let (one, other) = (batch(5, 3, 8), batch(8, 2, 100));
        let whole = [&one[..], &other[..]].concat();
        let ways = [
            vec![whole.clone()],
            vec![one.clone(), other.clone()],
            vec![one[..16].to_vec(), one[16..].to_vec(), other.clone()],
            vec![[&one[..], &other[..16]].concat(), other[16..].to_vec()],
            vec![
                whole[..40].to_vec(),
                whole[40..90].to_vec(),
                whole[90..].to_vec(),
            ],
        ];
        for chunks in ways {
            let mut cache = BodyCache::default();
            cache.keep(OpenBodies::open_all(read(chunks)));
            for offset in 5..10 {
                assert!(has(&mut cache, offset), "{offset}");
            }
            assert!(cache.find(body(4)).is_none() && cache.find(body(10)).is_none());
        }
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for_and_what_was_looked_at_stays() {
        let mut cache = BodyCache::default();
        let keep = |cache: &mut BodyCache, base| {
            cache.keep(OpenBodies::open_all(read(vec![batch(base, 1, 1 << 20)])));
        };
        for base in 0..7 {
            keep(&mut cache, base);
        }
        assert!(has(&mut cache, 0));
        keep(&mut cache, 7);
        assert!(has(&mut cache, 0) && !has(&mut cache, 1) && has(&mut cache, 7));
        assert!(cache.size_bytes <= MAX_CACHE_BYTES);
        let larger = batch(50, 1, MAX_CACHE_BYTES);
        cache.keep(OpenBodies::open_all(read(vec![larger])));
        assert!(has(&mut cache, 50) && !has(&mut cache, 0));
        // Read once more, it is there once.
        keep(&mut cache, 60);
        keep(&mut cache, 60);
        assert_eq!((cache.by_base.len(), cache.by_age.len()), (1, 1));
    }
}
