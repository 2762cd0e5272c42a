//! Which records of a log are ready, acquired or settled: a pure state machine, without I/O and
//! without a clock, on which queues and share groups stand.
//!
//! Charter: states of offsets. What a record holds, who may have it and why it is given up are
//! somebody else's.
//!
//! A record is *ready* until somebody *acquires* it, for a while or for as long as its owner lives.
//! Its owner *settles* it, and it is done with, or *releases* it, and it is ready again in its old
//! place and at its old level. Memory follows what is acquired and what was released, not what is
//! stored: records of level 0 that nobody has acquired yet are one range, however many there are.

mod acquired;
mod ledger;
mod ranges;
mod returned;
mod snapshot;

pub use acquired::{Acquired, Lock, OwnerId};
pub use ledger::{Counts, Delivery, Ledger, NotHeld, Release, Tries};
pub use snapshot::SnapshotError;
