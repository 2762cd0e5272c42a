//! What sessions are told without having asked. A session whose client is gone is listened to as
//! well: what its node told it counts as sent, and settles what needs no acknowledgement.

use bytes::Bytes;
use weir_broker::api::queues::{Delivered, Tiding};
use weir_model::{
    fields::{FieldTable, FieldValue},
    message::StoredMessage,
    record::Records,
};

use super::{
    books::Heard,
    publishers::read_body,
    state::{Over, Role, Spot},
};
use crate::{
    campaign::cluster::{answers::wrong_answer, run::Cluster},
    oracle::{Broken, broken},
    verdict::oracle_name,
};

use weir_broker::api::queues::Settlement;

impl Cluster<'_> {
    pub(super) fn hear_tidings(
        &mut self,
        session: usize,
        tidings: Vec<Tiding>,
    ) -> Result<(), Broken> {
        for tiding in tidings {
            match tiding {
                Tiding::Delivered(tag, delivered) => {
                    let consumer = self.queues.sessions[session].consumers.get(&tag.0);
                    let Some(consumer) = consumer.cloned() else {
                        let detail = format!("session {session} has no consumer {tag:?}");
                        return Err(broken(oracle_name::INVENTED, detail));
                    };
                    let how = (consumer.no_ack, consumer.returns);
                    self.delivered(session, consumer.spot, Some(tag.0), how, &delivered)?;
                    if let Some(handle) = &self.queues.sessions[session].handle {
                        handle.note_sent(delivered.record.len());
                    }
                }
                Tiding::Cancelled(tag) => {
                    let detail = format!("session {session} {tag:?}: its queue is gone");
                    return Err(broken(oracle_name::LOST, detail));
                }
                Tiding::Lost => {
                    self.counts.add("queue_sessions_lost", 1);
                    self.session_over(session, Over::Lost);
                }
                Tiding::Expelled(why) => {
                    let detail = format!("session {session}: {why}, and there are no users");
                    return Err(broken(oracle_name::LOST, detail));
                }
                Tiding::Blocked(why) => {
                    let client = self.queues.sessions[session].client;
                    self.queues.clients[client].is_blocked = why.is_some();
                }
            }
        }
        Ok(())
    }

    /// A message is the session's, or was settled as it came.
    pub(super) fn delivered(
        &mut self,
        session: usize,
        spot: Spot,
        tag: Option<u64>,
        (no_ack, returns): (bool, bool),
        delivered: &Delivered,
    ) -> Result<(), Broken> {
        let record = Records::new(&delivered.record, 1).next();
        let body = record.and_then(Result::ok).and_then(|record| record.value);
        let message = body.and_then(read_body);
        let message = message.ok_or_else(|| wrong_answer("a message of nobody"))?;
        let (at, id) = (self.now_ms, delivered.id);
        let words = [session as u64, message, id.serial];
        self.trace.event("delivered", &words, || {
            format!(
                "{message} to {session} {tag:?} at {at} ms: {spot:?} {id:?} again {} failed {}",
                delivered.is_redelivered, delivered.failed_count
            )
        });
        self.counts.add("queue_delivered", 1);
        self.counts
            .add("queue_redelivered", u64::from(delivered.is_redelivered));
        let plan = self.plan.queues.queues[spot.queue];
        let heard = Heard {
            spot,
            message,
            session,
            tag,
            no_ack,
            returns,
            ended_count: self.ended_count(spot),
            delivered,
        };
        self.queues.books.deliver(&plan, &heard)?;
        match spot.role {
            Role::Own => {
                self.check_delay(message, delivered)?;
                self.check_retry(message, delivered)?;
            }
            Role::Dead | Role::Parked => self.check_death(spot, message, delivered)?,
        }
        let one = &mut self.queues.sessions[session];
        if one.over.is_none() && !no_ack {
            if returns {
                let books = &mut self.queues.books;
                books.settle_asked(spot, message, id, Settlement::Requeue, self.now_ms);
            } else {
                one.held.push((spot, message, id, tag));
            }
        }
        Ok(())
    }

    /// Not before it has waited.
    fn check_delay(&self, message: u64, delivered: &Delivered) -> Result<(), Broken> {
        let Some(book) = self.queues.books.message(message) else {
            return Ok(());
        };
        let group = self.group_of_partition(delivered.id.partition);
        if self.may_have_waited(group, book.sent_ms, book.delay_ms) {
            return Ok(());
        }
        let detail = format!(
            "message {message} {:?} comes at {} ms: {book:?}",
            delivered.id, self.now_ms
        );
        Err(broken(oracle_name::EARLY, detail))
    }

    /// The group that carries the partition, as any node knows it.
    pub(super) fn group_of_partition(
        &self,
        partition: weir_model::PartitionId,
    ) -> Option<weir_model::GroupId> {
        let mut processes = self.machines.iter().filter_map(|it| it.process.as_ref());
        processes.find_map(|process| process.node.group_with(partition))
    }

    /// A dead letter says why it is dead, and that has to be so.
    fn check_death(
        &mut self,
        spot: Spot,
        message: u64,
        delivered: &Delivered,
    ) -> Result<(), Broken> {
        let stored = StoredMessage::read(&delivered.record, delivered.timestamp_ms, &spot.name());
        let properties = stored.ok().and_then(|stored| stored.properties().ok());
        let headers = properties.and_then(|properties| properties.headers);
        let headers = headers.unwrap_or_default();
        let reason = reason_of(&headers);
        let Some(book) = self.queues.books.message(message) else {
            return Ok(());
        };
        let plan = &self.plan.queues.queues[spot.queue];
        let own = Spot::own(spot.queue);
        let is_due = match reason.as_deref() {
            Some(b"rejected") => self.queues.books.may_be(own, message, Settlement::Reject),
            Some(b"expired") => self.may_have_expired(book),
            Some(b"maxlen") => plan.max_length_count.is_some(),
            Some(b"delivery_limit") => plan.delivery_limit_count.is_some(),
            Some(_) | None => false,
        };
        if is_due && deaths_of(&headers) == 1 {
            self.counts.add("queue_dead_lettered", 1);
            return Ok(());
        }
        let copy = self.queues.books.copies.get(&(own, message));
        let detail =
            format!("{spot:?}: message {message} is dead for {reason:?}: {book:?} {copy:?}");
        Err(broken(oracle_name::DEAD_LETTERS, detail))
    }

    /// Whether some leader's clock has shown the end of the message's life since it was sent, or it
    /// has lived for so long: what a clock that was ahead has stored lives by the time that passes.
    pub(super) fn may_have_expired(&self, book: &super::books::MessageBook) -> bool {
        let Some(ttl_ms) = book.ttl_ms else {
            return false;
        };
        let life_ms = ttl_ms.saturating_add(book.delay_ms);
        let end_ms = book.wall.low_ms.saturating_add_unsigned(life_ms);
        ttl_ms == 0
            || self.now_ms.saturating_sub(book.sent_ms) >= life_ms
            || self.walls.high_since(None, book.sent_ms) >= end_ms
    }
}

fn reason_of(headers: &FieldTable) -> Option<Bytes> {
    match headers.get("x-last-death-reason") {
        Some(FieldValue::LongString(reason)) => Some(reason.clone()),
        Some(_) | None => None,
    }
}

/// How often it died: once, in the queue that it was published to.
fn deaths_of(headers: &FieldTable) -> i64 {
    let Some(FieldValue::Array(deaths)) = headers.get("x-death") else {
        return 0;
    };
    let counts = deaths.iter().map(|death| match death {
        FieldValue::Table(table) => table.get("count").and_then(FieldValue::as_int).unwrap_or(0),
        _ => 0,
    });
    counts.sum()
}
