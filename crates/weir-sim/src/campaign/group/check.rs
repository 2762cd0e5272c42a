//! What producers know, and what the groups must hold for it: every answered record once, at the
//! offset that was answered, in the producer's order.

use std::collections::{BTreeMap, BTreeSet};

use weir_model::GroupId;

use super::machine::{Answer, Journal, Record};
use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// One producer's side of one group.
#[derive(Debug, Default)]
pub(super) struct Producer {
    /// Records sent so far, by sequence; contents never change between tries.
    pub(super) sent: Vec<(Record, usize)>,
    /// Offsets that were answered, by sequence.
    answered: BTreeMap<u64, u64>,
    /// Tries under way.
    pub(super) in_flight: BTreeSet<u64>,
}

impl Producer {
    /// The first sequence without an answer.
    pub(super) fn next_unanswered(&self) -> u64 {
        (0..).find(|s| !self.answered.contains_key(s)).unwrap_or(0)
    }

    pub(super) fn answered_count(&self) -> u64 {
        self.answered.len() as u64
    }

    /// Takes an answer. The offset of a record never changes.
    pub(super) fn hear(&mut self, record: Record, answer: Option<Answer>) -> Result<(), Broken> {
        self.in_flight.remove(&record.sequence);
        let Some(Answer::At(offset)) = answer else {
            return Ok(());
        };
        let before = self.answered.insert(record.sequence, offset);
        if before.is_none_or(|before| before == offset) {
            return Ok(());
        }
        let detail = format!("{record:?} was answered with {before:?}, now with {offset}");
        Err(broken(oracle_name::INVENTED, detail))
    }
}

pub(super) type Producers = BTreeMap<(GroupId, u32), Producer>;

/// Holds a group's records against what its producers know.
pub(super) fn check_group(
    group: GroupId,
    journal: &Journal,
    producers: &Producers,
) -> Result<(), Broken> {
    let mut next: BTreeMap<u32, u64> = BTreeMap::new();
    for (record, offset) in journal.records.iter().zip(0..) {
        let sequence = next.entry(record.producer).or_default();
        let producer = producers.get(&(group, record.producer));
        let sent = usize::try_from(record.sequence)
            .ok()
            .and_then(|place| producer?.sent.get(place))
            .map(|(sent, _)| sent);
        if record.sequence != *sequence || sent != Some(record) {
            let detail = format!("group {group}: {record:?} stands at {offset}, sent {sent:?}");
            return Err(broken(oracle_name::INVENTED, detail));
        }
        *sequence += 1;
    }
    for ((_, id), producer) in producers.iter().filter(|((of, _), _)| *of == group) {
        for (sequence, offset) in &producer.answered {
            let at = usize::try_from(*offset).unwrap_or(usize::MAX);
            let there = journal.records.get(at);
            let is_there = there.is_some_and(|r| r.producer == *id && r.sequence == *sequence);
            if !is_there {
                let detail = format!(
                    "group {group}: producer {id} sequence {sequence} was answered with {offset}, there is {there:?}"
                );
                return Err(broken(oracle_name::LOST, detail));
            }
        }
    }
    Ok(())
}
