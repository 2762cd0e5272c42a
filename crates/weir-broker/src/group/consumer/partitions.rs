//! Sets of partitions as ascending lists.

use weir_model::PartitionId;

/// What is in `these` and in `those`.
pub(super) fn within(these: &[PartitionId], those: &[PartitionId]) -> Vec<PartitionId> {
    let is_in = |id: &&PartitionId| those.binary_search(id).is_ok();
    these.iter().filter(is_in).copied().collect()
}

/// What is in `these`, but not in `those`.
pub(super) fn without(these: &[PartitionId], those: &[PartitionId]) -> Vec<PartitionId> {
    let is_out = |id: &&PartitionId| those.binary_search(id).is_err();
    these.iter().filter(is_out).copied().collect()
}

/// Whether the lists have anything in common.
pub(super) fn overlap(these: &[PartitionId], those: &[PartitionId]) -> bool {
    these.iter().any(|id| those.binary_search(id).is_ok())
}

/// Whether all of `these` is in `those`.
pub(super) fn is_subset(these: &[PartitionId], those: &[PartitionId]) -> bool {
    these.iter().all(|id| those.binary_search(id).is_ok())
}

/// The list in ascending order, each once.
pub(super) fn sorted(mut list: Vec<PartitionId>) -> Vec<PartitionId> {
    list.sort_unstable();
    list.dedup();
    list
}
