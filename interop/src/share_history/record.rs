//! A history in memory: what was sent, by value, and what became of each place.

use super::event::{Action, Event, How};
use crate::history::Kind;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// A place: partition and offset.
pub(super) type Place = (u32, u64);

/// A record that a member got.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    /// Whom it went to.
    pub member: String,
    /// What was in it.
    pub value: String,
    /// The delivery count that was told.
    pub count: u32,
    /// When it was received.
    pub time_ns: u64,
}

/// What a member said of a record.
#[derive(Clone, Debug)]
pub(super) struct Settle {
    /// Who.
    pub member: String,
    /// What.
    pub how: How,
    /// When the broker had confirmed it.
    pub confirmed_ns: Option<u64>,
}

/// What became of a place.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// Who got it.
    pub deliveries: Vec<Delivery>,
    /// What they said.
    pub settles: Vec<Settle>,
}

/// A history.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Partition of each value that was sent.
    pub(super) sent: HashMap<String, u32>,
    /// Where each acknowledged value lies, by place.
    pub(super) acked: BTreeMap<Place, String>,
    /// Values that certainly were not sent.
    pub(super) failed: HashSet<String>,
    /// All places that were delivered.
    pub(super) stories: BTreeMap<Place, Story>,
    /// Partition and time of each acknowledgement, sorted.
    pub(super) acks_ns: Vec<(u32, u64)>,
}

impl Record {
    /// Reads a directory.
    pub(crate) fn read(directory: &Path) -> Result<Self> {
        let mut record = Self::default();
        let entries = std::fs::read_dir(directory);
        for entry in entries.with_context(|| directory.display().to_string())? {
            let path = entry?.path();
            if path.extension() == Some(OsStr::new("jsonl")) {
                record
                    .add_file(&path)
                    .with_context(|| path.display().to_string())?;
            }
        }
        record.acks_ns.sort_unstable();
        Ok(record)
    }

    fn add_file(&mut self, path: &Path) -> Result<()> {
        for line in BufReader::new(File::open(path)?).split(b'\n') {
            // A client that was killed may leave half a line behind; the next one has another file.
            if let Ok(event) = serde_json::from_slice::<Event<'_>>(&line?) {
                self.add(&event);
            }
        }
        Ok(())
    }

    fn add(&mut self, event: &Event<'_>) {
        let value = event.value.as_deref().unwrap_or_default();
        match (event.f, event.offset) {
            (Action::Send, offset) => self.add_send(event, value, offset),
            (Action::Deliver, Some(offset)) => {
                let story = self.stories.entry((event.key, offset)).or_default();
                story.deliveries.push(Delivery {
                    member: event.process.to_string(),
                    value: value.to_owned(),
                    count: event.count,
                    time_ns: event.time_ns,
                });
            }
            (Action::Settle, Some(offset)) => self.add_settle(event, offset),
            (Action::Identity, _) | (Action::Deliver | Action::Settle, None) => {}
        }
    }

    fn add_send(&mut self, event: &Event<'_>, value: &str, offset: Option<u64>) {
        match (event.kind, offset) {
            (Kind::Invoke, _) => drop(self.sent.insert(value.to_owned(), event.key)),
            (Kind::Ok, Some(offset)) => {
                self.acked.insert((event.key, offset), value.to_owned());
                self.acks_ns.push((event.key, event.time_ns));
            }
            (Kind::Fail, _) => drop(self.failed.insert(value.to_owned())),
            (Kind::Ok, None) | (Kind::Info, _) => {}
        }
    }

    fn add_settle(&mut self, event: &Event<'_>, offset: u64) {
        let Some(how) = event.how else { return };
        let story = self.stories.entry((event.key, offset)).or_default();
        match event.kind {
            Kind::Invoke => story.settles.push(Settle {
                member: event.process.to_string(),
                how,
                confirmed_ns: None,
            }),
            Kind::Ok => {
                let mut asked = story.settles.iter_mut().rev();
                let asked = asked.find(|it| it.member == event.process && it.how == how);
                if let Some(settle) = asked {
                    settle.confirmed_ns.get_or_insert(event.time_ns);
                }
            }
            Kind::Fail | Kind::Info => {}
        }
    }

    /// Places that were acknowledged to their senders and of which no member has said that it is
    /// done: somebody must get them still, unless the delivery limit took them.
    pub(crate) fn wanted(&self) -> Vec<(u32, u64)> {
        let open = self.acked.keys().filter(|place| {
            let story = self.stories.get(place);
            !story.is_some_and(|story| story.is_over() || story.may_be_archived())
        });
        open.copied().collect()
    }
}

impl Story {
    /// Whether somebody said that nobody is to get it any more.
    pub(super) fn is_over(&self) -> bool {
        self.settles.iter().any(|settle| settle.how.is_final())
    }

    /// Whether it was delivered as often as it may be.
    pub(super) fn may_be_archived(&self) -> bool {
        self.deliveries
            .iter()
            .any(|it| it.count >= super::check::DELIVERY_LIMIT)
    }
}
