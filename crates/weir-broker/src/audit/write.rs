//! From the log of a node to the topic, in batches, one at a time.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use weir_log::Millis;
use weir_model::{ErrorKind, TopicName, batch_builder::BatchBuilder};

use super::topic::{AUDIT_TOPIC, RETENTION_BYTES, RETENTION_MS};
use crate::{
    Node,
    api::{NewTopic, TopicRef},
};

/// Pause after something failed, in ms.
const RETRY_MS: u64 = 1_000;

/// What is being written.
#[derive(Default)]
pub(crate) struct AuditWriter {
    is_busy: AtomicBool,
    /// A mutex: taken by one turn or one answer at a time.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Encoded, and not known to be stored; with the number of its records.
    batch: Option<(Bytes, u64)>,
    /// Not before this, by the clock that never jumps.
    rests_until: Option<Millis>,
}

impl AuditWriter {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    /// Writes what there is, where nothing is under way. Called some times a second.
    pub(crate) fn write_audit(self: &Arc<Self>) {
        let writer = &self.audit_writer;
        let mut state = writer.lock();
        let rests = state
            .rests_until
            .is_some_and(|until| self.elapsed() < until);
        if rests || writer.is_busy.load(Ordering::Acquire) {
            return;
        }
        let (batch, count) = match &state.batch {
            Some(batch) => batch.clone(),
            None => {
                let records = self.access().audit().take();
                if records.is_empty() {
                    return;
                }
                let batch = (encode(&records), records.len() as u64);
                state.batch.insert(batch).clone()
            }
        };
        writer.is_busy.store(true, Ordering::Release);
        drop(state);
        let name = TopicName::new(AUDIT_TOPIC).expect("it is a topic's name");
        let Ok(place) = self.topology.load().partition(&TopicRef::Name(name), 0) else {
            return self.make_audit_topic();
        };
        let node = Arc::clone(self);
        let done = move |stored: Result<(), ErrorKind>| node.audit_written(count, stored);
        self.append_records((place.1, place.0), batch, done);
    }

    fn audit_written(&self, count: u64, stored: Result<(), ErrorKind>) {
        let mut state = self.audit_writer.lock();
        match stored {
            Ok(()) => state.batch = None,
            // Sent again: a record may be there twice then, with the same sequence number.
            Err(error) if error.retriable() => {
                tracing::debug!(?error, "the audit topic is not written");
                state.rests_until = Some(self.elapsed().plus(RETRY_MS));
            }
            Err(error) => {
                tracing::error!(?error, count, "records of the audit topic are lost");
                state.batch = None;
                self.access().audit().lose(count);
                state.rests_until = Some(self.elapsed().plus(RETRY_MS));
            }
        }
        self.audit_writer.is_busy.store(false, Ordering::Release);
    }

    fn make_audit_topic(self: &Arc<Self>) {
        let topic = NewTopic {
            name: AUDIT_TOPIC.to_owned(),
            partition_count: Some(1),
            replication_factor: None,
            configs: vec![
                ("retention.ms".to_owned(), Some(RETENTION_MS.to_owned())),
                (
                    "retention.bytes".to_owned(),
                    Some(RETENTION_BYTES.to_owned()),
                ),
            ],
            assignments: None,
        };
        let node = Arc::clone(self);
        self.create_internal_topic(&topic, move |created| {
            if let Err(refusal) = created
                && refusal.kind != ErrorKind::TopicExists
            {
                tracing::warn!(?refusal, "no audit topic");
            }
            let mut state = node.audit_writer.lock();
            state.rests_until = Some(node.elapsed().plus(RETRY_MS));
            node.audit_writer.is_busy.store(false, Ordering::Release);
        });
    }
}

fn encode(records: &[(Vec<u8>, i64)]) -> Bytes {
    let size_bytes = records.iter().map(|(record, _)| record.len()).sum();
    let mut builder = BatchBuilder::new(size_bytes);
    for (record, time_ms) in records {
        builder.push_plain(None, Some(record), *time_ms);
    }
    builder.finish(None)
}
