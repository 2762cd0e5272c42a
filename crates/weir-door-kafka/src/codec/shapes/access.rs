//! Shapes of what administrators ask about users and rules.

use super::{BLOB, I8, I32, I64, Kind, Shape, TEXT, all, of};

/// Type, name, pattern, principal, host, operation, permission: of a rule, or of those that are meant.
pub(super) static DESCRIBE_ACLS: Shape = of(&[
    all(I8),
    all(TEXT),
    all(I8),
    all(TEXT),
    all(TEXT),
    all(I8),
    all(I8),
]);
/// Rules.
pub(super) static CREATE_ACLS: Shape = of(&[all(Kind::Array(&DESCRIBE_ACLS))]);
/// Filters.
pub(super) static DELETE_ACLS: Shape = of(&[all(Kind::Array(&DESCRIBE_ACLS))]);

/// Users.
pub(super) static DESCRIBE_SCRAM_USERS: Shape = of(&[all(Kind::Array(&USER))]);
/// Name.
static USER: Shape = of(&[all(TEXT)]);

/// Deletions, insertions.
pub(super) static ALTER_SCRAM_USERS: Shape =
    of(&[all(Kind::Array(&DELETION)), all(Kind::Array(&INSERTION))]);
/// Name, mechanism.
static DELETION: Shape = of(&[all(TEXT), all(I8)]);
/// Name, mechanism, iterations, salt, salted password.
static INSERTION: Shape = of(&[all(TEXT), all(I8), all(I32), all(BLOB), all(BLOB)]);

/// Components, strict.
pub(super) static DESCRIBE_QUOTAS: Shape = of(&[all(Kind::Array(&COMPONENT)), all(I8)]);
/// Type, how it matches, name.
static COMPONENT: Shape = of(&[all(TEXT), all(I8), all(TEXT)]);

/// Entries, validate only.
pub(super) static ALTER_QUOTAS: Shape = of(&[all(Kind::Array(&QUOTA)), all(I8)]);
/// Entity, changes.
static QUOTA: Shape = of(&[
    all(Kind::Array(&ENTITY_PART)),
    all(Kind::Array(&QUOTA_CHANGE)),
]);
/// Type, name.
static ENTITY_PART: Shape = of(&[all(TEXT), all(TEXT)]);
/// Key, value, remove.
static QUOTA_CHANGE: Shape = of(&[all(TEXT), all(I64), all(I8)]);
