//! What one session has not been sent yet of one partition.

use std::collections::{BTreeSet, VecDeque};

use crate::{api::queues::ConsumerTag, queue::Assignment};

/// Called once nothing more comes to a consumer.
pub(super) type Left = Box<dyn FnOnce() + Send>;

/// In order of assignment.
#[derive(Default)]
pub(super) struct Outbox {
    pub(super) waiting: VecDeque<Assignment>,
    /// Of those, the first ones that were sent and may have arrived.
    pub(super) maybe_sent_count: usize,
    pub(super) under_way: Vec<Assignment>,
    /// The last batch did not arrive, or the last read failed.
    pub(super) is_paused: bool,
    /// A read of the disk is under way for it.
    pub(super) is_reading: bool,
    /// Consumers that are being detached, which are sent nothing new.
    stopped: BTreeSet<ConsumerTag>,
    /// What is theirs and was never sent.
    withheld: Vec<Assignment>,
    /// Called once what was sent has arrived: for consumers that were detached.
    leaving: Vec<Left>,
}

impl Outbox {
    pub(super) fn push(&mut self, assignment: Assignment) {
        let is_stopped = |tag| self.stopped.contains(&tag);
        match assignment.tag.is_some_and(is_stopped) {
            true => self.withheld.push(assignment),
            false => self.waiting.push_back(assignment),
        }
    }

    /// Sends the consumer nothing new. Gives the serial of the first that it was not sent.
    pub(super) fn stop(&mut self, consumer: ConsumerTag) -> Option<u64> {
        self.stopped.insert(consumer);
        let fresh = self.waiting.split_off(self.maybe_sent_count);
        let is_its = |each: &Assignment| each.tag == Some(consumer);
        let (unsent, others): (Vec<_>, Vec<_>) = fresh.into_iter().partition(is_its);
        self.waiting.extend(others);
        self.withheld.extend(unsent);
        let mut unsent = self.withheld.iter().filter(|each| is_its(each));
        unsent.next().map(|each| each.serial)
    }

    /// The consumer stays after all.
    pub(super) fn go_on(&mut self, consumer: ConsumerTag) {
        self.stopped.remove(&consumer);
        let (its, others) = std::mem::take(&mut self.withheld)
            .into_iter()
            .partition(|each| each.tag == Some(consumer));
        self.withheld = others;
        let its: Vec<_> = its;
        self.waiting.extend(its);
    }

    /// The consumer is detached: `left` is called once nothing more comes to it.
    pub(super) fn leave(&mut self, consumer: ConsumerTag, left: Left) {
        self.stopped.remove(&consumer);
        self.withheld.retain(|each| each.tag != Some(consumer));
        if self.under_way.is_empty() && self.maybe_sent_count == 0 {
            left();
        } else {
            self.leaving.push(left);
        }
    }

    /// What was sent has arrived, or never will.
    pub(super) fn arrived(&mut self) {
        self.leaving.drain(..).for_each(|left| left());
    }

    pub(super) fn may_send(&self) -> bool {
        let is_busy = !self.under_way.is_empty() || self.is_reading || self.is_paused;
        !is_busy && !self.waiting.is_empty()
    }

    pub(super) fn is_idle(&self) -> bool {
        let is_empty = self.waiting.is_empty() && self.under_way.is_empty();
        let is_left = self.leaving.is_empty() && self.stopped.is_empty();
        is_empty && is_left && !self.is_reading
    }
}

#[cfg(test)]
mod tests {
    use weir_log::Millis;
    use weir_model::NodeId;

    use super::*;
    use crate::queue::SessionKey;

    fn assignment(tag: u64, serial: u64) -> Assignment {
        Assignment {
            session: SessionKey {
                node: NodeId(1),
                boot: 1,
                number: 1,
            },
            tag: Some(ConsumerTag(tag)),
            offset: serial,
            serial,
            is_redelivered: false,
            failed_count: 0,
            at: Millis(0),
        }
    }

    fn outbox() -> Outbox {
        let mut outbox = Outbox::default();
        for (tag, serial) in [(1, 1), (2, 2), (1, 3), (2, 4)] {
            outbox.push(assignment(tag, serial));
        }
        outbox.maybe_sent_count = 1;
        outbox
    }

    fn serials(outbox: &Outbox) -> Vec<u64> {
        outbox.waiting.iter().map(|each| each.serial).collect()
    }

    #[test]
    fn a_consumer_that_stops_gets_only_what_may_have_been_sent() {
        let mut outbox = outbox();
        assert_eq!(outbox.stop(ConsumerTag(1)), Some(3));
        outbox.push(assignment(1, 5));
        outbox.push(assignment(2, 6));
        assert_eq!(serials(&outbox), [1, 2, 4, 6]);
        // Asked again, as by another call, it is the same.
        assert_eq!(outbox.stop(ConsumerTag(1)), Some(3));
        assert_eq!(outbox.stop(ConsumerTag(3)), None);
    }

    #[test]
    fn a_consumer_that_stays_after_all_gets_what_it_was_not_sent() {
        let mut outbox = outbox();
        outbox.stop(ConsumerTag(1));
        outbox.go_on(ConsumerTag(1));
        assert_eq!(serials(&outbox), [1, 2, 4, 3]);
        outbox.push(assignment(1, 5));
        assert_eq!(outbox.waiting.len(), 5);
    }

    #[test]
    fn a_consumer_has_left_once_what_was_sent_has_arrived() {
        let (told, heard) = std::sync::mpsc::channel();
        let left = || {
            let told = told.clone();
            Box::new(move || told.send(()).unwrap())
        };
        let mut outbox = outbox();
        outbox.stop(ConsumerTag(1));
        outbox.leave(ConsumerTag(1), left());
        assert!(heard.try_recv().is_err());
        outbox.arrived();
        assert!(heard.try_recv().is_ok());
        outbox.maybe_sent_count = 0;
        outbox.leave(ConsumerTag(2), left());
        assert!(heard.try_recv().is_ok());
    }
}
