//! What has become of every record, once nothing is left.

use std::collections::BTreeMap;

use super::books::{Delivery, Fate, How};
use crate::{
    campaign::cluster::{
        books::{Batch, Place, Stood},
        run::Cluster,
    },
    oracle::{Broken, broken},
    verdict::oracle_name,
};

impl Cluster<'_> {
    /// Every record was accepted, or it is dead.
    pub(super) fn judge_shares(&self) -> Result<(), Broken> {
        for (group, plan) in self.plan.shares.groups.iter().enumerate() {
            let topics = self.topics_of(group);
            let places = self.places().into_iter();
            // What retention took may never have come to anybody.
            let is_kept = |topic: usize| self.plan.topics[topic].retention_bytes.is_none();
            let places = places.filter(|(topic, _)| topics.contains(topic) && is_kept(*topic));
            for place in places {
                for (base, end) in self.due_batches(place, plan.committed_only) {
                    for offset in base..end {
                        self.judge_record(group, place, offset)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// First offsets and ends of batches that the group is to be given.
    fn due_batches(&self, place: Place, committed_only: bool) -> Vec<(u64, u64)> {
        let Some(known) = self.books.partitions.get(&place) else {
            return Vec::new();
        };
        let mut due = BTreeMap::new();
        let mut open: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
        for (base, standing) in &known.standing {
            match standing.stood {
                Stood::Batch(serial) => {
                    due.insert(*base, standing.end);
                    let batch = self.books.batch(serial);
                    let batch = batch.filter(|it| it.transaction.is_some());
                    let producer = batch.and_then(Batch::producer_id);
                    if let Some(producer) = producer {
                        open.entry(producer).or_default().push(*base);
                    }
                }
                Stood::Marker {
                    producer, commit, ..
                } => {
                    let ended = open.remove(&producer).unwrap_or_default();
                    if committed_only && !commit {
                        due.retain(|base, _| !ended.contains(base));
                    }
                }
            }
        }
        due.into_iter().collect()
    }

    fn judge_record(&self, group: usize, place: Place, offset: u64) -> Result<(), Broken> {
        let books = &self.shares.books;
        let plan = self.plan.shares.groups[group];
        let key = (group, place, offset);
        let story = books.story(key);
        let may_be = |how: How| story.iter().any(|it| it.fate.may_be(how));
        if may_be(How::Accept) {
            return Ok(());
        }
        let is_gone = match plan.letter_partition_count {
            Some(_) => books.letters.contains_key(&key),
            // Without letters nobody can tell how often it was delivered by answers that were lost: each
            // of them may have counted.
            None => {
                let counts = story.iter().map(|it| it.count);
                let heard_count = counts.max().unwrap_or(0);
                let most = heard_count.saturating_add(books.unheard_count(group, place));
                may_be(How::Reject) || most >= plan.delivery_limit
            }
        };
        if is_gone {
            return Ok(());
        }
        let detail = format!("{key:?} was neither accepted nor is it dead: {story:?}");
        Err(broken(oracle_name::LOST, detail))
    }
}

/// Whether the record is known to be accepted.
pub(super) fn is_accepted(story: &[Delivery]) -> bool {
    story.iter().any(|it| it.fate == Fate::Done(How::Accept))
}

/// Whether the record is known to be rejected.
pub(super) fn is_rejected(story: &[Delivery]) -> bool {
    story.iter().any(|it| it.fate == Fate::Done(How::Reject))
}
