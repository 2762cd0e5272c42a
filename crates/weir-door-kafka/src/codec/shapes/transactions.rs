//! The shapes of transactions' requests.

use super::{I8, I16, I32, I64, TEXT, all, of, since, until};
use crate::codec::shape::{Kind, Shape};

/// Transactions; or transactional id, producer id, epoch, topics.
pub(super) static ADD_PARTITIONS: Shape = of(&[
    since(4, Kind::Array(&ADD_PARTITIONS_TRANSACTION)),
    until(3, TEXT),
    until(3, I64),
    until(3, I16),
    until(3, Kind::Array(&TOPIC)),
]);
/// Transactional id, producer id, epoch, verify only, topics.
static ADD_PARTITIONS_TRANSACTION: Shape = of(&[
    all(TEXT),
    all(I64),
    all(I16),
    all(I8),
    all(Kind::Array(&TOPIC)),
]);
/// Name, indexes.
static TOPIC: Shape = of(&[all(TEXT), all(Kind::Plain(&I32))]);

/// Transactional id, producer id, epoch, group.
pub(super) static ADD_OFFSETS: Shape = of(&[all(TEXT), all(I64), all(I16), all(TEXT)]);

/// Transactional id, producer id, epoch, committed.
pub(super) static END_TXN: Shape = of(&[all(TEXT), all(I64), all(I16), all(I8)]);

/// Markers.
pub(super) static WRITE_MARKERS: Shape = of(&[all(Kind::Array(&MARKER))]);
/// Producer id, epoch, committed, topics, coordinator epoch.
static MARKER: Shape = of(&[
    all(I64),
    all(I16),
    all(I8),
    all(Kind::Array(&TOPIC)),
    all(I32),
]);

/// Transactional id, group, producer id, epoch, generation, member, instance, topics.
pub(super) static TXN_OFFSET_COMMIT: Shape = of(&[
    all(TEXT),
    all(TEXT),
    all(I64),
    all(I16),
    since(3, I32),
    since(3, TEXT),
    since(3, TEXT),
    all(Kind::Array(&TXN_OFFSET_COMMIT_TOPIC)),
]);
/// Name, partitions.
static TXN_OFFSET_COMMIT_TOPIC: Shape =
    of(&[all(TEXT), all(Kind::Array(&TXN_OFFSET_COMMIT_PARTITION))]);
/// Index, offset, leader epoch, metadata.
static TXN_OFFSET_COMMIT_PARTITION: Shape = of(&[all(I32), all(I64), since(2, I32), all(TEXT)]);

/// Topics.
pub(super) static DESCRIBE_PRODUCERS: Shape = of(&[all(Kind::Array(&TOPIC))]);

/// Transactional ids.
pub(super) static DESCRIBE_TRANSACTIONS: Shape = of(&[all(Kind::Plain(&TEXT))]);

/// States, producer ids, duration, pattern.
pub(super) static LIST_TRANSACTIONS: Shape = of(&[
    all(Kind::Plain(&TEXT)),
    all(Kind::Plain(&I64)),
    since(1, I64),
    since(2, TEXT),
]);
