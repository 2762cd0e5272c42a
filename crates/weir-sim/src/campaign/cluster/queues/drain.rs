//! The end: one client takes all that is left in every queue.

use weir_broker::api::queues::{DeclareQueue, QueueRequest, Settlement};
use weir_model::fields::FieldTable;

use super::state::{QueueWhat, Role, Spot};
use crate::{
    campaign::cluster::run::Cluster,
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// Within this time fewer messages are left, or none.
const DRAIN_MS: u64 = 60_000;
/// Time between two looks whether it has.
const DRAIN_STEP_MS: u64 = 250;
/// Time between two questions how many messages are left.
const COUNT_MS: u64 = 1_000;

impl Cluster<'_> {
    /// Takes everything, and judges what came.
    pub(in super::super) fn drain_queues(&mut self) -> Result<(), Broken> {
        if self.queues.is_unused() || !self.is_all_declared() {
            return Ok(());
        }
        self.is_draining = true;
        let mut until_ms = self.now_ms + DRAIN_MS;
        let mut least_count = u64::MAX;
        loop {
            self.run_until(self.now_ms + DRAIN_STEP_MS)?;
            let left_count = self.left_count();
            if left_count.is_some_and(|count| count < least_count) {
                least_count = left_count.unwrap_or(least_count);
                until_ms = self.now_ms + DRAIN_MS;
            }
            let Some(missing) = self.missing_of_drain() else {
                self.counts.add("queues_drained", 1);
                return self.judge_dead();
            };
            if self.now_ms >= until_ms {
                let detail = format!("{DRAIN_MS} ms without another message: {missing}");
                return Err(broken(oracle_name::LOST, detail));
            }
        }
    }

    pub(super) fn drain_turn(&mut self, client: usize) {
        if !self.is_draining {
            return;
        }
        let Some(session) = self.queues.clients[client].session else {
            return self.open_session(client);
        };
        if self.queues.sessions[session].over.is_some() {
            return self.leave(client);
        }
        for spot in self.spots() {
            let consumers = self.queues.sessions[session].consumers.values();
            let mut own = consumers.filter(|one| one.spot == spot && !one.is_cancelled);
            if own.next().is_none() {
                self.consume(session, spot);
            }
        }
        let held = std::mem::take(&mut self.queues.sessions[session].held);
        let settled = held
            .into_iter()
            .map(|(spot, message, id, _)| (spot, message, id, Settlement::Ack));
        self.settle(session, settled.collect());
        if self.now_ms >= self.queues.next_count_ms {
            self.queues.next_count_ms = self.now_ms + COUNT_MS;
            self.count_left(session);
        }
    }

    /// All queues that there may be.
    fn spots(&self) -> Vec<Spot> {
        let queues = self.plan.queues.queues.iter().enumerate();
        let spots = queues.flat_map(|(queue, plan)| {
            let beside = match (plan.has_dead_letters, plan.delivery_limit_count) {
                (true, _) => Some(Role::Dead),
                (false, Some(_)) => Some(Role::Parked),
                (false, None) => None,
            };
            let beside = beside.map(|role| Spot { queue, role });
            std::iter::once(Spot::own(queue)).chain(beside)
        });
        spots.collect()
    }

    fn count_left(&mut self, session: usize) {
        for spot in self.spots() {
            let Some(handle) = self
                .handle_of(session)
                .filter(|_| spot.role != Role::Parked)
            else {
                continue;
            };
            let declare = DeclareQueue {
                session: handle,
                name: spot.name(),
                is_passive: true,
                is_durable: true,
                is_exclusive: false,
                is_auto_delete: false,
                arguments: FieldTable::default(),
            };
            let request = QueueRequest::DeclareQueue(declare);
            self.ask_queues(session, request, QueueWhat::Count(spot));
        }
    }

    /// How many messages are left in all queues, once all have been counted.
    fn left_count(&self) -> Option<u64> {
        let spots = self.spots();
        let counted = spots.iter().filter(|spot| spot.role != Role::Parked);
        counted.map(|spot| self.queues.left.get(spot)).sum()
    }

    /// What is still to come.
    fn missing_of_drain(&self) -> Option<String> {
        if let Some(missing) = self.missing_of_queues() {
            return Some(missing);
        }
        let spots = self.spots();
        let counted = spots.iter().filter(|spot| spot.role != Role::Parked);
        let mut left = counted.map(|spot| (spot, self.queues.left.get(spot)));
        if let Some((spot, count)) = left.find(|(_, count)| *count != Some(&0)) {
            return Some(format!("{spot:?} has {count:?} messages"));
        }
        self.unaccounted().or_else(|| self.dropped_too_many())
    }
}
