//! Messages read for whoever they were assigned to: the record, and the body where that lies
//! elsewhere.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_log::partition::{ColdRead, Read, ReadBatches, ReadError};
use weir_model::{
    Offset, PartitionId,
    record::Records,
    reference::{self, BodyReference},
};
use weir_raft::Context;

use super::{
    Shard,
    body_cache::OpenBodies,
    pump::visit_shard,
    window::{Found, Window},
};
use crate::{
    api::queues::{Delivered, DeliveryId},
    bodies::{bodies_of, group_of_bodies},
    outcome::AppliedOutcome,
    queue::{Assignment, unassigned},
};

/// Bytes of one read.
const READ_BYTES: usize = 256 << 10;
/// Most records that wait for their bodies; others are looked up again.
const MAX_BODILESS_COUNT: usize = 1_000;

type ShardContext<'a> = Context<'a, AppliedOutcome>;

/// What was found of a message.
pub(super) enum Fetched {
    /// With its body.
    Message(Delivered),
    Expired,
    Void,
    /// The disk has it.
    Cold(ColdRead),
    /// Its body is not to be found. To be tried again: it is nobody's to give up.
    Bodiless,
}

/// Why there is no record.
pub(super) enum NotFound {
    Expired,
    Void,
    Cold(ColdRead),
}

/// Why there is no body.
enum NoBody {
    Cold(ColdRead),
    Missing,
}

/// Records whose bodies are read from the disk, by partition and offset: by the time those are there,
/// others' reads may have taken the records' place in memory.
#[derive(Default)]
pub(super) struct Bodiless(BTreeMap<(PartitionId, u64), Record>);

/// A record without its body.
struct Record {
    bytes: Bytes,
    timestamp_ms: i64,
    reference: Option<BodyReference>,
}

impl Bodiless {
    fn keep(&mut self, partition: PartitionId, offset: u64, record: Record) {
        if self.0.len() >= MAX_BODILESS_COUNT {
            self.0.pop_first();
        }
        self.0.insert((partition, offset), record);
    }
}

/// What was read, opened.
enum OpenRead {
    Records(Window),
    Bodies(Vec<OpenBodies>),
}

impl Shard {
    /// What an assignment is about.
    pub(super) fn fetch_assigned(
        &mut self,
        partition: PartitionId,
        assigned: &Assignment,
    ) -> Fetched {
        self.fetch(partition, assigned, false)
    }

    /// What lies at an offset, also where its transaction was aborted: share groups may read those.
    pub(super) fn fetch_any(&mut self, partition: PartitionId, offset: u64) -> Fetched {
        self.fetch(partition, &unassigned(offset), true)
    }

    fn fetch(
        &mut self,
        partition: PartitionId,
        assigned: &Assignment,
        sees_aborted: bool,
    ) -> Fetched {
        let found = self.fetch_bodiless(partition, assigned, sees_aborted);
        let (mut message, reference) = match found {
            Ok(found) => found,
            Err(NotFound::Expired) => return Fetched::Expired,
            Err(NotFound::Void) => return Fetched::Void,
            Err(NotFound::Cold(read)) => return Fetched::Cold(read),
        };
        let Some(reference) = reference else {
            return Fetched::Message(message);
        };
        let body = match self.body(reference) {
            Ok(body) => body,
            Err(NoBody::Cold(read)) => {
                let record = Record {
                    // Not as a slice of all that was read with it.
                    bytes: Bytes::copy_from_slice(&message.record),
                    timestamp_ms: message.timestamp_ms,
                    reference: Some(reference),
                };
                self.pump.bodiless.keep(partition, assigned.offset, record);
                return Fetched::Cold(read);
            }
            Err(NoBody::Missing) => return self.bodiless(partition, assigned.offset, reference),
        };
        match whole_record(&message.record, reference, &body) {
            Some(record) => {
                message.record = record;
                Fetched::Message(message)
            }
            None => self.bodiless(partition, assigned.offset, reference),
        }
    }

    /// The same without its body, where that lies elsewhere: says where.
    pub(super) fn fetch_record(
        &mut self,
        partition: PartitionId,
        assigned: &Assignment,
    ) -> Result<(Delivered, Option<BodyReference>), NotFound> {
        self.fetch_bodiless(partition, assigned, false)
    }

    fn fetch_bodiless(
        &mut self,
        partition: PartitionId,
        assigned: &Assignment,
        sees_aborted: bool,
    ) -> Result<(Delivered, Option<BodyReference>), NotFound> {
        let kept = self.pump.bodiless.0.remove(&(partition, assigned.offset));
        let record = match kept {
            Some(record) => record,
            None => self.find_record(partition, assigned.offset, sees_aborted)?,
        };
        if self.had_expired(partition, &record.bytes, record.timestamp_ms, assigned) {
            return Err(NotFound::Expired);
        }
        let message = Delivered {
            id: DeliveryId::of(partition, assigned.offset, assigned.serial),
            is_redelivered: assigned.is_redelivered,
            failed_count: assigned.failed_count,
            record: record.bytes,
            timestamp_ms: record.timestamp_ms,
        };
        Ok((message, record.reference))
    }

    fn find_record(
        &mut self,
        partition: PartitionId,
        offset: u64,
        sees_aborted: bool,
    ) -> Result<Record, NotFound> {
        let Some(log) = self.partitions.get(&partition).map(|it| it.log.clone()) else {
            return Err(NotFound::Void);
        };
        let is_outside = |window: &Window| matches!(window.find(offset), Found::Outside);
        if self.pump.windows.of(partition).is_none_or(is_outside) {
            match log.read(Offset(offset), READ_BYTES, true) {
                Read::Batches(batches) => {
                    self.pump.windows.keep(partition, Window::open(batches));
                }
                Read::Cold(cold) => return Err(NotFound::Cold(cold)),
                // Trimmed, whoever had it.
                Read::AtEnd | Read::OutOfRange { .. } => return Err(NotFound::Void),
            }
        }
        let Some(Found::Record(found)) = self.pump.windows.of(partition).map(|it| it.find(offset))
        else {
            return Err(NotFound::Void);
        };
        let is_aborted = !sees_aborted && self.is_aborted(partition, found.header, offset);
        if found.header.is_control() || is_aborted {
            return Err(NotFound::Void);
        }
        let reference = match found.header.has_references() {
            true => reference_of(&found.record),
            false => None,
        };
        Ok(Record {
            bytes: found.record,
            timestamp_ms: found.timestamp_ms,
            reference,
        })
    }

    fn body(&mut self, reference: BodyReference) -> Result<Bytes, NoBody> {
        if let Some(body) = self.pump.bodies.find(reference) {
            return Ok(body);
        }
        let bodies = self.partitions.get(&bodies_of(self.id));
        let log = bodies.map(|it| it.log.clone()).ok_or(NoBody::Missing)?;
        match log.read(reference.offset, READ_BYTES, true) {
            Read::Batches(batches) => {
                self.pump.bodies.keep(OpenBodies::open_all(batches));
                let found = self.pump.bodies.find(reference);
                found.ok_or(NoBody::Missing)
            }
            Read::Cold(cold) => Err(NoBody::Cold(cold)),
            Read::AtEnd | Read::OutOfRange { .. } => Err(NoBody::Missing),
        }
    }

    /// A message that is gone needs no body; any other one must have one.
    fn bodiless(&self, partition: PartitionId, offset: u64, reference: BodyReference) -> Fetched {
        let log = self.partitions.get(&partition).map(|it| &it.log);
        if log.is_none_or(|log| Offset(offset) < log.start_offset()) {
            return Fetched::Void;
        }
        tracing::error!(%partition, offset, ?reference, "a message's body is missing");
        Fetched::Bodiless
    }

    /// Reads from the disk, on another thread, and keeps what was read. `then` hears whether there
    /// is something.
    pub(super) fn read_window(
        &mut self,
        read: ColdRead,
        then: impl FnOnce(&mut Self, bool, &mut ShardContext<'_>) + Send + 'static,
    ) {
        let (handle, id, era) = (self.env.handle.clone(), self.id, self.pump.era);
        let (partition, from) = (read.partition(), read.from());
        let done = move |result: Result<ReadBatches, ReadError>| {
            // Opened here, since that may take long.
            let opened = result.map(|batches| match group_of_bodies(partition) {
                Some(_) => OpenRead::Bodies(OpenBodies::open_all(batches)),
                None => OpenRead::Records(Window::open(batches)),
            });
            visit_shard(&handle, id, move |shard, context| {
                if shard.pump.era != era || !context.leads {
                    return;
                }
                let is_read = shard.keep_read(partition, from, opened);
                then(shard, is_read, context);
            });
        };
        self.env.store.read_cold(read, Box::new(done));
    }

    fn keep_read(
        &mut self,
        partition: PartitionId,
        from: Offset,
        opened: Result<OpenRead, ReadError>,
    ) -> bool {
        match opened {
            Ok(OpenRead::Records(window)) => {
                self.pump.windows.keep(partition, window);
                true
            }
            Ok(OpenRead::Bodies(bodies)) => {
                let is_found = bodies.iter().any(|open| open.find(from.0).is_some());
                if !is_found {
                    tracing::error!(%partition, %from, "a message's body is missing");
                }
                self.pump.bodies.keep(bodies);
                is_found
            }
            // Trimmed meanwhile: the next look finds that.
            Err(ReadError::OutOfRange { .. }) => true,
            Err(ReadError::Busy | ReadError::Closed) => false,
            Err(error @ (ReadError::Corrupt { .. } | ReadError::Failed { .. })) => {
                tracing::error!(%error, "a queue's messages cannot be read");
                let log = self.partitions.get(&partition).map(|it| &it.log);
                if let (ReadError::Corrupt { path, .. }, Some(log), Some(node)) =
                    (&error, log, self.node())
                {
                    node.offers.found_damage(log, path);
                }
                false
            }
        }
    }
}

fn reference_of(record: &Bytes) -> Option<BodyReference> {
    let record = Records::new(record, 1).next()?.ok()?;
    record.reference().ok()?
}

fn whole_record(record: &Bytes, reference: BodyReference, body: &[u8]) -> Option<Bytes> {
    let record = Records::new(record, 1).next()?.ok()?;
    let mut out = Vec::new();
    reference::write_whole(&record, reference, body, &mut out).ok()?;
    Some(out.into())
}
