//! What an operator may set for groups, and the limits that nobody may.

/// Longest group id, in bytes.
pub const MAX_GROUP_ID_BYTES: usize = 1024;
/// Longest instance id, in bytes (Kafka's own limit).
pub const MAX_INSTANCE_ID_BYTES: usize = 249;
/// Longest protocol type and protocol name, in bytes.
pub const MAX_PROTOCOL_NAME_BYTES: usize = 249;
/// Most protocols that a member may offer.
pub const MAX_PROTOCOL_COUNT: usize = 64;
/// What is kept of a client's id and host, in bytes each.
pub const MAX_CLIENT_TEXT_BYTES: usize = 255;
/// Most metadata that the members of a group may bring together, in bytes.
pub const MAX_METADATA_BYTES: usize = 8 * 1024 * 1024;
/// Largest assignment of a whole group, in bytes.
pub const MAX_ASSIGNMENT_BYTES: usize = 8 * 1024 * 1024;
/// Most groups of one coordinator. Past it new groups are refused as overload.
pub const MAX_GROUPS: usize = 100_000;
/// A new member's join is given up after this long, in ms: its client does not send heartbeats
/// before it is answered (Kafka's `NewMemberJoinTimeoutMs`).
pub const NEW_MEMBER_TIMEOUT_MS: u64 = 5 * 60 * 1000;

/// Most groups that are looked at in one turn for offsets that nobody needs.
pub const MAX_SWEPT_GROUPS: usize = 4_096;
/// Pause between two such turns of one look, in ms.
pub const SWEEP_PAUSE_MS: u64 = 100;

/// Settings of a coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// How long an empty group waits for more members after the first, in ms; again for each
    /// new one, within the rebalance timeout. 0: not at all.
    pub initial_rebalance_delay_ms: u64,
    /// Shortest session timeout, in ms.
    pub min_session_timeout_ms: u64,
    /// Longest session timeout, in ms.
    pub max_session_timeout_ms: u64,
    /// Most members of a group; also the most ids that wait for their first join.
    pub max_member_count: usize,
    /// How long the offsets of a group without members live, in ms
    /// (`offsets.retention.minutes`).
    pub offsets_retention_ms: u64,
    /// Time between two looks for offsets that nobody needs, in ms
    /// (`offsets.retention.check.interval.ms`).
    pub offsets_check_interval_ms: u64,
}

impl Default for GroupConfig {
    /// Kafka's defaults, and 10,000 members where Kafka has no limit.
    fn default() -> Self {
        Self {
            initial_rebalance_delay_ms: 3_000,
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 30 * 60 * 1000,
            max_member_count: 10_000,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1000,
            offsets_check_interval_ms: 10 * 60 * 1000,
        }
    }
}
