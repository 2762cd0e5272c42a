//! Shapes of what administrators ask about groups.

use super::{I8, I32, Kind, Shape, TEXT, all, of, since};

/// States, types.
pub(super) static LIST_GROUPS: Shape =
    of(&[since(4, Kind::Plain(&TEXT)), since(5, Kind::Plain(&TEXT))]);

/// Groups, authorized operations.
pub(super) static DESCRIBE_GROUPS: Shape = of(&[all(Kind::Plain(&TEXT)), since(3, I8)]);

/// Groups.
pub(super) static DELETE_GROUPS: Shape = of(&[all(Kind::Plain(&TEXT))]);

/// Group, topics.
pub(super) static OFFSET_DELETE: Shape = of(&[all(TEXT), all(Kind::Array(&OFFSET_DELETE_TOPIC))]);
/// Name, partitions.
static OFFSET_DELETE_TOPIC: Shape = of(&[all(TEXT), all(Kind::Array(&OFFSET_DELETE_PARTITION))]);
/// Index.
static OFFSET_DELETE_PARTITION: Shape = of(&[all(I32)]);
