//! What each request waits for, and what may come back.

use std::collections::BTreeMap;

use weir_broker::{
    Ticket,
    api::{Fetched, ListedOffset, Outcome, Produced},
};
use weir_model::ErrorKind;

use super::{books::Place, read::check_served, run::Run};
use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// A request under way, with what was known when it was sent.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Create {
        topic: usize,
    },
    ProducerId {
        producer: usize,
    },
    Produce {
        serial: u64,
    },
    Fetch {
        place: Place,
        from: u64,
        ends: (u64, u64),
        /// On the clock that never jumps.
        due_ms: u64,
    },
    FetchNothing {
        due_ms: u64,
    },
    List {
        place: Place,
        ends: (u64, u64),
        time_ms: i64,
    },
    Join {
        group: usize,
        member: usize,
    },
    Sync {
        group: usize,
        member: usize,
        generation: i32,
    },
    Heartbeat {
        group: usize,
        member: usize,
        must_succeed: bool,
    },
    Leave {
        group: usize,
        member: usize,
    },
    Commit {
        group: usize,
        place: Place,
        value: i64,
    },
    Committed {
        group: usize,
        at_least: BTreeMap<Place, i64>,
    },
}

impl Asked {
    /// Whether the answer may come later than all work at `now_ms` is done.
    fn may_wait(&self, now_ms: u64) -> bool {
        match self {
            Self::Fetch { due_ms, .. } | Self::FetchNothing { due_ms } => *due_ms > now_ms,
            Self::Join { .. } | Self::Sync { .. } => true,
            Self::Create { .. }
            | Self::ProducerId { .. }
            | Self::Produce { .. }
            | Self::List { .. }
            | Self::Heartbeat { .. }
            | Self::Leave { .. }
            | Self::Commit { .. }
            | Self::Committed { .. } => false,
        }
    }
}

impl Run<'_> {
    /// Takes what was answered since the last time.
    pub(super) fn hear(&mut self) -> Result<(), Broken> {
        let mut answers = std::mem::take(&mut self.backlog);
        answers.extend(self.node().take_answers());
        for (ticket, outcome) in answers {
            self.trace_answer(ticket, &outcome);
            let asked = self.node().asked.remove(&ticket);
            let Some(asked) = asked else {
                let detail = format!("{ticket:?} was answered again: {outcome:?}");
                return Err(broken(oracle_name::INVENTED, detail));
            };
            self.hear_one(asked, outcome)?;
        }
        Ok(())
    }

    pub(super) fn trace_answer(&self, ticket: Ticket, outcome: &Outcome) {
        if let Outcome::Fetch(fetched) = outcome {
            let sum = fetched.iter().filter_map(|one| one.batches.as_ref().ok());
            let sum = sum
                .flat_map(|batches| &batches.chunks)
                .fold(0, |sum, chunk| crc32c::crc32c_append(sum, chunk));
            let text = || {
                let one = |f: &Fetched| {
                    let size = f.batches.as_ref().map(|batches| batches.size_bytes);
                    format!("{size:?} of {} to {}", f.log_start, f.high_watermark)
                };
                format!(
                    "{} {:?}",
                    ticket.0,
                    fetched.iter().map(one).collect::<Vec<_>>()
                )
            };
            self.host
                .trace
                .event("fetched", &[ticket.0, sum.into()], text);
        } else {
            let text = format!("{} {outcome:?}", ticket.0);
            self.host.trace.note("heard", &text);
        }
    }

    // Table: one arm per kind of answer.
    fn hear_one(&mut self, asked: Asked, outcome: Outcome) -> Result<(), Broken> {
        match (asked, outcome) {
            (Asked::Create { topic }, Outcome::CreateTopics(created)) => match created.first() {
                Some(Ok(_)) => {
                    self.created.insert(topic);
                    Ok(())
                }
                Some(Err(refusal)) if refusal.kind == ErrorKind::TopicExists => {
                    self.created.insert(topic);
                    Ok(())
                }
                Some(Err(refusal)) => self.explained(refusal.kind, "a new topic"),
                None => Err(wrong_answer("a new topic")),
            },
            (Asked::ProducerId { producer }, Outcome::ProducerId(Ok((id, epoch)))) => {
                self.hear_producer_id(producer, id.0, epoch)
            }
            (Asked::ProducerId { .. }, Outcome::ProducerId(Err(error))) => {
                self.explained(error, "a producer id")
            }
            (Asked::Produce { serial }, Outcome::Produce(produced)) => {
                let one: &Produced = produced.first().ok_or_else(|| wrong_answer("a batch"))?;
                self.hear_produced(serial, one)
            }
            (
                Asked::Fetch {
                    place, from, ends, ..
                },
                Outcome::Fetch(fetched),
            ) => {
                let one = fetched.first().ok_or_else(|| wrong_answer("a fetch"))?;
                self.hear_fetched(place, from, ends, one).map(drop)
            }
            (Asked::FetchNothing { .. }, Outcome::Fetch(fetched)) if fetched.is_empty() => Ok(()),
            (
                Asked::List {
                    place,
                    ends,
                    time_ms,
                },
                Outcome::ListOffsets(listed),
            ) => self.hear_listed(place, ends, time_ms, &listed),
            (Asked::Join { group, member }, Outcome::Join(joined)) => {
                self.hear_joined(group, member, joined)
            }
            (
                Asked::Sync {
                    group,
                    member,
                    generation,
                },
                Outcome::Sync(synced),
            ) => self.hear_synced(group, member, generation, synced),
            (
                Asked::Heartbeat {
                    group,
                    member,
                    must_succeed,
                },
                Outcome::Heartbeat(answer),
            ) => self.hear_heartbeat(group, member, must_succeed, answer),
            (Asked::Leave { group, member }, Outcome::Leave(answer)) => {
                self.hear_left(group, member, answer)
            }
            (
                Asked::Commit {
                    group,
                    place,
                    value,
                },
                Outcome::OffsetCommit(answers),
            ) => self.hear_commit(group, place, value, &answers),
            (Asked::Committed { group, at_least }, Outcome::OffsetFetch(answers)) => {
                self.hear_committed(group, &at_least, answers)
            }
            (asked, outcome) => Err(wrong_answer(&format!("{asked:?}: {outcome:?}"))),
        }
    }

    /// What was fetched; gives where to go on.
    pub(super) fn hear_fetched(
        &mut self,
        place: Place,
        from: u64,
        ends: (u64, u64),
        fetched: &Fetched,
    ) -> Result<super::read::Seen, Broken> {
        let topic = self.plan.topics[place.0];
        let batches = match &fetched.batches {
            Ok(batches) => batches,
            Err(error) => {
                self.check_fetch_error(place, from, ends, *error)?;
                return Ok(super::read::Seen::default());
            }
        };
        let (start, end) = (fetched.log_start.0, fetched.high_watermark.0);
        self.books.learn_ends(place, start, end, ends)?;
        if start > 0 && topic.is_retained() {
            let detail = format!("{place:?} begins at {start} without retention");
            return Err(broken(oracle_name::LOST, detail));
        }
        let books = &mut self.books;
        let seen = check_served(books, place, topic.is_compacted, from, batches)?;
        let served_end = seen.next.unwrap_or(from);
        if served_end > end || (seen.next.is_none() && from < end) {
            let detail = format!("{place:?}: served {from} to {served_end}, the end is {end}");
            return Err(broken(oracle_name::LOST, detail));
        }
        Ok(seen)
    }

    fn check_fetch_error(
        &mut self,
        place: Place,
        from: u64,
        ends: (u64, u64),
        error: ErrorKind,
    ) -> Result<(), Broken> {
        let topic = self.plan.topics[place.0];
        match error {
            ErrorKind::OffsetOutOfRange if !topic.is_retained() => Ok(()),
            ErrorKind::OffsetOutOfRange if from < ends.0 || from > ends.1 => Ok(()),
            ErrorKind::UnknownTopicOrPartition if !self.created.contains(&place.0) => Ok(()),
            ErrorKind::StorageFailed if self.has_flipped_bit => {
                self.damaged.insert(place);
                Ok(())
            }
            _ => self.explained(error, &format!("a fetch of {place:?}")),
        }
    }

    fn hear_listed(
        &mut self,
        place: Place,
        ends: (u64, u64),
        time_ms: i64,
        listed: &[Result<ListedOffset, ErrorKind>],
    ) -> Result<(), Broken> {
        let [earliest, latest, by_time] = listed else {
            return Err(wrong_answer("offsets"));
        };
        for answer in listed {
            if let Err(error) = answer {
                let is_absent = *error == ErrorKind::UnknownTopicOrPartition
                    && !self.created.contains(&place.0);
                let is_over = *error == ErrorKind::OffsetOutOfRange
                    && !self.plan.topics[place.0].is_retained();
                return if is_absent || is_over {
                    Ok(())
                } else {
                    self.explained(*error, "offsets")
                };
            }
        }
        let offset = |answer: &Result<ListedOffset, _>| answer.ok().and_then(|l| l.offset);
        let (Some(start), Some(end)) = (offset(earliest), offset(latest)) else {
            return Err(wrong_answer("offsets"));
        };
        self.books.learn_ends(place, start.0, end.0, ends)?;
        let topic = self.plan.topics[place.0];
        if topic.is_retained() && !topic.is_compacted {
            let found = by_time
                .ok()
                .and_then(|l| Some((l.offset?.0, l.timestamp_ms)));
            self.check_time(place, ends.1, time_ms, found)?;
        }
        Ok(())
    }

    /// The first record at or after a time: among what was known when it was asked for.
    fn check_time(
        &mut self,
        place: Place,
        known_end: u64,
        time_ms: i64,
        found: Option<(u64, i64)>,
    ) -> Result<(), Broken> {
        let known = self.books.partitions.get(&place);
        let batches = known.into_iter().flat_map(|known| &known.by_offset);
        let records = batches.filter_map(|(at, serial)| Some((*at, self.books.sent(*serial)?)));
        let mut expected = None;
        let mut time_of_found = None;
        for (at, sent) in records {
            for delta in 0..u64::from(sent.record_count) {
                let time = sent.time_ms.saturating_add_unsigned(delta);
                if time >= time_ms && at + delta < known_end {
                    expected = expected.or(Some(at + delta));
                }
                if found.is_some_and(|(offset, _)| offset == at + delta) {
                    time_of_found = Some(time);
                }
            }
        }
        let is_early_enough = match (found, expected) {
            (Some((offset, _)), Some(expected)) => offset <= expected,
            (None, Some(_)) => false,
            (_, None) => true,
        };
        let is_true = found.is_none_or(|(_, time)| {
            time >= time_ms && time_of_found.is_none_or(|known| known == time)
        });
        if is_early_enough && is_true {
            return Ok(());
        }
        let detail = format!(
            "{place:?}: first at {time_ms} is {found:?}, expected {expected:?}, its time {time_of_found:?}"
        );
        Err(broken(oracle_name::LOST, detail))
    }

    /// A refusal needs a reason: a fault since the start, or a node that is not ready for one.
    pub(super) fn explained(&mut self, error: ErrorKind, what: &str) -> Result<(), Broken> {
        let is_of_the_node = match error {
            ErrorKind::NotLeader
            | ErrorKind::StorageFull
            | ErrorKind::StorageFailed
            | ErrorKind::ShuttingDown
            | ErrorKind::TimedOut
            | ErrorKind::CoordinatorLoading
            | ErrorKind::NotCoordinator => true,
            // Topics and nodes are known once the metadata group has its leader.
            ErrorKind::UnknownTopicOrPartition | ErrorKind::InvalidReplicationFactor => {
                !self.node().is_ready()
            }
            _ => false,
        };
        let is_full = error == ErrorKind::StorageFull && !self.has_roomy_log();
        if is_full || (is_of_the_node && self.may_fail()) {
            return Ok(());
        }
        let detail = format!("{what}: {error:?}");
        Err(broken(oracle_name::NO_FAULT_NO_ERROR, detail))
    }

    /// Once nothing is left to do, only those wait who asked to.
    pub(super) fn check_answered(&mut self) -> Result<(), Broken> {
        let now_ms = self.elapsed_ms();
        if self.may_fail() || !self.node().is_ready() {
            return Ok(());
        }
        let mut late = self
            .node()
            .asked
            .values()
            .filter(|asked| !asked.may_wait(now_ms));
        match late.next() {
            None => Ok(()),
            Some(asked) => {
                let detail = format!("never answered: {asked:?}");
                Err(broken(oracle_name::NO_FAULT_NO_ERROR, detail))
            }
        }
    }
}

pub(super) fn wrong_answer(what: &str) -> Broken {
    broken(
        oracle_name::INVENTED,
        format!("an answer to something else: {what}"),
    )
}
