//! Settlements: asked for, answered, or left without an answer.

use weir_broker::api::queues::{DeliveryId, Settlement};

use super::{
    books::{Books, DeliveryBook, Fate},
    plan::QueuePlan,
    state::{Role, Spot},
};
use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
};

impl Books {
    fn delivery(&mut self, spot: Spot, message: u64, serial: u64) -> Option<&mut DeliveryBook> {
        let copy = self.copies.get_mut(&(spot, message))?;
        let mut deliveries = copy.deliveries.iter_mut();
        deliveries.find(|each| each.serial == serial)
    }

    pub(super) fn settle_asked(
        &mut self,
        spot: Spot,
        message: u64,
        id: DeliveryId,
        settlement: Settlement,
        now_ms: u64,
    ) {
        if let Some(delivery) = self.delivery(spot, message, id.serial) {
            delivery.state = Fate::Asked(settlement);
            delivery.asked_ms = now_ms;
        }
    }

    /// It was answered: from now on it is so.
    pub(super) fn settle_done(
        &mut self,
        plan: &QueuePlan,
        (spot, message, id, settlement): (Spot, u64, DeliveryId, Settlement),
        now_ms: u64,
    ) -> Result<(), Broken> {
        if let Some(delivery) = self.delivery(spot, message, id.serial) {
            delivery.state = Fate::Done(settlement);
        }
        match settlement {
            Settlement::Requeue => self.note_given_back(id, now_ms),
            Settlement::RequeueFailed if plan.retry_ms.is_none() => {
                self.note_given_back(id, now_ms);
            }
            Settlement::RequeueFailed => self.check_haste(id)?,
            Settlement::Ack | Settlement::Reject => {
                if let Some(book) = self.message_mut(message).filter(|_| spot.role == Role::Own) {
                    book.gone_ms.get_or_insert(now_ms);
                }
                let copy = self.copies.get(&(spot, message));
                let mut deliveries = copy.into_iter().flat_map(|copy| &copy.deliveries);
                if let Some(later) = deliveries.find(|each| each.serial > id.serial) {
                    let detail = format!(
                        "{spot:?}: message {message} {id:?} is settled, and was given again: {later:?}"
                    );
                    return Err(broken(oracle_name::SETTLED, detail));
                }
            }
        }
        Ok(())
    }

    /// Whether some delivery of the message in that queue may have been settled so.
    pub(super) fn may_be(&self, spot: Spot, message: u64, settlement: Settlement) -> bool {
        let copy = self.copies.get(&(spot, message));
        let mut deliveries = copy.into_iter().flat_map(|copy| &copy.deliveries);
        deliveries.any(|each| each.state.may_be(settlement))
    }

    /// Whether the message is known to be done with in that queue for good: what is rejected there
    /// where dead letters lie already is gone.
    pub(super) fn is_settled(&self, queue: usize, role: Role, message: u64) -> bool {
        let copy = self.copy(queue, role, message);
        let mut deliveries = copy.into_iter().flat_map(|copy| &copy.deliveries);
        deliveries.any(|each| match each.state {
            Fate::Sent | Fate::Done(Settlement::Ack) | Fate::Asked(Settlement::Ack) => true,
            Fate::Asked(Settlement::Reject) | Fate::Done(Settlement::Reject) => role != Role::Own,
            Fate::Held
            | Fate::Asked(Settlement::Requeue | Settlement::RequeueFailed)
            | Fate::Done(Settlement::Requeue | Settlement::RequeueFailed) => false,
        })
    }
}
