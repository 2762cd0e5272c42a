//! Several answers that are sent as one.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{api::Outcome, mailbox::Reply};

/// Collects one answer per part of a request, in any order and from any thread; the last one
/// sends them all, unless time is over first.
pub(crate) struct Gather<T> {
    /// `None` once it is sent.
    open: Mutex<Option<Open<T>>>,
    outcome: fn(Vec<T>) -> Outcome,
}

struct Open<T> {
    answers: Vec<T>,
    missing_count: usize,
    reply: Reply,
}

impl<T: Clone> Gather<T> {
    /// Waits for `count` answers; sends at once where that is 0. `unsettled` stands in for those
    /// that are not there yet.
    pub(crate) fn new(
        count: usize,
        unsettled: T,
        reply: Reply,
        outcome: fn(Vec<T>) -> Outcome,
    ) -> Self {
        let open = Open {
            answers: vec![unsettled; count],
            missing_count: count,
            reply,
        };
        let task = Self {
            open: Mutex::new(Some(open)),
            outcome,
        };
        if count == 0 {
            task.expire();
        }
        task
    }

    /// Puts the answer of part `at`: once per part. After [`expire`](Self::expire) it is dropped.
    pub(crate) fn settle(&self, at: usize, answer: T) {
        self.is_settled_by(at, answer);
    }

    /// Like [`settle`](Self::settle). `true`: this was the last answer that was missing.
    pub(crate) fn is_settled_by(&self, at: usize, answer: T) -> bool {
        let mut slot = self.lock();
        let Some(open) = slot.as_mut() else {
            return false;
        };
        open.answers[at] = answer;
        open.missing_count -= 1;
        if open.missing_count > 0 {
            return false;
        }
        let whole = slot.take();
        drop(slot);
        self.send(whole);
        true
    }

    /// Sends what is there, if nothing was sent yet.
    pub(crate) fn expire(&self) {
        let rest = self.lock().take();
        self.send(rest);
    }

    fn send(&self, open: Option<Open<T>>) {
        if let Some(Open { answers, reply, .. }) = open {
            reply.send((self.outcome)(answers));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open<T>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weir_model::ErrorKind;

    use super::*;
    use crate::mailbox::{Mailbox, Ticket};

    type Answers = Vec<Result<(), ErrorKind>>;

    fn gather(count: usize) -> (Gather<Result<(), ErrorKind>>, Arc<Mailbox>) {
        let mailbox = Mailbox::new(Box::new(|| {}));
        let reply = Reply::new(Arc::clone(&mailbox), Ticket(1));
        let unsettled = Err(ErrorKind::TimedOut);
        let gather = Gather::new(count, unsettled, reply, Outcome::OffsetCommit);
        (gather, mailbox)
    }

    fn sent(mailbox: &Mailbox) -> Vec<Answers> {
        let mut arrived = Vec::new();
        mailbox.take(&mut arrived);
        let answers = arrived.into_iter().map(|(_, outcome)| match outcome {
            Outcome::OffsetCommit(answers) => answers,
            other => panic!("{other:?}"),
        });
        answers.collect()
    }

    #[test]
    fn the_last_answer_sends_all_in_the_order_of_the_request() {
        let (gather, mailbox) = gather(2);
        assert!(!gather.is_settled_by(1, Err(ErrorKind::NotLeader)));
        assert!(sent(&mailbox).is_empty());
        assert!(gather.is_settled_by(0, Ok(())));
        gather.expire();
        let answers = vec![Ok(()), Err(ErrorKind::NotLeader)];
        assert_eq!(sent(&mailbox), [answers]);
    }

    #[test]
    fn nothing_to_wait_for_is_sent_at_once() {
        assert_eq!(sent(&gather(0).1), [Answers::new()]);
    }

    #[test]
    fn when_time_is_over_missing_answers_say_so_and_later_ones_are_dropped() {
        let (gather, mailbox) = gather(2);
        gather.settle(0, Ok(()));
        gather.expire();
        let answers = vec![Ok(()), Err(ErrorKind::TimedOut)];
        assert_eq!(sent(&mailbox), [answers]);
        assert!(!gather.is_settled_by(1, Ok(())));
        gather.expire();
        assert!(sent(&mailbox).is_empty());
    }
}
