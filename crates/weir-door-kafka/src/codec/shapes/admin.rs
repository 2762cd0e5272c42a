//! Shapes of what administrators ask about topics, settings and the cluster.

use super::{CONFIG, I8, I16, I32, I64, Kind, Shape, TEXT, UUID, all, between, of, since, until};

/// Topics by name, or by name or id; timeout.
pub(super) static DELETE_TOPICS: Shape = of(&[
    since(6, Kind::Array(&DELETED_TOPIC)),
    until(5, Kind::Plain(&TEXT)),
    all(I32),
]);
/// Name, id.
static DELETED_TOPIC: Shape = of(&[all(TEXT), all(UUID)]);

/// Topics, timeout.
pub(super) static DELETE_RECORDS: Shape = of(&[all(Kind::Array(&RECORDS_TOPIC)), all(I32)]);
/// Name, partitions.
static RECORDS_TOPIC: Shape = of(&[all(TEXT), all(Kind::Array(&RECORDS_PARTITION))]);
/// Index, offset.
static RECORDS_PARTITION: Shape = of(&[all(I32), all(I64)]);

/// Topics, timeout, validate only.
pub(super) static CREATE_PARTITIONS: Shape =
    of(&[all(Kind::Array(&GROWN_TOPIC)), all(I32), all(I8)]);
/// Name, count, assignments.
static GROWN_TOPIC: Shape = of(&[all(TEXT), all(I32), all(Kind::Array(&NODES))]);
/// Nodes.
static NODES: Shape = of(&[all(Kind::Plain(&I32))]);

/// Resources, synonyms, documentation.
pub(super) static DESCRIBE_CONFIGS: Shape =
    of(&[all(Kind::Array(&DESCRIBED)), all(I8), since(3, I8)]);
/// Type, name, keys.
static DESCRIBED: Shape = of(&[all(I8), all(TEXT), all(Kind::Plain(&TEXT))]);

/// Resources, validate only.
pub(super) static ALTER_CONFIGS: Shape = of(&[all(Kind::Array(&ALTERED_WHOLE)), all(I8)]);
/// Type, name, settings.
static ALTERED_WHOLE: Shape = of(&[all(I8), all(TEXT), all(Kind::Array(&CONFIG))]);

/// Resources, validate only.
pub(super) static INCREMENTAL_ALTER_CONFIGS: Shape = of(&[all(Kind::Array(&ALTERED)), all(I8)]);
/// Type, name, changes.
static ALTERED: Shape = of(&[all(I8), all(TEXT), all(Kind::Array(&CHANGE))]);
/// Name, operation, value.
static CHANGE: Shape = of(&[all(TEXT), all(I8), all(TEXT)]);

/// Types.
pub(super) static LIST_CONFIG_RESOURCES: Shape = of(&[since(1, Kind::Plain(&I8))]);

/// Operations, endpoint type, fenced nodes.
pub(super) static DESCRIBE_CLUSTER: Shape = of(&[all(I8), since(1, I8), since(2, I8)]);

/// Topics, limit, cursor. The cursor is a structure that a signed byte says is there.
pub(super) static DESCRIBE_TOPIC_PARTITIONS: Shape = of(&[
    all(Kind::Array(&NAMED)),
    all(I32),
    all(Kind::Optional(&CURSOR)),
]);
/// Name.
static NAMED: Shape = of(&[all(TEXT)]);
/// Name, index.
static CURSOR: Shape = of(&[all(TEXT), all(I32)]);

/// Topics.
pub(super) static DESCRIBE_QUORUM: Shape = of(&[all(Kind::Array(&QUORUM_TOPIC))]);
/// Name, partitions.
static QUORUM_TOPIC: Shape = of(&[all(TEXT), all(Kind::Array(&INDEXED))]);
/// Index.
static INDEXED: Shape = of(&[all(I32)]);

/// Topics.
pub(super) static DESCRIBE_LOG_DIRS: Shape = of(&[all(Kind::Array(&INDEXES))]);
/// Name, indexes.
static INDEXES: Shape = of(&[all(TEXT), all(Kind::Plain(&I32))]);

/// Kind, partitions, timeout.
pub(super) static ELECT_LEADERS: Shape = of(&[since(1, I8), all(Kind::Array(&INDEXES)), all(I32)]);

/// Timeout, whether copies may change, topics.
pub(super) static ALTER_REASSIGNMENTS: Shape =
    of(&[all(I32), since(1, I8), all(Kind::Array(&REASSIGNED_TOPIC))]);
/// Name, partitions.
static REASSIGNED_TOPIC: Shape = of(&[all(TEXT), all(Kind::Array(&REASSIGNED))]);
/// Index, nodes.
static REASSIGNED: Shape = of(&[all(I32), all(Kind::Plain(&I32))]);

/// Timeout, topics.
pub(super) static LIST_REASSIGNMENTS: Shape = of(&[all(I32), all(Kind::Array(&INDEXES))]);

/// Directories.
pub(super) static ALTER_LOG_DIRS: Shape = of(&[all(Kind::Array(&LOG_DIR))]);
/// Path, topics.
static LOG_DIR: Shape = of(&[all(TEXT), all(Kind::Array(&INDEXES))]);

/// Timeout, features, validate only.
pub(super) static UPDATE_FEATURES: Shape =
    of(&[all(I32), all(Kind::Array(&FEATURE)), since(1, I8)]);
/// Name, level, whether down, kind of change.
static FEATURE: Shape = of(&[all(TEXT), all(I16), between(0, 0, I8), since(1, I8)]);

/// Node.
pub(super) static UNREGISTER_BROKER: Shape = of(&[all(I32)]);
