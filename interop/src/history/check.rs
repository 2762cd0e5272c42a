//! The rules. Each is one pass over the record; the only sort is of places and of times.
//!
//! Allowed, since Kafka allows it: a group that reads again what it had not committed, and sends
//! without a certain end that are there or are not.

use super::record::{Fate, Record, Send, Slot, Value};
use super::verdict::Verdict;
use super::{copies, transaction};
use std::collections::HashMap;

const NS_PER_MS: u64 = 1_000_000;

/// Judges a history.
pub(crate) fn check(record: &Record) -> Verdict {
    let mut verdict = Verdict {
        polled: record.poll_count,
        present: record.slots.len() as u64,
        longest_pause_ms: longest_pause_ms(&record.ack_times_ns()),
        ..Verdict::default()
    };
    for (key, offset, before, value) in &record.conflicts {
        verdict.inconsistent += 1;
        verdict.example(|| {
            let (before, value) = (record.name(*before), record.name(*value));
            format!("inconsistent: partition {key} offset {offset} held {before}, then {value}")
        });
    }
    for (reader, key, offset) in &record.backward {
        verdict.nonmonotonic += 1;
        verdict.example(|| format!("nonmonotonic: {reader} got {key}/{offset} after later ones"));
    }
    let log = in_order(record);
    let newest = Newest::of(record, &log);
    let places = check_log(record, &log, &newest, &mut verdict);
    check_sends(record, &places, &newest, &mut verdict);
    transaction::check_whole(record, &places, &mut verdict);
    copies::check(record, &log, &mut verdict);
    check_gaps(record, &log, &mut verdict);
    check_commits(record, &mut verdict);
    verdict
}

/// Longest time between two acknowledgements on one partition.
pub(crate) fn longest_pause_ms(times_ns: &[(u32, u64)]) -> u64 {
    let neighbours = times_ns.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    let pauses = neighbours.map(|pair| pair[1].1 - pair[0].1);
    pauses.max().unwrap_or(0) / NS_PER_MS
}

/// What was read, by place.
pub(super) type Log = Vec<(u32, u64, Slot)>;
/// First place of each value: by sender, by number.
pub(super) type Places = Vec<Vec<Option<(u32, u64)>>>;

fn in_order(record: &Record) -> Log {
    let mut log: Log = record
        .slots
        .iter()
        .map(|((key, offset), slot)| (*key, *offset, *slot))
        .collect();
    log.sort_unstable_by_key(|(key, offset, _)| (*key, *offset));
    log
}

/// Highest offset read, by partition: by final readers where there are any.
fn ends(record: &Record) -> HashMap<u32, u64> {
    if record.has_final {
        return record.final_ends.clone();
    }
    let mut ends = HashMap::new();
    for (key, offset) in record.slots.keys() {
        let end = ends.entry(*key).or_insert(*offset);
        *end = (*end).max(*offset);
    }
    ends
}

/// Walks every partition by offset.
fn check_log(record: &Record, log: &Log, newest: &Newest, verdict: &mut Verdict) -> Places {
    let mut places: Places = record.sends.iter().map(|s| vec![None; s.len()]).collect();
    // By sender: the partition walked and the highest number in it.
    let mut last: Vec<Option<(u32, u32)>> = vec![None; record.sends.len()];
    for (key, offset, slot) in log {
        let value = slot.value;
        let place = (*key, *offset);
        if !is_expected(record, value, *key) {
            verdict.unexpected += 1;
            verdict.example(|| format!("unexpected: {} at {key}/{offset}", record.name(value)));
            continue;
        }
        let first = &mut places[value.sender as usize][value.number as usize];
        if let Some((first_key, first_offset)) = *first {
            verdict.duplicated += 1;
            verdict.example(|| {
                let (name, as_whom) = (record.name(value), record.identities_of(value));
                format!(
                    "duplicated: {name} at {first_key}/{first_offset} and {key}/{offset}{as_whom}"
                )
            });
            continue;
        }
        *first = Some(place);
        transaction::check_read(record, slot, place, verdict);
        let before = &mut last[value.sender as usize];
        match before {
            Some((walked, number)) if walked == key && *number > value.number => {
                verdict.reordered += 1;
                verdict.example(|| {
                    let name = record.name(value);
                    format!("reordered: {name} at {key}/{offset} behind number {number}")
                });
            }
            Some(_) | None => *before = Some((*key, value.number)),
        }
        if record.has_final && !slot.is_final {
            match newest.covers(record, value, place) {
                true => verdict.compacted += 1,
                false => absent(record, value, Some(place), &record.final_ends, verdict),
            }
        }
    }
    places
}

fn is_expected(record: &Record, value: Value, key: u32) -> bool {
    record
        .send(value)
        .is_some_and(|send| send.key == key && send.fate != Fate::Failed)
}

/// Highest offset read of each message key of compacted partitions.
struct Newest(HashMap<(u32, u32), u64>);

impl Newest {
    fn of(record: &Record, log: &Log) -> Self {
        let mut newest = HashMap::new();
        for (key, offset, slot) in log {
            let is_last = slot.is_final || !record.has_final;
            let message_key = record.send(slot.value).and_then(|send| send.message_key);
            if let Some(message_key) = message_key.filter(|_| is_last) {
                newest.insert((*key, message_key), *offset);
            }
        }
        Self(newest)
    }

    /// Whether a value may be absent, since a later one of its key is there.
    fn covers(&self, record: &Record, value: Value, place: (u32, u64)) -> bool {
        let message_key = record.send(value).and_then(|send| send.message_key);
        let newest = message_key.and_then(|message_key| self.0.get(&(place.0, message_key)));
        newest.is_some_and(|offset| *offset > place.1)
    }
}

/// Counts a message that should be there and is not.
fn absent(
    record: &Record,
    value: Value,
    place: Option<(u32, u64)>,
    ends: &HashMap<u32, u64>,
    verdict: &mut Verdict,
) {
    let is_behind_end =
        place.is_some_and(|(key, offset)| ends.get(&key).is_none_or(|end| offset > *end));
    let word = if is_behind_end { "unseen" } else { "lost" };
    match is_behind_end {
        true => verdict.unseen += 1,
        false => verdict.lost += 1,
    }
    verdict.example(|| format!("{word}: {} of {place:?}", record.name(value)));
}

fn check_sends(record: &Record, places: &Places, newest: &Newest, verdict: &mut Verdict) {
    let ends = ends(record);
    for (sender, sends) in (0..).zip(&record.sends) {
        for (number, send) in (0..).zip(sends) {
            let value = Value { sender, number };
            verdict.sent += 1;
            let told = match send.fate {
                Fate::Unsure | Fate::Failed => None,
                Fate::Acked(offset) => offset.map(|offset| (send.key, offset)),
            };
            verdict.unsure += u64::from(send.fate == Fate::Unsure);
            verdict.acked += u64::from(matches!(send.fate, Fate::Acked(_)));
            let found = places[sender as usize][number as usize];
            check_place(record, value, told, found, verdict);
            let is_covered = told.is_some_and(|told| newest.covers(record, value, told));
            if found.is_none() && must_be_there(record, send) {
                match is_covered {
                    true => verdict.compacted += 1,
                    false => absent(record, value, told, &ends, verdict),
                }
            }
        }
    }
}

/// Whether readers must find a message. Of a transaction that may have been committed all or
/// nothing must be there, which is judged apart.
fn must_be_there(record: &Record, send: &Send) -> bool {
    match record.transaction_of(send) {
        None => matches!(send.fate, Fate::Acked(_)),
        // A client commits only what it has seen acknowledged, whether it wrote that down or not.
        Some(transaction) => transaction.is_committed() && send.fate != Fate::Failed,
    }
}

/// A message lies where its acknowledgement says, and nothing else does, aborted or not.
fn check_place(
    record: &Record,
    value: Value,
    told: Option<(u32, u64)>,
    found: Option<(u32, u64)>,
    verdict: &mut Verdict,
) {
    let Some(told) = told else { return };
    let is_elsewhere = found.is_some_and(|found| found != told);
    let other = record.slots.get(&told).map(|slot| slot.value);
    let other = other.filter(|other| *other != value && found.is_none());
    if is_elsewhere || other.is_some() {
        verdict.inconsistent += 1;
        verdict.example(|| {
            let (name, other) = (record.name(value), other.map(|other| record.name(other)));
            format!("inconsistent: {name} acked at {told:?}, lies at {found:?}, there is {other:?}")
        });
    }
}

/// A reader may pass over an offset only when nothing lies there.
fn check_gaps(record: &Record, log: &Log, verdict: &mut Verdict) {
    for (key, first, end) in &record.gaps {
        let place_of = |(key, offset, _): &(u32, u64, Slot)| (*key, *offset);
        let from = log.partition_point(|entry| place_of(entry) < (*key, *first));
        let to = log.partition_point(|entry| place_of(entry) < (*key, *end));
        // Between two reads of a compacted partition messages may go.
        let is_kept = |slot: &Slot| {
            let send = record.send(slot.value);
            send.is_none_or(|send| send.message_key.is_none())
        };
        let passed = log[from..to].iter().filter(|(_, _, slot)| is_kept(slot));
        let count = passed.count();
        verdict.skipped += count as u64;
        if count > 0 {
            verdict.example(|| format!("skipped: partition {key}, {first} up to {end}"));
        }
    }
}

/// A group that begins again begins at or behind what it has committed, unless a commit without a
/// certain end took it elsewhere.
fn check_commits(record: &Record, verdict: &mut Verdict) {
    let mut commits = record.commits.clone();
    commits.sort_unstable_by_key(|commit| commit.time_ns);
    let mut sessions = record.sessions.clone();
    sessions.sort_unstable_by_key(|session| session.time_ns);
    let mut committed: HashMap<u32, u64> = HashMap::new();
    let mut unsure: HashMap<(u32, u64), ()> = HashMap::new();
    let mut next = commits.iter().peekable();
    for session in sessions {
        while let Some(commit) = next.next_if(|commit| commit.time_ns < session.time_ns) {
            match commit.is_sure {
                true => {
                    let most = committed.entry(commit.key).or_default();
                    *most = (*most).max(commit.offset);
                }
                false => {
                    unsure.insert((commit.key, commit.offset), ());
                }
            }
        }
        let most = committed.get(&session.key).copied().unwrap_or(0);
        if session.first < most && !unsure.contains_key(&(session.key, session.first)) {
            verdict.rewound += 1;
            verdict.example(|| {
                let (key, first) = (session.key, session.first);
                format!("rewound: partition {key} from {first} on, {most} was committed")
            });
        }
    }
}
