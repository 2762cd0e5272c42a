//! A lane's place in its producer's sequence.

use weir_model::{ProducerId, batch_builder::Sequence};

/// Sequence numbers run from 0 to 2^31 - 1 and start again.
const SEQUENCE_COUNT: u32 = 1 << 31;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Numbers {
    /// No producer yet.
    #[default]
    None,
    /// An id is on its way.
    Asked,
    Known {
        producer: ProducerId,
        epoch: i16,
        next: u32,
        /// What the partition expects next is not known: another epoch is due.
        is_stale: bool,
    },
}

impl Numbers {
    pub(super) fn is_known(&self) -> bool {
        matches!(self, Self::Known { .. })
    }

    /// Whether to ask for an id.
    pub(super) fn ask(&mut self) -> bool {
        let is_new = *self == Self::None;
        if is_new {
            *self = Self::Asked;
        }
        is_new
    }

    pub(super) fn begin(&mut self, producer: ProducerId) {
        *self = Self::Known {
            producer,
            epoch: 0,
            next: 0,
            is_stale: false,
        };
    }

    pub(super) fn forget(&mut self) {
        *self = Self::None;
    }

    pub(super) fn is_stale(&self) -> bool {
        matches!(self, Self::Known { is_stale: true, .. })
    }

    pub(super) fn set_stale(&mut self) {
        if let Self::Known { is_stale, .. } = self {
            *is_stale = true;
        }
    }

    /// Begins the next epoch, or lets another producer begin.
    pub(super) fn renew(&mut self) {
        if let Self::Known {
            producer, epoch, ..
        } = *self
        {
            *self = match epoch.checked_add(1) {
                Some(epoch) => Self::Known {
                    producer,
                    epoch,
                    next: 0,
                    is_stale: false,
                },
                None => Self::None,
            };
        }
    }

    /// The place of `count` records.
    ///
    /// # Panics
    ///
    /// Where no producer is known.
    pub(super) fn take(&mut self, count: u32) -> Sequence {
        let Self::Known {
            producer,
            epoch,
            next,
            ..
        } = self
        else {
            panic!("a lane has its producer before it sends");
        };
        let first = i32::try_from(*next).expect("a sequence is below 2^31");
        *next = (*next + count) % SEQUENCE_COUNT;
        Sequence {
            producer: *producer,
            epoch: *epoch,
            first,
        }
    }
}
