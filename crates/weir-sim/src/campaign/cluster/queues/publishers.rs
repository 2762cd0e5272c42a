//! Publishers: a few messages at a time, each with its number for a body.

use bytes::Bytes;
use weir_broker::api::queues::{Message, Publish, QueueRequest, Verdict};
use weir_model::fields::{BasicProperties, FieldTable, FieldValue};

use super::{
    books::{MessageBook, Told},
    declare::LATER,
    plan::QueuePlan,
    state::{QueueWhat, Spot, short},
};
use crate::{
    campaign::cluster::{run::Cluster, walls::Span},
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// Most publishes of a session without an answer.
const MAX_OPEN_COUNT: usize = 3;

/// What is in front of a message's number.
const BODY: &[u8] = b"m";

/// The number of the message that has this body.
pub(super) fn read_body(body: &[u8]) -> Option<u64> {
    let digits = body
        .strip_prefix(BODY)?
        .split(|byte| *byte == b' ')
        .next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

impl Cluster<'_> {
    pub(super) fn publish_turn(&mut self, client: usize, session: usize) {
        let of_session =
            |what: &QueueWhat, own| own == Some(session) && matches!(what, QueueWhat::Publish(_));
        let open = self.queues.open.values();
        let open_count = open.filter(|it| of_session(&it.what, it.session)).count();
        let is_blocked = self.queues.clients[client].is_blocked;
        // What was declared on another node is known here once it is applied.
        let machine = self.queues.sessions[session].machine;
        let is_behind = self.applied_of_metadata(machine) < self.queues.declared_applied;
        if self.is_ending || is_blocked || is_behind || open_count >= MAX_OPEN_COUNT {
            return;
        }
        let queue = self.queues.rng.index(self.plan.queues.queues.len());
        let count = self.queues.rng.between(1, 4);
        let is_atomic = self.queues.rng.chance(100);
        let numbers: Vec<u64> = (0..count)
            .map(|_| self.new_message(queue, session))
            .collect();
        let messages = numbers.iter().map(|number| self.message(*number)).collect();
        let Some(handle) = self.handle_of(session) else {
            return;
        };
        self.counts.add("queue_published", count);
        let publish = Publish {
            session: handle,
            messages,
            is_atomic,
        };
        let request = QueueRequest::Publish(publish);
        self.ask_queues(session, request, QueueWhat::Publish(numbers));
    }

    fn new_message(&mut self, queue: usize, session: usize) -> u64 {
        let plan = self.plan.queues.queues[queue];
        let machine = self.queues.sessions[session].machine;
        let wall_ms = self.machines[machine].host.clock.now_ms();
        let rng = &mut self.queues.rng;
        let delay_ms = match rng.chance(500) {
            true => rng.below(plan.max_delay_ms + 1),
            false => 0,
        };
        let own_ttl_ms = plan.expiration_ms.filter(|_| rng.chance(500));
        let book = MessageBook {
            queue,
            session,
            sent_ms: self.now_ms,
            wall: Span::at(wall_ms),
            told: Told::Nothing,
            delay_ms,
            own_ttl_ms,
            ttl_ms: own_ttl_ms.into_iter().chain(plan.message_ttl_ms).min(),
            priority: u8::try_from(rng.below(u64::from(plan.max_priority) + 1)).unwrap_or(0),
            gone_ms: None,
        };
        let number = self.queues.books.messages.len() as u64;
        self.queues.books.messages.push(book);
        number
    }

    fn message(&self, number: u64) -> Message {
        let book = self.queues.books.message(number);
        let book = book.expect("it was made just now");
        let plan: &QueuePlan = &self.plan.queues.queues[book.queue];
        let delay = i64::try_from(book.delay_ms).unwrap_or(0);
        let is_late = book.delay_ms > 0;
        let headers =
            is_late.then(|| FieldTable(vec![(short("x-delay"), FieldValue::Int64(delay))]));
        let expiration = book.own_ttl_ms.map(|ms| short(&ms.to_string()));
        Message {
            exchange: if is_late { short(LATER) } else { short("") },
            routing_key: Spot::own(book.queue).name(),
            is_mandatory: true,
            properties: BasicProperties {
                headers,
                delivery_mode: Some(2),
                priority: (plan.max_priority > 0).then_some(book.priority),
                expiration,
                ..BasicProperties::default()
            },
            body: Bytes::from(format!("m{number} of {}", book.queue)),
        }
    }

    pub(super) fn published(
        &mut self,
        machine: usize,
        messages: &[u64],
        verdicts: &[Verdict],
    ) -> Result<(), Broken> {
        self.close_walls(machine, messages);
        if messages.len() != verdicts.len() {
            let detail = format!("{messages:?} were published, {verdicts:?} came back");
            return Err(broken(oracle_name::INVENTED, detail));
        }
        for (message, verdict) in messages.iter().zip(verdicts) {
            let told = match verdict {
                Verdict::Stored => Told::Stored,
                Verdict::Rejected => Told::Rejected,
                Verdict::Unroutable | Verdict::Refused(_) => {
                    let detail = format!("message {message}: {verdict:?}");
                    return Err(broken(oracle_name::NO_FAULT_NO_ERROR, detail));
                }
            };
            let counter = match told {
                Told::Stored => "queue_confirmed",
                Told::Rejected | Told::Nothing => "queue_rejected",
            };
            self.counts.add(counter, 1);
            if let Some(book) = self.queues.books.message_mut(*message) {
                book.told = told;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_tells_its_number_and_nothing_else_does() {
        assert_eq!(read_body(b"m17 of 2"), Some(17));
        assert_eq!(read_body(b"17"), None);
        assert_eq!(read_body(b"mm"), None);
    }
}
