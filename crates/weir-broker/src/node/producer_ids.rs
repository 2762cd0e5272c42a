//! Ids for idempotent producers: taken from blocks that the metadata group gives to this node.

use std::sync::{Arc, PoisonError};

use weir_model::{ErrorKind, ProducerId};

use super::Node;
use crate::{
    api::{InitProducer, Outcome},
    mailbox::Reply,
    metadata::{MetadataCommand, MetadataOutcome},
};

/// Ids that are asked for at once.
const BLOCK_COUNT: u32 = 1000;
/// Epoch of a new producer.
const FIRST_EPOCH: i16 = 0;

/// What is left of the node's block. A restart forgets it: ids are plenty.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds {
    next: i64,
    end: i64,
}

impl Node {
    pub(super) fn init_producer_id(self: &Arc<Self>, init: InitProducer, reply: Reply) {
        if init.transactional.is_some() {
            return self.init_transactional(init, reply);
        }
        self.with_producer_id(move |answer| {
            reply.send(Outcome::ProducerId(answer.map(|id| (id, FIRST_EPOCH))));
        });
    }

    /// Calls `then` with an id that nobody else has got or will get.
    pub(super) fn with_producer_id(
        self: &Arc<Self>,
        then: impl FnOnce(Result<ProducerId, ErrorKind>) + Send + 'static,
    ) {
        if let Some(id) = self.take_producer_id() {
            return then(Ok(id));
        }
        let allocate = MetadataCommand::AllocateProducerIds {
            node: self.config.node,
            count: BLOCK_COUNT,
        };
        let node = Arc::clone(self);
        self.propose_metadata(allocate, move |outcome| {
            then(outcome.and_then(|outcome| node.take_block(&outcome)));
        });
    }

    fn take_producer_id(&self) -> Option<ProducerId> {
        let mut ids = self
            .producer_ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        (ids.next < ids.end).then(|| {
            ids.next += 1;
            ProducerId(ids.next - 1)
        })
    }

    fn take_block(&self, outcome: &MetadataOutcome) -> Result<ProducerId, ErrorKind> {
        match outcome {
            MetadataOutcome::ProducerIds { first, count, .. } => {
                let mut ids = self
                    .producer_ids
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                // Of two blocks that were asked for at once the later one is used on.
                (ids.next, ids.end) = (first.0 + 1, first.0 + i64::from(*count));
                Ok(*first)
            }
            MetadataOutcome::Refused(error) => Err(*error),
            MetadataOutcome::ClusterNamed(_)
            | MetadataOutcome::NodeRegistered(_)
            | MetadataOutcome::NodeAdmitted(_)
            | MetadataOutcome::NodeStateSet(_)
            | MetadataOutcome::NodeRemoved(_)
            | MetadataOutcome::TopicCreated(_)
            | MetadataOutcome::TopicDeleted(_)
            | MetadataOutcome::ConfigsAltered
            | MetadataOutcome::PartitionsCreated
            | MetadataOutcome::GroupPlaced
            | MetadataOutcome::Routing(_)
            | MetadataOutcome::Access(_) => Err(ErrorKind::InvalidRequest),
        }
    }
}
