//! A history in memory: queues, what was published, sessions and what they were given.

use super::event::{Fate, One};
use std::collections::HashMap;

/// A value: its sender and its number there, or the index of a text that is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// A queue of the workload.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    /// Its name there.
    pub name: String,
    /// The addresses whose messages it gets.
    pub from: Vec<String>,
    /// Where its dead letters go.
    pub dead: Option<String>,
    /// When its messages expire.
    pub ttl_ms: Option<u64>,
    /// How long messages wait before they get there.
    pub delay_ms: Option<u64>,
    /// How often a message may come back.
    pub limit: Option<u32>,
    /// Whether it has one consumer at a time.
    pub one: Option<One>,
}

/// What a publisher knows of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It may be there.
    Unsure,
    /// Confirmed.
    Confirmed,
    /// It is certainly not there.
    Failed,
    /// No queue took it.
    Returned,
}

/// One message.
#[derive(Clone, Debug)]
pub(super) struct Publish {
    /// Index of its address.
    pub to: u32,
    /// What consumers do with it.
    pub fate: Fate,
    /// When it expires, by itself.
    pub ttl_ms: Option<u64>,
    /// Which of its publisher's connections carried it.
    pub connection: u32,
    /// When that began.
    pub begun_ns: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// How a delivery was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Acknowledged.
    Ack,
    /// Refused for good.
    Reject,
    /// Given back.
    Requeue,
}

/// One settlement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settle {
    /// How.
    pub way: Way,
    /// When the broker was told; not at all where its commit was never asked for.
    pub told_ns: Option<u64>,
    /// When the broker had said that it is so.
    pub confirmed_ns: Option<u64>,
}

/// Why a message was dead-lettered, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Death {
    /// The last reason.
    pub reason: String,
    /// How often, all in all.
    pub count: u32,
}

/// One message handed out.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    /// To which session.
    pub session: u32,
    /// What.
    pub value: Value,
    /// When it was received.
    pub time_ns: u64,
    /// It was sent for certain after this.
    pub sent_after_ns: u64,
    /// It says that it may have been handed out before.
    pub redelivered: bool,
    /// It says that it was dead-lettered.
    pub death: Option<Death>,
    /// How it was settled.
    pub settle: Option<Settle>,
}

impl Delivery {
    /// When the broker was told that nobody needs it any more.
    pub(super) fn done(&self) -> Option<Settle> {
        let settle = self.settle?;
        (settle.told_ns.is_some() && settle.way != Way::Requeue).then_some(settle)
    }

    /// When the broker was told to take it back.
    pub(super) fn requeued_ns(&self) -> Option<u64> {
        let settle = self.settle.filter(|settle| settle.way == Way::Requeue)?;
        settle.told_ns
    }
}

/// One consumer of one queue.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Its process and number, for a person.
    pub name: String,
    /// Index of its queue.
    pub queue: u32,
    /// Messages that it may hold.
    pub prefetch: u32,
    /// When it was asked for.
    pub asked_ns: u64,
    /// When it had begun.
    pub started_ns: Option<u64>,
    /// When its client left it.
    pub ended_ns: Option<u64>,
    /// It was left with what it held, which came back later.
    pub is_cancelled: bool,
    /// When the last of its commits that were confirmed was asked for.
    pub committed_ns: Option<u64>,
    /// What it was given, in order.
    pub deliveries: Vec<u32>,
}

/// A history.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Names of publishers.
    pub(super) senders: Vec<String>,
    /// What they are, by name.
    pub(super) indexes: HashMap<String, u32>,
    /// What was published, by sender, by number.
    pub(super) publishes: Vec<Vec<Publish>>,
    /// Names of addresses.
    pub(super) addresses: Vec<String>,
    /// All queues.
    pub(super) queues: Vec<Queue>,
    /// All sessions.
    pub(super) sessions: Vec<Session>,
    /// All deliveries.
    pub(super) deliveries: Vec<Delivery>,
    /// Texts that are no values.
    pub(super) foreign: Vec<String>,
    /// Publisher and time of each confirm.
    pub(super) confirms: Vec<(u32, u64)>,
}

impl Record {
    /// The publish of a value.
    pub(super) fn publish(&self, value: Value) -> Option<&Publish> {
        let publishes = self.publishes.get(value.sender as usize)?;
        publishes.get(value.number as usize)
    }

    /// A value in words.
    pub(super) fn name(&self, value: Value) -> String {
        match value.sender {
            Value::FOREIGN => format!("{:?}", self.foreign[value.number as usize]),
            sender => format!("{}-{}", self.senders[sender as usize], value.number),
        }
    }

    /// A queue by its name.
    pub(super) fn queue(&self, name: &str) -> Option<u32> {
        let index = self.queues.iter().position(|queue| queue.name == name)?;
        u32::try_from(index).ok()
    }

    /// The session of a delivery.
    pub(super) fn session_of(&self, delivery: &Delivery) -> &Session {
        &self.sessions[delivery.session as usize]
    }
}
