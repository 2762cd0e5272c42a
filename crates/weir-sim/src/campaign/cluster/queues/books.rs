//! What became of each message, as far as clients were told, and what they may not be told after it.

use std::collections::BTreeMap;

use weir_broker::api::queues::{Delivered, DeliveryId, Settlement};
use weir_model::PartitionId;

use super::{
    plan::QueuePlan,
    state::{Role, Spot},
};
use crate::{
    campaign::cluster::walls::Span,
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// What a publisher was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing yet, or never anything.
    Nothing,
    Stored,
    Rejected,
}

/// A message as it was published.
#[derive(Clone, Debug)]
pub(super) struct MessageBook {
    pub(super) queue: usize,
    pub(super) session: usize,
    pub(super) sent_ms: u64,
    /// What the clock of the publisher's node may have shown.
    pub(super) wall: Span,
    pub(super) told: Told,
    pub(super) delay_ms: u64,
    /// As it says itself.
    pub(super) own_ttl_ms: Option<u64>,
    /// As it or its queue says.
    pub(super) ttl_ms: Option<u64>,
    pub(super) priority: u8,
    /// When it was known to be done with in its own queue.
    pub(super) gone_ms: Option<u64>,
}

/// A message in one queue.
#[derive(Clone, Debug)]
pub(super) struct CopyBook {
    pub(super) at: (PartitionId, u64),
    /// Ascending by serial.
    pub(super) deliveries: Vec<DeliveryBook>,
}

/// Somebody was given it.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeliveryBook {
    pub(super) serial: u64,
    pub(super) session: usize,
    pub(super) state: Fate,
    /// When its settlement was asked for.
    pub(super) asked_ms: u64,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Held,
    /// It was settled by being sent.
    Sent,
    /// No answer yet; none will come where the session's node is gone.
    Asked(Settlement),
    Done(Settlement),
}

impl Fate {
    /// Whether this may have been asked for, and may be so.
    pub(super) fn may_be(self, settlement: Settlement) -> bool {
        matches!(self, Self::Asked(asked) | Self::Done(asked) if asked == settlement)
    }
}

/// Who takes from a partition.
type Taker = (usize, u64);

/// One partition of a queue.
#[derive(Debug, Default)]
pub(super) struct PartitionBook {
    /// First and last serial of each consumer.
    pub(super) takers: BTreeMap<Taker, (u64, u64)>,
    /// By serial: offset, and when it was published.
    pub(super) given: BTreeMap<u64, (u64, u64)>,
    /// Offsets that were given back: the serial of that delivery, and when it was answered.
    given_back: BTreeMap<u64, (u64, u64)>,
    /// By publisher's session and message.
    stored: BTreeMap<(usize, u64), u64>,
}

/// All messages.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) messages: Vec<MessageBook>,
    pub(super) copies: BTreeMap<(Spot, u64), CopyBook>,
    at: BTreeMap<(PartitionId, u64), (Spot, u64)>,
    pub(super) partitions: BTreeMap<PartitionId, PartitionBook>,
    /// Sessions from which a delivery was taken, with what shows it: they have to be over.
    pub(super) bereft: BTreeMap<usize, String>,
    /// Deliveries that came back early, with what shows it, should they be told to have failed.
    pub(super) hasty: BTreeMap<DeliveryId, String>,
}

/// A delivery as it is heard of.
pub(super) struct Heard<'a> {
    pub(super) spot: Spot,
    pub(super) message: u64,
    pub(super) session: usize,
    /// `None`: it was asked for on demand.
    pub(super) tag: Option<u64>,
    pub(super) no_ack: bool,
    /// Its consumer is ending, and gives back what it has.
    pub(super) returns: bool,
    /// Sessions that are over and may have held messages of that queue.
    pub(super) ended_count: usize,
    pub(super) delivered: &'a Delivered,
}

impl Books {
    pub(super) fn message(&self, message: u64) -> Option<&MessageBook> {
        self.messages.get(usize::try_from(message).ok()?)
    }

    pub(super) fn message_mut(&mut self, message: u64) -> Option<&mut MessageBook> {
        self.messages.get_mut(usize::try_from(message).ok()?)
    }

    pub(super) fn copy(&self, queue: usize, role: Role, message: u64) -> Option<&CopyBook> {
        self.copies.get(&(Spot { queue, role }, message))
    }

    /// Writes a delivery down that is held from now on, or settled as it comes.
    pub(super) fn deliver(&mut self, plan: &QueuePlan, heard: &Heard<'_>) -> Result<(), Broken> {
        let id = heard.delivered.id;
        self.check_place(heard)?;
        self.check_earlier(heard)?;
        self.check_failures(plan, heard)?;
        self.check_takers(plan, heard)?;
        self.check_order(plan, heard)?;
        let copy = self.copies.entry((heard.spot, heard.message));
        let copy = copy.or_insert_with(|| CopyBook {
            at: (id.partition, id.offset),
            deliveries: Vec::new(),
        });
        let at = copy
            .deliveries
            .partition_point(|each| each.serial < id.serial);
        let state = match heard.no_ack {
            true => Fate::Sent,
            false => Fate::Held,
        };
        let delivery = DeliveryBook {
            serial: id.serial,
            session: heard.session,
            state,
            asked_ms: 0,
        };
        copy.deliveries.insert(at, delivery);
        Ok(())
    }

    /// It is a message of this queue, at one place for ever.
    fn check_place(&mut self, heard: &Heard<'_>) -> Result<(), Broken> {
        let (spot, message, id) = (heard.spot, heard.message, heard.delivered.id);
        let book = self.message(message);
        let Some(book) = book.filter(|book| book.queue == spot.queue) else {
            let detail = format!("{spot:?}: message {message} was never published there");
            return Err(broken(oracle_name::INVENTED, detail));
        };
        let publisher = book.session;
        let at = (id.partition, id.offset);
        let stands = *self.at.entry(at).or_insert((spot, message));
        if stands != (spot, message) {
            let detail = format!("{spot:?}: message {message} at {at:?}, where {stands:?} is");
            return Err(broken(oracle_name::ONE_VALUE, detail));
        }
        let known = self.copies.get(&(spot, message));
        if let Some(copy) = known.filter(|copy| copy.at != at) {
            let detail = format!("{spot:?}: message {message} at {at:?} and at {:?}", copy.at);
            return Err(broken(oracle_name::QUEUED_ONCE, detail));
        }
        if spot.role != Role::Own {
            return Ok(());
        }
        let stored = &mut self.partitions.entry(id.partition).or_default().stored;
        stored.insert((publisher, message), id.offset);
        let before = stored.range(..(publisher, message)).next_back();
        let after = stored.range((publisher, message + 1)..).next();
        let is_before = before
            .is_none_or(|((session, _), offset)| *session != publisher || *offset < id.offset);
        let is_after =
            after.is_none_or(|((session, _), offset)| *session != publisher || *offset > id.offset);
        if !is_before || !is_after {
            let detail =
                format!("{spot:?}: message {message} at {at:?} between {before:?} and {after:?}");
            return Err(broken(oracle_name::QUEUE_ORDER, detail));
        }
        Ok(())
    }

    /// Nobody is given what was settled, or what somebody else has.
    fn check_earlier(&mut self, heard: &Heard<'_>) -> Result<(), Broken> {
        let (spot, message, id) = (heard.spot, heard.message, heard.delivered.id);
        let Some(copy) = self.copies.get(&(spot, message)) else {
            return Ok(());
        };
        let mut was_given = false;
        for earlier in &copy.deliveries {
            if earlier.serial == id.serial {
                let detail = format!("{spot:?}: message {message} was told twice: {id:?}");
                return Err(broken(oracle_name::HELD_ONCE, detail));
            }
            if earlier.serial > id.serial {
                let detail = format!("{spot:?}: message {message}: {id:?} behind {earlier:?}");
                // What the end of its consumer gives back may be somebody's before its client hears of it.
                if !heard.returns {
                    self.bereft.entry(heard.session).or_insert(detail);
                }
                break;
            }
            was_given = true;
            let detail = || format!("{spot:?}: message {message} after {earlier:?}: {id:?}");
            match earlier.state {
                Fate::Done(Settlement::Ack | Settlement::Reject) => {
                    return Err(broken(oracle_name::SETTLED, detail()));
                }
                Fate::Held | Fate::Sent => {
                    self.bereft.entry(earlier.session).or_insert_with(detail);
                }
                Fate::Asked(_) | Fate::Done(Settlement::Requeue | Settlement::RequeueFailed) => {}
            }
        }
        if was_given && !heard.delivered.is_redelivered {
            let detail = format!("{spot:?}: message {message} {id:?} was given before: {copy:?}");
            return Err(broken(oracle_name::TRIES, detail));
        }
        Ok(())
    }

    /// Where one consumer alone is served, the next begins where it ended.
    fn check_takers(&mut self, plan: &QueuePlan, heard: &Heard<'_>) -> Result<(), Broken> {
        let is_one = plan.is_single_active || plan.is_exclusive;
        let Some(tag) = heard.tag.filter(|_| is_one && heard.spot.role == Role::Own) else {
            return Ok(());
        };
        let DeliveryId {
            partition, serial, ..
        } = heard.delivered.id;
        let taker = (heard.session, tag);
        let takers = &mut self.partitions.entry(partition).or_default().takers;
        let range = takers.entry(taker).or_insert((serial, serial));
        *range = (range.0.min(serial), range.1.max(serial));
        let own = *range;
        let mut others = takers.iter().filter(|(other, _)| **other != taker);
        if let Some(other) = others.find(|(_, range)| range.0 < own.1 && own.0 < range.1) {
            let detail = format!(
                "{:?} {partition:?}: {taker:?} took {own:?}, {other:?} as well",
                heard.spot
            );
            return Err(broken(oracle_name::ONE_CONSUMER, detail));
        }
        Ok(())
    }

    /// What was given back comes before what was published after that.
    fn check_order(&mut self, plan: &QueuePlan, heard: &Heard<'_>) -> Result<(), Broken> {
        let DeliveryId {
            partition,
            offset,
            serial,
        } = heard.delivered.id;
        if plan.max_priority > 0 || heard.spot.role != Role::Own {
            return Ok(());
        }
        let sent_ms = self.message(heard.message).map_or(0, |book| book.sent_ms);
        let book = self.partitions.entry(partition).or_default();
        book.given.insert(serial, (offset, sent_ms));
        let back = book.given_back.get(&offset).copied();
        let Some((from, back_ms)) = back.filter(|(from, _)| *from < serial) else {
            return Ok(());
        };
        book.given_back.remove(&offset);
        // A serial that nobody heard of may be the message's own: somebody had it meanwhile.
        let whole = (from + 1..serial).zip(book.given.range(from + 1..serial));
        let mut whole = whole.take_while(|(wanted, (found, _))| wanted == *found);
        let overtook = whole.find(|(_, (_, (other, sent)))| *other > offset && *sent > back_ms);
        if let Some(overtook) = overtook {
            let detail = format!(
                "{:?} {partition:?}: {offset} was given back at {back_ms} ms, and {overtook:?} came first",
                heard.spot
            );
            return Err(broken(oracle_name::QUEUE_ORDER, detail));
        }
        Ok(())
    }

    /// A delivery is ready again, in its old place, at the latest by now.
    pub(super) fn note_given_back(&mut self, id: DeliveryId, now_ms: u64) {
        let book = self.partitions.entry(id.partition).or_default();
        // It came again before the answer did.
        let mut later = book.given.range(id.serial + 1..);
        if later.all(|(_, (offset, _))| *offset != id.offset) {
            book.given_back.insert(id.offset, (id.serial, now_ms));
        }
    }
}
