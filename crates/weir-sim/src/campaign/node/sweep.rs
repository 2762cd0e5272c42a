//! Everything is read from start to end and held against what was acknowledged.

use std::collections::BTreeMap;

use weir_broker::api::{Fetch, FetchPartition, Fetched, Outcome, ReadFrom, Request};

use super::{
    answers::{Asked, wrong_answer},
    books::Place,
    clients::topic_ref,
    read::Keys,
    run::Run,
};
use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// Most bytes of one read.
const READ_BYTES: usize = 20_000;
/// Reads of one partition, at most; more means that they do not get on.
const MAX_READ_COUNT: usize = 10_000;

impl Run<'_> {
    pub(super) fn fetch_request(
        place: Place,
        from: u64,
        max_bytes: usize,
        wait_ms: u64,
    ) -> Request {
        Request::Fetch(Fetch {
            committed_only: false,
            min_bytes: 1,
            max_bytes,
            max_wait_ms: wait_ms,
            room: None,
            from: ReadFrom::Leader,
            partitions: vec![FetchPartition {
                topic: topic_ref(place.0),
                index: i32::try_from(place.1).unwrap_or(-1),
                offset: i64::try_from(from).unwrap_or(i64::MAX),
                max_bytes,
                leader_epoch: -1,
                last_epoch: -1,
            }],
        })
    }

    /// Reads at once: nothing is waited for.
    fn fetch_now(&mut self, place: Place, from: u64) -> Result<Fetched, Broken> {
        let ends = self.books.ends(place);
        let asked = Asked::Fetch {
            place,
            from,
            ends,
            due_ms: 0,
        };
        let request = Self::fetch_request(place, from, READ_BYTES, 0);
        let ticket = self.ask_for_ticket(request, asked);
        let mut own = None;
        for (answered, outcome) in self.node().take_answers() {
            if answered == ticket {
                own = Some(outcome);
            } else {
                self.backlog.push((answered, outcome));
            }
        }
        self.node().asked.remove(&ticket);
        let Some(Outcome::Fetch(mut fetched)) = own else {
            return Err(wrong_answer("a read without a wait"));
        };
        fetched.pop().ok_or_else(|| wrong_answer("a read"))
    }

    pub(super) fn places(&self) -> Vec<Place> {
        let topics = self.plan.topics.iter().enumerate();
        topics
            .filter(|(topic, _)| self.created.contains(topic))
            .flat_map(|(topic, plan)| (0..plan.partition_count).map(move |index| (topic, index)))
            .collect()
    }

    /// Reads all partitions. With nothing under way, what is not found may never come back.
    pub(super) fn sweep(&mut self, nothing_under_way: bool) -> Result<(), Broken> {
        self.hear()?;
        for place in self.places() {
            let is_whole = self.sweep_one(place)?;
            if is_whole && nothing_under_way && self.node().is_ready() {
                self.books.mark_absent(place);
            }
        }
        self.host.counts.add("sweeps", 1);
        Ok(())
    }

    /// `false`: the partition could not be read to its end, for a reason.
    fn sweep_one(&mut self, place: Place) -> Result<bool, Broken> {
        let ends = self.books.ends(place);
        let mut from = ends.0;
        let mut keys = Keys::new();
        for _ in 0..MAX_READ_COUNT {
            let fetched = self.fetch_now(place, from)?;
            let start = fetched.log_start.0;
            if fetched.batches.is_err() && start > from && !self.plan.topics[place.0].is_retained()
            {
                from = start;
                continue;
            }
            let seen = self.hear_fetched(place, from, ends, &fetched)?;
            if fetched.batches.is_err() {
                return Ok(false);
            }
            keys.extend(seen.keys);
            match seen.next {
                Some(next) => from = next,
                None => return self.check_swept(place, &keys).map(|()| true),
            }
        }
        let detail = format!("{place:?}: reading from {from} never ends");
        Err(broken(oracle_name::LOST, detail))
    }

    fn check_swept(&mut self, place: Place, keys: &Keys) -> Result<(), Broken> {
        let topic = self.plan.topics[place.0];
        if topic.is_compacted {
            self.check_latest(place, keys)
        } else {
            self.check_order(place)?;
            self.check_retention(place)
        }
    }

    /// Idempotent producers' batches stand in their order without a gap, the others' in the
    /// order they were sent.
    fn check_order(&self, place: Place) -> Result<(), Broken> {
        let Some(known) = self.books.partitions.get(&place) else {
            return Ok(());
        };
        let mut last: BTreeMap<Option<usize>, (u64, u64)> = BTreeMap::new();
        for (offset, serial) in &known.by_offset {
            let Some(sent) = self.books.sent(*serial) else {
                continue;
            };
            let (producer, number) = match sent.stream {
                Some((producer, number)) => (Some(producer), number as u64),
                None => (None, *serial),
            };
            let before = last.insert(producer, (number, *offset));
            let is_next = match (producer, before) {
                // What retention took may never have been seen.
                (Some(_), Some((before, at))) if at < known.start => number > before,
                (Some(_), Some((before, _))) => number == before + 1,
                (Some(_), None) => number == 0 || known.start > 0,
                (None, before) => before.is_none_or(|(before, _)| number > before),
            };
            if !is_next {
                let detail = format!(
                    "{place:?}: {number} of {producer:?} stands at {offset} behind {before:?}"
                );
                return Err(broken(oracle_name::INVENTED, detail));
            }
        }
        Ok(())
    }

    /// Retention takes nothing that it should leave.
    fn check_retention(&self, place: Place) -> Result<(), Broken> {
        let topic = self.plan.topics[place.0];
        let Some(known) = self.books.partitions.get(&place) else {
            return Ok(());
        };
        let there = known.by_offset.range(known.start..);
        let sizes =
            there.filter_map(|(_, serial)| Some(self.books.sent(*serial)?.bytes.len() as u64));
        let left_bytes: u64 = sizes.sum();
        let is_short = topic
            .retention_bytes
            .is_some_and(|least| known.start > 0 && left_bytes < least);
        // A slow operation moves the clock behind the last look at it.
        let latest_ms = self.latest_wall_ms.max(self.host.clock.now_ms());
        let taken = known.by_offset.range(..known.start);
        let mut taken = taken.filter_map(|(_, serial)| self.books.sent(*serial));
        let is_early = topic.retention_ms.is_some_and(|age_ms| {
            taken.any(|sent| sent.time_ms.saturating_add_unsigned(age_ms) > latest_ms)
        });
        if !is_short && !is_early {
            return Ok(());
        }
        let detail = format!(
            "{place:?}: retention left {left_bytes} B from {} on",
            known.start
        );
        Err(broken(oracle_name::LOST, detail))
    }

    /// Of each key, the last record that was acknowledged or read is there, or a later one.
    fn check_latest(&self, place: Place, keys: &Keys) -> Result<(), Broken> {
        let mut served: BTreeMap<&[u8], u64> = BTreeMap::new();
        for (key, offset) in keys {
            let last = served.entry(key).or_default();
            *last = (*last).max(*offset);
        }
        let Some(known) = self.books.partitions.get(&place) else {
            return Ok(());
        };
        for (base, serial) in known.by_offset.range(known.start..) {
            let Some(sent) = self.books.sent(*serial) else {
                continue;
            };
            for (delta, key) in super::read::keys_of(&sent.bytes, sent.record_count) {
                let offset = base + delta;
                if served.get(&key[..]).is_none_or(|last| *last < offset) {
                    let detail =
                        format!("{place:?}: the record at {offset} of batch {serial} is gone");
                    return Err(broken(oracle_name::LOST, detail));
                }
            }
        }
        Ok(())
    }
}
