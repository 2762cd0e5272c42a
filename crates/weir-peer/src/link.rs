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
            // The iterator takes them off the caller's list.
            return messages.for_each(drop);
        }
        for message in messages {
            let size_bytes = wire::size_bytes(&message);
            if size_bytes > MAX_FRAME_BYTES - LIST_BYTES {
                // Nothing else tells why a replica is never brought up to date.
                tracing::error!(to = %message.to, size_bytes, "a message fits no frame");
                continue;
            }
            let has_room = queue.bytes + size_bytes <= MAX_QUEUED_BYTES
                && queue.messages.len() < MAX_QUEUED_MESSAGES_COUNT;
            if has_room {
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

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use weir_model::NodeId;

    use super::*;

    /// An append with one entry of that length.
    fn message(data_bytes: usize) -> PeerMessage {
        let mut list = BytesMut::new();
        list.put_u8(1);
        list.put_u64_le(1);
        list.put_u64_le(2);
        list.put_u32_le(1);
        list.put_u8(3);
        list.put_bytes(0, 4 + 9 * 8 + 1 + 4);
        list.put_u32_le(1);
        list.put_bytes(0, 1 + 8 + 8 + 4);
        list.put_u32_le(u32::try_from(data_bytes).unwrap());
        list.put_bytes(7, data_bytes + 1);
        *list.last_mut().unwrap() = 0;
        wire::decode(NodeId(1), NodeId(2), list.freeze())
            .unwrap()
            .remove(0)
    }

    #[test]
    fn what_is_pushed_without_a_connection_is_taken_and_dropped() {
        let link = Link::default();
        let mut messages = vec![message(1)];
        link.push(messages.extract_if(.., |_| true));
        assert!(messages.is_empty());
        let open = link.open();
        assert!(link.take().is_empty());
        link.push([message(1)].into_iter());
        drop(open);
        let _open = link.open();
        assert!(link.take().is_empty(), "of an earlier connection");
    }

    #[test]
    fn bytes_over_the_limit_are_dropped_until_there_is_room() {
        let link = Link::default();
        let _open = link.open();
        let half = message(MAX_QUEUED_BYTES / 2 - wire::size_bytes(&message(0)));
        assert_eq!(wire::size_bytes(&half), MAX_QUEUED_BYTES / 2);
        link.push([half.clone(), half, message(0)].into_iter());
        assert_eq!(link.take().len(), 1);
        link.push([message(0)].into_iter());
        assert_eq!(link.take().len(), 1);
        assert_eq!(link.take().len(), 1);
        assert!(link.take().is_empty());
        assert_eq!(link.lock().bytes, 0);
    }

    #[test]
    fn one_message_over_the_count_is_dropped() {
        let link = Link::default();
        let _open = link.open();
        let small = message(0);
        let surplus = (0..=MAX_QUEUED_MESSAGES_COUNT).map(|_| small.clone());
        link.push(surplus);
        assert_eq!(link.lock().messages.len(), MAX_QUEUED_MESSAGES_COUNT);
    }

    #[test]
    fn a_message_that_fits_no_frame_is_dropped() {
        let link = Link::default();
        let _open = link.open();
        link.push([message(MAX_FRAME_BYTES)].into_iter());
        assert!(link.take().is_empty());
    }
}
