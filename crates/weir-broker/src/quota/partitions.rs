//! Partitions that topics whose names begin alike may have together. Exact: whoever makes more is decided on by
//! group 0.

use weir_model::TopicName;

use crate::metadata::Topology;

impl Topology {
    /// Whether a topic of this name may have so many partitions more.
    pub(crate) fn has_room(&self, name: &TopicName, more_count: usize) -> bool {
        let mut limits = self.quotas().prefixes_of(name.as_str());
        limits.all(|(prefix, limit)| {
            let mut count = more_count as f64;
            let alike = self.topics_from(prefix);
            let alike = alike.take_while(|topic| topic.name.as_str().starts_with(prefix));
            for topic in alike {
                count += topic.partitions.len() as f64;
                if count > limit.get() {
                    return false;
                }
            }
            count <= limit.get()
        })
    }
}
