//! The transactional ids of one shard.
//!
//! All checks are made where a command is applied, so that nothing is pending between a request
//! and its outcome, as it is in Kafka's coordinator.
//!
//! Source: Kafka's `TransactionCoordinator` and `TransactionMetadata`; KIP-98, KIP-360, KIP-890.

use std::collections::{BTreeMap, BTreeSet};

use weir_log::Millis;
use weir_model::{ErrorKind, PartitionId, ProducerId};

use super::{TransactionCommand, transition::Transaction};
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
    /// Its number among the id's transactions.
    pub ordinal: u64,
    /// Partitions that are not known to have heard of it.
    pub partitions: Vec<PartitionId>,
}

/// The transactional ids of one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionTable {
    pub(super) ids: BTreeMap<String, Transaction>,
    /// When open transactions are to be aborted.
    pub(super) deadlines: BTreeSet<(Millis, String)>,
}

pub(super) type Answer = Result<ProducerEpoch, ErrorKind>;

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
                ordinal,
                partitions,
                ..
            } => self.change(&id, |it| it.ended(producer, ordinal, &partitions, now)),
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
        transaction.check_beginning(producer)?;
        let is_open = transaction.state == TransactionState::Ongoing;
        let verified = partitions.iter().map(|partition| {
            let is_part = is_open && transaction.partitions.contains(partition);
            is_part.then_some(()).ok_or(ErrorKind::TransactionAbortable)
        });
        Ok(verified.collect())
    }

    /// The producer that has the id now.
    pub fn producer(&self, id: &str) -> Option<ProducerEpoch> {
        Some(self.ids.get(id)?.producer)
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
            ordinal: transaction.ordinal,
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

    /// After how long the next open transaction is to be aborted, in ms, as seen at `now`.
    pub fn next_overdue_in_ms(&self, now: Millis) -> Option<u64> {
        let (at, id) = self.deadlines.first()?;
        let is_due = self.ids.get(id).is_some_and(|it| it.is_overdue(now));
        Some(if is_due { 0 } else { at.since(now) })
    }

    /// Commands that abort what has been open for too long at `now`, `max_count` at most.
    pub fn overdue(&self, now: Millis, max_count: usize) -> Vec<TransactionCommand> {
        let open = self.deadlines.iter();
        let due = open.filter_map(|(_, id)| Some((id, self.ids.get(id)?)));
        let due = due.filter(|(_, it)| it.is_overdue(now)).take(max_count);
        let commands = due.map(|(id, it)| TransactionCommand::Expire {
            transaction: id.clone(),
            producer: it.producer,
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
