//! Messages that wait for one peer.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use weir_raft::{PeerMessage, wire};

use crate::limits::{
    MAX_BATCH_BYTES, MAX_FRAME_BYTES, MAX_QUEUED_BYTES, MAX_QUEUED_MESSAGES_COUNT,
};

/// Room that a list's own header takes in a frame, in bytes.
const LIST_BYTES: usize = 64;

/// A bounded queue, fed by workers and emptied by the connection's task. While there is no
/// connection, messages are dropped: Raft sends again what matters, with newer content.
#[derive(Default)]
pub(crate) struct Link {
    /// A mutex: a worker locks it once a turn, for a few pushes.
    queue: Mutex<Queue>,
    ready: Notify,
}

#[derive(Default)]
struct Queue {
    is_open: bool,
    messages: std::collections::VecDeque<PeerMessage>,
    bytes: usize,
}

impl Link {
    /// Queues what has room.
    pub(crate) fn push(&self, messages: impl Iterator<Item = PeerMessage>) {
        let mut queue = self.lock();
        if !queue.is_open {
            return;
        }
        for message in messages {
            let size_bytes = wire::size_bytes(&message);
            let has_room = queue.bytes + size_bytes <= MAX_QUEUED_BYTES
                && queue.messages.len() < MAX_QUEUED_MESSAGES_COUNT;
            if has_room && size_bytes <= MAX_FRAME_BYTES - LIST_BYTES {
                queue.bytes += size_bytes;
                queue.messages.push_back(message);
            }
        }
        drop(queue);
        self.ready.notify_one();
    }

    /// Takes up to [`MAX_BATCH_BYTES`], or one message, off the front.
    pub(crate) fn take(&self) -> Vec<PeerMessage> {
        let mut queue = self.lock();
        let mut taken = Vec::new();
        let mut taken_bytes = 0;
        while let Some(message) = queue.messages.front() {
            let size_bytes = wire::size_bytes(message);
            if !taken.is_empty() && taken_bytes + size_bytes > MAX_BATCH_BYTES {
                self.ready.notify_one();
                break;
            }
            taken_bytes += size_bytes;
            taken.extend(queue.messages.pop_front());
        }
        queue.bytes -= taken_bytes;
        taken
    }

    /// Waits until there may be something to take.
    pub(crate) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// There is a connection until the result is dropped.
    pub(crate) fn open(&self) -> OpenLink<'_> {
        self.lock().is_open = true;
        OpenLink(self)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A link with a connection.
pub(crate) struct OpenLink<'a>(&'a Link);

impl Drop for OpenLink<'_> {
    fn drop(&mut self) {
        *self.0.lock() = Queue::default();
    }
}
