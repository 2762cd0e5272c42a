//! What a door's connections do, counted without a lock that all of them share: each connection
//! counts in one of several parts, which are added up when somebody looks.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::time::Instant;
use weir_broker::Ticket;
use weir_model::figures::{Histogram, HistogramFigures};

/// Parts of one door's counters: connections that share one rarely count at the same moment.
const PART_COUNT: usize = 16;

/// Two cache lines, which processors fetch together: parts do not slow each other down.
#[derive(Debug)]
#[repr(align(128))]
struct Part {
    opened: AtomicU64,
    ended: AtomicU64,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    /// By label.
    requests: Vec<Histogram>,
}

/// One door's counters.
#[derive(Debug)]
pub struct DoorCounters {
    labels: Vec<String>,
    parts: Vec<Part>,
    next: AtomicUsize,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DoorFigures {
    /// Connections taken.
    pub opened_count: u64,
    /// Those of them that have ended.
    pub ended_count: u64,
    /// Bytes read from sockets.
    pub received_bytes: u64,
    /// Bytes written to sockets.
    pub sent_bytes: u64,
    /// How long the node took for requests, by kind of request.
    pub requests: Vec<(String, HistogramFigures)>,
}

/// One connection's way to count. Its drop counts the connection's end.
#[derive(Debug)]
pub struct ConnectionCounters {
    door: Arc<DoorCounters>,
    part: usize,
    /// Requests that the node works on, in the order in which they were asked: as many as a
    /// connection may have in flight.
    asked: VecDeque<(Ticket, usize, Instant)>,
}

impl DoorCounters {
    /// For a door with these kinds of requests, see [`crate::Door::request_labels`].
    pub fn new(labels: Vec<String>) -> Arc<Self> {
        let part = || Part {
            opened: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            requests: labels.iter().map(|_| Histogram::default()).collect(),
        };
        let parts = (0..PART_COUNT).map(|_| part()).collect();
        Arc::new(Self {
            labels,
            parts,
            next: AtomicUsize::new(0),
        })
    }

    /// Counts a connection, and gives it its way to count.
    pub fn connection(self: &Arc<Self>) -> ConnectionCounters {
        let part = self.next.fetch_add(1, Relaxed) % PART_COUNT;
        self.parts[part].opened.fetch_add(1, Relaxed);
        ConnectionCounters {
            door: Arc::clone(self),
            part,
            asked: VecDeque::new(),
        }
    }

    /// What was counted until now.
    pub fn figures(&self) -> DoorFigures {
        let sum = |of: fn(&Part) -> &AtomicU64| -> u64 {
            self.parts.iter().map(|part| of(part).load(Relaxed)).sum()
        };
        let requests = self.labels.iter().enumerate().map(|(at, label)| {
            let mut all = HistogramFigures::default();
            for part in &self.parts {
                all.add(&part.requests[at].figures());
            }
            (label.clone(), all)
        });
        // Ends before beginnings: nobody reads a negative number of connections.
        let ended_count = sum(|part| &part.ended);
        DoorFigures {
            opened_count: sum(|part| &part.opened),
            ended_count,
            received_bytes: sum(|part| &part.received_bytes),
            sent_bytes: sum(|part| &part.sent_bytes),
            requests: requests.collect(),
        }
    }
}

impl ConnectionCounters {
    fn part(&self) -> &Part {
        &self.door.parts[self.part]
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.part().received_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.part().sent_bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// The node was asked.
    pub(crate) fn asked(&mut self, ticket: Ticket, label: usize, now: Instant) {
        self.asked.push_back((ticket, label, now));
    }

    /// The node has answered.
    pub(crate) fn answered(&mut self, ticket: Ticket, now: Instant) {
        let mut asked = self.asked.iter();
        let Some(at) = asked.position(|(asked, _, _)| *asked == ticket) else {
            return;
        };
        let Some((_, label, since)) = self.asked.remove(at) else {
            return;
        };
        if let Some(histogram) = self.part().requests.get(label) {
            let took = now.saturating_duration_since(since).as_micros();
            histogram.observe_us(u64::try_from(took).unwrap_or(u64::MAX));
        }
    }
}

impl Drop for ConnectionCounters {
    fn drop(&mut self) {
        self.part().ended.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn connections_in_all_parts_add_up() {
        let door = DoorCounters::new(vec!["a".to_owned(), "b".to_owned()]);
        let mut connections: Vec<_> = (0..2 * PART_COUNT).map(|_| door.connection()).collect();
        let begin = Instant::now();
        for connection in &mut connections {
            connection.received(3);
            connection.sent(5);
            connection.asked(Ticket(1), 0, begin);
            connection.asked(Ticket(2), 1, begin);
            // Answers come in any order; what nobody asked counts nothing.
            connection.answered(Ticket(2), begin + Duration::from_micros(7));
            connection.answered(Ticket(9), begin);
            connection.answered(Ticket(1), begin);
        }
        drop(connections.pop());
        let figures = door.figures();
        let all = 2 * PART_COUNT as u64;
        assert_eq!((figures.opened_count, figures.ended_count), (all, 1));
        assert_eq!(
            (figures.received_bytes, figures.sent_bytes),
            (3 * all, 5 * all)
        );
        let counts = figures.requests.iter();
        let counts: Vec<_> = counts
            .map(|(label, it)| (&**label, it.count(), it.sum_us))
            .collect();
        assert_eq!(counts, [("a", all, 0), ("b", all, 7 * all)]);
    }
}
