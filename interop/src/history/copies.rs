//! Copy loops: what a topic's committed messages are, another one's are to be, once and in order.
//!
//! A loop reads, copies and commits its place in one transaction, so this judges transactions and
//! groups end to end, whoever the copier is and whatever it knows of itself.

use super::check::Log;
use super::record::{Record, Value};
use super::verdict::Verdict;
use std::collections::{HashMap, HashSet};

/// Judges all loops by the final readers of source and copies.
pub(super) fn check(record: &Record, log: &Log, verdict: &mut Verdict) {
    for ((reader, key), copies) in &record.copies {
        let first = log.partition_point(|(at, _, _)| at < key);
        let source = log[first..].iter().take_while(|(at, _, _)| at == key);
        let source: Vec<_> = source
            .filter(|(_, _, slot)| slot.is_final)
            .map(|(_, _, slot)| slot.value)
            .collect();
        Loop {
            record,
            reader,
            key: *key,
        }
        .check(&source, copies, verdict);
    }
}

struct Loop<'a> {
    record: &'a Record,
    reader: &'a str,
    key: u32,
}

impl Loop<'_> {
    fn check(&self, source: &[Value], copies: &[Value], verdict: &mut Verdict) {
        let at: HashMap<_, _> = source.iter().zip(0..).collect();
        let mut copied = HashSet::new();
        let mut last = 0;
        verdict.copied += copies.len() as u64;
        for value in copies {
            let Some(index) = at.get(value) else {
                verdict.unexpected += 1;
                verdict.example(|| self.words("unexpected copy", *value));
                continue;
            };
            if !copied.insert(index) {
                verdict.recopied += 1;
                verdict.example(|| self.words("recopied", *value));
            } else if *index < last {
                verdict.reordered += 1;
                verdict.example(|| self.words("reordered copy", *value));
            } else {
                last = *index;
            }
        }
        for (index, value) in (0_usize..).zip(source) {
            if !copied.contains(&index) {
                verdict.uncopied += 1;
                verdict.example(|| self.words("uncopied", *value));
            }
        }
    }

    fn words(&self, what: &str, value: Value) -> String {
        let (reader, key, name) = (self.reader, self.key, self.record.name(value));
        format!("{what}: {name} of partition {key}, by {reader}")
    }
}
