//! Words of the produce, fetch and list-offsets path beside the requests themselves.

use weir_model::Offset;

use super::{Broker, Fetched, FetchedBatches, Produced, TopicRef};

pub use weir_log::partition::EpochEnd;

/// Who leads a partition, told to a client that asked another node or in another epoch (KIP-951).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The node, as clients reach it.
    pub broker: Broker,
    /// Its epoch.
    pub epoch: i32,
}

/// What is wrong with a batch, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong with the batch.
    pub message: String,
    /// Records that are to blame, the first [`MAX_REFUSED_RECORDS`] of them; empty where it is
    /// the batch as a whole.
    pub records: Vec<RefusedRecord>,
}

/// Most records that a refusal names.
pub const MAX_REFUSED_RECORDS: usize = 100;

/// A record that is to blame for its batch's refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRecord {
    /// Its place in the batch, from 0.
    pub at: u32,
    /// What is wrong with it.
    pub message: String,
}

/// Which replicas may answer a fetch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ReadFrom {
    /// The leader alone.
    #[default]
    Leader,
    /// Any replica that keeps up; the leader may name one that is nearer to the client (KIP-392).
    Any {
        /// Where the client is. Empty: it does not say, and a follower answers it only where its
        /// leader epoch tells that it knows who leads.
        rack: String,
    },
}

/// Asks where a leader epoch of a partition ends.
#[derive(Clone, Debug)]
pub struct EndOfEpoch {
    /// The topic.
    pub topic: TopicRef,
    /// The partition's index.
    pub index: i32,
    /// The leader epoch that the client knows; -1: it does not say.
    pub leader_epoch: i32,
    /// The epoch asked for.
    pub epoch: i32,
}

/// Looks for offsets.
#[derive(Clone, Debug)]
pub struct ListOffsets {
    /// What to look for.
    pub wanted: Vec<ListOffset>,
    /// What is not found by then is answered with [`weir_model::ErrorKind::TimedOut`], in ms; `None`: no
    /// limit.
    pub timeout_ms: Option<u64>,
}

/// Looks for an offset of one partition.
#[derive(Clone, Debug)]
pub struct ListOffset {
    /// The topic.
    pub topic: TopicRef,
    /// The partition's index.
    pub index: i32,
    /// What to look for.
    pub at: OffsetSpec,
    /// The leader epoch that the client knows; -1: it does not say.
    pub leader_epoch: i32,
    /// Nothing of transactions that are open, nor what follows it.
    pub committed_only: bool,
}

/// A special offset, or one by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The partition's first offset, whether here or in a tier below.
    Earliest,
    /// The first offset that this cluster's own disks hold.
    EarliestLocal,
    /// The last offset in a tier below. None as long as nothing is tiered.
    LatestTiered,
    /// The first offset that waits to be tiered. None as long as nothing is tiered.
    EarliestPendingUpload,
    /// The offset after the last committed record.
    Latest,
    /// The record with the latest timestamp.
    MaxTimestamp,
    /// The first record at or after this time, in ms since 1970.
    Timestamp(i64),
}

/// An offset that was looked for. Not found: `offset` is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset.
    pub offset: Option<Offset>,
    /// The record's time in ms; -1 for the special offsets.
    pub timestamp_ms: i64,
    /// The leader epoch of the record's batch, or the current one.
    pub leader_epoch: i32,
}

impl From<Vec<ListOffset>> for ListOffsets {
    /// Without a limit.
    fn from(wanted: Vec<ListOffset>) -> Self {
        Self {
            wanted,
            timeout_ms: None,
        }
    }
}

impl Default for Produced {
    fn default() -> Self {
        Self {
            base_offset: Ok(Offset(0)),
            log_start: Offset(0),
            append_time_ms: None,
            refusal: None,
            leader: None,
            refused_from: None,
        }
    }
}

impl Default for Fetched {
    fn default() -> Self {
        Self {
            batches: Ok(FetchedBatches::default()),
            high_watermark: Offset(0),
            last_stable: Offset(0),
            aborted: Vec::new(),
            log_start: Offset(0),
            diverging: None,
            preferred: None,
            leader: None,
        }
    }
}
