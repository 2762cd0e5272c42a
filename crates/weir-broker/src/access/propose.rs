//! Changes of users and rules, from whichever node.

use std::sync::Arc;

use weir_access::{AccessError, Seed};
use weir_model::ErrorKind;

use super::{command::AccessCommand, outcome::AccessOutcome, view::AccessView};
use crate::{
    Node,
    metadata::{MetadataCommand, MetadataOutcome},
};

/// Why users and rules are as they were, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessRefused {
    /// It was decided so.
    #[error(transparent)]
    Refused(#[from] AccessError),
    /// Nobody has decided, nobody has heard of it, or this node has not applied it.
    #[error("failed: {0:?}")]
    Failed(ErrorKind),
}

impl Node {
    /// Users and rules, for doors.
    pub fn access(&self) -> &AccessView {
        self.topology.access()
    }

    /// A seed for [`AccessCommand`]s.
    pub fn access_seed(&self) -> Seed {
        let mut seed = Seed::default();
        for eight in seed.0.chunks_exact_mut(8) {
            eight.copy_from_slice(&self.entropy.next_u64().to_le_bytes());
        }
        seed
    }

    /// Lets group 0's leader decide on a change. `done` hears the outcome once this node has applied
    /// it too. It may be proposed twice: a user may be created by the first of the two, and exist for the second.
    pub fn change_access(
        self: &Arc<Self>,
        command: AccessCommand,
        done: impl FnOnce(Result<AccessOutcome, AccessRefused>) + Send + 'static,
    ) {
        self.propose_metadata(MetadataCommand::Access(command), move |outcome| {
            done(match outcome {
                Ok(MetadataOutcome::Access(AccessOutcome::Refused(error))) => {
                    Err(AccessRefused::Refused(error))
                }
                Ok(MetadataOutcome::Access(outcome)) => Ok(outcome),
                outcome => Err(AccessRefused::Failed(
                    crate::node::manage::refused(&outcome).kind,
                )),
            });
        });
    }
}
