//! What clients know of the cluster's partitions: what they sent, what was acknowledged or read.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{offsets::GroupBook, transactions::Transactions};
use crate::{
    campaign::node::batch::{Recipe, client_batch},
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// A partition: place of the topic in the plan, and index.
pub(super) type Place = (usize, u32);

/// A batch that was sent at least once.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) place: Place,
    /// The idempotent producer and the batch's number in its stream.
    pub(super) stream: Option<(usize, usize)>,
    /// Number of the transaction that it is part of.
    pub(super) transaction: Option<usize>,
    recipe: Recipe,
    /// As it was sent, the last time last: another epoch makes other bytes of it.
    pub(super) sent: Vec<Bytes>,
    pub(super) record_count: u32,
    /// Acknowledged or read there; batches without a producer may stand at several places.
    pub(super) offset: Option<u64>,
}

impl Batch {
    pub(super) fn new(place: Place, stream: Option<(usize, usize)>, recipe: Recipe) -> Self {
        Self {
            place,
            stream,
            transaction: None,
            recipe,
            sent: vec![client_batch(recipe)],
            record_count: recipe.record_count,
            offset: None,
        }
    }

    /// Whose id it was sent with.
    pub(super) fn producer_id(&self) -> Option<i64> {
        self.recipe.producer.map(|(id, ..)| id)
    }

    /// What it is, for the trace.
    pub(super) fn words(&self) -> String {
        let (place, stream, recipe) = (self.place, self.stream, self.recipe);
        format!(
            "{place:?} stream {stream:?} {:?} of {}",
            recipe.producer, recipe.record_count
        )
    }

    /// As it is sent now.
    pub(super) fn bytes(&self) -> &Bytes {
        self.sent.last().expect("a batch is made with its bytes")
    }
}

/// What can stand at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stood {
    /// A batch, by serial number.
    Batch(u64),
    /// The end of a producer's transaction.
    Marker {
        producer: i64,
        epoch: i16,
        commit: bool,
    },
}

impl Stood {
    pub(super) fn serial(self) -> Option<u64> {
        match self {
            Self::Batch(serial) => Some(serial),
            Self::Marker { .. } => None,
        }
    }
}

/// What stands at an offset, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) stood: Stood,
    pub(super) end: u64,
    /// As it was read first.
    pub(super) epoch: Option<i32>,
    pub(super) is_acknowledged: bool,
}

/// One partition.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Offset behind the last record that was acknowledged.
    pub(super) acknowledged_end: u64,
    /// Where the log began when all of it was read last.
    pub(super) swept_start: u64,
    /// By first offset.
    pub(super) standing: BTreeMap<u64, Standing>,
}

#[derive(Debug, Default)]
pub(super) struct Books {
    /// By serial number.
    pub(super) batches: Vec<Batch>,
    pub(super) partitions: BTreeMap<Place, Known>,
    /// Producer ids that were ever given to producers without transactions.
    pub(super) producer_ids: BTreeSet<i64>,
    pub(super) transactions: Transactions,
    pub(super) groups: BTreeMap<usize, GroupBook>,
    /// Moments so far, for what happened before what.
    pub(super) moment: u64,
}

impl Books {
    pub(super) fn batch(&self, serial: u64) -> Option<&Batch> {
        self.batches.get(usize::try_from(serial).ok()?)
    }

    pub(super) fn known(&mut self, place: Place) -> &mut Known {
        self.partitions.entry(place).or_default()
    }

    pub(super) fn add(&mut self, batch: Batch) -> u64 {
        self.batches.push(batch);
        self.batches.len() as u64 - 1
    }

    /// The batch goes once more, with these id, epoch and sequence; gives its records.
    pub(super) fn resend(&mut self, serial: u64, producer: (i64, i16, i32)) -> u32 {
        let batch = usize::try_from(serial).ok();
        let Some(batch) = batch.and_then(|serial| self.batches.get_mut(serial)) else {
            return 0;
        };
        batch.recipe.producer = Some(producer);
        batch.sent.push(client_batch(batch.recipe));
        batch.record_count
    }

    /// The batch was acknowledged with this offset.
    pub(super) fn acknowledge(
        &mut self,
        serial: u64,
        place: Place,
        offset: u64,
    ) -> Result<(), Broken> {
        self.learn(serial, place, offset, None)?;
        let known = self.known(place);
        if let Some(standing) = known.standing.get_mut(&offset) {
            standing.is_acknowledged = true;
            known.acknowledged_end = known.acknowledged_end.max(standing.end);
        }
        Ok(())
    }

    /// A batch stands at `offset`: from now on it does for ever.
    pub(super) fn learn(
        &mut self,
        serial: u64,
        place: Place,
        offset: u64,
        epoch: Option<i32>,
    ) -> Result<(), Broken> {
        let batch = usize::try_from(serial).ok();
        let batch = batch.and_then(|serial| self.batches.get_mut(serial));
        let Some(batch) = batch.filter(|batch| batch.place == place) else {
            let detail = format!("{place:?}: nobody sent batch {serial}");
            return Err(broken(oracle_name::INVENTED, detail));
        };
        let is_repeat = batch.offset.is_some_and(|at| at != offset);
        if is_repeat && (batch.stream.is_some() || batch.transaction.is_some()) {
            let detail = format!(
                "{place:?}: batch {serial} of {:?} at {:?} and at {offset}",
                batch.stream.or(batch.transaction.map(|it| (it, 0))),
                batch.offset
            );
            return Err(broken(oracle_name::ONCE, detail));
        }
        batch.offset = Some(offset);
        let end = offset + u64::from(batch.record_count);
        self.stand(Stood::Batch(serial), place, (offset, end), epoch)
    }

    /// It stands from one offset to another: from now on it does for ever.
    pub(super) fn stand(
        &mut self,
        stood: Stood,
        place: Place,
        (offset, end): (u64, u64),
        epoch: Option<i32>,
    ) -> Result<(), Broken> {
        let known = self.known(place);
        let standing = known.standing.entry(offset).or_insert(Standing {
            stood,
            end,
            epoch,
            is_acknowledged: false,
        });
        let first_epoch = standing.epoch;
        standing.epoch = first_epoch.or(epoch);
        let is_same_epoch = epoch.is_none() || first_epoch.is_none() || epoch == first_epoch;
        if standing.stood != stood || !is_same_epoch {
            let detail =
                format!("{place:?}: at {offset} stood {standing:?}, now {stood:?} of {epoch:?}");
            return Err(broken(oracle_name::ONE_VALUE, detail));
        }
        let next = known.standing.range(offset + 1..).next();
        let before = known.standing.range(..offset).next_back();
        let is_free = next.is_none_or(|(at, _)| *at >= end)
            && before.is_none_or(|(_, before)| before.end <= offset);
        if is_free {
            return Ok(());
        }
        let detail =
            format!("{place:?}: {offset} to {end} overlaps one of {before:?} and {next:?}");
        Err(broken(oracle_name::ONE_VALUE, detail))
    }
}
