//! Transactions as one partition sees them: open from a producer's first transactional batch to
//! the marker that ends it.

use std::num::NonZeroU64;

use weir_log::Millis;
use weir_model::{ErrorKind, Offset, ProducerId, batch::BatchHeader};

use super::{Arrival, Producer, ProducerTable, Verdict};
use crate::{api::ProducerEpoch, transaction::Marker};

/// Most transactions that may be open in one partition: their producers are not forgotten.
pub const MAX_OPEN_TRANSACTIONS: usize = super::MAX_PRODUCERS / 2;

/// A producer as DescribeProducers tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerState {
    /// Its id.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: i16,
    /// Its last sequence; -1: none of this epoch.
    pub last_sequence: i32,
    /// When it last stored something.
    pub last_used: Millis,
    /// Epoch of the coordinator that ended its last transaction here; -1: none did.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction.
    pub open: Option<Offset>,
}

impl ProducerTable {
    /// A batch whose sequence is right: whether it fits the producer's transaction.
    pub(super) fn check_transaction(
        &self,
        known: Option<&Producer>,
        header: &BatchHeader,
        arrival: Arrival,
    ) -> Verdict {
        let open = known.filter(|producer| producer.open.is_some());
        let open_epoch = open.map(|producer| producer.epoch);
        match (header.is_transactional(), open_epoch) {
            (false, None) => Verdict::Append,
            (true, Some(epoch)) if epoch == header.producer_epoch => Verdict::Append,
            (false, Some(_)) => Verdict::Refused(ErrorKind::InvalidTxnState),
            // What is open belongs to an earlier epoch.
            (true, open_epoch) => {
                let ended_at = known.map_or(0, |producer| producer.ended_at);
                match arrival.verified {
                    None => Verdict::Unverified { ended_at },
                    Some(_) if open_epoch.is_some() => {
                        Verdict::Refused(ErrorKind::ConcurrentTransactions)
                    }
                    // Ended meanwhile, so that nobody would end what begins now.
                    Some(verified) if verified != ended_at => {
                        Verdict::Refused(ErrorKind::InvalidTxnState)
                    }
                    Some(_) if self.open.len() >= MAX_OPEN_TRANSACTIONS => {
                        Verdict::Refused(ErrorKind::Overloaded)
                    }
                    Some(_) => Verdict::Append,
                }
            }
        }
    }

    /// Whether a marker says something new. Markers are said again until they are known to have
    /// been heard, so that one may come when a later transaction of the same epoch is open: that
    /// one it must not end. Errors: `InvalidProducerEpoch`, `TransactionCoordinatorFenced`.
    pub fn check_end(&self, marker: &Marker) -> Result<bool, ErrorKind> {
        let Some(producer) = self.producers.get(&marker.producer.id) else {
            return Ok(true);
        };
        if marker.producer.epoch < producer.epoch {
            return Err(ErrorKind::InvalidProducerEpoch);
        }
        let ordinal = marker.ordinal.map(NonZeroU64::get);
        if ordinal.is_some_and(|ordinal| ordinal <= producer.ended_ordinal) {
            return Ok(false);
        }
        if marker.coordinator_epoch < producer.coordinator_epoch {
            return Err(ErrorKind::TransactionCoordinatorFenced);
        }
        Ok(true)
    }

    /// Ends the producer's transaction, by entry `ended_at` of the log; gives its first offset.
    /// Where none is open it is remembered nevertheless that one was ended, so that what was sent
    /// before cannot begin another one. To be called where [`Self::check_end`] says that the
    /// marker is new.
    pub fn end(&mut self, marker: &Marker, ended_at: u64, now: Millis) -> Option<Offset> {
        let ProducerEpoch { id, epoch } = marker.producer;
        let producer = self.producer_at(id, epoch, now);
        producer.coordinator_epoch = marker.coordinator_epoch;
        producer.ended_ordinal = marker
            .ordinal
            .map_or(producer.ended_ordinal, NonZeroU64::get);
        producer.ended_at = ended_at;
        producer.last_used = producer.last_used.max(now);
        let open = producer.open.take()?;
        self.open.remove(&(open, id));
        Some(open)
    }

    /// Opens a transaction of what is not records: nothing but epochs is compared.
    pub fn open_at(&mut self, id: ProducerId, epoch: i16, now: Millis) {
        let producer = self.producer_at(id, epoch, now);
        producer.last_used = producer.last_used.max(now);
        if producer.open.is_none() {
            producer.open = Some(Offset(0));
            self.open.insert((Offset(0), id));
        }
    }

    /// Entry that ended the producer's last transaction here, and whether another one is open in
    /// that epoch; an error where the epoch is older than the one on record.
    pub fn standing(
        &self,
        id: ProducerId,
        epoch: i16,
        now: Millis,
    ) -> Result<(u64, bool), ErrorKind> {
        match self.known(id, now) {
            None => Ok((0, false)),
            Some(producer) if epoch < producer.epoch => Err(ErrorKind::InvalidProducerEpoch),
            Some(producer) => Ok((
                producer.ended_at,
                producer.open.is_some() && producer.epoch == epoch,
            )),
        }
    }

    /// First offset that belongs to a transaction which is open.
    pub fn first_open(&self) -> Option<Offset> {
        self.open.first().map(|(offset, _)| *offset)
    }

    /// All producers that are remembered at `now`, in ascending order of id.
    pub fn states(&self, now: Millis) -> impl Iterator<Item = ProducerState> {
        let known = self.producers.iter();
        let known = known.filter(move |(_, producer)| !producer.is_expired(now));
        known.map(|(id, producer)| ProducerState {
            id: *id,
            epoch: producer.epoch,
            last_sequence: producer.batches.back().map_or(-1, |batch| batch.last),
            last_used: producer.last_used,
            coordinator_epoch: producer.coordinator_epoch,
            open: producer.open,
        })
    }
}
