//! Names of the topics that Kafka keeps its own state in. Here that state is in the groups' own
//! logs: the topics are not there, and nobody can make them, so that nothing takes a user's
//! records for it.

/// The names.
const RESERVED: [&str; 4] = [
    "__cluster_metadata",
    "__consumer_offsets",
    "__share_group_state",
    "__transaction_state",
];

/// Whether no topic can have this name.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}
