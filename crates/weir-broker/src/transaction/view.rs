//! What readers of committed records must know of a partition: where what is decided ends, and
//! whose records before it were aborted.
//!
//! Encoded, version 1: `u8` version, `u32` aborted transactions in the order in which they ended,
//! each `i64` producer id, `u64` first and last offset (the marker's).

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use weir_model::{Offset, ProducerId};

use crate::{
    api::AbortedTransaction,
    encoding::{DecodeError, Reader, Writer},
};

/// Most aborted transactions that a partition remembers, of those its log still holds. Past it no
/// further transaction is begun there.
pub const MAX_ABORTED_COUNT: usize = 1 << 20;
const VERSION: u8 = 1;
const ABORTED_BYTES: usize = 8 + 8 + 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Aborted {
    producer: ProducerId,
    first: Offset,
    last: Offset,
}

#[derive(Debug, Default)]
struct State {
    first_open: Option<Offset>,
    /// Ascending by last offset.
    aborted: VecDeque<Aborted>,
}

/// Written by the shard before it appends, read by fetches: whoever takes the log's end first and
/// then looks here never takes for decided what is not.
///
/// A mutex rather than a channel: it is held for a search, and by transactions alone.
#[derive(Debug, Default)]
pub struct TransactionView {
    state: Mutex<State>,
}

/// What a read of committed records may return.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stable {
    /// Everything before this offset is decided.
    pub end: Offset,
    /// Transactions with records in what was read that were aborted, ascending by first offset.
    pub aborted: Vec<AbortedTransaction>,
}

impl TransactionView {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first offset that is not decided.
    pub fn set_first_open(&self, first_open: Option<Offset>) {
        self.lock().first_open = first_open;
    }

    /// A transaction is ended by a marker at `last`. `aborted`: whose, and from where on.
    pub fn ended(
        &self,
        first_open: Option<Offset>,
        aborted: Option<(ProducerId, Offset)>,
        last: Offset,
    ) {
        let mut state = self.lock();
        state.first_open = first_open;
        if let Some((producer, first)) = aborted {
            state.aborted.push_back(Aborted {
                producer,
                first,
                last,
            });
        }
    }

    /// Whether no further aborted transaction could be remembered.
    pub fn is_full(&self) -> bool {
        self.lock().aborted.len() >= MAX_ABORTED_COUNT
    }

    /// What is before `start` is gone.
    pub fn trim(&self, start: Offset) {
        let mut state = self.lock();
        while state
            .aborted
            .front()
            .is_some_and(|aborted| aborted.last < start)
        {
            state.aborted.pop_front();
        }
    }

    /// Where what is decided ends, in a log that ended at `end` before this was called.
    pub fn stable_end(&self, end: Offset) -> Offset {
        self.lock().first_open.map_or(end, |first| first.min(end))
    }

    /// The same, with what was aborted among the records from `from` on and before `up_to`.
    pub fn stable(&self, end: Offset, from: Offset, up_to: Offset) -> Stable {
        let state = self.lock();
        let end = state.first_open.map_or(end, |first| first.min(end));
        let up_to = up_to.min(end);
        let begin = state.aborted.partition_point(|aborted| aborted.last < from);
        let within = state.aborted.range(begin..);
        let mut aborted: Vec<AbortedTransaction> = within
            .filter(|aborted| aborted.first < up_to)
            .map(|aborted| AbortedTransaction {
                producer: aborted.producer,
                first: aborted.first,
            })
            .collect();
        drop(state);
        aborted.sort_unstable_by_key(|aborted| (aborted.first, aborted.producer));
        Stable { end, aborted }
    }

    /// The aborted transactions as bytes.
    pub fn encode(&self) -> Bytes {
        let state = self.lock();
        let mut writer = Writer::new();
        writer.u8(VERSION);
        writer.count(state.aborted.len());
        for aborted in &state.aborted {
            writer.i64(aborted.producer.0);
            writer.u64(aborted.first.0);
            writer.u64(aborted.last.0);
        }
        writer.finish()
    }

    /// The bytes of a partition without aborted transactions.
    pub fn encode_none() -> Bytes {
        Self::default().encode()
    }

    /// The view that [`Self::encode`] wrote, where nothing is open.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version("aborted transactions' version", VERSION)?;
        let mut state = State::default();
        for _ in 0..reader.count(ABORTED_BYTES)? {
            let aborted = Aborted {
                producer: ProducerId(reader.i64()?),
                first: Offset(reader.u64()?),
                last: Offset(reader.u64()?),
            };
            let follows = state
                .aborted
                .back()
                .is_none_or(|before| before.last < aborted.last);
            if !follows || aborted.first > aborted.last || aborted.last.0 >> 63 != 0 {
                return Err(reader.invalid("aborted transaction"));
            }
            state.aborted.push_back(aborted);
        }
        reader.finish()?;
        Ok(Self {
            state: Mutex::new(state),
        })
    }

    /// Takes over another one's content.
    pub fn replace(&self, other: Self) {
        let other = other
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        *self.lock() = other;
    }

    /// Whether there is nothing to know.
    pub fn is_blank(&self) -> bool {
        let state = self.lock();
        state.first_open.is_none() && state.aborted.is_empty()
    }
}
