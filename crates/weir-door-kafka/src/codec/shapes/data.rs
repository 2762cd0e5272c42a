//! Of the produce and fetch path, beside those above.

use super::{I32, TEXT, all, of, since};
use crate::codec::shape::{Kind, Shape};

/// Replica id, topics.
pub(super) static OFFSET_FOR_LEADER_EPOCH: Shape = of(&[since(3, I32), all(Kind::Array(&TOPIC))]);
/// Name, partitions.
static TOPIC: Shape = of(&[all(TEXT), all(Kind::Array(&PARTITION))]);
/// Index, current leader epoch, epoch asked for.
static PARTITION: Shape = of(&[all(I32), all(I32), all(I32)]);
