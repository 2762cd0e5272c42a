//! The topic that has the records.

/// Its name. Clients read it where an ACL lets them.
pub const AUDIT_TOPIC: &str = "__audit";
/// How long records stay unless somebody sets `retention.ms` of the topic: 90 days.
pub(super) const RETENTION_MS: &str = "7776000000";
/// How much of them, likewise: 10 GiB, so that failures that somebody provokes do not fill the disk.
pub(super) const RETENTION_BYTES: &str = "10737418240";

/// Whether the topic is written by nodes alone: nobody makes it, deletes it, or deletes records of it.
pub fn is_internal(topic: &str) -> bool {
    topic == AUDIT_TOPIC
}
