//! One line of a history of a share group.
//!
//! A history is a directory of JSON-lines files, one per client process, named `PROCESS.jsonl`.
//! Senders write what those of any topic do ([`crate::history`]); members write:
//!
//! ```text
//! {"process":"s0","type":"ok","f":"deliver","key":3,"offset":9,"value":"p0-17","count":1,"time_ns":812}
//! {"process":"s0","type":"invoke","f":"settle","key":3,"offset":9,"how":"accept","time_ns":820}
//! {"process":"s0","type":"ok","f":"settle","key":3,"offset":9,"how":"accept","time_ns":900}
//! ```
//!
//! `key` is the partition, `count` the delivery count that the broker told. A settlement is `invoke`d
//! when its member says it, and is `ok` when the broker had confirmed it; `info` may have happened. A
//! record that was renewed and is handed out again by its client alone is not delivered again. Times
//! are of the machine's monotonic clock.

use crate::history::Kind;
use serde::Deserialize;
use std::borrow::Cow;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    /// One message was sent.
    Send,
    /// A producer is given an id and an epoch.
    Identity,
    /// A member got a record.
    Deliver,
    /// A member said what became of a record.
    Settle,
}

/// What a member says of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum How {
    /// Done with.
    Accept,
    /// Given back.
    Release,
    /// Never again.
    Reject,
    /// Kept for longer.
    Renew,
}

impl How {
    /// Whether nobody is to get the record any more.
    pub(super) fn is_final(self) -> bool {
        match self {
            Self::Accept | Self::Reject => true,
            Self::Release | Self::Renew => false,
        }
    }
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
    /// Of a send and a delivery.
    #[serde(borrow, default)]
    pub value: Option<Cow<'a, str>>,
    /// Of a record.
    #[serde(default)]
    pub offset: Option<u64>,
    /// Of a delivery.
    #[serde(default)]
    pub count: u32,
    /// Of a settlement.
    #[serde(default)]
    pub how: Option<How>,
    /// When, in nanoseconds of the monotonic clock.
    pub time_ns: u64,
}
