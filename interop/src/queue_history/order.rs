//! The rules about sessions: the order of what each is given, and who may consume beside whom.

use super::event::One;
use super::record::{Delivery, Record, Session};
use super::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet};

/// A client closes its connection so soon after it has cancelled its session.
const CLOSED_WITHIN_NS: u64 = 10_000_000_000;

/// Judges all sessions.
pub(super) fn check(record: &Record, verdict: &mut Verdict) {
    let dead_letters: BTreeSet<_> = record
        .queues
        .iter()
        .filter_map(|it| it.dead.as_ref())
        .collect();
    for session in &record.sessions {
        let queue = &record.queues[session.queue as usize];
        // Dead letters come in the order in which they died, and what waited as its time comes.
        if dead_letters.contains(&queue.name) || queue.delay_ms.is_some() {
            continue;
        }
        let is_alone = queue.one.is_some() && !is_beside_a_cancelled_one(record, session);
        check_order(record, session, is_alone, verdict);
        if queue.one.is_some() {
            check_return(record, session, verdict);
        }
    }
    for (index, queue) in (0..).zip(&record.queues) {
        if let Some(one) = queue.one {
            check_overlap(record, index, one, verdict);
        }
    }
}

fn deliveries<'a>(
    record: &'a Record,
    session: &'a Session,
) -> impl Iterator<Item = &'a Delivery> + Clone {
    let deliveries = session.deliveries.iter();
    deliveries.map(|index| &record.deliveries[*index as usize])
}

/// Whether what a cancelled session held may come back meanwhile.
fn is_beside_a_cancelled_one(record: &Record, session: &Session) -> bool {
    let until_ns = session.ended_ns.unwrap_or(u64::MAX);
    let mut others = record.sessions.iter().filter(|it| it.is_cancelled);
    others.any(|other| {
        let left_ns = other.ended_ns.unwrap_or(u64::MAX);
        let may_be_closed = session.asked_ns < left_ns.saturating_add(CLOSED_WITHIN_NS);
        other.queue == session.queue && left_ns < until_ns && may_be_closed
    })
}

/// What is new comes in the order in which a connection published it. Where no other consumer can
/// have given anything back meanwhile, so does all that the session has not given back itself.
fn check_order(record: &Record, session: &Session, is_alone: bool, verdict: &mut Verdict) {
    let mut last: BTreeMap<(u32, u32), u32> = BTreeMap::new();
    let mut given_back = BTreeSet::new();
    for delivery in deliveries(record, session) {
        let value = delivery.value;
        let is_own_return = given_back.contains(&value);
        if delivery.requeued_ns().is_some() {
            given_back.insert(value);
        }
        let must_keep = !delivery.redelivered || (is_alone && !is_own_return);
        let Some(publish) = record.publish(value).filter(|_| must_keep) else {
            continue;
        };
        let before = last
            .entry((value.sender, publish.connection))
            .or_insert(value.number);
        if value.number < *before {
            verdict.reordered += 1;
            verdict.example(|| {
                let (name, session) = (record.name(value), &session.name);
                format!("reordered: {name} to {session} behind number {before}")
            });
        }
        *before = value.number.max(*before);
    }
}

/// What a session gives back goes to its place, which is before all that is new. Only what was
/// under way by then may come in between.
fn check_return(record: &Record, session: &Session, verdict: &mut Verdict) {
    for (index, given_back) in deliveries(record, session).enumerate() {
        let Some(at_ns) = given_back.requeued_ns() else {
            continue;
        };
        let between = deliveries(record, session)
            .skip(index + 1)
            .filter(|it| it.time_ns > at_ns)
            .take_while(|it| it.value != given_back.value)
            .filter(|it| !it.redelivered)
            .count();
        if between >= session.prefetch.max(1) as usize {
            verdict.misplaced += 1;
            verdict.example(|| {
                let (name, session) = (record.name(given_back.value), &session.name);
                format!("misplaced: {name}, given back by {session}, behind {between} new ones")
            });
        }
    }
}

/// When a session had the queue for itself for certain: up to the last commit that it asked for
/// and that was confirmed, since a broker that has ended it would have refused that.
fn certain_ns(record: &Record, session: &Session, one: One) -> Option<(u64, u64)> {
    let from_ns = match one {
        One::Exclusive => session.started_ns,
        One::Single => deliveries(record, session).map(|it| it.time_ns).min(),
    };
    let (from_ns, to_ns) = (from_ns?, session.committed_ns?);
    (from_ns < to_ns).then_some((from_ns, to_ns))
}

fn check_overlap(record: &Record, queue: u32, one: One, verdict: &mut Verdict) {
    let sessions = record.sessions.iter().filter(|it| it.queue == queue);
    let mut certain: Vec<_> = sessions
        .filter_map(|session| Some((certain_ns(record, session, one)?, session)))
        .collect();
    certain.sort_by_key(|(times, _)| *times);
    let mut last: Option<(u64, &Session)> = None;
    for ((from_ns, to_ns), session) in certain {
        if let Some((until_ns, before)) = last.filter(|(until_ns, _)| from_ns < *until_ns) {
            verdict.overlapping += 1;
            verdict.example(|| {
                let (queue, before, session) = (
                    &record.queues[queue as usize].name,
                    &before.name,
                    &session.name,
                );
                format!(
                    "overlapping: {queue}, {session} from {from_ns} on, {before} up to {until_ns}"
                )
            });
        }
        if last.is_none_or(|(until_ns, _)| until_ns < to_ns) {
            last = Some((to_ns, session));
        }
    }
}
