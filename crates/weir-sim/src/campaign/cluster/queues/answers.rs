//! What queues' clients hear.

use weir_broker::{
    Ticket,
    api::{
        Outcome,
        queues::{QueueOutcome, Refused, Settlement},
    },
};

use super::state::{Job, Over, QueueAsked, QueueWhat, Role, Spot};
use crate::{
    campaign::cluster::{answers::wrong_answer, run::Cluster},
    oracle::{Broken, broken},
    verdict::oracle_name,
};

impl Cluster<'_> {
    /// Whoever is gone hears nothing, but what its session was told is known.
    pub(in super::super) fn hear_queues(
        &mut self,
        ticket: Ticket,
        outcome: Outcome,
    ) -> Result<(), Broken> {
        let Outcome::Queue(outcome) = outcome else {
            return Ok(());
        };
        if let Some(asked) = self.queues.open.remove(&ticket) {
            return self.hear_queue(ticket, &asked, outcome);
        }
        match (self.queues.ears.get(&ticket).copied(), outcome) {
            (Some(session), QueueOutcome::Told(tidings)) => self.hear_tidings(session, tidings),
            (_, outcome) => Err(wrong_answer(&format!("{ticket:?}: {outcome:?}"))),
        }
    }

    // Table: one arm per kind of answer.
    fn hear_queue(
        &mut self,
        ticket: Ticket,
        asked: &QueueAsked,
        outcome: QueueOutcome,
    ) -> Result<(), Broken> {
        let session = asked.session.unwrap_or(usize::MAX);
        match (asked.what.clone(), outcome) {
            (_, QueueOutcome::Refused(refused)) => self.queue_refused(asked, &refused),
            (QueueWhat::Open, QueueOutcome::Opened(handle)) => {
                self.session_opened(ticket, asked, handle);
                Ok(())
            }
            (QueueWhat::Declare, QueueOutcome::Done | QueueOutcome::Declared(_)) => {
                self.queues.declared_count += 1;
                let applied = self.applied_of_metadata(asked.machine);
                self.queues.declared_applied = applied.max(self.queues.declared_applied);
                Ok(())
            }
            (QueueWhat::Publish(messages), QueueOutcome::Published(verdicts)) => {
                self.published(asked.machine, &messages, &verdicts)
            }
            (QueueWhat::Consume(tag), QueueOutcome::Done) => {
                let consumers = &mut self.queues.sessions[session].consumers;
                if let Some(consumer) = consumers.get_mut(&tag) {
                    consumer.is_attached = true;
                }
                Ok(())
            }
            (QueueWhat::Cancel(tag), QueueOutcome::Done) => {
                self.cancelled(session, tag);
                Ok(())
            }
            (QueueWhat::Get(spot, no_ack), QueueOutcome::Got(got)) => {
                self.counts.add("queue_gets", 1);
                let Some((delivered, _)) = got else {
                    return Ok(());
                };
                self.delivered(session, spot, None, (no_ack, false), &delivered)
            }
            (QueueWhat::Settle(settled), QueueOutcome::Done) => self.settled(settled),
            (QueueWhat::End, QueueOutcome::Done) => Ok(()),
            (QueueWhat::Count(spot), QueueOutcome::Declared(declared)) => {
                self.queues.left.insert(spot, declared.message_count);
                Ok(())
            }
            (what, outcome) => Err(wrong_answer(&format!("{what:?}: {outcome:?}"))),
        }
    }

    fn settled(
        &mut self,
        settled: Vec<(Spot, u64, weir_broker::api::queues::DeliveryId, Settlement)>,
    ) -> Result<(), Broken> {
        let now_ms = self.now_ms;
        for each in settled {
            let plan = self.plan.queues.queues[each.0.queue];
            self.counts.add("queue_settled", 1);
            self.queues.books.settle_done(&plan, each, now_ms)?;
        }
        Ok(())
    }

    fn queue_refused(&mut self, asked: &QueueAsked, refused: &Refused) -> Result<(), Broken> {
        self.counts.add("queue_refusals", 1);
        let is_expected = match (&asked.what, refused) {
            (_, Refused::Failed(error)) => {
                let is_early = matches!(asked.what, QueueWhat::Declare);
                return self.queue_failed(asked, *error, is_early);
            }
            (QueueWhat::Consume(_), Refused::Exclusive { .. }) => true,
            (QueueWhat::Consume(tag), Refused::NoQueue { .. }) => {
                let session = asked.session.unwrap_or(usize::MAX);
                let consumers = &self.queues.sessions[session].consumers;
                let consumer = consumers.get(tag);
                consumer.is_some_and(|consumer| consumer.spot.role == Role::Parked)
            }
            _ => false,
        };
        self.forget_asked(asked);
        if is_expected {
            return Ok(());
        }
        let detail = format!("{asked:?}: {refused}");
        Err(broken(oracle_name::NO_FAULT_NO_ERROR, detail))
    }

    fn queue_failed(
        &mut self,
        asked: &QueueAsked,
        error: weir_model::ErrorKind,
        is_early: bool,
    ) -> Result<(), Broken> {
        self.forget_asked(asked);
        let is_over = asked
            .session
            .is_some_and(|session| self.queues.sessions[session].over.is_some());
        self.check_error(error, is_early || is_over, "a queue")
    }

    /// It did not come to that, or it is not known whether it did.
    fn forget_asked(&mut self, asked: &QueueAsked) {
        match &asked.what {
            QueueWhat::Open => self.queues.clients[asked.client].is_opening = false,
            QueueWhat::Publish(messages) => self.close_walls(asked.machine, messages),
            QueueWhat::Consume(tag) => {
                let session = asked.session.unwrap_or(usize::MAX);
                let one = &mut self.queues.sessions[session];
                if let Some(consumer) = one.consumers.get_mut(tag) {
                    consumer.is_cancelled = true;
                }
            }
            QueueWhat::Settle(_) | QueueWhat::Cancel(_) => {
                // A client that cannot know what it holds begins anew.
                let session = asked.session.unwrap_or(usize::MAX);
                let is_draining = self.queues.clients[asked.client].job == Job::Drain;
                if !is_draining || self.queues.sessions[session].over.is_none() {
                    self.session_over(session, Over::Left);
                }
            }
            QueueWhat::Declare | QueueWhat::Get(..) | QueueWhat::End | QueueWhat::Count(_) => {}
        }
    }
}
