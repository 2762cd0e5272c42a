//! The rules about each message. Each is one pass over the record.
//!
//! Allowed, since a broker cannot know better: messages without a confirm that are there or are
//! not, and messages delivered again, marked as such, until their settlement was confirmed.

use super::event::Fate;
use super::order;
use super::record::{Delivery, Outcome, Publish, Record, Value, Way};
use super::verdict::Verdict;
use std::collections::BTreeMap;

const NS_PER_MS: u64 = 1_000_000;
/// Brokers count expiry in whole milliseconds of their clock.
const CLOCK_GRAIN_NS: u64 = NS_PER_MS;

/// Judges a history.
pub(crate) fn check(record: &Record) -> Verdict {
    let mut verdict = Verdict {
        delivered: record.deliveries.len() as u64,
        sessions: record.sessions.len() as u64,
        longest_pause_ms: longest_pause_ms(record),
        ..Verdict::default()
    };
    for delivery in &record.deliveries {
        let is_confirmed = delivery.settle.is_some_and(|it| it.confirmed_ns.is_some());
        verdict.redelivered += u64::from(delivery.redelivered);
        verdict.settled += u64::from(is_confirmed);
        verdict.dead_lettered += u64::from(delivery.death.is_some());
    }
    let ledger = Ledger::of(record);
    for ((queue, value), deliveries) in &ledger.handed_out {
        ledger.check_place(*queue, *value, deliveries, &mut verdict);
        ledger.check_repeats(*queue, *value, deliveries, &mut verdict);
    }
    for (sender, publishes) in (0..).zip(&record.publishes) {
        for (number, publish) in (0..).zip(publishes) {
            ledger.check_publish(Value { sender, number }, publish, &mut verdict);
        }
    }
    order::check(record, &mut verdict);
    verdict
}

/// Longest time between two confirms of a publisher.
fn longest_pause_ms(record: &Record) -> u64 {
    let mut confirms = record.confirms.clone();
    confirms.sort_unstable();
    let neighbours = confirms.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    let pauses = neighbours.map(|pair| pair[1].1 - pair[0].1);
    pauses.max().unwrap_or(0) / NS_PER_MS
}

/// Deliveries by queue and value, in order of their times.
type HandedOut<'a> = BTreeMap<(u32, Value), Vec<&'a Delivery>>;

struct Ledger<'a> {
    record: &'a Record,
    handed_out: HandedOut<'a>,
}

impl<'a> Ledger<'a> {
    fn of(record: &'a Record) -> Self {
        let mut handed_out = HandedOut::new();
        for delivery in &record.deliveries {
            let queue = record.session_of(delivery).queue;
            let deliveries = handed_out.entry((queue, delivery.value)).or_default();
            deliveries.push(delivery);
        }
        for deliveries in handed_out.values_mut() {
            deliveries.sort_by_key(|delivery| delivery.time_ns);
        }
        Self { record, handed_out }
    }

    fn deliveries(&self, queue: u32, value: Value) -> &[&'a Delivery] {
        let deliveries = self.handed_out.get(&(queue, value));
        deliveries.map_or(&[], Vec::as_slice)
    }

    fn words(&self, what: &str, queue: u32, value: Value) -> String {
        let queue = &self.record.queues[queue as usize].name;
        format!("{what}: {} of {queue}", self.record.name(value))
    }

    fn is_routed(&self, queue: u32, publish: &Publish) -> bool {
        let address = &self.record.addresses[publish.to as usize];
        self.record.queues[queue as usize].from.contains(address)
    }

    /// The queues that take an address's messages.
    fn routes(&self, publish: &Publish) -> Vec<u32> {
        let all = (0..).zip(&self.record.queues).map(|(index, _)| index);
        all.filter(|queue| self.is_routed(*queue, publish))
            .collect()
    }

    fn dead_queue(&self, queue: u32) -> Option<u32> {
        let dead = self.record.queues[queue as usize].dead.as_ref()?;
        self.record.queue(dead)
    }

    /// Why a message becomes a dead letter of a queue that has it.
    fn due(&self, queue: u32, publish: &Publish) -> Option<&'static str> {
        let queue = &self.record.queues[queue as usize];
        match publish.fate {
            Fate::Reject => Some("rejected"),
            Fate::Poison => queue.limit.map(|_| "delivery_limit"),
            Fate::Expire => Some("expired"),
            Fate::Ack | Fate::Later | Fate::Crash => None,
        }
    }

    /// How often a message may have come back to a queue: by what clients did, and with them.
    fn returns(&self, queue: u32, value: Value, before_ns: u64) -> u32 {
        let deliveries = self.deliveries(queue, value).iter();
        let requeued = deliveries.filter(|it| it.requeued_ns().is_some()).count();
        let sessions = self.record.sessions.iter();
        let ended = sessions
            .filter(|session| session.queue == queue && session.asked_ns < before_ns)
            .count();
        u32::try_from(requeued + ended).unwrap_or(u32::MAX)
    }

    /// A message is where it belongs.
    fn check_place(
        &self,
        queue: u32,
        value: Value,
        deliveries: &[&Delivery],
        verdict: &mut Verdict,
    ) {
        let publish = self.record.publish(value);
        let possible = publish.filter(|publish| match publish.outcome {
            Outcome::Unsure | Outcome::Confirmed => true,
            Outcome::Failed | Outcome::Returned => false,
        });
        let Some(publish) = possible else {
            verdict.unexpected += 1;
            verdict.example(|| self.words("unexpected", queue, value));
            return;
        };
        if self.is_routed(queue, publish) {
            self.check_limit(queue, value, deliveries, verdict);
            self.check_delay(queue, (value, publish), deliveries, verdict);
            return;
        }
        let mut sources = self.routes(publish).into_iter();
        match sources.find(|source| self.dead_queue(*source) == Some(queue)) {
            Some(source) => self.check_dead(source, queue, (value, publish), deliveries, verdict),
            None => {
                verdict.unexpected += 1;
                verdict.example(|| self.words("unexpected", queue, value));
            }
        }
    }

    /// What consumers have given back for certain as often as a queue allows is handed out no more.
    /// That it came back with a node or a connection need not count.
    fn check_limit(
        &self,
        queue: u32,
        value: Value,
        deliveries: &[&Delivery],
        verdict: &mut Verdict,
    ) {
        let Some(limit) = self.record.queues[queue as usize].limit else {
            return;
        };
        let given_back = deliveries.iter().filter_map(|it| {
            let settle = it.settle.filter(|settle| settle.way == Way::Requeue)?;
            settle.confirmed_ns
        });
        let mut given_back: Vec<_> = given_back.collect();
        given_back.sort_unstable();
        let last_ns = given_back.get(limit as usize).copied();
        let is_later = |at_ns| deliveries.iter().any(|it| it.sent_after_ns > at_ns);
        if given_back.len() > limit as usize + 1 || last_ns.is_some_and(is_later) {
            verdict.overdelivered += 1;
            verdict.example(|| {
                let what = format!("overdelivered: {}", self.tell(deliveries));
                self.words(&what, queue, value)
            });
        }
    }

    /// A dead letter is due, says why, and does not come before its time.
    fn check_dead(
        &self,
        source: u32,
        queue: u32,
        (value, publish): (Value, &Publish),
        deliveries: &[&Delivery],
        verdict: &mut Verdict,
    ) {
        let Some(first) = deliveries.first() else {
            return;
        };
        let due = self.due(source, publish);
        let (limit, ttl_ms) = {
            let source = &self.record.queues[source as usize];
            (source.limit, source.ttl_ms)
        };
        let is_due = first.death.as_ref().is_some_and(|death| {
            let returns = self.returns(source, value, first.time_ns);
            death.count == 1
                && match death.reason.as_str() {
                    "delivery_limit" => limit.is_some_and(|limit| returns > limit),
                    reason => due == Some(reason),
                }
        });
        if !is_due {
            verdict.misdirected += 1;
            verdict.example(|| {
                let what = format!("misdirected: {:?}, due {due:?}", first.death);
                self.words(&what, queue, value)
            });
        }
        let ttl_ms = ttl_ms.into_iter().chain(publish.ttl_ms).min();
        let Some(ttl_ms) = ttl_ms.filter(|_| publish.fate == Fate::Expire) else {
            return;
        };
        let due_ns = publish.begun_ns + ttl_ms * NS_PER_MS;
        let late_ms = first.time_ns.saturating_sub(due_ns) / NS_PER_MS;
        verdict.latest_expiry_ms = verdict.latest_expiry_ms.max(late_ms);
        let times = (due_ns, first.time_ns);
        self.check_early(times, (queue, value), verdict, |it| &mut it.expired_early);
    }

    /// A message that waits before it gets to its queue does not come before its time.
    fn check_delay(
        &self,
        queue: u32,
        (value, publish): (Value, &Publish),
        deliveries: &[&Delivery],
        verdict: &mut Verdict,
    ) {
        let delay_ms = self.record.queues[queue as usize].delay_ms;
        if let (Some(delay_ms), Some(first)) = (delay_ms, deliveries.first()) {
            let due_ns = publish.begun_ns + delay_ms * NS_PER_MS;
            let times = (due_ns, first.time_ns);
            self.check_early(times, (queue, value), verdict, |it| &mut it.early);
        }
    }

    /// Counts what came before it was due.
    fn check_early(
        &self,
        (due_ns, came_ns): (u64, u64),
        (queue, value): (u32, Value),
        verdict: &mut Verdict,
        counter: impl FnOnce(&mut Verdict) -> &mut u64,
    ) {
        if came_ns + CLOCK_GRAIN_NS < due_ns {
            *counter(verdict) += 1;
            verdict.example(|| {
                let early_ns = due_ns - came_ns;
                self.words(&format!("early: by {early_ns} ns"), queue, value)
            });
        }
    }

    /// A message is handed out as new once, and not at all after it was settled.
    fn check_repeats(
        &self,
        queue: u32,
        value: Value,
        deliveries: &[&Delivery],
        verdict: &mut Verdict,
    ) {
        let as_new = deliveries.iter().filter(|it| !it.redelivered).count();
        let mut last = BTreeMap::new();
        let is_held_twice = deliveries.iter().any(|delivery| {
            let before = last.insert(delivery.session, delivery);
            before.is_some_and(|before| before.requeued_ns().is_none())
        });
        if as_new > 1 || is_held_twice {
            verdict.duplicated += 1;
            verdict.example(|| {
                let what = format!("duplicated: {}", self.tell(deliveries));
                self.words(&what, queue, value)
            });
        }
        let settled = deliveries.iter().filter_map(|it| it.done()?.confirmed_ns);
        let first_settled_ns = settled.clone().min();
        if settled.count() > 1 {
            verdict.settled_twice += 1;
            verdict.example(|| {
                let what = format!("settled twice: {}", self.tell(deliveries));
                self.words(&what, queue, value)
            });
        }
        let is_after = |at_ns| deliveries.iter().any(|it| it.sent_after_ns > at_ns);
        if first_settled_ns.is_some_and(is_after) {
            verdict.resurrected += 1;
            verdict.example(|| {
                let what = format!("resurrected: {}", self.tell(deliveries));
                self.words(&what, queue, value)
            });
        }
    }

    fn tell(&self, deliveries: &[&Delivery]) -> String {
        let each = deliveries.iter().map(|delivery| {
            let session = &self.record.session_of(delivery).name;
            let again = if delivery.redelivered { " again" } else { "" };
            let settle = match delivery.settle {
                None => "left".to_owned(),
                Some(settle) => {
                    let way = match settle.way {
                        Way::Ack => "acked",
                        Way::Reject => "rejected",
                        Way::Requeue => "requeued",
                    };
                    match (settle.told_ns, settle.confirmed_ns) {
                        (_, Some(at)) => format!("{way} for certain at {at}"),
                        (Some(at), None) => format!("{way} at {at}"),
                        (None, None) => format!("{way}, not committed"),
                    }
                }
            };
            format!("to {session}{again} at {}, {settle}", delivery.time_ns)
        });
        each.collect::<Vec<_>>().join("; ")
    }

    /// What was confirmed, or was seen once, was handed out until it was settled as it was to be.
    fn check_publish(&self, value: Value, publish: &Publish, verdict: &mut Verdict) {
        verdict.published += 1;
        match publish.outcome {
            Outcome::Unsure => verdict.unsure += 1,
            Outcome::Confirmed => verdict.confirmed += 1,
            Outcome::Failed => {}
            Outcome::Returned => {
                verdict.returned += 1;
                let address = &self.record.addresses[publish.to as usize];
                verdict.example(|| format!("returned: {} to {address}", self.record.name(value)));
            }
        }
        for queue in self.routes(publish) {
            self.check_end(queue, value, publish, verdict);
        }
    }

    fn check_end(&self, queue: u32, value: Value, publish: &Publish, verdict: &mut Verdict) {
        let deliveries = self.deliveries(queue, value);
        let dead_queue = self.dead_queue(queue);
        let dead = dead_queue.map_or(&[][..], |dead| self.deliveries(dead, value));
        let is_confirmed = publish.outcome == Outcome::Confirmed;
        if !is_confirmed && deliveries.is_empty() && dead.is_empty() {
            return;
        }
        let is_done = |deliveries: &[&Delivery]| deliveries.iter().any(|it| it.done().is_some());
        let is_dead_letter = !dead.is_empty();
        if let (Some(dead_queue), true, false) = (dead_queue, is_dead_letter, is_done(dead)) {
            verdict.lost += 1;
            verdict.example(|| self.words(&self.told_lost(dead), dead_queue, value));
        }
        let is_never_consumed = publish.fate == Fate::Expire;
        if !is_dead_letter && !is_never_consumed && !is_done(deliveries) {
            verdict.lost += 1;
            verdict.example(|| self.words(&self.told_lost(deliveries), queue, value));
        } else if !is_dead_letter && self.due(queue, publish).is_some() {
            verdict.dead_letters_lost += 1;
            verdict.example(|| {
                let what = format!("dead letter lost: {}", self.tell(deliveries));
                self.words(&what, queue, value)
            });
        }
    }

    fn told_lost(&self, deliveries: &[&Delivery]) -> String {
        match deliveries.is_empty() {
            true => "lost: never delivered".to_owned(),
            false => format!("lost: {}", self.tell(deliveries)),
        }
    }
}
