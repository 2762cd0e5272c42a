//! Room of a connection's queues. One that was long once would hold its room for as long as its connection
//! lasts, and most connections wait.

use std::collections::VecDeque;

/// Room that an empty queue may keep, in entries.
pub const KEPT_COUNT: usize = 16;

/// Gives the room of an empty queue back where that is much.
pub fn give_back<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > KEPT_COUNT {
        *queue = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_back_by_what_is_empty_and_was_long() {
        let mut queue: VecDeque<u8> = (0..100).collect();
        give_back(&mut queue);
        assert_eq!(queue.len(), 100);
        queue.clear();
        give_back(&mut queue);
        assert_eq!(queue.capacity(), 0);
        let mut short: VecDeque<u8> = VecDeque::with_capacity(KEPT_COUNT);
        give_back(&mut short);
        assert_eq!(short.capacity(), KEPT_COUNT);
    }
}
