//! Messages that come twice: dead letters that another leader sends again, and what publishers send
//! again under the same name.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weir_log::Millis;
use weir_model::{PartitionId, fields::ShortString, message::Hop};

use crate::encoding::{DecodeError, Reader, Writer};

/// Most queues whose dead letters are told apart; past it those with the lowest ids are forgotten.
const MAX_SOURCES_COUNT: usize = 4_096;
/// Most dead letters of one queue that are told apart: more than it has under way.
const MAX_SERIALS_COUNT: usize = 16_384;
/// Most names of messages that are told apart; past it the oldest are forgotten.
const MAX_IDS_COUNT: usize = 1 << 20;

/// Dead letters that came from other queues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hops {
    by_source: BTreeMap<PartitionId, Source>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Source {
    /// None with a lower serial comes any more.
    floor: u64,
    serials: BTreeSet<u64>,
}

impl Hops {
    /// Notes that one came; `false` where it had come before.
    pub(super) fn note(&mut self, hop: Hop) -> bool {
        if self.by_source.len() >= MAX_SOURCES_COUNT && !self.by_source.contains_key(&hop.source) {
            self.by_source.pop_first();
        }
        let source = self.by_source.entry(hop.source).or_default();
        if hop.serial < source.floor {
            return false;
        }
        if hop.floor > source.floor {
            source.floor = hop.floor;
            source.serials = source.serials.split_off(&hop.floor);
        }
        let is_new = source.serials.insert(hop.serial);
        if source.serials.len() > MAX_SERIALS_COUNT {
            source.serials.pop_first();
        }
        is_new
    }

    /// `u32` queues, ascending, each `u64` partition, `u64` floor, `u32` serials, ascending, each
    /// `u64`.
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.count(self.by_source.len());
        for (id, source) in &self.by_source {
            writer.u64(id.0);
            writer.u64(source.floor);
            writer.count(source.serials.len());
            source.serials.iter().for_each(|serial| writer.u64(*serial));
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut hops = Self::default();
        for _ in 0..reader.count(8 + 8 + 4)? {
            let id = PartitionId(reader.u64()?);
            let mut source = Source {
                floor: reader.u64()?,
                serials: BTreeSet::new(),
            };
            for _ in 0..reader.count(8)? {
                source.serials.insert(reader.u64()?);
            }
            hops.by_source.insert(id, source);
        }
        Ok(hops)
    }
}

/// Names of messages that came a while ago or later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MessageIds {
    known: BTreeSet<ShortString>,
    /// By when they came.
    order: VecDeque<(Millis, ShortString)>,
}

impl MessageIds {
    /// Notes that one came; `false` where it had come before, within the window.
    pub(super) fn note(&mut self, now: Millis, window_ms: u64, id: &str) -> bool {
        while let Some((at, _)) = self.order.front()
            && (now.since(*at) >= window_ms || self.order.len() >= MAX_IDS_COUNT)
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        let Some(id) = ShortString::new(id) else {
            return true;
        };
        if !self.known.insert(id.clone()) {
            return false;
        }
        self.order.push_back((now, id));
        true
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// `u32` names in the order in which they came, each `i64` when, in ms, and text.
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.count(self.order.len());
        for (at, id) in &self.order {
            writer.i64(at.0);
            writer.text(id.as_str());
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut ids = Self::default();
        for _ in 0..reader.count(8 + 4)? {
            let at = Millis(reader.i64()?);
            let id = ShortString::new(reader.text()?);
            let id = id.ok_or_else(|| reader.invalid("name of a message"))?;
            if !ids.known.insert(id.clone()) {
                return Err(reader.invalid("name of a message that stands there twice"));
            }
            ids.order.push_back((at, id));
        }
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(serial: u64, floor: u64) -> Hop {
        Hop {
            source: PartitionId(1),
            serial,
            floor,
        }
    }

    #[test]
    fn a_dead_letter_counts_once_however_often_and_in_whatever_order_it_comes() {
        let mut hops = Hops::default();
        for (serial, floor, is_new) in [
            (5, 3, true),
            (7, 3, true),
            (3, 3, true),
            (5, 3, false),
            (6, 6, true),
            (3, 3, false),
            (5, 6, false),
            (7, 6, false),
        ] {
            assert_eq!(hops.note(hop(serial, floor)), is_new, "{serial} {floor}");
        }
        let other = Hop {
            source: PartitionId(2),
            ..hop(7, 6)
        };
        assert!(hops.note(other));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut hops = Hops::default();
        let count = MAX_SERIALS_COUNT as u64;
        assert!((0..count).all(|serial| hops.note(hop(serial, 0))));
        assert!(!hops.note(hop(0, 0)));
        assert!(hops.note(hop(count, 0)));
        assert!(hops.note(hop(0, 0)), "forgotten");
        for source in 0..=MAX_SOURCES_COUNT as u64 {
            let source = PartitionId(10 + source);
            hops.note(Hop {
                source,
                ..hop(1, 0)
            });
        }
        assert_eq!(hops.by_source.len(), MAX_SOURCES_COUNT);
    }

    #[test]
    fn a_name_is_taken_for_a_while() {
        let mut ids = MessageIds::default();
        assert!(ids.note(Millis(100), 50, "a"));
        assert!(!ids.note(Millis(149), 50, "a"));
        assert!(ids.note(Millis(149), 50, "b"));
        assert!(ids.note(Millis(150), 50, "a"));
        assert!(!ids.note(Millis(150), 50, "b"));
    }
}
