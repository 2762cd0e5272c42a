//! Deliveries that are not settled, and their settlement.

use std::{collections::BTreeMap, sync::Arc};

use weir_broker::api::queues::{DeliveryId, QueueRequest, Settlement};
use weir_door::Millis;

use super::{
    asks::Answer,
    channel::{Channel, Link, Mode},
    timeout::Origin,
};
use crate::{
    codec::Method,
    wire_code::{Failure, ReplyCode},
};

/// A delivery that the client has not settled.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) id: DeliveryId,
    /// It counts against the channel's limit: it came to a consumer.
    pub(super) is_limited: bool,
    /// When it was sent.
    pub(super) since: Millis,
    pub(super) origin: Arc<Origin>,
}

/// All of a channel, by delivery tag.
#[derive(Debug, Default)]
pub(super) struct Unacked {
    by_tag: BTreeMap<u64, Delivery>,
    last_tag: u64,
    limited_count: usize,
}

impl Unacked {
    /// The tag of the next delivery. Deliveries that are settled as they go have tags as well.
    pub(super) fn next_tag(&mut self) -> u64 {
        self.last_tag += 1;
        self.last_tag
    }

    pub(super) fn add(&mut self, tag: u64, delivery: Delivery) {
        self.limited_count += usize::from(delivery.is_limited);
        self.by_tag.insert(tag, delivery);
    }

    /// All, oldest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Delivery> {
        self.by_tag.values()
    }

    /// How many count against the channel's limit.
    pub(super) fn limited_count(&self) -> usize {
        self.limited_count
    }

    /// Takes those out that a method means; `None`: it means none that is there.
    fn take(&mut self, tag: u64, multiple: bool) -> Option<Vec<(u64, Delivery)>> {
        let taken = match (tag, multiple) {
            (0, true) => std::mem::take(&mut self.by_tag).into_iter().collect(),
            (tag, false) => vec![(tag, self.by_tag.remove(&tag)?)],
            (tag, true) => {
                self.by_tag.get(&tag)?;
                let left = self.by_tag.split_off(&(tag + 1));
                std::mem::replace(&mut self.by_tag, left)
                    .into_iter()
                    .collect::<Vec<_>>()
            }
        };
        let limited = taken.iter().filter(|(_, delivery)| delivery.is_limited);
        self.limited_count -= limited.count();
        Some(taken)
    }

    /// Takes all out, to be ready again.
    fn give_back_all(&mut self, how: Settlement) -> Vec<(DeliveryId, Settlement)> {
        self.limited_count = 0;
        let all = std::mem::take(&mut self.by_tag).into_values();
        all.map(|delivery| (delivery.id, how)).collect()
    }

    /// As its channel ends, which counts as a failure of whoever held them.
    pub(super) fn end(&mut self) -> Vec<(DeliveryId, Settlement)> {
        self.give_back_all(Settlement::RequeueFailed)
    }
}

impl Channel {
    /// `basic.ack`, `basic.nack` and `basic.reject`.
    pub(super) fn settle(
        &mut self,
        link: &mut Link,
        (tag, multiple): (u64, bool),
        settlement: Settlement,
    ) -> Result<(), Failure> {
        let taken = self.unacked.take(tag, multiple).ok_or_else(|| {
            let text = format!("unknown delivery tag {tag}");
            Failure::new(ReplyCode::PreconditionFailed, text)
        })?;
        if let Mode::Transaction(transaction) = &mut self.mode {
            for (tag, delivery) in taken {
                transaction.settle(tag, delivery, settlement);
            }
            return Ok(());
        }
        let settled = taken.into_iter();
        self.settled
            .extend(settled.map(|(_, delivery)| (delivery.id, settlement)));
        self.release(link);
        Ok(())
    }

    /// `basic.recover` and its asynchronous twin: all come again.
    pub(super) fn recover(
        &mut self,
        link: &mut Link,
        method: &Method,
        requeue: bool,
        answers: bool,
    ) -> Result<(), Failure> {
        if !requeue {
            return Err(Failure::new(ReplyCode::NotImplemented, "requeue=false"));
        }
        let mut deliveries = self.unacked.give_back_all(Settlement::Requeue);
        // Held ones are younger; they come again as well, in their order.
        let held = std::mem::take(&mut self.consumers.held);
        deliveries.extend(held.iter().map(|(_, each)| (each.id, Settlement::Requeue)));
        if deliveries.is_empty() {
            if answers {
                self.say(link, crate::codec::method::BasicRecoverOk {});
            }
            return Ok(());
        }
        let request = QueueRequest::Settle {
            session: Arc::clone(&link.session()?),
            deliveries,
        };
        self.ask(link, method.id(), request, Answer::Recovered { answers });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tags: &[u64]) -> Unacked {
        let mut unacked = Unacked::default();
        for tag in tags {
            let partition = weir_model::PartitionId(1);
            let id = DeliveryId {
                partition,
                offset: *tag,
                serial: *tag,
            };
            let delivery = Delivery {
                id,
                is_limited: true,
                since: Millis(0),
                origin: Arc::default(),
            };
            unacked.add(*tag, delivery);
        }
        unacked
    }

    fn taken(unacked: &mut Unacked, tag: u64, multiple: bool) -> Option<Vec<u64>> {
        let taken = unacked.take(tag, multiple)?;
        Some(taken.into_iter().map(|(tag, _)| tag).collect())
    }

    #[test]
    fn a_tag_means_one_or_all_up_to_it_and_zero_means_all() {
        let mut unacked = of(&[1, 2, 3, 4, 6, 7]);
        assert_eq!(taken(&mut unacked, 2, false), Some(vec![2]));
        assert_eq!(taken(&mut unacked, 4, true), Some(vec![1, 3, 4]));
        assert_eq!(unacked.limited_count(), 2);
        assert_eq!(taken(&mut unacked, 0, true), Some(vec![6, 7]));
        assert_eq!(taken(&mut unacked, 0, true), Some(vec![]));
        assert_eq!(unacked.limited_count(), 0);
    }

    #[test]
    fn a_tag_that_is_not_there_means_none() {
        let mut unacked = of(&[1, 2]);
        for (tag, multiple) in [(0, false), (3, false), (3, true), (u64::MAX, true)] {
            assert_eq!(taken(&mut unacked, tag, multiple), None);
        }
        assert_eq!(taken(&mut unacked, 1, false), Some(vec![1]));
        assert_eq!(taken(&mut unacked, 1, false), None);
        assert_eq!(unacked.limited_count(), 1);
    }
}
