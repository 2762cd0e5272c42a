//! Group 0 on this node: the metadata's state machine, and its view for readers.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use weir_raft::{Applied, ApplyError, Command};

use crate::{
    encoding::DecodeError,
    metadata::{MetadataCommand, MetadataOutcome, MetadataState, Topology},
    outcome::AppliedOutcome,
};

/// Applies metadata commands and shows the result to everybody on this node.
pub(crate) struct MetadataHost {
    state: MetadataState,
    view: Arc<ArcSwap<Topology>>,
}

impl MetadataHost {
    /// From a checkpoint's body, or from nothing.
    pub(crate) fn open(
        body: Option<&[u8]>,
        view: Arc<ArcSwap<Topology>>,
    ) -> Result<Self, DecodeError> {
        let state = match body {
            Some(body) => MetadataState::decode(body)?,
            None => MetadataState::new(),
        };
        view.store(state.topology());
        Ok(Self { state, view })
    }

    pub(crate) fn apply(
        &mut self,
        at: &Applied,
        command: &[u8],
    ) -> Result<AppliedOutcome, ApplyError> {
        let command = MetadataCommand::decode(command).map_err(|error| ApplyError {
            group: at.group,
            index: at.index,
            reason: error.to_string(),
        })?;
        let outcome = self.state.apply(at, command);
        let has_changed = match &outcome {
            MetadataOutcome::ClusterNamed(_)
            | MetadataOutcome::NodeRegistered(_)
            | MetadataOutcome::TopicCreated(_)
            | MetadataOutcome::TopicDeleted(_) => true,
            MetadataOutcome::ProducerIds { .. } | MetadataOutcome::Refused(_) => false,
        };
        if has_changed {
            self.view.store(self.state.topology());
        }
        Ok(AppliedOutcome::Metadata(outcome))
    }

    pub(crate) fn restore(&mut self, body: &[u8]) -> Result<(), DecodeError> {
        self.state = MetadataState::decode(body)?;
        self.view.store(self.state.topology());
        Ok(())
    }

    pub(crate) fn retire(&mut self) {
        self.state = MetadataState::new();
        self.view.store(self.state.topology());
    }

    pub(crate) fn encode(&self) -> Bytes {
        self.state.encode()
    }
}

/// The command as it is proposed.
pub(crate) fn command(command: &MetadataCommand) -> Command {
    Command {
        head: command.encode(),
        payload: Bytes::new(),
    }
}
