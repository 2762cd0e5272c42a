//! What members of share groups ask (KIP-932): records for a while, and what became of them.

use weir_model::{ErrorKind, TopicId, TopicName};

use super::{FetchedBatches, Leader, Refused};
pub use crate::node::share::ShareHold;

/// A member's request to a node that leads partitions.
#[derive(Clone, Debug)]
pub struct ShareRequest {
    /// The group.
    pub group: String,
    /// The member, as its client calls itself.
    pub member: String,
    /// Of its session with the node: 0 opens one, -1 ends it.
    pub epoch: i32,
    /// Whether acknowledgements may keep records for another while.
    pub renews: bool,
    /// Partitions that the session gets, or of which records are acknowledged.
    pub partitions: Vec<SharePart>,
    /// What it wants; `None`: it only acknowledges.
    pub fetch: Option<ShareFetch>,
}

/// Records for a member.
#[derive(Clone, Debug)]
pub struct ShareFetch {
    /// Wait until this much is there, in bytes, or for any record where it is more than 0.
    pub min_bytes: usize,
    /// Stop after this much, in bytes. The first batch is returned even if larger.
    pub max_bytes: usize,
    /// Answer at the latest after this long.
    pub max_wait_ms: u64,
    /// No further batch once there are so many records.
    pub max_records: u32,
    /// No more than [`Self::max_records`], in the middle of a batch if need be.
    pub by_records: bool,
    /// Partitions that the session does without from now on.
    pub forgotten: Vec<(TopicId, i32)>,
}

/// A partition of a request.
#[derive(Clone, Debug)]
pub struct SharePart {
    /// The topic.
    pub topic: TopicId,
    /// The partition's index.
    pub index: i32,
    /// What became of records.
    pub acks: Vec<ShareAcks>,
}

/// What became of records that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareAcks {
    /// The first one's offset.
    pub first: i64,
    /// The last one's.
    pub last: i64,
    /// One for all, or one each: 0 no record there, 1 accepted, 2 given back, 3 rejected, 4 kept for
    /// another while.
    pub kinds: Vec<i8>,
}

/// The answer to a [`ShareRequest`].
#[derive(Debug)]
pub struct ShareAnswer {
    /// How long records are locked, in ms.
    pub lock_ms: u32,
    /// Those partitions of which there is something to tell; of an acknowledgement, those of the
    /// request in its order.
    pub partitions: Vec<SharedPartition>,
    /// Of a session that was opened: it ends when that is dropped.
    pub hold: Option<ShareHold>,
}

/// What there is of a partition.
#[derive(Debug)]
pub struct SharedPartition {
    /// The topic.
    pub topic: TopicId,
    /// The partition's index.
    pub index: i32,
    /// What came of acknowledgements.
    pub acknowledged: Result<(), AckRefused>,
    /// The batches, or why there are none.
    pub batches: Result<FetchedBatches, ErrorKind>,
    /// Which of their records the member has now.
    pub acquired: Vec<AcquiredRange>,
    /// Where to go instead.
    pub leader: Option<Box<Leader>>,
}

/// Records that follow each other and were delivered as often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcquiredRange {
    /// The first one's offset.
    pub first: u64,
    /// The last one's.
    pub last: u64,
    /// This time included.
    pub delivery_count: i16,
}

/// What administrators ask about where share groups stand.
#[derive(Clone, Debug)]
pub enum ShareAdmin {
    /// Answered by [`ShareAdminAnswer::Described`].
    Describe(Vec<DescribeShareOffsets>),
    /// Moves a group without members. Answered by [`ShareAdminAnswer::Changed`].
    Alter {
        /// The group.
        group: String,
        /// Topics, indexes and offsets.
        places: Vec<(TopicName, i32, i64)>,
    },
    /// Forgets what a group without members has of topics. Answered by
    /// [`ShareAdminAnswer::Changed`].
    Delete {
        /// The group.
        group: String,
        /// The topics.
        topics: Vec<TopicName>,
    },
}

/// Where a group stands.
#[derive(Clone, Debug)]
pub struct DescribeShareOffsets {
    /// The group.
    pub group: String,
    /// Topics with indexes; `None`: all that it has or reads.
    pub topics: Option<Vec<(TopicName, Vec<i32>)>>,
}

/// The answer to [`ShareAdmin`].
#[derive(Debug)]
pub enum ShareAdminAnswer {
    /// One answer a group.
    Described(Vec<Result<Vec<DescribedShareOffset>, Refused>>),
    /// One answer a place or topic: the topic's id.
    Changed(Result<Vec<Result<TopicId, ErrorKind>>, Refused>),
}

/// Where a group stands in a partition.
#[derive(Clone, Debug)]
pub struct DescribedShareOffset {
    /// The topic.
    pub topic: TopicName,
    /// Its id, where there is such a topic.
    pub id: Option<TopicId>,
    /// The partition's index.
    pub index: i32,
    /// Everything before that offset is done with, and so many records are not; `None`: the group
    /// has not begun there.
    pub place: Result<Option<(u64, u64)>, ErrorKind>,
}

/// Why acknowledgements of a partition came to nothing, all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckRefused {
    /// A record is not the member's.
    NotHeld,
    /// They make no sense.
    Invalid,
    /// The partition cannot be asked.
    Failed(ErrorKind),
}

/// Why a request came to nothing as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareRefused {
    /// The client may not read in the group.
    Unauthorized,
    /// The member has no session with this node.
    NoSession,
    /// Its session is at another epoch.
    Epoch,
    /// There are too many sessions.
    TooManySessions,
    /// The request makes no sense, and why.
    Invalid(&'static str),
}
