//! Records that members are given.

use weir_broker::api::{FetchedBatches, share::AcquiredRange};

use super::{
    books::{Delivery, Fate},
    state::Records,
};
use crate::{
    campaign::cluster::{
        answers::wrong_answer,
        books::{Place, Stood},
        read::{ServedBatch, read_batches},
        run::Cluster,
        walls::Times,
    },
    oracle::{Broken, broken},
    verdict::oracle_name,
};

impl Cluster<'_> {
    /// Writes down what a member was given of a partition; gives how many records that were.
    pub(super) fn acquired(
        &mut self,
        records: &Records,
        place: Place,
        (batches, ranges): (&FetchedBatches, &[AcquiredRange]),
    ) -> Result<u64, Broken> {
        let served = read_batches(&mut self.books, place, batches)?;
        if !records.places.contains(&place) && !ranges.is_empty() {
            return Err(wrong_answer(&format!(
                "{place:?}: records that nobody asked for"
            )));
        }
        let group = self.shares.members[records.member].group;
        self.check_batches(group, place, &served)?;
        let mut next = 0;
        let mut count = 0;
        for range in ranges {
            let delivery_count = u32::try_from(range.delivery_count).unwrap_or(0);
            let words = [group as u64, range.first, range.last];
            self.trace.event("acquired", &words, || {
                format!("{group} {place:?} by {}: {range:?}", records.member)
            });
            let is_whole = range.first >= next && range.first <= range.last;
            if !is_whole || !is_covered(&served, range) {
                let detail = format!("{place:?}: {range:?} behind {next}, of {served:?}");
                return Err(broken(oracle_name::INVENTED, detail));
            }
            for offset in range.first..=range.last {
                self.take_record(records, (place, offset), delivery_count)?;
                count += 1;
            }
            next = range.last + 1;
        }
        self.counts.add("share_delivered", count);
        Ok(count)
    }

    /// Batches come in order; where the group sees committed records only, as those who read such.
    fn check_batches(
        &mut self,
        group: usize,
        place: Place,
        served: &[ServedBatch],
    ) -> Result<(), Broken> {
        if !served.is_sorted_by(|one, next| one.end <= next.base) {
            return Err(wrong_answer(&format!(
                "{place:?}: batches in order: {served:?}"
            )));
        }
        if !self.plan.shares.groups[group].committed_only {
            return Ok(());
        }
        for batch in served {
            let serial = batch.stood.serial();
            let known = serial.and_then(|serial| self.books.batch(serial));
            let Some(number) = known.and_then(|batch| batch.transaction) else {
                continue;
            };
            // What its markers say is held against this once all of them are read.
            let transaction = self.books.transactions.get_mut(number);
            transaction.is_delivered = true;
            if !transaction.may_commit || transaction.told == Some(false) {
                let detail = format!("{place:?}: {batch:?} of {number}: {transaction:?}");
                return Err(broken(oracle_name::DECIDED, detail));
            }
        }
        Ok(())
    }

    fn take_record(
        &mut self,
        records: &Records,
        (place, offset): (Place, u64),
        count: u32,
    ) -> Result<(), Broken> {
        let is_doubtful = self.is_doubtful(records.member);
        let (id, group) = {
            let it = &self.shares.members[records.member];
            (it.id(), it.group)
        };
        let plan = self.plan.shares.groups[group];
        let mut delivery = Delivery::new(id, count, (records.asked_ms, self.now_ms));
        if is_doubtful {
            delivery.fate = Fate::Loose;
        }
        let open_count = self.open_count(group, place);
        let shard = self.shard_of(place);
        let times = Times {
            walls: &self.walls,
            now_ms: self.now_ms,
            started_ms: self.last_start_ms(),
        };
        let key = (group, place, offset);
        let books = &mut self.shares.books;
        let again = u64::from(!books.story(key).is_empty());
        let at = books.deliver(key, &plan, delivery, open_count, &(times, shard))?;
        self.counts.add("share_redelivered", again);
        let held = &mut self.shares.members[records.member].held;
        held.insert((place, offset), at);
        Ok(())
    }
}

/// Whether clients' records stand at all of these offsets, in batches that came along.
fn is_covered(served: &[ServedBatch], range: &AcquiredRange) -> bool {
    let mut next = range.first;
    for batch in served {
        let is_data = matches!(batch.stood, Stood::Batch(_));
        if is_data && (batch.base..batch.end).contains(&next) {
            next = batch.end;
        }
    }
    next > range.last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_covered_by_batches_without_gaps_or_markers() {
        let batch = |base, end, stood| ServedBatch {
            base,
            end,
            transactional: None,
            stood,
        };
        let marker = Stood::Marker {
            producer: 1,
            epoch: 0,
            commit: true,
        };
        let served = [
            batch(3, 5, Stood::Batch(0)),
            batch(5, 6, Stood::Batch(1)),
            batch(6, 7, marker),
            batch(9, 12, Stood::Batch(2)),
        ];
        let told = [(4, 5), (10, 11), (5, 6), (5, 9), (2, 3), (11, 12)].map(|(first, last)| {
            let delivery_count = 1;
            let range = AcquiredRange {
                first,
                last,
                delivery_count,
            };
            is_covered(&served, &range)
        });
        assert_eq!(told, [true, true, false, false, false, false]);
    }
}
