//! Consumers: they take, settle, give back, let lie, get one by one, and go.

use weir_broker::api::queues::{Consume, ConsumerTag, Held, QueueRequest, Settlement};
use weir_model::fields::FieldTable;

use super::state::{QueueWhat, Spot, Tagged};
use crate::campaign::cluster::run::Cluster;

/// Consumers of a session.
const MAX_CONSUMER_COUNT: usize = 2;

impl Cluster<'_> {
    pub(super) fn consume_turn(&mut self, _client: usize, session: usize) {
        if self.is_ending {
            return;
        }
        let consumers = self.queues.sessions[session].consumers.values();
        let count = consumers.filter(|one| !one.is_cancelled).count();
        let what = self.queues.rng.below(1_000);
        match what {
            0..150 if count < MAX_CONSUMER_COUNT => {
                let queue = self.queues.rng.index(self.plan.queues.queues.len());
                self.consume(session, self.spot_of(queue, what));
            }
            150..200 => self.cancel_one(session),
            200..350 => {
                let queue = self.queues.rng.index(self.plan.queues.queues.len());
                self.get(session, self.spot_of(queue, what));
            }
            _ => self.settle_some(session),
        }
    }

    /// The queue, or now and then that of its dead letters.
    fn spot_of(&self, queue: usize, salt: u64) -> Spot {
        let is_dead = self.plan.queues.queues[queue].has_dead_letters && salt.is_multiple_of(5);
        match is_dead {
            true => Spot {
                queue,
                role: super::state::Role::Dead,
            },
            false => Spot::own(queue),
        }
    }

    pub(super) fn consume(&mut self, session: usize, spot: Spot) {
        let Some(handle) = self.handle_of(session) else {
            return;
        };
        let plan = self.plan.queues.queues[spot.queue];
        let is_own = spot == Spot::own(spot.queue);
        let rng = &mut self.queues.rng;
        let no_ack = !self.is_ending && rng.chance(plan.no_ack_per_mille);
        let prefetch_count = rng.pick(&[1, 2, 5, 20]);
        let one = &mut self.queues.sessions[session];
        let tag = one.next_tag;
        one.next_tag += 1;
        let tagged = Tagged {
            spot,
            no_ack,
            is_attached: false,
            is_cancelled: false,
            returns: false,
        };
        one.consumers.insert(tag, tagged);
        one.used.insert(spot);
        let consume = Consume {
            session: handle,
            consumer: ConsumerTag(tag),
            name: spot.name(),
            no_ack,
            is_exclusive: is_own && plan.is_exclusive,
            prefetch_count,
            arguments: FieldTable::default(),
        };
        let request = QueueRequest::Consume(consume);
        self.ask_queues(session, request, QueueWhat::Consume(tag));
    }

    fn cancel_one(&mut self, session: usize) {
        let consumers = self.queues.sessions[session].consumers.iter();
        let attached = consumers.filter(|(_, one)| one.is_attached && !one.is_cancelled);
        let tags: Vec<u64> = attached.map(|(tag, _)| *tag).collect();
        let (Some(handle), false) = (self.handle_of(session), tags.is_empty()) else {
            return;
        };
        let tag = self.queues.rng.pick(&tags);
        let returns = self.queues.rng.chance(500);
        let one = &mut self.queues.sessions[session];
        if let Some(consumer) = one.consumers.get_mut(&tag) {
            consumer.is_cancelled = true;
            consumer.returns = returns;
        }
        if returns {
            self.give_all_back(session, tag);
        }
        let held = if returns { Held::Returns } else { Held::Stays };
        let request = QueueRequest::Cancel {
            session: handle,
            consumer: ConsumerTag(tag),
            held,
        };
        self.ask_queues(session, request, QueueWhat::Cancel(tag));
    }

    /// What the consumer holds is not settled any more.
    fn give_all_back(&mut self, session: usize, tag: u64) {
        let one = &mut self.queues.sessions[session];
        let is_its = |(_, _, _, of_tag): &mut (_, _, _, Option<u64>)| *of_tag == Some(tag);
        let back: Vec<_> = one.held.extract_if(.., is_its).collect();
        for (spot, message, id, _) in back {
            let books = &mut self.queues.books;
            books.settle_asked(spot, message, id, Settlement::Requeue, self.now_ms);
        }
    }

    fn get(&mut self, session: usize, spot: Spot) {
        let is_got = |what: &QueueWhat| matches!(what, QueueWhat::Get(..));
        let mut open = self.queues.open.values();
        let is_under_way = open.any(|it| it.session == Some(session) && is_got(&it.what));
        let (Some(handle), false) = (self.handle_of(session), is_under_way) else {
            return;
        };
        let plan = self.plan.queues.queues[spot.queue];
        let no_ack = self.queues.rng.chance(plan.no_ack_per_mille);
        self.queues.sessions[session].used.insert(spot);
        let request = QueueRequest::Get {
            session: handle,
            name: spot.name(),
            no_ack,
        };
        self.ask_queues(session, request, QueueWhat::Get(spot, no_ack));
    }

    fn settle_some(&mut self, session: usize) {
        let mut all = std::mem::take(&mut self.queues.sessions[session].held);
        let mut settled = Vec::new();
        all.retain(|(spot, message, id, _)| {
            let settlement = match self.queues.rng.below(100) {
                0..45 => Settlement::Ack,
                45..55 => Settlement::Reject,
                55..65 => Settlement::RequeueFailed,
                65..75 => Settlement::Requeue,
                // It lies.
                _ => return true,
            };
            settled.push((*spot, *message, *id, settlement));
            false
        });
        self.queues.sessions[session].held = all;
        self.settle(session, settled);
    }

    pub(super) fn settle(
        &mut self,
        session: usize,
        settled: Vec<(Spot, u64, weir_broker::api::queues::DeliveryId, Settlement)>,
    ) {
        let Some(handle) = self.handle_of(session).filter(|_| !settled.is_empty()) else {
            return;
        };
        for (spot, message, id, settlement) in &settled {
            let books = &mut self.queues.books;
            books.settle_asked(*spot, *message, *id, *settlement, self.now_ms);
        }
        let deliveries = settled.iter().map(|(_, _, id, how)| (*id, *how)).collect();
        let request = QueueRequest::Settle {
            session: handle,
            deliveries,
        };
        self.ask_queues(session, request, QueueWhat::Settle(settled));
    }

    /// The consumer is gone: all that it was given and was to give back is ready again.
    pub(super) fn cancelled(&mut self, session: usize, tag: u64) {
        let one = &mut self.queues.sessions[session];
        let Some(consumer) = one.consumers.remove(&tag) else {
            return;
        };
        if consumer.returns {
            self.counts.add("queue_consumers_returned", 1);
        }
    }
}
