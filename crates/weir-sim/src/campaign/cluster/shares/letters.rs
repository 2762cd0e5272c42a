//! Dead letters (KIP-1191): read to their ends, and held against what was said of their records.

use weir_broker::{
    Ticket,
    api::{Fetched, FetchedBatches},
};
use weir_model::{
    batch::{BatchHeader, HEADER_BYTES, verify_crc},
    record::{Record, Records},
};

use super::{
    books::How,
    judge::{is_accepted, is_rejected},
    setup::letters_topic,
    state::{ShareAsked, group_name},
};
use crate::{
    campaign::{
        cluster::{
            answers::{What, wrong_answer},
            books::{Place, Stood},
            readers::fetch_request,
            run::Cluster,
        },
        node::batch::read_value,
    },
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// Within this time a read of letters gets on.
const READ_MS: u64 = 60_000;

/// A letter, apart from which record it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    count: u32,
    is_rejected: bool,
    /// Which batch's record it has a copy of, and the place there.
    copied: Option<(u64, u32)>,
}

/// What a letter says.
#[derive(Clone, Copy)]
struct Told {
    place: Place,
    offset: u64,
    letter: Letter,
}

impl Cluster<'_> {
    /// Reads all letters of all groups.
    pub(super) fn read_letters(&mut self) -> Result<(), Broken> {
        for group in 0..self.plan.shares.groups.len() {
            let count = self.plan.shares.groups[group].letter_partition_count;
            for index in 0..count.unwrap_or(0) {
                self.read_letters_of(group, (letters_topic(group), index))?;
            }
        }
        Ok(())
    }

    fn read_letters_of(&mut self, group: usize, place: Place) -> Result<(), Broken> {
        let members = self.shares.members.iter();
        let mut reader = members.filter(|member| member.group == group && member.drains);
        let Some(client) = reader.next().map(|member| member.client) else {
            return Ok(());
        };
        self.shares.letters = (0, false);
        let (mut until_ms, mut reached) = (self.now_ms + READ_MS, 0);
        while !self.shares.letters.1 {
            let from = self.shares.letters.0;
            if from > reached {
                (until_ms, reached) = (self.now_ms + READ_MS, from);
            }
            if self.now_ms > until_ms {
                let detail = format!("letters {place:?} cannot be read from {from} on");
                return Err(broken(oracle_name::PROGRESS, detail));
            }
            let Some(machine) = self.route(client, place) else {
                self.run_until(self.now_ms + 1)?;
                continue;
            };
            let ticket = Ticket(self.next_ticket);
            let asked = ShareAsked::Letters { place, from };
            let request = fetch_request(place, from, 0, false);
            self.ask(machine, client, request, What::Share(asked));
            while self.open.contains_key(&ticket) {
                self.run_until(self.now_ms + 1)?;
            }
        }
        Ok(())
    }

    pub(super) fn letters_answered(
        &mut self,
        client: usize,
        place: Place,
        from: u64,
        fetched: &Fetched,
    ) -> Result<(), Broken> {
        let batches = match &fetched.batches {
            Ok(batches) => batches,
            Err(error) => {
                self.clients[client].forget_route(place);
                return self.check_error(*error, false, "dead letters");
            }
        };
        let group = place.0 - letters_topic(0);
        let (told, next) = read(group, from, batches)?;
        for told in told {
            self.judge_letter(group, told)?;
        }
        let is_whole = next == fetched.high_watermark.0 && next == from;
        self.shares.letters = (next, is_whole);
        Ok(())
    }

    fn judge_letter(&mut self, group: usize, told: Told) -> Result<(), Broken> {
        self.counts.add("share_letters", 1);
        let plan = self.plan.shares.groups[group];
        let Told {
            place,
            offset,
            letter,
        } = told;
        let key = (group, place, offset);
        let wrong = |why: &str| format!("{key:?}: a letter {why}: {letter:?}");
        let topics = self.topics_of(group);
        if !topics.contains(&place.0) {
            return Err(broken(oracle_name::INVENTED, wrong("of a topic of others")));
        }
        let is_kept = self.plan.topics[place.0].retention_bytes.is_none();
        let source = self.source_of(place, offset);
        if source.is_none() && is_kept {
            return Err(broken(oracle_name::INVENTED, wrong("of no record")));
        }
        // Of what retention took there is nothing to copy.
        let is_copy = match letter.copied {
            None => !plan.copies_letters || !is_kept,
            copied => plan.copies_letters && (copied == source || source.is_none()),
        };
        let story = self.shares.books.story(key);
        let mut rejected = story.iter().filter(|it| it.fate.may_be(How::Reject));
        let is_due = match letter.is_rejected {
            true => rejected.any(|it| it.count == letter.count),
            false => letter.count == plan.delivery_limit && !is_rejected(story),
        };
        let known = self.shares.books.letters.entry(key).or_default();
        let is_same = known.first().is_none_or(|first| *first == letter);
        known.push(letter);
        let story = self.shares.books.story(key);
        let why = if is_accepted(story) {
            "of what is accepted"
        } else if !is_due {
            "without a reason"
        } else if !is_copy {
            "with a wrong copy"
        } else if !is_same {
            "that is not as the one before"
        } else {
            return Ok(());
        };
        let detail = format!("{}, from {source:?}: {story:?}", wrong(why));
        Err(broken(oracle_name::DEAD_LETTERS, detail))
    }

    /// Which record of which batch stands there.
    fn source_of(&self, place: Place, offset: u64) -> Option<(u64, u32)> {
        let known = self.books.partitions.get(&place)?;
        let (base, standing) = known.standing.range(..=offset).next_back()?;
        match standing.stood {
            Stood::Batch(serial) if offset < standing.end => {
                Some((serial, u32::try_from(offset - base).ok()?))
            }
            Stood::Batch(_) | Stood::Marker { .. } => None,
        }
    }
}

fn read(group: usize, from: u64, served: &FetchedBatches) -> Result<(Vec<Told>, u64), Broken> {
    let damaged = |what: String| broken(oracle_name::CORRUPTION, format!("letters: {what}"));
    let bytes: Vec<u8> = served.chunks.concat();
    let (mut rest, mut next, mut told) = (bytes.as_slice(), from, Vec::new());
    while !rest.is_empty() {
        let header = BatchHeader::parse(rest).map_err(|error| damaged(error.to_string()))?;
        let (batch, behind) = rest.split_at(header.size_bytes);
        verify_crc(batch).map_err(|error| damaged(error.to_string()))?;
        let base = header.base_offset.unsigned_abs();
        for record in Records::new(&batch[HEADER_BYTES..], header.record_count) {
            let record = record.map_err(|error| damaged(error.to_string()))?;
            let at = base + u64::from(record.offset_delta);
            if at >= from {
                let read = read_letter(group, &record);
                told.push(read.ok_or_else(|| wrong_answer(&format!("a letter: {record:?}")))?);
            }
        }
        next = base + header.offset_count();
        rest = behind;
    }
    Ok((told, next))
}

/// What a letter's headers say; `None`: they are not what they should be.
fn read_letter(group: usize, record: &Record<'_>) -> Option<Told> {
    let header = |name: &str| {
        let mut headers = record.headers();
        let (_, value) = headers.find(|(known, _)| *known == name.as_bytes())?;
        std::str::from_utf8(value?).ok()
    };
    if header("__dlq.errors.group")? != group_name(group) {
        return None;
    }
    let topic = header("__dlq.errors.topic")?.strip_prefix("topic-")?;
    let is_rejected = match header("__dlq.errors.message")? {
        "Offset rejected by client." => true,
        "Offset delivery count exceeded the threshold." => false,
        _ => return None,
    };
    Some(Told {
        place: (
            topic.parse().ok()?,
            header("__dlq.errors.partition")?.parse().ok()?,
        ),
        offset: header("__dlq.errors.offset")?.parse().ok()?,
        letter: Letter {
            count: header("__dlq.errors.delivery.count")?.parse().ok()?,
            is_rejected,
            copied: record.value.and_then(read_value),
        },
    })
}
