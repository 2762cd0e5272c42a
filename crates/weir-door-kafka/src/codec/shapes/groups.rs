//! Shapes of what administrators ask about groups, and of what consumers of KIP-848 say.

use super::{I8, I32, I64, Kind, Shape, TEXT, UUID, all, of, since};

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

/// Group, member, epoch, instance, rack, rebalance timeout, names, pattern, assignor, partitions.
pub(super) static CONSUMER_HEARTBEAT: Shape = of(&[
    all(TEXT),
    all(TEXT),
    all(I32),
    all(TEXT),
    all(TEXT),
    all(I32),
    all(Kind::Plain(&TEXT)),
    since(1, TEXT),
    all(TEXT),
    all(Kind::Array(&OWNED_TOPIC)),
]);
/// Id, indexes.
static OWNED_TOPIC: Shape = of(&[all(UUID), all(Kind::Plain(&I32))]);

/// Groups, authorized operations.
pub(super) static CONSUMER_DESCRIBE: Shape = of(&[all(Kind::Plain(&TEXT)), all(I8)]);

/// Group, member, epoch, rack, names.
pub(super) static SHARE_HEARTBEAT: Shape = of(&[
    all(TEXT),
    all(TEXT),
    all(I32),
    all(TEXT),
    all(Kind::Plain(&TEXT)),
]);
/// Groups, authorized operations.
pub(super) static SHARE_DESCRIBE: Shape = of(&[all(Kind::Plain(&TEXT)), all(I8)]);

/// Groups.
pub(super) static DESCRIBE_SHARE_OFFSETS: Shape = of(&[all(Kind::Array(&DESCRIBED_SHARE))]);
/// Group, topics.
static DESCRIBED_SHARE: Shape = of(&[all(TEXT), all(Kind::Array(&DESCRIBED_SHARE_TOPIC))]);
/// Name, indexes.
static DESCRIBED_SHARE_TOPIC: Shape = of(&[all(TEXT), all(Kind::Plain(&I32))]);

/// Group, topics.
pub(super) static ALTER_SHARE_OFFSETS: Shape =
    of(&[all(TEXT), all(Kind::Array(&ALTERED_SHARE_TOPIC))]);
/// Name, partitions.
static ALTERED_SHARE_TOPIC: Shape = of(&[all(TEXT), all(Kind::Array(&ALTERED_SHARE_PARTITION))]);
/// Index, offset.
static ALTERED_SHARE_PARTITION: Shape = of(&[all(I32), all(I64)]);

/// Group, topics.
pub(super) static DELETE_SHARE_OFFSETS: Shape =
    of(&[all(TEXT), all(Kind::Array(&DELETED_SHARE_TOPIC))]);
/// Name.
static DELETED_SHARE_TOPIC: Shape = of(&[all(TEXT)]);
