//! How the files of a history become a record.

use super::event::{Action, Event};
use super::record::{
    Death, Delivery, Outcome, Publish, Queue, Record, Session, Settle, Value, Way,
};
use crate::history::Kind;
use anyhow::{Context, Result, bail, ensure};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// What one process's file has told so far.
#[derive(Default)]
struct Reader {
    sessions: HashMap<u32, Open>,
}

/// A session under way.
struct Open {
    /// Index in the record.
    index: u32,
    is_tx: bool,
    /// The last delivery of each value.
    held: HashMap<Value, u32>,
    /// Settled, but not committed.
    pending: Vec<u32>,
    /// A commit that was asked for, and what it settles.
    commit: Option<(u64, Vec<u32>)>,
    /// What it is given now was sent after this.
    sent_after_ns: u64,
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
        // Consumers' files speak of what publishers' files tell.
        for is_publishing in [true, false] {
            for path in &paths {
                let file = File::open(path).with_context(|| path.display().to_string())?;
                record
                    .read_file(BufReader::with_capacity(1 << 20, file), is_publishing)
                    .with_context(|| path.display().to_string())?;
            }
        }
        Ok(record)
    }

    fn read_file(&mut self, mut file: impl BufRead, is_publishing: bool) -> Result<()> {
        let mut reader = Reader::default();
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
            let taken = match (event.f, is_publishing) {
                (Action::Queue, true) => self.take_queue(&event),
                (Action::Publish, true) => self.take_publish(&event),
                (Action::Queue | Action::Publish, false) | (_, true) => Ok(()),
                (_, false) => self.take_session(&event, &mut reader),
            };
            taken.with_context(|| format!("line {number}"))?;
        }
    }

    fn take_queue(&mut self, event: &Event<'_>) -> Result<()> {
        let owned = |name: &std::borrow::Cow<'_, str>| name.clone().into_owned();
        self.queues.push(Queue {
            name: event.queue.as_ref().map(owned).context("its name")?,
            from: event.from.iter().map(owned).collect(),
            dead: event.dead.as_ref().map(owned),
            ttl_ms: event.ttl_ms,
            delay_ms: event.delay_ms,
            limit: event.limit,
            one: event.one,
        });
        Ok(())
    }

    fn take_publish(&mut self, event: &Event<'_>) -> Result<()> {
        let text = event.value.as_deref().context("a publish has a value")?;
        let (process, number) = split(text).context("a value is PROCESS-NUMBER")?;
        ensure!(process == event.process, "{text} is somebody else's value");
        let sender = self.sender(process);
        let outcome = match (event.kind, event.returned) {
            (Kind::Invoke, _) => {
                let to = event.to.as_deref().context("a publish has an address")?;
                let publish = Publish {
                    to: self.address(to),
                    fate: event.fate.context("a publish has a fate")?,
                    ttl_ms: event.ttl_ms,
                    connection: event.connection,
                    begun_ns: event.time_ns,
                    outcome: Outcome::Unsure,
                };
                let publishes = &mut self.publishes[sender as usize];
                ensure!(publishes.len() == number as usize, "{text} is out of turn");
                publishes.push(publish);
                return Ok(());
            }
            (Kind::Ok, _) => Outcome::Confirmed,
            (Kind::Fail, true) => Outcome::Returned,
            (Kind::Fail, false) => Outcome::Failed,
            (Kind::Info, _) => Outcome::Unsure,
        };
        if outcome == Outcome::Confirmed {
            self.confirms.push((sender, event.time_ns));
        }
        let publishes = &mut self.publishes[sender as usize];
        let publish = publishes.get_mut(number as usize);
        publish.context("it was published before")?.outcome = outcome;
        Ok(())
    }

    fn take_session(&mut self, event: &Event<'_>, reader: &mut Reader) -> Result<()> {
        let number = event.session.context("of no session")?;
        if (event.f, event.kind) == (Action::Consume, Kind::Invoke) {
            let open = self.open(event, number)?;
            reader.sessions.insert(number, open);
            return Ok(());
        }
        let open = reader.sessions.get_mut(&number);
        let open = open.context("a session that has not begun")?;
        let session = open.index as usize;
        match event.f {
            Action::Consume if event.kind == Kind::Ok => {
                self.sessions[session].started_ns = Some(event.time_ns);
            }
            Action::Consume => {}
            Action::Deliver => self.take_delivery(event, open)?,
            Action::Ack => self.take_settle(event, open, Way::Ack)?,
            Action::Reject => self.take_settle(event, open, Way::Reject)?,
            Action::Requeue => self.take_settle(event, open, Way::Requeue)?,
            Action::Commit => self.take_commit(event, open)?,
            Action::End => {
                let session = &mut self.sessions[session];
                session.ended_ns = session.ended_ns.or(Some(event.time_ns));
                session.is_cancelled |= event.cancelled;
            }
            Action::Queue | Action::Publish => bail!("a consumer neither describes nor publishes"),
        }
        Ok(())
    }

    fn open(&mut self, event: &Event<'_>, number: u32) -> Result<Open> {
        let queue = event.queue.as_deref().context("a session has a queue")?;
        let index = u32::try_from(self.sessions.len()).context("too many sessions")?;
        self.sessions.push(Session {
            name: format!("{}/{number}", event.process),
            queue: self.queue(queue).context("a queue that nobody described")?,
            prefetch: event.prefetch,
            asked_ns: event.time_ns,
            started_ns: None,
            ended_ns: None,
            is_cancelled: false,
            committed_ns: None,
            deliveries: Vec::new(),
        });
        Ok(Open {
            index,
            is_tx: event.tx,
            held: HashMap::new(),
            pending: Vec::new(),
            commit: None,
            sent_after_ns: event.time_ns,
        })
    }

    fn take_delivery(&mut self, event: &Event<'_>, open: &mut Open) -> Result<()> {
        let text = event.value.as_deref().context("a delivery has a value")?;
        let value = self.value(text);
        let index = u32::try_from(self.deliveries.len()).context("too many deliveries")?;
        let death = event.reason.as_deref().map(|reason| Death {
            reason: reason.to_owned(),
            count: event.deaths,
        });
        self.deliveries.push(Delivery {
            session: open.index,
            value,
            time_ns: event.time_ns,
            sent_after_ns: open.sent_after_ns,
            redelivered: event.redelivered,
            death,
            settle: None,
        });
        self.sessions[open.index as usize].deliveries.push(index);
        open.held.insert(value, index);
        Ok(())
    }

    fn take_settle(&mut self, event: &Event<'_>, open: &mut Open, way: Way) -> Result<()> {
        let text = event.value.as_deref().context("what is settled?")?;
        let value = self.value(text);
        let index = *open.held.get(&value).context("it was not delivered")?;
        let told_ns = (!open.is_tx).then_some(event.time_ns);
        self.deliveries[index as usize].settle = Some(Settle {
            way,
            told_ns,
            confirmed_ns: None,
        });
        if open.is_tx {
            open.pending.push(index);
        }
        Ok(())
    }

    fn take_commit(&mut self, event: &Event<'_>, open: &mut Open) -> Result<()> {
        match event.kind {
            Kind::Invoke => {
                let settled = std::mem::take(&mut open.pending);
                for index in &settled {
                    if let Some(settle) = &mut self.deliveries[*index as usize].settle {
                        settle.told_ns = Some(event.time_ns);
                    }
                }
                open.commit = Some((event.time_ns, settled));
            }
            Kind::Ok => {
                let (asked_ns, settled) = open.commit.take().context("nobody asked for it")?;
                for index in settled {
                    if let Some(settle) = &mut self.deliveries[index as usize].settle {
                        settle.confirmed_ns = Some(event.time_ns);
                    }
                }
                open.sent_after_ns = asked_ns;
                let session = &mut self.sessions[open.index as usize];
                if session.ended_ns.is_none() {
                    session.committed_ns = Some(asked_ns);
                }
            }
            Kind::Fail | Kind::Info => {}
        }
        Ok(())
    }

    fn sender(&mut self, process: &str) -> u32 {
        if let Some(index) = self.indexes.get(process) {
            return *index;
        }
        let index = u32::try_from(self.senders.len()).expect("fewer processes than numbers");
        self.senders.push(process.to_owned());
        self.publishes.push(Vec::new());
        self.indexes.insert(process.to_owned(), index);
        index
    }

    fn address(&mut self, name: &str) -> u32 {
        let known = self.addresses.iter().position(|it| it == name);
        let index = known.unwrap_or_else(|| {
            self.addresses.push(name.to_owned());
            self.addresses.len() - 1
        });
        u32::try_from(index).expect("fewer addresses than numbers")
    }

    fn value(&mut self, text: &str) -> Value {
        let known = split(text).and_then(|(process, number)| {
            let sender = *self.indexes.get(process)?;
            Some(Value { sender, number })
        });
        known
            .filter(|value| self.publish(*value).is_some())
            .unwrap_or_else(|| {
                let known = self.foreign.iter().position(|it| it == text);
                let number = known.unwrap_or_else(|| {
                    self.foreign.push(text.to_owned());
                    self.foreign.len() - 1
                });
                Value {
                    sender: Value::FOREIGN,
                    number: u32::try_from(number).expect("fewer texts than numbers"),
                }
            })
    }
}

/// Process and number.
fn split(text: &str) -> Option<(&str, u32)> {
    let (process, number) = text.rsplit_once('-')?;
    Some((process, number.parse().ok()?))
}
