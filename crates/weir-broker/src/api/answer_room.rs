//! Who bounds the bytes of answers that are under way.

use std::{fmt::Debug, sync::Arc};

/// Room for answers, of which a fetch takes some when it begins to gather records, and none while it waits
/// for them. Called by any thread, often: must not block.
pub trait AnswerRoom: Debug + Send + Sync {
    /// Takes up to `wanted_bytes`; gives how many may be gathered, of which the first batch may be more.
    fn take(&self, wanted_bytes: usize) -> usize;

    /// So many of what was taken are not needed after all.
    fn give_back(&self, bytes: usize);

    /// So many of what was taken are in the answer that follows: whoever gets that gives them back.
    fn hand_over(&self, bytes: usize);
}

/// What one look at the partitions of a fetch has taken. Given back when it is dropped, unless it goes with
/// an answer.
#[derive(Debug)]
pub(crate) struct TakenRoom {
    room: Option<Arc<dyn AnswerRoom>>,
    taken_bytes: usize,
}

impl TakenRoom {
    pub(crate) fn take(room: Option<&Arc<dyn AnswerRoom>>, wanted_bytes: usize) -> Self {
        Self {
            room: room.cloned(),
            taken_bytes: room.map_or(wanted_bytes, |room| room.take(wanted_bytes)),
        }
    }

    /// How many bytes may be gathered.
    pub(crate) fn bytes(&self) -> usize {
        self.taken_bytes
    }

    /// An answer is about to be sent.
    pub(crate) fn hand_over(mut self) {
        if let Some(room) = self.room.take() {
            room.hand_over(self.taken_bytes);
        }
    }
}

impl Drop for TakenRoom {
    fn drop(&mut self) {
        if let Some(room) = self.room.take() {
            room.give_back(self.taken_bytes);
        }
    }
}
