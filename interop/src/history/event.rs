//! One line of a history.
//!
//! A history is a directory of JSON-lines files, one per client process, named `PROCESS.jsonl`:
//!
//! ```text
//! {"process":"p0","type":"invoke","f":"send","key":3,"value":"p0-17","time_ns":812}
//! {"process":"p0","type":"ok","f":"send","key":3,"value":"p0-17","offset":9,"time_ns":999}
//! {"process":"c0","type":"ok","f":"assign","key":3,"time_ns":1000}
//! {"process":"c0","type":"ok","f":"poll","key":3,"value":"p0-17","offset":9,"time_ns":1200}
//! {"process":"c0","type":"ok","f":"commit","key":3,"offset":10,"time_ns":1300}
//! {"process":"t0","type":"invoke","f":"begin","time_ns":1400}
//! {"process":"t0","type":"invoke","f":"end","time_ns":1500}
//! {"process":"t0","type":"ok","f":"end","time_ns":1600}
//! {"process":"t0","type":"ok","f":"identity","producer_id":4,"epoch":2,"time_ns":1700}
//! {"process":"final-copies","type":"ok","f":"copy","key":3,"value":"p0-17","offset":4,"time_ns":1800}
//! ```
//!
//! `key` is the partition; where clients use several topics, each topic's begin at another number.
//! A value is `PROCESS-NUMBER`, numbered from 0 without gaps by the process that sends it. `ok`
//! happened, `fail` did not happen, `info` may have happened: a time-out is always `info`. An
//! `assign` starts a reader on a partition, at `offset` if it has one. A process whose name begins
//! with `final` reads everything once all faults are healed. Times are of the machine's monotonic
//! clock.
//!
//! What a process sends between `begin` and `end` is one transaction. An `end` is invoked when its
//! commit is asked for, and never for one that is to be aborted: without it the transaction cannot
//! have been committed. `ok` is committed, `fail` aborted.
//!
//! A send may have a `message_key`: then its topic is compacted, and the last one of each key is
//! kept. A `copy` is what a reader of a copied topic finds at the end; it is invoked once for each
//! partition that was to be copied.

use serde::Deserialize;
use std::borrow::Cow;

/// Begin of the names of those who read everything at the end.
pub(super) const FINAL_READER: &str = "final";

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// It begins.
    Invoke,
    /// It happened.
    Ok,
    /// It did not happen.
    Fail,
    /// It may have happened.
    Info,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    /// One message was sent.
    Send,
    /// One message was handed out.
    Poll,
    /// A group's offset was committed.
    Commit,
    /// A reader begins on a partition.
    Assign,
    /// A transaction begins.
    Begin,
    /// A transaction ends.
    End,
    /// A producer is given an id and an epoch.
    Identity,
    /// A copied message was read.
    Copy,
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
    /// Partition.
    #[serde(default)]
    pub key: u32,
    /// Of a send and a poll.
    #[serde(borrow, default)]
    pub value: Option<Cow<'a, str>>,
    /// Of a message; of a commit, the next one to read.
    #[serde(default)]
    pub offset: Option<u64>,
    /// Of a send to a compacted topic.
    #[serde(default)]
    pub message_key: Option<u32>,
    /// Of an identity.
    #[serde(default)]
    pub producer_id: Option<i64>,
    /// Of an identity.
    #[serde(default)]
    pub epoch: Option<i32>,
    /// When, in nanoseconds of the monotonic clock.
    pub time_ns: u64,
}
