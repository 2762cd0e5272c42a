//! Judges a history of a share group.
//!
//! What is acknowledged to its sender comes to some member until one accepts or rejects it, or until
//! the group's limit of deliveries; once that is confirmed nobody gets it any more.

use super::record::{Place, Record, Story};
use super::verdict::Verdict;
use crate::history::longest_pause_ms;

/// `share.delivery.count.limit` of the group.
pub(super) const DELIVERY_LIMIT: u32 = 10;

/// The verdict of a history.
pub(crate) fn check(record: &Record) -> Verdict {
    let mut verdict = Verdict {
        sent: record.sent.len() as u64,
        acked: record.acked.len() as u64,
        longest_pause_ms: longest_pause_ms(&record.acks_ns),
        ..Verdict::default()
    };
    for (place, story) in &record.stories {
        count(&mut verdict, story);
        check_values(&mut verdict, record, *place, story);
        check_end(&mut verdict, *place, story);
    }
    for (place, value) in &record.acked {
        let story = record.stories.get(place);
        let is_done = story.is_some_and(|story| story.is_over() || story.may_be_archived());
        if !is_done {
            verdict.lost += 1;
            verdict.example(|| format!("lost: {value} at {place:?}: {story:?}"));
        }
    }
    verdict
}

fn count(verdict: &mut Verdict, story: &Story) {
    let delivered = story.deliveries.len() as u64;
    verdict.delivered += delivered;
    verdict.again += delivered.saturating_sub(1);
    let mut settled = story.settles.iter().filter(|it| it.how.is_final());
    verdict.settled += u64::from(settled.any(|it| it.confirmed_ns.is_some()));
    verdict.archived += u64::from(!story.is_over() && story.may_be_archived());
}

fn check_values(verdict: &mut Verdict, record: &Record, place: Place, story: &Story) {
    for delivery in &story.deliveries {
        let value = &delivery.value;
        let is_right = match record.acked.get(&place) {
            Some(acked) => acked == value,
            None => record.sent.get(value) == Some(&place.0) && !record.failed.contains(value),
        };
        if !is_right {
            verdict.unexpected += 1;
            let wanted = record.acked.get(&place);
            verdict.example(|| {
                let member = &delivery.member;
                format!("unexpected: {member} got {value} at {place:?}, where {wanted:?} lies")
            });
        }
        if delivery.count > DELIVERY_LIMIT {
            verdict.overdelivered += 1;
            verdict.example(|| format!("overdelivered: {delivery:?} at {place:?}"));
        }
    }
}

/// What is confirmed to be done with does not come back.
fn check_end(verdict: &mut Verdict, place: Place, story: &Story) {
    let done = story.settles.iter().filter(|it| it.how.is_final());
    let mut done: Vec<_> = done.filter_map(|it| Some((it.confirmed_ns?, it))).collect();
    done.sort_by_key(|(confirmed_ns, _)| *confirmed_ns);
    let Some((confirmed_ns, first)) = done.first() else {
        return;
    };
    if let Some((_, second)) = done.get(1) {
        verdict.settled_twice += 1;
        verdict.example(|| format!("settled twice: {place:?}: {first:?} and {second:?}"));
    }
    let mut later = story.deliveries.iter();
    if let Some(later) = later.find(|it| it.time_ns > *confirmed_ns) {
        verdict.resurrected += 1;
        verdict.example(|| format!("resurrected: {place:?}: {first:?}, then {later:?}"));
    }
}
