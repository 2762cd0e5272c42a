//! Checkpoints: the last one saved is there, whole, or one whose saving was under way.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_log::{Checkpoint, CheckpointError};
use weir_model::{GroupId, Term};

use super::run::Run;
use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
    world::Rng,
};

/// What may be found of each group.
#[derive(Debug, Default)]
pub(super) struct Checkpoints(BTreeMap<GroupId, Candidates>);

#[derive(Debug, Default)]
struct Candidates {
    saved: Option<Checkpoint>,
    /// Savings that failed after `saved`: any of them may have made it.
    attempted: Vec<Checkpoint>,
}

impl Candidates {
    fn allows(&self, found: Option<&Checkpoint>) -> bool {
        let attempted = self.attempted.iter().map(Some);
        let mut allowed = attempted.chain([self.saved.as_ref()]);
        allowed.any(|candidate| candidate == found)
    }
}

impl Run<'_> {
    pub(super) fn save_checkpoint(
        &mut self,
        group: GroupId,
        data_bytes: usize,
        salt: u64,
    ) -> Result<(), Broken> {
        let mut rng = Rng::new(salt);
        let checkpoint = Checkpoint {
            index: self.model.releasable(group),
            term: Term(rng.below(9)),
            body: Bytes::from(rng.bytes(data_bytes)),
        };
        let saved = self.log().checkpoints.save(group, &checkpoint);
        self.host.counts.add("checkpoints", 1);
        let candidates = self.checkpoints.0.entry(group).or_default();
        if saved.is_ok() {
            *candidates = Candidates {
                saved: Some(checkpoint),
                attempted: Vec::new(),
            };
        } else {
            candidates.attempted.push(checkpoint);
        }
        self.explained("saving a checkpoint", saved.map_err(|e| e.to_string()))
    }

    /// Loads what is there after a start; what was loaded stays.
    pub(super) fn check_checkpoints(&mut self) -> Result<(), Broken> {
        let found = match self.log().checkpoints.load_all() {
            Ok(found) => found,
            Err(error @ CheckpointError::Corrupt { .. }) => {
                return Err(broken(oracle_name::LOST, error.to_string()));
            }
            Err(error) => {
                return self.explained("loading checkpoints", Err(error.to_string()));
            }
        };
        for group in found.keys() {
            self.checkpoints.0.entry(*group).or_default();
        }
        for (group, candidates) in &mut self.checkpoints.0 {
            let found = found.get(group);
            if !candidates.allows(found) {
                let brief = |checkpoint: &Checkpoint| (checkpoint.index, checkpoint.body.len());
                let detail = format!(
                    "checkpoint of group {group}: saved {:?}, found {:?}",
                    candidates.saved.as_ref().map(brief),
                    found.map(brief)
                );
                return Err(broken(oracle_name::LOST, detail));
            }
            *candidates = Candidates {
                saved: found.cloned(),
                attempted: Vec::new(),
            };
        }
        Ok(())
    }
}
