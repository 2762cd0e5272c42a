//! Transactions as their producer knows them, and what readers may see of them.
//!
//! Dirty cycles (each of two transactions has read what the other wrote) need no search: all times
//! are of one clock, so in a cycle somebody has read what nobody had yet asked to commit, and that
//! is found as `precommitted` by itself.

use super::check::Places;
use super::record::{Fate, Record, Slot, Value};
use super::verdict::Verdict;

/// How a transaction ended, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Committed if its commit was asked for, or aborted.
    Unsure,
    /// Committed.
    Committed,
    /// Aborted.
    Aborted,
}

/// One transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transaction {
    /// When it began.
    pub begun_ns: u64,
    /// When its commit was asked for.
    pub asked_ns: Option<u64>,
    ended_ns: u64,
    outcome: Outcome,
}

impl Transaction {
    /// One that begins.
    pub(super) fn new(begun_ns: u64) -> Self {
        Self {
            begun_ns,
            asked_ns: None,
            ended_ns: 0,
            outcome: Outcome::Unsure,
        }
    }

    /// It ended.
    pub(super) fn end(&mut self, outcome: Outcome, time_ns: u64) {
        self.outcome = outcome;
        self.ended_ns = time_ns;
    }

    /// It was committed for certain.
    pub(super) fn is_committed(&self) -> bool {
        self.outcome == Outcome::Committed
    }

    /// It was aborted for certain, by its producer or, since nobody asked for its commit, in time.
    pub(super) fn is_aborted(&self) -> bool {
        match self.outcome {
            Outcome::Committed => false,
            Outcome::Aborted => true,
            Outcome::Unsure => self.asked_ns.is_none(),
        }
    }

    /// How long its commit took.
    pub(super) fn commit_ns(&self) -> u64 {
        let asked_ns = self.asked_ns.filter(|_| self.is_committed());
        asked_ns.map_or(0, |asked| self.ended_ns.saturating_sub(asked))
    }
}

/// Judges that a value was read at all, and when.
pub(super) fn check_read(record: &Record, slot: &Slot, at: (u32, u64), verdict: &mut Verdict) {
    let send = record.send(slot.value);
    let Some(transaction) = send.and_then(|send| record.transaction_of(send)) else {
        return;
    };
    let name = || record.name(slot.value);
    if transaction.is_aborted() {
        verdict.aborted += 1;
        verdict.example(|| format!("aborted: {} was read at {at:?}", name()));
    } else if transaction
        .asked_ns
        .is_some_and(|asked| slot.first_ns < asked)
    {
        verdict.precommitted += 1;
        verdict.example(|| {
            let early_ns = transaction.asked_ns.unwrap_or(0) - slot.first_ns;
            format!(
                "precommitted: {} was read at {at:?}, {early_ns} ns early",
                name()
            )
        });
    }
}

/// All of a transaction is there, or nothing of it.
pub(super) fn check_whole(record: &Record, places: &Places, verdict: &mut Verdict) {
    let mut parts = vec![(0_u32, None); record.transactions.len()];
    for (sender, sends) in (0..).zip(&record.sends) {
        for (number, send) in (0..).zip(sends) {
            let Some(index) = send.transaction.filter(|_| send.fate != Fate::Failed) else {
                continue;
            };
            let (seen, missing) = &mut parts[index as usize];
            match places[sender as usize][number as usize] {
                Some(_) => *seen += 1,
                None => *missing = Some(Value { sender, number }),
            }
        }
    }
    for (transaction, (seen, missing)) in record.transactions.iter().zip(parts) {
        verdict.committed += u64::from(transaction.is_committed());
        verdict.rolled_back += u64::from(transaction.is_aborted());
        let is_decided = transaction.is_committed() || transaction.is_aborted();
        verdict.undecided += u64::from(!is_decided);
        if let (1.., Some(missing), false) = (seen, missing, transaction.is_aborted()) {
            verdict.torn += 1;
            verdict.example(|| {
                let (name, begun_ns) = (record.name(missing), transaction.begun_ns);
                format!("torn: {name} is not there, {seen} others are, of {begun_ns} ns")
            });
        }
    }
}
