//! Several answers that are sent as one.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use crate::{api::Outcome, mailbox::Reply};

/// Collects one answer per part of a request, in any order and from any thread; the last one
/// sends them all.
pub(crate) struct Gather<T> {
    answers: Mutex<Vec<T>>,
    open_count: AtomicUsize,
    reply: Mutex<Option<Reply>>,
    outcome: fn(Vec<T>) -> Outcome,
}

impl<T: Clone> Gather<T> {
    /// Waits for `count` answers; sends at once where that is 0. `unsettled` stands in for those
    /// that are not there yet and is never sent.
    pub(crate) fn new(
        count: usize,
        unsettled: T,
        reply: Reply,
        outcome: fn(Vec<T>) -> Outcome,
    ) -> Self {
        let reply = if count == 0 {
            reply.send(outcome(Vec::new()));
            None
        } else {
            Some(reply)
        };
        Self {
            answers: Mutex::new(vec![unsettled; count]),
            open_count: AtomicUsize::new(count),
            reply: Mutex::new(reply),
            outcome,
        }
    }

    /// Puts the answer of part `at`: once per part.
    pub(crate) fn settle(&self, at: usize, answer: T) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers[at] = answer;
        if self.open_count.fetch_sub(1, Ordering::AcqRel) == 1 {
            let answers = std::mem::take(&mut *answers);
            let reply = self
                .reply
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            reply
                .expect("each part settles once")
                .send((self.outcome)(answers));
        }
    }
}
