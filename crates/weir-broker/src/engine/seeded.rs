//! Bugs put in on purpose, in a whole node.

use super::Engine;

impl Engine {
    /// Lets all groups of this node run with a bug.
    pub fn seed_bug(&mut self, bug: weir_raft::RaftBug) {
        for worker in &mut self.workers {
            worker.seed_bug(bug);
        }
    }
}
