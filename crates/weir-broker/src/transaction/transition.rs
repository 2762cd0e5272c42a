//! What requests do to one transactional id.
//!
//! Source: Kafka's `TransactionMetadata`; KIP-98, KIP-360, KIP-890.

use std::collections::BTreeSet;

use weir_log::Millis;
use weir_model::{ErrorKind, PartitionId, ProducerId};

use super::{
    command::End,
    table::{Answer, Described, MAX_PARTITIONS_PER_TRANSACTION, TRANSACTIONAL_ID_EXPIRY_MS},
};
use crate::api::{ProducerEpoch, TransactionState};

/// Producers get no higher epoch, so that there is always one left to fence them with.
const LAST_EPOCH: i16 = i16::MAX - 1;
/// No epoch.
pub(super) const NO_EPOCH: i16 = -1;

/// One transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Transaction {
    pub(super) producer: ProducerEpoch,
    /// The epoch before, where the producer that has it now had that one; else [`NO_EPOCH`].
    pub(super) last_epoch: i16,
    /// The id before this one, whose epochs were used up.
    pub(super) previous: Option<ProducerId>,
    /// The id to go on with once this transaction is ended: the epochs are used up.
    pub(super) next: Option<ProducerId>,
    pub(super) timeout_ms: i32,
    pub(super) state: TransactionState,
    /// Number of the transaction that was begun last, among all of the id. Clients that keep their
    /// epoch tell one from the next by nothing.
    pub(super) ordinal: u64,
    /// The last end gave the producer another epoch (KIP-890).
    pub(super) has_bumped: bool,
    /// Of the open transaction; of one that is being ended those that have not heard of it.
    pub(super) partitions: BTreeSet<PartitionId>,
    pub(super) started: Millis,
    pub(super) updated: Millis,
}

impl Transaction {
    pub(super) fn new(id: ProducerId, timeout_ms: i32, now: Millis) -> Self {
        Self {
            producer: ProducerEpoch { id, epoch: 0 },
            last_epoch: NO_EPOCH,
            previous: None,
            next: None,
            timeout_ms,
            state: TransactionState::Empty,
            ordinal: 0,
            has_bumped: false,
            partitions: BTreeSet::new(),
            started: Millis(-1),
            updated: now,
        }
    }

    pub(super) fn describe(&self) -> Described {
        Described {
            state: self.state,
            producer: self.producer,
            timeout_ms: self.timeout_ms,
            started: self.started,
            partitions: self.partitions.iter().copied().collect(),
        }
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        let timeout_ms = u64::try_from(self.timeout_ms).unwrap_or(0);
        (self.state == TransactionState::Ongoing).then(|| self.started.plus(timeout_ms))
    }

    /// Whether it has been open for too long. A clock that was set back by more than the
    /// transaction may last has no say in when that is.
    pub(super) fn is_overdue(&self, now: Millis) -> bool {
        let timeout_ms = u64::try_from(self.timeout_ms).unwrap_or(0);
        self.deadline()
            .is_some_and(|deadline| deadline <= now || self.started > now.plus(timeout_ms))
    }

    pub(super) fn is_ending(&self) -> bool {
        match self.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => true,
            TransactionState::Empty
            | TransactionState::Ongoing
            | TransactionState::CompleteCommit
            | TransactionState::CompleteAbort => false,
        }
    }

    pub(super) fn is_forgotten(&self, now: Millis) -> bool {
        !self.is_ending()
            && self.state != TransactionState::Ongoing
            && now.since(self.updated) >= TRANSACTIONAL_ID_EXPIRY_MS
    }

    pub(super) fn check_producer(&self, producer: ProducerEpoch) -> Result<(), ErrorKind> {
        if producer.id != self.producer.id {
            return Err(ErrorKind::InvalidProducerIdMapping);
        }
        if producer.epoch != self.producer.epoch {
            return Err(ErrorKind::ProducerFenced);
        }
        Ok(())
    }

    pub(super) fn check_not_ending(&self) -> Result<(), ErrorKind> {
        if self.is_ending() {
            return Err(ErrorKind::ConcurrentTransactions);
        }
        Ok(())
    }

    /// Whether a client may begin something. One that has been told of the id to go on with asks
    /// before that id is the transaction's: it waits as any other does for an end.
    pub(super) fn check_beginning(&self, producer: ProducerEpoch) -> Result<(), ErrorKind> {
        if self.goes_on_as(producer) {
            return Err(ErrorKind::ConcurrentTransactions);
        }
        self.check_producer(producer)?;
        self.check_not_ending()
    }

    /// Whether that is the producer once what is being ended is over, under an id of its own.
    fn goes_on_as(&self, producer: ProducerEpoch) -> bool {
        self.is_ending() && self.next == Some(producer.id) && producer.epoch == 0
    }

    /// A producer begins, or begins again (KIP-360).
    pub(super) fn init(
        &mut self,
        timeout_ms: i32,
        known: Option<ProducerEpoch>,
        fresh: ProducerId,
        now: Millis,
    ) -> Answer {
        let is_ours = |known: ProducerEpoch| {
            known.id == self.producer.id
                // Its answer may have been lost when the id's epochs were used up.
                || (Some(known.id) == self.previous && known.epoch >= LAST_EPOCH)
        };
        if known.is_some_and(|known| self.goes_on_as(known)) {
            return Err(ErrorKind::ConcurrentTransactions);
        }
        if !known.is_none_or(is_ours) {
            return Err(ErrorKind::ProducerFenced);
        }
        self.check_not_ending()?;
        if self.state == TransactionState::Ongoing {
            self.fence(now);
            return Err(ErrorKind::ConcurrentTransactions);
        }
        let known_epoch = known.map(|known| known.epoch);
        let is_current = known_epoch.is_none_or(|epoch| epoch == self.producer.epoch);
        let last_epoch = known_epoch.map_or(NO_EPOCH, |_| self.producer.epoch);
        if is_current && self.producer.epoch >= LAST_EPOCH {
            self.previous = Some(self.producer.id);
            self.producer = ProducerEpoch {
                id: fresh,
                epoch: 0,
            };
            self.last_epoch = last_epoch;
        } else if is_current {
            self.producer.epoch += 1;
            self.last_epoch = last_epoch;
        } else if known_epoch != Some(self.last_epoch) {
            return Err(ErrorKind::ProducerFenced);
        }
        self.state = TransactionState::Empty;
        self.has_bumped = false;
        self.timeout_ms = timeout_ms;
        self.partitions.clear();
        self.started = Millis(-1);
        self.updated = now;
        Ok(self.producer)
    }

    /// Aborts, in an epoch that no client gets.
    pub(super) fn fence(&mut self, now: Millis) {
        self.producer.epoch = self.producer.epoch.saturating_add(1);
        self.last_epoch = NO_EPOCH;
        self.has_bumped = false;
        self.decide(false, now);
    }

    pub(super) fn add(
        &mut self,
        producer: ProducerEpoch,
        partitions: Vec<PartitionId>,
        now: Millis,
    ) -> Answer {
        self.check_beginning(producer)?;
        if self.partitions.len() + partitions.len() > MAX_PARTITIONS_PER_TRANSACTION {
            return Err(ErrorKind::Overloaded);
        }
        if self.state != TransactionState::Ongoing {
            self.state = TransactionState::Ongoing;
            self.ordinal += 1;
            self.has_bumped = false;
            self.started = now;
        }
        self.partitions.extend(partitions);
        self.updated = now;
        Ok(self.producer)
    }

    pub(super) fn end(&mut self, end: &End, now: Millis) -> Answer {
        let End {
            producer, commit, ..
        } = *end;
        if self.goes_on_as(producer) {
            return Err(ErrorKind::ConcurrentTransactions);
        }
        let is_repeat = self.is_repeated_end(producer);
        if producer.id != self.producer.id && !is_repeat {
            return Err(ErrorKind::InvalidProducerIdMapping);
        }
        if producer.epoch != self.producer.epoch && !is_repeat {
            return Err(ErrorKind::ProducerFenced);
        }
        let is_settled = is_repeat || !self.has_bumped;
        match (self.state, commit) {
            (TransactionState::Ongoing, _) => {}
            (TransactionState::CompleteCommit, true) | (TransactionState::CompleteAbort, false)
                if is_settled =>
            {
                return Ok(self.going_on());
            }
            (TransactionState::PrepareCommit, true) | (TransactionState::PrepareAbort, false) => {
                return Err(ErrorKind::ConcurrentTransactions);
            }
            // The transaction before is meant by nobody who has the epoch that its end gave.
            (TransactionState::PrepareCommit | TransactionState::PrepareAbort, _)
                if end.bumps && !is_repeat =>
            {
                return Err(ErrorKind::ConcurrentTransactions);
            }
            // Nothing may have come to be part of it, and the client cannot know (KIP-890).
            (
                TransactionState::Empty
                | TransactionState::CompleteCommit
                | TransactionState::CompleteAbort,
                false,
            ) if end.bumps && !is_repeat => self.started = now,
            (
                TransactionState::Empty
                | TransactionState::PrepareCommit
                | TransactionState::PrepareAbort
                | TransactionState::CompleteCommit
                | TransactionState::CompleteAbort,
                _,
            ) => return Err(ErrorKind::InvalidTxnState),
        }
        self.has_bumped = end.bumps;
        if end.bumps {
            let is_last = self.producer.epoch >= LAST_EPOCH;
            self.next = end.fresh.filter(|_| is_last);
            self.last_epoch = self.producer.epoch;
            self.producer.epoch = self.producer.epoch.saturating_add(1);
        }
        let going_on = self.going_on();
        self.decide(commit, now);
        Ok(going_on)
    }

    /// Whether a client asks again to end what was ended when its epoch was raised.
    pub(super) fn is_repeated_end(&self, producer: ProducerEpoch) -> bool {
        let is_over = self.state != TransactionState::Ongoing
            && self.state != TransactionState::Empty
            && self.has_bumped;
        let has_next = producer.id == self.producer.id
            && i32::from(producer.epoch) + 1 == i32::from(self.producer.epoch);
        let has_next_id = Some(producer.id) == self.previous
            && producer.epoch == LAST_EPOCH
            && self.producer.epoch == 0;
        is_over && (has_next || has_next_id)
    }

    pub(super) fn going_on(&self) -> ProducerEpoch {
        match self.next {
            Some(id) => ProducerEpoch { id, epoch: 0 },
            None => self.producer,
        }
    }

    pub(super) fn decide(&mut self, commit: bool, now: Millis) {
        self.state = if commit {
            TransactionState::PrepareCommit
        } else {
            TransactionState::PrepareAbort
        };
        self.updated = now;
        self.complete_if_heard(now);
    }

    pub(super) fn expire(&mut self, producer: ProducerEpoch, now: Millis) -> Answer {
        self.check_producer(producer)?;
        if !self.is_overdue(now) {
            return Err(ErrorKind::InvalidTxnState);
        }
        self.fence(now);
        Ok(self.producer)
    }

    /// These partitions have heard of the end of the transaction that was the `ordinal`th.
    pub(super) fn ended(
        &mut self,
        producer: ProducerEpoch,
        ordinal: u64,
        partitions: &[PartitionId],
        now: Millis,
    ) -> Answer {
        self.check_producer(producer)?;
        if !self.is_ending() || ordinal != self.ordinal {
            return Err(ErrorKind::InvalidTxnState);
        }
        for partition in partitions {
            self.partitions.remove(partition);
        }
        self.complete_if_heard(now);
        Ok(self.producer)
    }

    pub(super) fn complete_if_heard(&mut self, now: Millis) {
        if !self.partitions.is_empty() {
            return;
        }
        self.state = match self.state {
            TransactionState::PrepareCommit => TransactionState::CompleteCommit,
            TransactionState::PrepareAbort => TransactionState::CompleteAbort,
            TransactionState::Empty
            | TransactionState::Ongoing
            | TransactionState::CompleteCommit
            | TransactionState::CompleteAbort => return,
        };
        if let Some(id) = self.next.take() {
            self.previous = Some(self.producer.id);
            self.last_epoch = self.producer.epoch;
            self.producer = ProducerEpoch { id, epoch: 0 };
        }
        self.updated = now;
    }
}
