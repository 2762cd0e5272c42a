//! Bits of stored segments that change by themselves. One machine's only, and as long as no disk
//! is lost: what a segment held is then on other machines, and has to come back from there.

use weir_model::NodeId;

use super::run::Cluster;
use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
    world::Rng,
};

/// Bits that change at once.
const MAX_BIT_COUNT: u64 = 3;
/// Time between two looks at all data.
const LOOK_MS: u64 = 1_000;
/// Time within which what was found damaged is whole again.
const REPAIR_MS: u64 = 60_000;

impl Cluster<'_> {
    /// Changes bits of one segment. Nothing where the others might lack what it holds.
    pub(super) fn rot(&mut self, number: usize, salt: u64) {
        let is_other = self.rotten.is_some_and(|rotten| rotten != number);
        let was_replaced = self.machines.iter().any(|machine| machine.generation > 0);
        let has_copies = |node| self.can_lose(node);
        let is_spare = self.machines[number].node.is_some_and(has_copies);
        if is_other || was_replaced || !is_spare || !self.drained.is_empty() {
            return;
        }
        let disk = &self.machines[number].host.disk;
        let mut files = disk.files();
        files.retain(|(path, size_bytes)| path.ends_with(".seg") && *size_bytes > 0);
        if files.is_empty() {
            return;
        }
        let mut rng = Rng::new(salt);
        let (path, size_bytes) = &files[rng.index(files.len())];
        for _ in 0..rng.between(1, MAX_BIT_COUNT) {
            let bit = u32::try_from(rng.below(8)).unwrap_or(0);
            disk.flip_bit(path, rng.below(*size_bytes), bit);
        }
        self.rotten = Some(number);
    }

    /// Whether a replica may name damage: where bits changed.
    pub(super) fn may_be_damaged(&self, node: NodeId, error: &str) -> bool {
        let rotten = self.rotten.and_then(|number| self.machines[number].node);
        rotten == Some(node) && error.contains("damaged")
    }

    /// Reads all replicas until none names damage: what is found is repaired.
    pub(super) fn compare_data(&mut self) -> Result<(), Broken> {
        let until_ms = self.now_ms + REPAIR_MS;
        loop {
            self.has_damage = false;
            self.look_at_replicas(true);
            self.run_until(self.now_ms + LOOK_MS)?;
            if !self.has_damage {
                return Ok(());
            }
            if self.now_ms > until_ms {
                let detail = format!("damage is there {REPAIR_MS} ms after it was found");
                return Err(broken(oracle_name::PROGRESS, detail));
            }
        }
    }
}
