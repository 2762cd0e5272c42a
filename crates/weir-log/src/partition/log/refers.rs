//! Whether a log's batches may refer to bodies that lie elsewhere.

use super::PartitionLog;

impl PartitionLog {
    /// Whether batches may have [references](weir_model::reference), so that readers must look:
    /// where nobody has said so yet, they may.
    pub fn refers(&self) -> bool {
        self.lock().refers
    }

    /// Says so. To be called before the first such batch is appended.
    pub fn set_refers(&self, refers: bool) {
        self.lock().refers = refers;
    }
}
