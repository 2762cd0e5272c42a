//! Either of the state machines that groups of this broker run.

use bytes::Bytes;
use weir_log::Millis;
use weir_raft::{Applied, ApplyError, Context, Moment, Stamp, StateMachine};

use crate::{metadata_host::MetadataHost, outcome::AppliedOutcome, shard::Shard};

/// Group 0 runs [`Machine::Metadata`], every other group [`Machine::Shard`].
pub(crate) enum Machine {
    Metadata(Box<MetadataHost>),
    Shard(Box<Shard>),
}

impl StateMachine for Machine {
    type Outcome = AppliedOutcome;

    fn apply(&mut self, at: &Applied, command: Bytes) -> Result<AppliedOutcome, ApplyError> {
        match self {
            Self::Metadata(metadata) => metadata.apply(at, &command),
            Self::Shard(shard) => shard.apply(at, command),
        }
    }

    fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::Metadata(_) => None,
            Self::Shard(shard) => shard.stamp(),
        }
    }

    fn restore(&mut self, body: Bytes) -> Result<(), String> {
        match self {
            Self::Metadata(metadata) => metadata.restore(&body).map_err(|error| error.to_string()),
            Self::Shard(shard) => shard.restore_over(&body).map_err(|error| error.to_string()),
        }
    }

    fn retire(&mut self) {
        match self {
            Self::Metadata(metadata) => metadata.retire(),
            Self::Shard(shard) => shard.retire(),
        }
    }

    fn leadership(&mut self, context: &mut Context<'_, AppliedOutcome>) {
        match self {
            Self::Metadata(_) => {}
            Self::Shard(shard) => shard.leadership(context),
        }
    }

    fn next_deadline(&self, at: Moment) -> Option<Millis> {
        match self {
            Self::Metadata(_) => None,
            Self::Shard(shard) => shard.next_deadline(at),
        }
    }

    fn handle_timeout(&mut self, context: &mut Context<'_, AppliedOutcome>) {
        match self {
            Self::Metadata(_) => {}
            Self::Shard(shard) => shard.handle_timeout(context),
        }
    }
}
