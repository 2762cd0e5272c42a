//! Where every message has gone to.

use weir_broker::api::queues::Settlement;

use super::{
    books::{MessageBook, Told},
    plan::QueuePlan,
    state::{Role, Spot},
};
use crate::{
    campaign::cluster::run::Cluster,
    oracle::{Broken, broken},
    verdict::oracle_name,
};

impl Cluster<'_> {
    /// A message that was confirmed and of which nothing says where it is.
    pub(super) fn unaccounted(&self) -> Option<String> {
        let messages = self.queues.books.messages.iter().enumerate();
        let mut stored = messages.filter(|(_, book)| book.told == Told::Stored);
        stored.find_map(|(number, book)| {
            let message = number as u64;
            let (why, is_gone) = self.whereabouts(message, book);
            let copies: Vec<_> = [Role::Own, Role::Dead, Role::Parked]
                .into_iter()
                .filter_map(|role| self.queues.books.copy(book.queue, role, message))
                .collect();
            let is_lost = is_gone && !self.plan.queues.queues[book.queue].drops();
            is_lost.then(|| format!("message {message} {why}: {book:?} {copies:?}"))
        })
    }

    /// Whether a message cannot be found, and what is known of it.
    pub(super) fn whereabouts(&self, message: u64, book: &MessageBook) -> (&'static str, bool) {
        let plan = &self.plan.queues.queues[book.queue];
        let books = &self.queues.books;
        let has_come = |role| books.is_settled(book.queue, role, message);
        if has_come(Role::Own) || has_come(Role::Dead) || has_come(Role::Parked) {
            return ("was taken", false);
        }
        if self.may_wait(plan, message, book) {
            return ("waits for its time", false);
        }
        let own = Spot::own(book.queue);
        if plan.has_dead_letters {
            return ("was neither taken nor dead-lettered", true);
        }
        if books.may_be(own, message, Settlement::Reject) {
            return ("was rejected", false);
        }
        if self.may_have_expired(book) {
            return ("may have expired", false);
        }
        ("was not taken", true)
    }

    /// Whether the message may wait still: since it was published, or since it failed.
    fn may_wait(&self, plan: &QueuePlan, message: u64, book: &MessageBook) -> bool {
        if book.delay_ms > 0 && self.may_still_wait(book.sent_ms, book.delay_ms) {
            return true;
        }
        let Some((_, longest_ms)) = plan.retry_ms else {
            return false;
        };
        let copy = self.queues.books.copy(book.queue, Role::Own, message);
        let all = copy.into_iter().flat_map(|copy| &copy.deliveries);
        let failed = all.filter(|each| each.state.may_be(Settlement::RequeueFailed));
        // As much longer than the longest wait as the queue scatters.
        let wait_ms = longest_ms + longest_ms / 10;
        let last_ms = failed.map(|each| each.asked_ms).max();
        last_ms.is_some_and(|last_ms| self.may_still_wait(last_ms, wait_ms))
    }

    /// What somebody has settled is not dead as well.
    pub(super) fn judge_dead(&self) -> Result<(), Broken> {
        for ((spot, message), copy) in &self.queues.books.copies {
            if spot.role == Role::Own {
                continue;
            }
            let own = self.queues.books.copy(spot.queue, Role::Own, *message);
            let done = own.into_iter().flat_map(|own| &own.deliveries);
            let mut done = done.filter(|it| it.state == super::books::Fate::Done(Settlement::Ack));
            if let Some(done) = done.next() {
                let detail = format!("{spot:?}: message {message} is {done:?} and dead: {copy:?}");
                return Err(broken(oracle_name::DEAD_LETTERS, detail));
            }
        }
        Ok(())
    }
}
