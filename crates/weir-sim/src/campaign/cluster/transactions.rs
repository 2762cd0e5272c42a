//! Transactions as their producers and readers know them, held against what stands in the
//! partitions: whole or not at all, and nothing told of what is not decided.

use std::collections::{BTreeMap, BTreeSet};

use weir_broker::api::Fetched;

use super::{
    books::{Place, Stood},
    read::ServedBatch,
    run::Cluster,
};
use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// One transaction.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    /// Serial numbers of the batches that were sent.
    pub(super) batches: Vec<u64>,
    /// Its producer has asked to commit it.
    pub(super) may_commit: bool,
    /// What its producer was told: committed, or aborted.
    pub(super) told: Option<bool>,
    /// Readers of committed records were given, or not given, a batch of it.
    pub(super) is_delivered: bool,
    pub(super) is_withheld: bool,
    /// What its records were made of.
    pub(super) copied: Option<Copied>,
    /// The commit of the group's offset that it brings.
    pub(super) commit: Option<u64>,
}

/// Records that a group's member read, to write them elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Copied {
    pub(super) group: usize,
    pub(super) place: Place,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// All transactions of a run.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    all: Vec<Transaction>,
    /// Ends of partitions, each with what was said to be decided then.
    stable: BTreeMap<Place, BTreeSet<(u64, u64)>>,
    /// Which client's which life got an epoch of a producer id.
    owners: BTreeMap<(i64, i16), (usize, u64)>,
}

impl Transactions {
    pub(super) fn begin(&mut self, copied: Option<Copied>) -> usize {
        self.all.push(Transaction {
            copied,
            ..Transaction::default()
        });
        self.all.len() - 1
    }

    pub(super) fn get_mut(&mut self, number: usize) -> &mut Transaction {
        &mut self.all[number]
    }

    /// An epoch is given to one life of one client alone.
    pub(super) fn own(&mut self, producer: (i64, i16), owner: (usize, u64)) -> Result<(), Broken> {
        let first = *self.owners.entry(producer).or_insert(owner);
        if first == owner {
            return Ok(());
        }
        let detail = format!("{producer:?} was given to {first:?} and to {owner:?}");
        Err(broken(oracle_name::EPOCHS, detail))
    }
}

/// What the markers of all partitions say of one transaction.
#[derive(Debug, Default)]
struct Verdicts {
    is_committed: bool,
    is_aborted: bool,
}

impl Cluster<'_> {
    /// Goes through a read of committed records as a real consumer does.
    pub(super) fn check_committed(
        &mut self,
        place: Place,
        (from, next): (u64, u64),
        fetched: &Fetched,
        served: &[ServedBatch],
    ) -> Result<(), Broken> {
        let (end, stable) = (fetched.high_watermark.0, fetched.last_stable.0);
        if next > stable && !served.is_empty() {
            let detail = format!("{place:?}: served {from} to {next}, decided is {stable}");
            return Err(broken(oracle_name::DECIDED, detail));
        }
        if !fetched.aborted.is_sorted_by_key(|aborted| aborted.first) {
            let detail = format!("{place:?} from {from}: {:?}", fetched.aborted);
            return Err(broken(oracle_name::DECIDED, detail));
        }
        let books = &mut self.books;
        let known = books.transactions.stable.entry(place).or_default();
        known.insert((end, stable));
        let mut listed = fetched.aborted.iter().peekable();
        let mut aborted = BTreeSet::new();
        for batch in served {
            while let Some(next) = listed.next_if(|next| next.first.0 < batch.end) {
                aborted.insert(next.producer.0);
            }
            let Some(producer) = batch.transactional else {
                continue;
            };
            let serial = match batch.stood {
                Stood::Batch(serial) => serial,
                Stood::Marker { commit, .. } => {
                    if !commit {
                        aborted.remove(&producer);
                    }
                    continue;
                }
            };
            let number = self.books.batch(serial).and_then(|it| it.transaction);
            let Some(number) = number else { continue };
            let transaction = self.books.transactions.get_mut(number);
            if aborted.contains(&producer) {
                transaction.is_withheld = true;
                continue;
            }
            transaction.is_delivered = true;
            if !transaction.may_commit || transaction.told == Some(false) {
                let detail =
                    format!("{place:?}: batch {serial} of {number} is served: {transaction:?}");
                return Err(broken(oracle_name::DECIDED, detail));
            }
        }
        self.counts.add("committed_reads", 1);
        Ok(())
    }

    /// Once everything was read to its end and nothing is open any more.
    pub(super) fn judge_transactions(&mut self) -> Result<(), Broken> {
        let mut verdicts: BTreeMap<usize, Verdicts> = BTreeMap::new();
        for place in self.places() {
            self.walk(place, &mut verdicts)?;
        }
        for (number, transaction) in self.books.transactions.all.iter().enumerate() {
            let verdict = verdicts.entry(number).or_default();
            self.judge(number, transaction, verdict)?;
        }
        self.judge_copies(&verdicts)
    }

    /// Gathers what the partition's markers say, and looks at what was said to be decided.
    fn walk(
        &mut self,
        place: Place,
        verdicts: &mut BTreeMap<usize, Verdicts>,
    ) -> Result<(), Broken> {
        let is_cut = self.plan.topics[place.0].retention_bytes.is_some();
        let mut open: BTreeMap<i64, (u64, BTreeSet<usize>)> = BTreeMap::new();
        // First offset that is not decided, by the log's end.
        let mut undecided: BTreeMap<u64, Option<u64>> = BTreeMap::from([(0, None)]);
        let known = self.books.known(place);
        // What is gone was not read to its end.
        let mut standing = known.standing.clone();
        let standing = standing.split_off(&known.swept_start);
        for (at, standing) in standing {
            match standing.stood {
                Stood::Batch(serial) => {
                    let batch = self.books.batch(serial);
                    let found = batch.and_then(|it| Some((it.transaction?, it.producer_id()?)));
                    if let Some((number, producer)) = found {
                        let opened = open.entry(producer).or_insert((at, BTreeSet::new()));
                        opened.1.insert(number);
                    }
                }
                Stood::Marker {
                    producer, commit, ..
                } => {
                    let Some((_, numbers)) = open.remove(&producer) else {
                        if is_cut {
                            continue;
                        }
                        let detail = format!("{place:?}: a marker at {at} ends nothing");
                        return Err(broken(oracle_name::INVENTED, detail));
                    };
                    for number in numbers {
                        let verdict = verdicts.entry(number).or_default();
                        verdict.is_committed |= commit;
                        verdict.is_aborted |= !commit;
                    }
                }
            }
            undecided.insert(standing.end, open.values().map(|(first, _)| *first).min());
        }
        if let (Some((producer, (first, _))), false) = (open.first_key_value(), is_cut) {
            let detail = format!("{place:?}: {producer} is open from {first} on");
            return Err(broken(oracle_name::PROGRESS, detail));
        }
        if is_cut {
            return Ok(());
        }
        let said = self.books.transactions.stable.get(&place);
        for (end, stable) in said.into_iter().flatten() {
            let at = undecided.range(..=end).next_back();
            let right = at.and_then(|(_, first)| *first).unwrap_or(*end);
            if *stable != right {
                let detail =
                    format!("{place:?}: at end {end} decided was {stable}, should be {right}");
                return Err(broken(oracle_name::DECIDED, detail));
            }
        }
        Ok(())
    }

    fn judge(
        &self,
        number: usize,
        transaction: &Transaction,
        verdict: &Verdicts,
    ) -> Result<(), Broken> {
        let Verdicts {
            is_committed,
            is_aborted,
        } = *verdict;
        let is_cut = |serial: &u64| {
            let batch = self.books.batch(*serial);
            batch.is_none_or(|it| self.plan.topics[it.place.0].retention_bytes.is_some())
        };
        let is_stored = |serial: &u64| {
            is_cut(serial)
                || self
                    .books
                    .batch(*serial)
                    .is_some_and(|it| it.offset.is_some())
        };
        let is_expected_whole = is_committed || transaction.told == Some(true);
        let wrong = if is_committed && is_aborted {
            "is torn"
        } else if is_committed && !transaction.may_commit {
            "is committed, which nobody asked for"
        } else if transaction.told == Some(true) && is_aborted {
            "is aborted, and counts as committed"
        } else if transaction.told == Some(false) && is_committed {
            "is committed, and counts as aborted"
        } else if transaction.is_delivered && is_aborted {
            "is aborted, and was read as committed"
        } else if transaction.is_withheld && is_committed {
            "is committed, and was not given to a reader"
        } else if is_expected_whole && !transaction.batches.iter().all(is_stored) {
            "is committed without all of its batches"
        } else {
            return Ok(());
        };
        let detail = format!("transaction {number} {wrong}: {transaction:?} {verdict:?}");
        Err(broken(oracle_name::ATOMIC, detail))
    }

    /// What groups copied within transactions was copied once, without a gap.
    fn judge_copies(&self, verdicts: &BTreeMap<usize, Verdicts>) -> Result<(), Broken> {
        let all = self.books.transactions.all.iter().enumerate();
        let is_committed = |number: usize| verdicts.get(&number).is_some_and(|it| it.is_committed);
        let committed = all.filter(|(number, _)| is_committed(*number));
        let copied = committed.filter_map(|(_, transaction)| transaction.copied);
        let sorted: BTreeSet<Copied> = copied.collect();
        let mut next: BTreeMap<(usize, Place), u64> = BTreeMap::new();
        for copied in sorted {
            let next = next.entry((copied.group, copied.place)).or_default();
            if copied.from != *next {
                let detail = format!("{copied:?}, copied before was all up to {next}");
                return Err(broken(oracle_name::COPIED_ONCE, detail));
            }
            *next = copied.to;
        }
        Ok(())
    }
}
