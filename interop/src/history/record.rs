//! A history in memory: sends by producer and number, reads by place.

use super::event::{Action, Event, FINAL_READER, Kind};
use super::transaction::{Outcome, Transaction};
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// An identity given so long before or behind a send may explain what became of it.
const NEAR_NS: u64 = 60_000_000_000;

/// A value: its sender and its number there, or the index of a text that is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Value {
    /// Index of the sender, [`Value::FOREIGN`] for what looks like nobody's.
    pub sender: u32,
    /// Number.
    pub number: u32,
}

impl Value {
    /// Sender of what is no value at all.
    pub(super) const FOREIGN: u32 = u32::MAX;
}

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It may have happened.
    Unsure,
    /// Acknowledged, with its offset where the client tells.
    Acked(Option<u64>),
    /// It did not happen.
    Failed,
}

/// One send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Send {
    /// Partition.
    pub key: u32,
    /// What became of it.
    pub fate: Fate,
    /// Index of its transaction.
    pub transaction: Option<u32>,
    /// Its key, where the topic is compacted.
    pub message_key: Option<u32>,
    /// When it began.
    pub begun_ns: u64,
}

/// What lies at one offset of a partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// The value read first.
    pub value: Value,
    /// A final reader got it.
    pub is_final: bool,
    /// When somebody got it first.
    pub first_ns: u64,
}

/// A reader that began on a partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    /// Partition.
    pub key: u32,
    /// When.
    pub time_ns: u64,
    /// The first offset it got.
    pub first: u64,
}

/// A commit that happened or may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Commit {
    /// Partition.
    pub key: u32,
    /// When its answer came.
    pub time_ns: u64,
    /// Next offset to read.
    pub offset: u64,
    /// It happened for certain.
    pub is_sure: bool,
}

/// A producer's id and epoch, from some time on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    /// Whose.
    pub sender: u32,
    /// Since when.
    pub time_ns: u64,
    /// Id.
    pub producer_id: i64,
    /// Epoch.
    pub epoch: i32,
}

#[derive(Clone, Copy, Debug)]
struct Ack {
    key: u32,
    begun_ns: u64,
    time_ns: u64,
}

/// A history.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Names of senders.
    pub(super) senders: Vec<String>,
    indexes: HashMap<String, u32>,
    /// Sends by sender, by number.
    pub(super) sends: Vec<Vec<Send>>,
    /// Texts that are no values.
    pub(super) foreign: Vec<String>,
    /// What was read, by partition and offset.
    pub(super) slots: HashMap<(u32, u64), Slot>,
    /// Two values at one place: the place, what was there, what came.
    pub(super) conflicts: Vec<(u32, u64, Value, Value)>,
    /// Highest offset that a final reader got, by partition.
    pub(super) final_ends: HashMap<u32, u64>,
    /// Whether there was a final reader.
    pub(super) has_final: bool,
    /// Offsets that a reader passed over: partition, first, end.
    pub(super) gaps: Vec<(u32, u64, u64)>,
    /// Messages that were not behind the one before: reader, partition, offset.
    pub(super) backward: Vec<(String, u32, u64)>,
    /// Group readers' beginnings.
    pub(super) sessions: Vec<Session>,
    /// Commits with an answer.
    pub(super) commits: Vec<Commit>,
    /// All transactions.
    pub(super) transactions: Vec<Transaction>,
    /// The one that a sender is in.
    open: HashMap<u32, u32>,
    /// Ids and epochs of producers.
    pub(super) identities: Vec<Identity>,
    /// What lies in copied topics in order, by reader and partition.
    pub(super) copies: BTreeMap<(String, u32), Vec<Value>>,
    acks: Vec<Ack>,
    /// Messages handed out.
    pub(super) poll_count: u64,
}

/// Where a reader stands on a partition.
#[derive(Clone, Copy)]
enum Position {
    /// It began here, without a first message yet.
    Started { time_ns: u64, at: Option<u64> },
    /// It got this offset last.
    Got(u64),
}

impl Record {
    /// Reads all files of a history. A last line without its end, as a killed client leaves it, is
    /// passed over; any other line that is not an event is an error.
    pub(crate) fn read(directory: &Path) -> Result<Self> {
        let mut paths = Vec::new();
        for entry in
            std::fs::read_dir(directory).with_context(|| directory.display().to_string())?
        {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "jsonl") {
                paths.push(path);
            }
        }
        ensure!(!paths.is_empty(), "{}: no *.jsonl", directory.display());
        paths.sort();
        let mut record = Self::default();
        for path in &paths {
            let file = File::open(path).with_context(|| path.display().to_string())?;
            record
                .read_file(BufReader::with_capacity(1 << 20, file))
                .with_context(|| path.display().to_string())?;
        }
        Ok(record)
    }

    /// Partition and time of all acknowledgements, in order.
    pub(crate) fn ack_times_ns(&self) -> Vec<(u32, u64)> {
        let acks = self.acks.iter();
        let mut times: Vec<_> = acks.map(|ack| (ack.key, ack.time_ns)).collect();
        times.sort_unstable();
        times
    }

    /// Of all acknowledged sends, when each began and how long it took.
    pub(crate) fn send_delays_ns(&self) -> Vec<(u64, u64)> {
        let acks = self.acks.iter();
        acks.map(|ack| (ack.begun_ns, ack.time_ns.saturating_sub(ack.begun_ns)))
            .collect()
    }

    /// Highest offset that was acknowledged and not aborted, by partition.
    pub(crate) fn acked_ends(&self) -> BTreeMap<u32, u64> {
        let mut ends = BTreeMap::new();
        for send in self.sends.iter().flatten() {
            let is_certain = self
                .transaction_of(send)
                .is_none_or(Transaction::is_committed);
            if let (Fate::Acked(Some(offset)), true) = (send.fate, is_certain) {
                let end = ends.entry(send.key).or_insert(offset);
                *end = offset.max(*end);
            }
        }
        ends
    }

    /// The longest time from asking for a commit to its answer.
    pub(crate) fn slowest_commit_ns(&self) -> u64 {
        let delays = self.transactions.iter().map(Transaction::commit_ns);
        delays.max().unwrap_or(0)
    }

    /// The transaction that a send belongs to.
    pub(super) fn transaction_of(&self, send: &Send) -> Option<&Transaction> {
        self.transactions.get(send.transaction? as usize)
    }

    /// The send of a value.
    pub(super) fn send(&self, value: Value) -> Option<&Send> {
        let sends = self.sends.get(value.sender as usize)?;
        sends.get(value.number as usize)
    }

    fn read_file(&mut self, mut file: impl BufRead) -> Result<()> {
        let mut positions = HashMap::new();
        let mut line = Vec::new();
        let mut number = 0_u64;
        loop {
            line.clear();
            if file.read_until(b'\n', &mut line)? == 0 || line.last() != Some(&b'\n') {
                return Ok(());
            }
            number += 1;
            let event: Event<'_> =
                serde_json::from_slice(&line).with_context(|| format!("line {number}"))?;
            self.take(&event, &mut positions)
                .with_context(|| format!("line {number}"))?;
        }
    }

    fn take(&mut self, event: &Event<'_>, positions: &mut HashMap<u32, Position>) -> Result<()> {
        match (event.f, event.kind) {
            (Action::Send, kind) => self.take_send(event, kind)?,
            (Action::Poll, Kind::Ok) => self.take_poll(event, positions)?,
            (Action::Commit, Kind::Ok | Kind::Info) => self.commits.push(Commit {
                key: event.key,
                time_ns: event.time_ns,
                offset: event.offset.context("a commit has an offset")?,
                is_sure: event.kind == Kind::Ok,
            }),
            (Action::Assign, Kind::Ok) => {
                self.has_final |= event.process.starts_with(FINAL_READER);
                let started = Position::Started {
                    time_ns: event.time_ns,
                    at: event.offset,
                };
                positions.insert(event.key, started);
            }
            (Action::Begin, Kind::Invoke) => {
                let sender = self.sender(&event.process);
                let index = u32::try_from(self.transactions.len()).context("too many")?;
                self.transactions.push(Transaction::new(event.time_ns));
                self.open.insert(sender, index);
            }
            (Action::End, kind) => self.take_end(event, kind)?,
            (Action::Identity, _) => {
                let sender = self.sender(&event.process);
                self.identities.push(Identity {
                    sender,
                    time_ns: event.time_ns,
                    producer_id: event.producer_id.context("an identity has an id")?,
                    epoch: event.epoch.context("an identity has an epoch")?,
                });
            }
            (Action::Copy, kind) => {
                let value = event.value.as_deref().map(|text| self.value(text));
                let place = (event.process.clone().into_owned(), event.key);
                let copies = self.copies.entry(place).or_default();
                copies.extend(value.filter(|_| kind == Kind::Ok));
            }
            (Action::Poll | Action::Assign, Kind::Invoke | Kind::Fail | Kind::Info)
            | (Action::Begin, Kind::Ok | Kind::Fail | Kind::Info)
            | (Action::Commit, Kind::Invoke | Kind::Fail) => {}
        }
        Ok(())
    }

    fn take_end(&mut self, event: &Event<'_>, kind: Kind) -> Result<()> {
        let sender = self.sender(&event.process);
        let open = match kind {
            Kind::Invoke => self.open.get(&sender).copied(),
            Kind::Ok | Kind::Fail | Kind::Info => self.open.remove(&sender),
        };
        let transaction = &mut self.transactions[open.context("a transaction is open")? as usize];
        let time_ns = event.time_ns;
        match kind {
            Kind::Invoke => transaction.asked_ns = Some(time_ns),
            Kind::Ok => transaction.end(Outcome::Committed, time_ns),
            Kind::Fail => transaction.end(Outcome::Aborted, time_ns),
            Kind::Info => transaction.end(Outcome::Unsure, time_ns),
        }
        Ok(())
    }

    fn take_send(&mut self, event: &Event<'_>, kind: Kind) -> Result<()> {
        let text = event.value.as_deref().context("a send has a value")?;
        let value = self.value(text);
        ensure!(
            value.sender != Value::FOREIGN,
            "{text:?} is not PROCESS-NUMBER"
        );
        let transaction = self.open.get(&value.sender).copied();
        let sends = &mut self.sends[value.sender as usize];
        if kind == Kind::Invoke {
            ensure!(
                value.number as usize == sends.len(),
                "{text} is sent twice or out of turn"
            );
            sends.push(Send {
                key: event.key,
                fate: Fate::Unsure,
                transaction,
                message_key: event.message_key,
                begun_ns: event.time_ns,
            });
            return Ok(());
        }
        let Some(send) = sends.get_mut(value.number as usize) else {
            bail!("{text} ends before it begins");
        };
        send.fate = match kind {
            Kind::Ok => Fate::Acked(event.offset),
            Kind::Fail => Fate::Failed,
            Kind::Info | Kind::Invoke => Fate::Unsure,
        };
        if kind == Kind::Ok {
            let begun_ns = send.begun_ns;
            self.acks.push(Ack {
                key: event.key,
                begun_ns,
                time_ns: event.time_ns,
            });
        }
        Ok(())
    }

    fn take_poll(
        &mut self,
        event: &Event<'_>,
        positions: &mut HashMap<u32, Position>,
    ) -> Result<()> {
        let value = self.value(event.value.as_deref().context("a poll has a value")?);
        let offset = event.offset.context("a poll has an offset")?;
        let key = event.key;
        self.poll_count += 1;
        self.step(event, offset, positions);
        let is_final = event.process.starts_with(FINAL_READER);
        if is_final {
            let end = self.final_ends.entry(key).or_insert(offset);
            *end = offset.max(*end);
        }
        let slot = self.slots.entry((key, offset)).or_insert(Slot {
            value,
            is_final,
            first_ns: event.time_ns,
        });
        slot.is_final |= is_final;
        slot.first_ns = slot.first_ns.min(event.time_ns);
        if slot.value != value {
            self.conflicts.push((key, offset, slot.value, value));
        }
        Ok(())
    }

    /// Moves a reader to `offset` and notes how it got there.
    fn step(&mut self, event: &Event<'_>, offset: u64, positions: &mut HashMap<u32, Position>) {
        let key = event.key;
        match positions.insert(key, Position::Got(offset)) {
            None | Some(Position::Started { at: None, .. })
                if event.process.starts_with(FINAL_READER) => {}
            Some(Position::Started { time_ns, at: None }) => self.sessions.push(Session {
                key,
                time_ns,
                first: offset,
            }),
            Some(Position::Started { at: Some(at), .. }) if offset > at => {
                self.gaps.push((key, at, offset));
            }
            Some(Position::Got(last)) if offset <= last => {
                self.backward
                    .push((event.process.clone().into_owned(), key, offset));
                positions.insert(key, Position::Got(last));
            }
            Some(Position::Got(last)) if offset > last + 1 => {
                self.gaps.push((key, last + 1, offset));
            }
            None | Some(Position::Started { .. } | Position::Got(_)) => {}
        }
    }

    fn value(&mut self, text: &str) -> Value {
        let parsed = text
            .rsplit_once('-')
            .and_then(|(sender, number)| Some((sender, number.parse().ok()?)));
        match parsed {
            Some((sender, number)) => Value {
                sender: self.sender(sender),
                number,
            },
            None => {
                self.foreign.push(text.to_owned());
                Value {
                    sender: Value::FOREIGN,
                    number: u32::try_from(self.foreign.len() - 1).unwrap_or(u32::MAX),
                }
            }
        }
    }

    fn sender(&mut self, name: &str) -> u32 {
        if let Some(index) = self.indexes.get(name) {
            return *index;
        }
        let index = u32::try_from(self.senders.len()).expect("fewer senders than 2^32");
        self.senders.push(name.to_owned());
        self.indexes.insert(name.to_owned(), index);
        self.sends.push(Vec::new());
        index
    }

    /// Whom a value's producer was while it sent it, in words.
    pub(super) fn identities_of(&self, value: Value) -> String {
        let begun_ns = self.send(value).map_or(0, |send| send.begun_ns);
        let of_sender = self
            .identities
            .iter()
            .filter(|it| it.sender == value.sender);
        let mut words = String::new();
        for identity in of_sender.filter(|it| it.time_ns.abs_diff(begun_ns) < NEAR_NS) {
            let behind_ms = (i128::from(identity.time_ns) - i128::from(begun_ns)) / 1_000_000;
            let (id, epoch) = (identity.producer_id, identity.epoch);
            words.push_str(&format!(
                ", id {id} epoch {epoch} {behind_ms} ms behind its begin"
            ));
        }
        words
    }

    /// A value in words.
    pub(super) fn name(&self, value: Value) -> String {
        match self.senders.get(value.sender as usize) {
            Some(sender) => format!("{sender}-{}", value.number),
            None => format!("{:?}", self.foreign.get(value.number as usize)),
        }
    }
}
