//! What has to be read from the disk, or made whole, before a member chooses from it.

use std::sync::Arc;

use weir_log::partition::{ColdRead, PartitionStore, ReadBatches, ReadError};
use weir_model::ErrorKind;

use super::{place::Found, task::Run};
use crate::{
    bodies::bodies_of,
    node::fetch::whole::{Limits, make_whole},
};

/// A place whose batches are not at hand.
pub(super) struct Preparing {
    at: usize,
    /// Where they have to be read.
    cold: Option<ColdRead>,
    found: Found,
}

impl Preparing {
    pub(super) fn cold(at: usize, cold: ColdRead, found: Found) -> Self {
        Self {
            at,
            cold: Some(cold),
            found,
        }
    }

    pub(super) fn whole(at: usize, found: Found) -> Self {
        Self {
            at,
            cold: None,
            found,
        }
    }
}

impl Run {
    /// Gets one after the other, then goes on in the same shard.
    pub(super) fn prepare(mut self: Box<Self>, mut preparing: Vec<Preparing>) {
        let Some(mut next) = preparing.pop() else {
            return self.visit();
        };
        let node = Arc::clone(&self.task.node);
        if let Some(cold) = next.cold.take() {
            let read = move |result: Result<ReadBatches, ReadError>| {
                match result {
                    Ok(batches) => {
                        next.found.batches = batches;
                        preparing.push(next);
                    }
                    Err(error) => self.unread(next.at, &error),
                }
                self.prepare(preparing);
            };
            return node.env.store.read_cold(cold, Box::new(read));
        }
        let place = &self.places[next.at];
        let (Some(log), Some(shard)) = (place.log(), place.shard()) else {
            return self.prepare(preparing);
        };
        if !log.refers() {
            self.places[next.at].found = Some(next.found);
            return self.prepare(preparing);
        }
        let bodies = node.env.registry.get(bodies_of(shard));
        let limits = Limits {
            max_bytes: usize::MAX,
            min_one: true,
            refers: true,
        };
        let read = std::mem::take(&mut next.found.batches);
        let work = move |store: &PartitionStore| Ok(make_whole(store, bodies, read, limits));
        let done = move |result: Result<Result<ReadBatches, _>, ReadError>| {
            match result {
                Ok(Ok(batches)) => {
                    next.found.batches = batches;
                    self.places[next.at].found = Some(next.found);
                }
                Ok(Err(lacking)) => {
                    tracing::error!(%lacking, "a body cannot be read");
                    self.places[next.at].fail(ErrorKind::StorageFailed);
                }
                Err(error) => self.unread(next.at, &error),
            }
            self.prepare(preparing);
        };
        node.env.store.run_on_pool(work, Box::new(done));
    }

    /// A place that could not be read: nothing of it, or an error.
    fn unread(&mut self, at: usize, error: &ReadError) {
        let place = &mut self.places[at];
        match error {
            // Nothing is chosen from nothing, so others may take; the client asks again.
            ReadError::Busy | ReadError::OutOfRange { .. } => place.fail(ErrorKind::NotLeader),
            ReadError::Closed => place.fail(ErrorKind::ShuttingDown),
            ReadError::Corrupt { path, .. } => {
                tracing::error!(%error, "stored data cannot be read");
                if let Some(log) = place.log() {
                    self.task.node.offers.found_damage(log, path);
                }
                place.fail(ErrorKind::StorageFailed);
            }
            ReadError::Failed { .. } => {
                tracing::error!(%error, "stored data cannot be read");
                place.fail(ErrorKind::StorageFailed);
            }
        }
    }
}
