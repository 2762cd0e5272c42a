//! How often a message failed, and how long it waits after that.

use weir_broker::api::queues::{Delivered, DeliveryId, Settlement};

use super::{
    books::{Books, Fate, Heard},
    plan::QueuePlan,
    state::{Role, Spot},
};
use crate::{
    campaign::cluster::run::Cluster,
    oracle::{Broken, broken},
    verdict::oracle_name,
};

impl Books {
    /// It says how often it failed: as often as was answered at least, and no more often than
    /// somebody may have failed it or have ended with it.
    pub(super) fn check_failures(&self, plan: &QueuePlan, heard: &Heard<'_>) -> Result<(), Broken> {
        let (spot, id, told) = (heard.spot, heard.delivered.id, heard.delivered.failed_count);
        let copy = self.copies.get(&(spot, heard.message));
        let earlier = copy.into_iter().flat_map(|copy| &copy.deliveries);
        let earlier = earlier.filter(|each| each.serial < id.serial);
        let failed = |each: &Fate| *each == Fate::Done(Settlement::RequeueFailed);
        let least = earlier.clone().filter(|each| failed(&each.state)).count();
        let may_have = earlier.filter(|each| each.state.may_be(Settlement::RequeueFailed));
        let most = may_have.count() + heard.ended_count;
        let tells = plan.is_quorum && spot.role == Role::Own;
        let limit = plan.delivery_limit_count.unwrap_or(u32::MAX);
        let is_right = match tells {
            true => (least..=most).contains(&(told as usize)) && told <= limit,
            false => told == 0,
        };
        if is_right {
            return Ok(());
        }
        let detail = format!(
            "{spot:?}: message {} {id:?} failed {told} times, {least} to {most} known, limit {limit}",
            heard.message
        );
        Err(broken(oracle_name::TRIES, detail))
    }

    /// It failed, as is known now: it was not to come back before its wait was over.
    pub(super) fn check_haste(&mut self, id: DeliveryId) -> Result<(), Broken> {
        let hasty = self.hasty.remove(&id);
        hasty.map_or(Ok(()), |detail| Err(broken(oracle_name::EARLY, detail)))
    }
}

impl Cluster<'_> {
    /// Sessions that are over and may have held messages of the queue: with each of them a message
    /// may have failed of which it was never told.
    pub(super) fn ended_count(&self, spot: Spot) -> usize {
        let sessions = self.queues.sessions.iter();
        let over = sessions.filter(|session| session.over.is_some());
        over.filter(|session| session.used.contains(&spot)).count()
    }

    /// What failed comes back once its wait is over, by the clocks of those who led its queue.
    pub(super) fn check_retry(
        &mut self,
        message: u64,
        delivered: &Delivered,
    ) -> Result<(), Broken> {
        let id = delivered.id;
        let books = &self.queues.books;
        let Some(queue) = books.message(message).map(|book| book.queue) else {
            return Ok(());
        };
        let copy = books.copy(queue, Role::Own, message);
        let earlier = copy.into_iter().flat_map(|copy| &copy.deliveries);
        let earlier: Vec<_> = earlier.filter(|each| each.serial < id.serial).collect();
        let (Some((last, before)), Some((shortest_ms, longest_ms)), Some(group)) = (
            earlier.split_last(),
            self.plan.queues.queues[queue].retry_ms,
            self.group_of_partition(id.partition),
        ) else {
            return Ok(());
        };
        let is_done = |fate: Fate| fate == Fate::Done(Settlement::RequeueFailed);
        if !last.state.may_be(Settlement::RequeueFailed) {
            return Ok(());
        }
        let failed_count = before.iter().filter(|each| is_done(each.state)).count();
        let doublings = u32::try_from(failed_count).unwrap_or(u32::MAX);
        let wait_ms = shortest_ms.saturating_mul(2_u64.saturating_pow(doublings));
        let wait_ms = wait_ms.min(longest_ms);
        if self.may_have_waited(Some(group), last.asked_ms, wait_ms) {
            return Ok(());
        }
        let detail = format!(
            "message {message} {id:?} failed at {} ms, was due after {wait_ms} ms and comes at {}: {last:?}",
            last.asked_ms, self.now_ms
        );
        if is_done(last.state) {
            return Err(broken(oracle_name::EARLY, detail));
        }
        // It may have come back with its session; not where the answer is still to come.
        let (partition, offset, serial) = (id.partition, id.offset, last.serial);
        let failed = DeliveryId {
            partition,
            offset,
            serial,
        };
        self.queues.books.hasty.insert(failed, detail);
        Ok(())
    }
}
