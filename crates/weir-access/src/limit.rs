//! How much there may be of each.

/// Most users of a cluster.
pub const MAX_USERS: usize = 10_000;
/// Most names that rules may be for: users, and others that ACLs name.
pub const MAX_PRINCIPALS: usize = 20_000;
/// Most rules of one name, of each kind.
pub const MAX_RULES_PER_PRINCIPAL: usize = 1_000;
/// Most ACLs that one command adds or takes away: it keeps the others waiting.
pub const MAX_ACLS_AT_ONCE: usize = 1_000;
/// Longest name of a user, in bytes.
pub const MAX_USER_NAME_BYTES: usize = 255;
/// Longest password, in bytes.
pub const MAX_PASSWORD_BYTES: usize = 1_024;
/// Most tags of a user.
pub const MAX_TAGS: usize = 16;
/// Longest tag, in bytes.
pub const MAX_TAG_BYTES: usize = 64;
/// Longest name of a virtual host, in bytes.
pub const MAX_VHOST_BYTES: usize = 255;
/// Longest name of a resource of a rule, in bytes.
pub const MAX_RESOURCE_BYTES: usize = 255;
/// Longest host of an ACL, in bytes.
pub const MAX_HOST_BYTES: usize = 255;
/// Longest pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 1_024;
/// Largest compiled pattern, in bytes.
pub const MAX_COMPILED_BYTES: usize = 256 * 1024;
/// Deepest nesting of a pattern.
pub const MAX_NESTING: u32 = 50;
/// Fewest rounds of a verifier's derivation: RFC 7677's and Kafka's.
pub const MIN_ITERATIONS: u32 = 4_096;
/// Most rounds of a verifier's derivation: Kafka's.
pub const MAX_ITERATIONS: u32 = 16_384;
/// Rounds where nobody says how many: as Kafka's tools do, so that names cannot be told by it.
pub const DEFAULT_ITERATIONS: u32 = 4_096;
/// Shortest salt of a verifier, in bytes.
pub const MIN_SALT_BYTES: usize = 8;
/// Longest salt of a verifier, in bytes.
pub const MAX_SALT_BYTES: usize = 128;
/// A salt of our own, in bytes.
pub const SALT_BYTES: usize = 16;
/// Longest message of a login, in bytes: a user's name with each byte escaped, a password and more.
pub const MAX_LOGIN_BYTES: usize = 4 * 1_024;
/// Longest nonce of a client, in bytes.
pub const MAX_NONCE_BYTES: usize = 256;
/// Longest token that says who somebody is, in bytes: it has to fit into what may be sent before a login.
pub const MAX_TOKEN_BYTES: usize = 12 * 1_024;
/// Longest message of a login by a token, in bytes: the token, and extensions.
pub const MAX_BEARER_BYTES: usize = MAX_TOKEN_BYTES + 2 * 1_024;
/// Longest text of a key set, in bytes.
pub const MAX_KEY_SET_BYTES: usize = 256 * 1_024;
/// Most keys of a key set.
pub const MAX_TOKEN_KEYS: usize = 64;
/// Longest name of a key, in bytes.
pub const MAX_KEY_ID_BYTES: usize = 255;
/// Most keys that one token is checked by: those of one name, or all where it names none.
pub const MAX_KEY_TRIES: usize = 8;
/// Most scopes of a token from which permissions follow.
pub const MAX_GRANTS: usize = 256;
/// Answers that a connection remembers.
pub const CACHED_DECISIONS: usize = 64;
