//! The transactional ids of one shard.
//!
//! All checks are made where a command is applied, so that nothing is pending between a request
//! and its outcome, as it is in Kafka's coordinator.
//!
//! Source: Kafka's `TransactionCoordinator` and `TransactionMetadata`; KIP-98, KIP-360, KIP-890.

use std::collections::{BTreeMap, BTreeSet};

use weir_log::Millis;
use weir_model::{ErrorKind, PartitionId, ProducerId};

use super::{TransactionCommand, command::End};
use crate::api::{ProducerEpoch, TransactionState};

/// Longest transactional id, in bytes.
pub const MAX_TRANSACTIONAL_ID_BYTES: usize = 1024;
/// Most transactional ids of one shard. Past it new ones are refused as overload.
pub const MAX_TRANSACTIONAL_IDS: usize = 100_000;
/// Most partitions of one transaction.
pub const MAX_PARTITIONS_PER_TRANSACTION: usize = 100_000;
/// Longest time that a client may give a transaction, in ms (Kafka's
/// `transaction.max.timeout.ms`).
pub const MAX_TRANSACTION_TIMEOUT_MS: i32 = 15 * 60 * 1000;
/// A transactional id that was idle for this long is forgotten, in ms (Kafka's
/// `transactional.id.expiration.ms`).
pub const TRANSACTIONAL_ID_EXPIRY_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// Producers get no higher epoch, so that there is always one left to fence them with.
const LAST_EPOCH: i16 = i16::MAX - 1;
/// No epoch.
pub(super) const NO_EPOCH: i16 = -1;

/// What a command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionAnswer {
    /// The producer as it goes on, or why nothing was done for it.
    pub result: Result<ProducerEpoch, ErrorKind>,
    /// The transaction is to be ended in its partitions: see [`TransactionTable::ending`].
    pub must_end: bool,
}

/// What is left to do for a transaction that is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The producer as its markers name it.
    pub producer: ProducerEpoch,
    /// Committed; else aborted.
    pub commit: bool,
    /// Partitions that are not known to have heard of it.
    pub partitions: Vec<PartitionId>,
}

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
    /// The last end gave the producer another epoch (KIP-890).
    pub(super) has_bumped: bool,
    /// Of the open transaction; of one that is being ended those that have not heard of it.
    pub(super) partitions: BTreeSet<PartitionId>,
    pub(super) started: Millis,
    pub(super) updated: Millis,
}

/// The transactional ids of one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionTable {
    pub(super) ids: BTreeMap<String, Transaction>,
    /// When open transactions are to be aborted.
    pub(super) deadlines: BTreeSet<(Millis, String)>,
}

type Answer = Result<ProducerEpoch, ErrorKind>;

impl TransactionTable {
    /// Does what the command asks for, or nothing at all.
    pub fn apply(&mut self, now: Millis, command: TransactionCommand) -> TransactionAnswer {
        let id = command.transaction().to_owned();
        let was_ending = self.is_ending(&id);
        let result = match command {
            TransactionCommand::Init(init) => {
                self.init(&id, init.timeout_ms, init.known, init.fresh, now)
            }
            TransactionCommand::Add {
                producer,
                partitions,
                ..
            } => self.change(&id, |it| it.add(producer, partitions, now)),
            TransactionCommand::End(end) => self.change(&id, |it| it.end(&end, now)),
            TransactionCommand::Expire { producer, .. } => {
                self.change(&id, |it| it.expire(producer, now))
            }
            TransactionCommand::Ended {
                producer,
                partitions,
                ..
            } => self.change(&id, |it| it.ended(producer, &partitions, now)),
        };
        TransactionAnswer {
            result,
            must_end: !was_ending && self.is_ending(&id),
        }
    }

    fn change(&mut self, id: &str, act: impl FnOnce(&mut Transaction) -> Answer) -> Answer {
        let transaction = self.ids.get_mut(id);
        let transaction = transaction.ok_or(ErrorKind::InvalidProducerIdMapping)?;
        let before = transaction.deadline();
        let answer = act(transaction);
        let after = transaction.deadline();
        self.reindex(id, before, after);
        answer
    }

    fn reindex(&mut self, id: &str, before: Option<Millis>, after: Option<Millis>) {
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.deadlines.remove(&(before, id.to_owned()));
        }
        if let Some(after) = after {
            self.deadlines.insert((after, id.to_owned()));
        }
    }

    fn init(
        &mut self,
        id: &str,
        timeout_ms: i32,
        known: Option<ProducerEpoch>,
        fresh: ProducerId,
        now: Millis,
    ) -> Answer {
        let is_forgotten = self.ids.get(id).is_some_and(|it| it.is_forgotten(now));
        if is_forgotten {
            self.ids.remove(id);
        }
        if self.ids.contains_key(id) {
            return self.change(id, |it| it.init(timeout_ms, known, fresh, now));
        }
        if self.ids.len() >= MAX_TRANSACTIONAL_IDS {
            self.ids.retain(|_, it| !it.is_forgotten(now));
        }
        if self.ids.len() >= MAX_TRANSACTIONAL_IDS {
            return Err(ErrorKind::Overloaded);
        }
        let transaction = Transaction::new(fresh, timeout_ms, now);
        let producer = transaction.producer;
        self.ids.insert(id.to_owned(), transaction);
        Ok(producer)
    }

    /// Whether the partitions are part of the open transaction: one answer each.
    pub fn verify(
        &self,
        id: &str,
        producer: ProducerEpoch,
        partitions: &[PartitionId],
    ) -> Result<Vec<Result<(), ErrorKind>>, ErrorKind> {
        let transaction = self.ids.get(id);
        let transaction = transaction.ok_or(ErrorKind::InvalidProducerIdMapping)?;
        transaction.check_producer(producer)?;
        transaction.check_not_ending()?;
        let is_open = transaction.state == TransactionState::Ongoing;
        let verified = partitions.iter().map(|partition| {
            let is_part = is_open && transaction.partitions.contains(partition);
            is_part.then_some(()).ok_or(ErrorKind::TransactionAbortable)
        });
        Ok(verified.collect())
    }

    /// What is left to do for the id's transaction.
    pub fn ending(&self, id: &str) -> Option<Ending> {
        let transaction = self.ids.get(id)?;
        let commit = match transaction.state {
            TransactionState::PrepareCommit => true,
            TransactionState::PrepareAbort => false,
            TransactionState::Empty
            | TransactionState::Ongoing
            | TransactionState::CompleteCommit
            | TransactionState::CompleteAbort => return None,
        };
        Some(Ending {
            producer: transaction.producer,
            commit,
            partitions: transaction.partitions.iter().copied().collect(),
        })
    }

    fn is_ending(&self, id: &str) -> bool {
        self.ids.get(id).is_some_and(Transaction::is_ending)
    }

    /// All ids whose transactions are to be ended.
    pub fn all_ending(&self) -> Vec<String> {
        let ending = self.ids.iter().filter(|(_, it)| it.is_ending());
        ending.map(|(id, _)| id.clone()).collect()
    }

    /// When the next open transaction is to be aborted.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Commands that abort what has been open for too long at `now`, `max_count` at most.
    pub fn overdue(&self, now: Millis, max_count: usize) -> Vec<TransactionCommand> {
        let due = self.deadlines.iter().take_while(|(at, _)| *at <= now);
        let commands = due.take(max_count).filter_map(|(_, id)| {
            let producer = self.ids.get(id)?.producer;
            Some(TransactionCommand::Expire {
                transaction: id.clone(),
                producer,
            })
        });
        commands.collect()
    }

    /// One id; `None` where it is unknown or forgotten. Partitions as they are stored.
    pub fn describe(&self, id: &str, now: Millis) -> Option<Described> {
        let transaction = self.ids.get(id)?;
        (!transaction.is_forgotten(now)).then(|| transaction.describe())
    }

    /// All ids that are not forgotten at `now`, in order.
    pub fn all(&self, now: Millis) -> impl Iterator<Item = (&str, Described)> {
        let known = self.ids.iter();
        let known = known.filter(move |(_, it)| !it.is_forgotten(now));
        known.map(|(id, it)| (id.as_str(), it.describe()))
    }
}

/// One transactional id as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Where it stands.
    pub state: TransactionState,
    /// Its producer.
    pub producer: ProducerEpoch,
    /// Aborted after this long, in ms.
    pub timeout_ms: i32,
    /// When it was begun; -1: none was.
    pub started: Millis,
    /// What is part of it.
    pub partitions: Vec<PartitionId>,
}

impl Transaction {
    fn new(id: ProducerId, timeout_ms: i32, now: Millis) -> Self {
        Self {
            producer: ProducerEpoch { id, epoch: 0 },
            last_epoch: NO_EPOCH,
            previous: None,
            next: None,
            timeout_ms,
            state: TransactionState::Empty,
            has_bumped: false,
            partitions: BTreeSet::new(),
            started: Millis(-1),
            updated: now,
        }
    }

    fn describe(&self) -> Described {
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

    fn is_ending(&self) -> bool {
        match self.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => true,
            TransactionState::Empty
            | TransactionState::Ongoing
            | TransactionState::CompleteCommit
            | TransactionState::CompleteAbort => false,
        }
    }

    fn is_forgotten(&self, now: Millis) -> bool {
        !self.is_ending()
            && self.state != TransactionState::Ongoing
            && now.since(self.updated) >= TRANSACTIONAL_ID_EXPIRY_MS
    }

    fn check_producer(&self, producer: ProducerEpoch) -> Result<(), ErrorKind> {
        if producer.id != self.producer.id {
            return Err(ErrorKind::InvalidProducerIdMapping);
        }
        if producer.epoch != self.producer.epoch {
            return Err(ErrorKind::ProducerFenced);
        }
        Ok(())
    }

    fn check_not_ending(&self) -> Result<(), ErrorKind> {
        if self.is_ending() {
            return Err(ErrorKind::ConcurrentTransactions);
        }
        Ok(())
    }

    /// A producer begins, or begins again (KIP-360).
    fn init(
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
    fn fence(&mut self, now: Millis) {
        self.producer.epoch = self.producer.epoch.saturating_add(1);
        self.last_epoch = NO_EPOCH;
        self.has_bumped = false;
        self.decide(false, now);
    }

    fn add(
        &mut self,
        producer: ProducerEpoch,
        partitions: Vec<PartitionId>,
        now: Millis,
    ) -> Answer {
        self.check_producer(producer)?;
        self.check_not_ending()?;
        if self.partitions.len() + partitions.len() > MAX_PARTITIONS_PER_TRANSACTION {
            return Err(ErrorKind::Overloaded);
        }
        if self.state != TransactionState::Ongoing {
            self.state = TransactionState::Ongoing;
            self.has_bumped = false;
            self.started = now;
        }
        self.partitions.extend(partitions);
        self.updated = now;
        Ok(self.producer)
    }

    fn end(&mut self, end: &End, now: Millis) -> Answer {
        let End {
            producer, commit, ..
        } = *end;
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
    fn is_repeated_end(&self, producer: ProducerEpoch) -> bool {
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

    fn going_on(&self) -> ProducerEpoch {
        match self.next {
            Some(id) => ProducerEpoch { id, epoch: 0 },
            None => self.producer,
        }
    }

    fn decide(&mut self, commit: bool, now: Millis) {
        self.state = if commit {
            TransactionState::PrepareCommit
        } else {
            TransactionState::PrepareAbort
        };
        self.updated = now;
        self.complete_if_heard(now);
    }

    fn expire(&mut self, producer: ProducerEpoch, now: Millis) -> Answer {
        self.check_producer(producer)?;
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Err(ErrorKind::InvalidTxnState);
        }
        self.fence(now);
        Ok(self.producer)
    }

    /// These partitions have heard of the end.
    fn ended(
        &mut self,
        producer: ProducerEpoch,
        partitions: &[PartitionId],
        now: Millis,
    ) -> Answer {
        self.check_producer(producer)?;
        if !self.is_ending() {
            return Err(ErrorKind::InvalidTxnState);
        }
        for partition in partitions {
            self.partitions.remove(partition);
        }
        self.complete_if_heard(now);
        Ok(self.producer)
    }

    fn complete_if_heard(&mut self, now: Millis) {
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
