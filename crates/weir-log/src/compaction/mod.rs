//! Log compaction: sealed segments are written again with the latest record of each key.
//!
//! - A record goes when a later one has its key, or when it has no key.
//! - A tombstone (no value) stays until its batch's delete horizon has passed. The first
//!   compaction that meets it, and with that removes everything older of its key, sets the horizon
//!   to its own time plus `delete_retention_ms`, where Kafka has it: attribute bit 6, the time in
//!   the place of the base timestamp. Whoever read the deleted record since then has had that long
//!   to read the tombstone.
//! - Offsets, record times, sequence numbers, leader epochs and codecs stay. An emptied batch
//!   goes, except the last one of each producer: its header holds the producer's last sequence.
//! - Control batches and transactional batches stay as they are, and what a transactional batch
//!   says about a key counts for nothing: whether it was aborted is not known here.
//! - A batch whose records cannot be decoded stays as it is.
//! - The active segment is left alone.
//!
//! A log of which ranges die, wherever they lie, is compacted by those instead ([`drop_dead`]).
//!
//! The new files count for nothing until the next flush takes them into its manifest.

mod dead;
#[cfg(test)]
mod dead_tests;
mod key_map;
mod rewrite;
mod run;
mod survey;
#[cfg(test)]
mod tests;

pub use dead::{Live, LiveRange, drop_dead};
pub use run::{Compaction, CompactionPolicy, MAX_KEY_MAP_BYTES, run};
