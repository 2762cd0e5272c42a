//! What has happened on this node and is not written yet: bounded, and never waited for.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use serde_json::json;
use weir_log::Clock;
use weir_model::NodeId;

use super::event::{AuditEvent, SUCCESS};

/// Most bytes of events that wait.
const MAX_WAITING_BYTES: usize = 4 << 20;
/// Failures that are alike within this long are one record, in ms.
const ALIKE_MS: i64 = 10_000;
/// Most kinds of failures that are counted at a time. Others are counted together, by what was tried: whoever
/// makes names up writes no more than that.
const MAX_KINDS: usize = 1_000;
/// Most of these. Past them a failure counts as lost.
const MAX_OTHER_KINDS: usize = 100;
/// The result of those that are counted together.
const MANY: &str = "too many kinds of failures to tell them apart";
/// Most bytes of events in one batch.
const MAX_BATCH_BYTES: usize = 256 << 10;

/// One node's record of what happens.
///
/// A mutex: taken where somebody logs in, is refused or changes something, never for what is allowed.
#[derive(Default)]
pub struct AuditLog {
    /// Nothing is noted before there is a node.
    at: OnceLock<(NodeId, Arc<dyn Clock>)>,
    state: Mutex<State>,
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditLog")
    }
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Noted>,
    waiting_bytes: usize,
    /// Failures like one that was noted, since then.
    alike: BTreeMap<[String; 5], Alike>,
    /// Events for which there was no room, and since when.
    lost: Option<(u64, i64)>,
    lost_count: u64,
    next_sequence: u64,
}

struct Alike {
    since_ms: i64,
    count: u64,
}

/// What became of a failure.
enum Counted {
    /// The first of its kind: it is a record.
    New,
    /// One more of a kind.
    Known,
    NoRoom,
}

/// An event that waits.
struct Noted {
    event: AuditEvent,
    time_ms: i64,
    count: u64,
}

/// A record's value, and its time.
pub(super) type Written = (Vec<u8>, i64);

impl AuditLog {
    /// This node's, by its clock.
    pub(crate) fn begin(&self, node: NodeId, clock: &Arc<dyn Clock>) {
        self.at.get_or_init(|| (node, Arc::clone(clock)));
    }

    /// Takes an event, or counts it as lost.
    pub(crate) fn note(&self, event: AuditEvent) {
        let Some((_, clock)) = self.at.get() else {
            return;
        };
        let now_ms = clock.now().0;
        let mut state = self.lock();
        if event.result != SUCCESS && event.detail.is_none() {
            match state.count_alike(key_of(&event), now_ms) {
                Counted::New => {}
                Counted::Known => return,
                Counted::NoRoom => return state.lose(1, now_ms),
            }
        }
        state.push(event, now_ms, 1);
    }

    /// Events that were never written.
    pub(crate) fn lost_count(&self) -> u64 {
        self.lock().lost_count
    }

    /// The next records to write, oldest first; empty: there are none.
    pub(super) fn take(&self) -> Vec<Written> {
        let Some((node, clock)) = self.at.get() else {
            return Vec::new();
        };
        let now_ms = clock.now().0;
        let mut state = self.lock();
        state.settle(now_ms);
        let mut written = Vec::new();
        let mut size_bytes = 0;
        while size_bytes < MAX_BATCH_BYTES
            && let Some(noted) = state.waiting.pop_front()
        {
            state.waiting_bytes -= noted.event.size_bytes();
            state.next_sequence += 1;
            let record = write(*node, state.next_sequence, &noted);
            size_bytes += record.len();
            written.push((record, noted.time_ms));
        }
        written
    }

    /// So many records could not be written.
    pub(super) fn lose(&self, count: u64) {
        let Some((_, clock)) = self.at.get() else {
            return;
        };
        self.lock().lose(count, clock.now().0);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count_alike(&mut self, key: [String; 5], since_ms: i64) -> Counted {
        if let Some(alike) = self.alike.get_mut(&key) {
            alike.count += 1;
            return Counted::Known;
        }
        if self.alike.len() < MAX_KINDS {
            self.alike.insert(key, Alike { since_ms, count: 0 });
            return Counted::New;
        }
        let [_, _, action, _, _] = key;
        let others = [
            String::new(),
            String::new(),
            action,
            String::new(),
            MANY.to_owned(),
        ];
        let is_full = self.alike.len() >= MAX_KINDS + MAX_OTHER_KINDS;
        if is_full && !self.alike.contains_key(&others) {
            return Counted::NoRoom;
        }
        let alike = self.alike.entry(others);
        alike.or_insert(Alike { since_ms, count: 0 }).count += 1;
        Counted::Known
    }

    fn push(&mut self, event: AuditEvent, time_ms: i64, count: u64) {
        let bytes = event.size_bytes();
        if self.waiting_bytes + bytes > MAX_WAITING_BYTES {
            return self.lose(count, time_ms);
        }
        self.waiting_bytes += bytes;
        self.waiting.push_back(Noted {
            event,
            time_ms,
            count,
        });
    }

    fn lose(&mut self, count: u64, now_ms: i64) {
        self.lost_count += count;
        self.lost.get_or_insert((0, now_ms)).0 += count;
    }

    /// Notes what was counted meanwhile.
    fn settle(&mut self, now_ms: i64) {
        let is_over = |alike: &Alike| now_ms.abs_diff(alike.since_ms) >= ALIKE_MS.unsigned_abs();
        let mut over = Vec::new();
        self.alike.retain(|key, alike| {
            let ends = is_over(alike);
            if ends && alike.count > 0 {
                over.push((key.clone(), alike.count));
            }
            !ends
        });
        for ([principal, peer, action, resource, result], count) in over {
            let event = AuditEvent {
                principal,
                peer,
                action,
                resource,
                result,
                detail: None,
            };
            self.push(event, now_ms, count);
        }
        // Behind what is still there: that has room first.
        if let Some((count, since_ms)) = self.lost.take() {
            let event = AuditEvent {
                principal: String::new(),
                peer: String::new(),
                action: "audit_lost".to_owned(),
                resource: String::new(),
                result: "no room for records, or they could not be written".to_owned(),
                detail: Some(json!({ "since_ms": since_ms })),
            };
            let bytes = event.size_bytes();
            self.waiting_bytes += bytes;
            self.waiting.push_back(Noted {
                event,
                time_ms: now_ms,
                count,
            });
        }
    }
}

/// Without the port: a client that tries again has another one each time.
fn key_of(event: &AuditEvent) -> [String; 5] {
    let host = event
        .peer
        .rsplit_once(':')
        .map_or(&*event.peer, |(host, _)| host);
    let host = host.trim_matches(['[', ']']).to_owned();
    [
        event.principal.clone(),
        host,
        event.action.clone(),
        event.resource.clone(),
        event.result.clone(),
    ]
}

fn write(node: NodeId, sequence: u64, noted: &Noted) -> Vec<u8> {
    let Noted {
        event,
        time_ms,
        count,
    } = noted;
    let mut record = json!({
        "time_ms": time_ms,
        "node": node.0,
        "sequence": sequence,
        "principal": event.principal,
        "peer": event.peer,
        "action": event.action,
        "resource": event.resource,
        "result": event.result,
        "count": count,
    });
    if let (Some(detail), Some(record)) = (&event.detail, record.as_object_mut()) {
        record.insert("detail".to_owned(), detail.clone());
    }
    record.to_string().into_bytes()
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
