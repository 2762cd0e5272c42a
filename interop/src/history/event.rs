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
//! ```
//!
//! `key` is the partition. A value is `PROCESS-NUMBER`, numbered from 0 without gaps by the process
//! that sends it. `ok` happened, `fail` did not happen, `info` may have happened: a time-out is
//! always `info`. An `assign` starts a reader on a partition, at `offset` if it has one. A process
//! whose name begins with `final` reads everything once all faults are healed. Times are of the
//! machine's monotonic clock.

use serde::Deserialize;
use std::borrow::Cow;

/// Begin of the names of those who read everything at the end.
pub(super) const FINAL_READER: &str = "final";

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
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
    pub key: u32,
    /// Of a send and a poll.
    #[serde(borrow, default)]
    pub value: Option<Cow<'a, str>>,
    /// Of a message; of a commit, the next one to read.
    #[serde(default)]
    pub offset: Option<u64>,
    /// When, in nanoseconds of the monotonic clock.
    pub time_ns: u64,
}
