//! What a queue may have dropped at its head to keep its greatest length.

use super::{
    books::{MessageBook, Told},
    plan::{OverflowPlan, QueuePlan},
};
use crate::campaign::cluster::run::Cluster;

impl QueuePlan {
    /// Whether the queue drops messages that nobody hears of.
    pub(super) fn drops(&self) -> bool {
        self.overflow == OverflowPlan::DropHead
            && self.max_length_count.is_some()
            && !self.has_dead_letters
    }
}

/// Most messages that a partition can have dropped that keeps so many.
///
/// When it dropped its last one, it kept as many ready ones as it may: what had come by then was
/// these, those that were held, those that were done with, and those that it had dropped.
fn most_dropped<'a>(messages: impl Iterator<Item = &'a MessageBook>, kept_count: u64) -> u64 {
    let came_and_went = messages.flat_map(|book| {
        let went = book.gone_ms.map(|gone_ms| (gone_ms, 1));
        std::iter::once((book.sent_ms, 0)).chain(went)
    });
    let mut events: Vec<(u64, u8)> = came_and_went.collect();
    // What comes and goes at the same time was there.
    events.sort_unstable();
    let (mut there_count, mut most_count) = (0_u64, 0);
    for (_, went) in events {
        match went {
            0 => there_count += 1,
            _ => there_count -= 1,
        }
        most_count = there_count.max(most_count);
    }
    most_count.saturating_sub(kept_count)
}

impl Cluster<'_> {
    /// A queue of one partition that lacks more messages than it can have dropped.
    pub(super) fn dropped_too_many(&self) -> Option<String> {
        let plans = self.plan.queues.queues.iter().enumerate();
        let mut dropping = plans.filter(|(_, plan)| plan.drops() && plan.partition_count == 1);
        dropping.find_map(|(queue, plan)| {
            let all = self.queues.books.messages.iter().enumerate();
            let own = all.filter(|(_, book)| book.queue == queue);
            let stored = own.clone().filter(|(_, book)| book.told == Told::Stored);
            let missing = stored.filter(|(number, book)| {
                let (_, is_missing) = self.whereabouts(*number as u64, book);
                is_missing
            });
            let missing: Vec<usize> = missing.map(|(number, _)| number).collect();
            let kept_count = plan.max_length_count.unwrap_or(u64::MAX);
            let most_count = most_dropped(own.map(|(_, book)| book), kept_count);
            (missing.len() as u64 > most_count).then(|| {
                let count = missing.len();
                format!("queue {queue} lacks {count} messages, and can have dropped {most_count}: {missing:?}")
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::cluster::walls::Span;

    fn message(sent_ms: u64, gone_ms: Option<u64>) -> MessageBook {
        MessageBook {
            queue: 0,
            session: 0,
            sent_ms,
            wall: Span::at(0),
            told: Told::Stored,
            delay_ms: 0,
            own_ttl_ms: None,
            ttl_ms: None,
            priority: 0,
            gone_ms,
        }
    }

    #[test]
    fn no_more_can_be_dropped_than_was_there_at_a_time_beyond_what_is_kept() {
        let went = [(0, Some(5)), (1, Some(9)), (5, None), (6, None), (20, None)];
        let messages = went.map(|(sent_ms, gone_ms)| message(sent_ms, gone_ms));
        for (kept_count, most_count) in [(0, 3), (1, 2), (3, 0), (4, 0)] {
            assert_eq!(most_dropped(messages.iter(), kept_count), most_count);
        }
    }
}
