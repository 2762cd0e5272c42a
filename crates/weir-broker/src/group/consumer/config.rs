//! Limits of consumer groups.

/// Longest member id, in bytes.
pub const MAX_MEMBER_ID_BYTES: usize = 255;
/// Longest rack, in bytes.
pub const MAX_RACK_BYTES: usize = 249;
/// Longest pattern of topic names, in bytes.
pub const MAX_PATTERN_BYTES: usize = 1024;
/// Largest program that a pattern may compile to, in bytes.
pub const MAX_COMPILED_PATTERN_BYTES: usize = 256 * 1024;
/// Most groups within groups of a pattern.
pub const MAX_PATTERN_NESTING: u32 = 50;
/// Most patterns that the members of a group may have between them.
pub const MAX_PATTERN_COUNT: usize = 64;
/// Most bytes of topic names and patterns that the members of a group may have between them.
pub const MAX_SUBSCRIPTION_BYTES: usize = 8 * 1024 * 1024;
/// Most partitions that a group assigns. Topics past it are left out, and the node says so.
pub const MAX_ASSIGNED_PARTITIONS: u64 = 1_000_000;
/// Most heartbeats of one group that wait while a change is being stored.
pub const MAX_WAITING_COUNT: usize = 20_000;
/// Most heartbeats whose changes are stored together.
pub const MAX_TURN_COUNT: usize = 1_000;
/// Patterns are matched again at most this often, in ms, however fast topics come and go.
pub const MATCH_INTERVAL_MS: u64 = 1_000;
/// Pause before members are looked at again while the metadata is behind, in ms.
pub const BEHIND_PAUSE_MS: u64 = 1_000;
