//! Which of the batches that were read a member is given, before it takes their records.

use std::{collections::VecDeque, ops::Range};

use bytes::Bytes;
use weir_model::batch::{BatchHeader, HEADER_BYTES};

use super::Take;

/// Offsets that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// How much a member may be given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// No further batch once there are so many records; whole batches unless `by_records`.
    pub(crate) wanted_count: u64,
    /// Never more records than that.
    pub(crate) room_count: u64,
    pub(crate) by_records: bool,
}

/// What a member is given where it takes all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) take: Take,
    /// The batches with the records that it wants.
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) size_bytes: usize,
}

/// Goes through whole batches that were read from `from` on, up to `end`.
///
/// `is_ready` says whether an offset may be taken, `is_void` whether a batch is for nobody, such as
/// one of an aborted transaction. No byte of a record is copied.
pub(crate) fn choose(
    batches: Vec<Bytes>,
    Range { start: from, end }: Range<u64>,
    limits: Limits,
    is_ready: impl Fn(u64) -> bool,
    is_void: impl Fn(&BatchHeader) -> bool,
) -> Chosen {
    let mut chosen = Chosen::default();
    let mut left = limits.wanted_count.min(limits.room_count);
    let mut room = limits.room_count;
    let (mut rest, mut next) = (VecDeque::from(batches), from);
    while left > 0
        && room > 0
        && let Some((header, chunks)) = next_batch(&mut rest)
    {
        let Ok(base) = u64::try_from(header.base_offset) else {
            break;
        };
        let last = base + u64::from(header.last_offset_delta);
        if base >= end || last >= end {
            break;
        }
        if last < next {
            continue;
        }
        if base > next {
            // Nothing has these offsets, since compaction took what had them.
            chosen.void(next, base - 1);
        }
        let first = base.max(next);
        next = last + 1;
        if header.is_control() || is_void(&header) {
            chosen.void(first, last);
            continue;
        }
        let most = if limits.by_records {
            left.min(room)
        } else {
            room
        };
        let count = chosen.want(first, last, most, &is_ready);
        if count > 0 {
            chosen.chunks.extend(chunks);
            chosen.size_bytes += header.size_bytes;
        }
        left = left.saturating_sub(count);
        room -= count;
    }
    chosen.take.end = chosen.end();
    chosen
}

/// Takes the first batch off; `None` where there is no whole one.
fn next_batch(rest: &mut VecDeque<Bytes>) -> Option<(BatchHeader, Vec<Bytes>)> {
    let mut head = [0; HEADER_BYTES];
    let mut filled = 0;
    for chunk in rest.iter() {
        let taken = chunk.len().min(head.len() - filled);
        head[filled..filled + taken].copy_from_slice(&chunk[..taken]);
        filled += taken;
        if filled == head.len() {
            break;
        }
    }
    let header = BatchHeader::parse_head(head.get(..filled)?).ok()?;
    let mut missing = header.size_bytes;
    let mut chunks = Vec::with_capacity(2);
    while missing > 0 {
        let chunk = rest.front_mut()?;
        if chunk.len() > missing {
            chunks.push(chunk.split_to(missing));
            missing = 0;
        } else {
            missing -= chunk.len();
            chunks.extend(rest.pop_front());
        }
    }
    Some((header, chunks))
}

impl Chosen {
    fn void(&mut self, first: u64, last: u64) {
        match self.take.void.last_mut() {
            Some(void) if void.last + 1 == first => void.last = last,
            Some(_) | None => self.take.void.push(Stretch { first, last }),
        }
    }

    /// Notes what is ready from `first` to `last`, and says how much it was.
    fn want(&mut self, first: u64, last: u64, most: u64, is_ready: &impl Fn(u64) -> bool) -> u64 {
        let mut count = 0;
        for offset in first..=last {
            if count == most {
                break;
            }
            if !is_ready(offset) {
                continue;
            }
            count += 1;
            match self.take.wanted.last_mut() {
                Some(stretch) if stretch.last + 1 == offset => stretch.last = offset,
                Some(_) | None => self.take.wanted.push(Stretch {
                    first: offset,
                    last: offset,
                }),
            }
        }
        count
    }

    /// The offset after all that it speaks of.
    fn end(&self) -> u64 {
        let lasts = [self.take.void.last(), self.take.wanted.last()];
        let last = lasts
            .into_iter()
            .flatten()
            .map(|stretch| stretch.last)
            .max();
        last.map_or(0, |last| last + 1)
    }

    /// Whether it changes nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.take.void.is_empty() && self.take.wanted.is_empty()
    }
}
