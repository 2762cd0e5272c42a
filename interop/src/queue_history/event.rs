//! One line of a history of queues.
//!
//! A history is a directory of JSON-lines files, one per client process, named `PROCESS.jsonl`:
//!
//! ```text
//! {"process":"setup","type":"ok","f":"queue","queue":"work","from":["work"],"dead":"work.dead","time_ns":1}
//! {"process":"p0","type":"invoke","f":"publish","to":"work","value":"p0-17","fate":"ack","connection":2,"time_ns":812}
//! {"process":"p0","type":"ok","f":"publish","value":"p0-17","time_ns":999}
//! {"process":"c0","type":"invoke","f":"consume","session":3,"queue":"work","prefetch":10,"tx":true,"time_ns":1000}
//! {"process":"c0","type":"ok","f":"consume","session":3,"time_ns":1001}
//! {"process":"c0","type":"ok","f":"deliver","session":3,"value":"p0-17","redelivered":false,"time_ns":1200}
//! {"process":"c0","type":"invoke","f":"ack","session":3,"value":"p0-17","time_ns":1300}
//! {"process":"c0","type":"invoke","f":"commit","session":3,"time_ns":1301}
//! {"process":"c0","type":"ok","f":"commit","session":3,"time_ns":1302}
//! {"process":"c0","type":"info","f":"end","session":3,"time_ns":1400}
//! ```
//!
//! A value is `PROCESS-NUMBER`, numbered from 0 without gaps by the process that publishes it. Its
//! `fate` is what every consumer does with it. Of a publish, `ok` is its confirm, `fail` says that
//! it is certainly in no queue, and `info`, as well as no second line at all, that it may be in any.
//! Values keep their order within one `connection` of their publisher.
//!
//! A `session` is one consumer of one queue, numbered by its process. What a session with `tx`
//! settles takes effect with the `commit` that follows, and is certain once that is `ok`; what
//! another one settles is never certain. `end` comes before a session is left, in whatever way.
//! The history ends once all faults are healed and all queues are empty. Times are of the machine's
//! monotonic clock.

use crate::history::Kind;
use serde::Deserialize;
use std::borrow::Cow;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    /// A queue of the workload is described.
    Queue,
    /// One message was published.
    Publish,
    /// A session begins.
    Consume,
    /// One message was handed out.
    Deliver,
    /// It is done with.
    Ack,
    /// It is refused, to be dead-lettered.
    Reject,
    /// It goes back to its queue.
    Requeue,
    /// What was settled before takes effect.
    Commit,
    /// A session ends.
    End,
}

/// What every consumer does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Fate {
    /// Acknowledge it.
    Ack,
    /// Give it back the first time, and acknowledge it then.
    Later,
    /// Vanish with it the first time, and acknowledge it then.
    Crash,
    /// Refuse it.
    Reject,
    /// Give it back each time, until the queue has enough of it.
    Poison,
    /// Nothing: nobody consumes its queue, where its time runs out.
    Expire,
}

/// How many may consume a queue at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum One {
    /// One, which has the queue to itself.
    Exclusive,
    /// One; the others wait for their turn.
    Single,
}

/// One line.
#[derive(Debug, Deserialize)]
pub(super) struct Event<'a> {
    /// Who.
    #[serde(borrow)]
    pub process: Cow<'a, str>,
    /// How far.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// What.
    pub f: Action,
    /// Of a message.
    #[serde(borrow, default)]
    pub value: Option<Cow<'a, str>>,
    /// When, in nanoseconds of the monotonic clock.
    pub time_ns: u64,
    /// Of a queue's description and a session's begin.
    #[serde(borrow, default)]
    pub queue: Option<Cow<'a, str>>,
    /// Of a consumer's lines.
    #[serde(default)]
    pub session: Option<u32>,
    /// Of a publish: what it is addressed to.
    #[serde(borrow, default)]
    pub to: Option<Cow<'a, str>>,
    /// Of a publish.
    #[serde(default)]
    pub fate: Option<Fate>,
    /// Of a publish and a queue: the time after which messages expire.
    #[serde(default)]
    pub ttl_ms: Option<u64>,
    /// Of a queue: how long messages wait before they get there.
    #[serde(default)]
    pub delay_ms: Option<u64>,
    /// Of a publish: how many connections its process had had by then.
    #[serde(default)]
    pub connection: u32,
    /// Of a publish that failed: no queue took it, and it came back.
    #[serde(default)]
    pub returned: bool,
    /// Of a session's begin: messages that it may hold, 0 for one that asks for each.
    #[serde(default)]
    pub prefetch: u32,
    /// Of a session's begin: what it settles takes effect with its commits.
    #[serde(default)]
    pub tx: bool,
    /// Of an end: only the session is left at first, with what it holds, and then its connection.
    #[serde(default)]
    pub cancelled: bool,
    /// Of a delivery.
    #[serde(default)]
    pub redelivered: bool,
    /// Of a delivery: why the message was dead-lettered last.
    #[serde(borrow, default)]
    pub reason: Option<Cow<'a, str>>,
    /// Of a delivery: how often it was dead-lettered.
    #[serde(default)]
    pub deaths: u32,
    /// Of a queue's description: the addresses whose messages it gets.
    #[serde(borrow, default)]
    pub from: Vec<Cow<'a, str>>,
    /// Of a queue's description: where its dead letters go.
    #[serde(borrow, default)]
    pub dead: Option<Cow<'a, str>>,
    /// Of a queue's description: how often a message may come back.
    #[serde(default)]
    pub limit: Option<u32>,
    /// Of a queue's description.
    #[serde(default)]
    pub one: Option<One>,
}
