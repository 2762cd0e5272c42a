//! What groups committed, and what they were given: a committed offset is one that was committed,
//! and none that another one had replaced before it was asked for.

use std::collections::BTreeMap;

use super::books::{Books, Place};
use crate::{
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// One commit, by moments of the run.
#[derive(Clone, Copy, Debug)]
struct Commit {
    id: u64,
    value: u64,
    sent_at: u64,
    /// `None`: it may come to pass at any time, or never.
    answered_at: Option<u64>,
}

/// One group.
#[derive(Debug, Default)]
pub(super) struct GroupBook {
    /// Of the latest assignment that a member was told.
    pub(super) generation: i32,
    pub(super) owners: BTreeMap<(i32, Place), String>,
    commits: BTreeMap<Place, Vec<Commit>>,
    /// Behind the last record that a member was given.
    delivered: BTreeMap<Place, u64>,
}

impl Books {
    pub(super) fn group(&mut self, group: usize) -> &mut GroupBook {
        self.groups.entry(group).or_default()
    }

    /// The next moment.
    pub(super) fn tick(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    pub(super) fn deliver(&mut self, group: usize, place: Place, next: u64) {
        let delivered = self.group(group).delivered.entry(place).or_default();
        *delivered = next.max(*delivered);
    }

    /// A commit is under way; gives its id.
    pub(super) fn commit_sent(&mut self, group: usize, place: Place, value: u64) -> u64 {
        let sent_at = self.tick();
        let commits = self.group(group).commits.entry(place).or_default();
        commits.push(Commit {
            id: sent_at,
            value,
            sent_at,
            answered_at: None,
        });
        sent_at
    }

    pub(super) fn commit_answered(&mut self, group: usize, place: Place, id: u64) {
        let now = self.tick();
        let commits = self.group(group).commits.entry(place).or_default();
        if let Some(commit) = commits.iter_mut().find(|commit| commit.id == id) {
            commit.answered_at = Some(now);
        }
    }

    /// It will never come to pass.
    pub(super) fn commit_refused(&mut self, group: usize, place: Place, id: u64) {
        let commits = self.group(group).commits.entry(place).or_default();
        commits.retain(|commit| commit.id != id);
    }

    /// Whether `value` may be what the group has committed, to somebody who asked at `asked_at`.
    pub(super) fn check_offset(
        &mut self,
        group: usize,
        place: Place,
        value: Option<u64>,
        asked_at: u64,
    ) -> Result<(), Broken> {
        let book = self.group(group);
        let delivered = book.delivered.get(&place).copied().unwrap_or(0);
        let commits = book.commits.get(&place).map_or(&[][..], Vec::as_slice);
        // The last one that was sent of those that had come to pass when it was asked for.
        let latest = commits
            .iter()
            .filter(|it| it.answered_at.is_some_and(|at| at < asked_at))
            .max_by_key(|it| it.sent_at);
        let is_replaced = |commit: &Commit| {
            let (Some(answered_at), Some(latest)) = (commit.answered_at, latest) else {
                return false;
            };
            answered_at < latest.sent_at
        };
        let is_right = match value {
            None => latest.is_none(),
            Some(value) => {
                let mut fitting = commits.iter().filter(|it| it.value == value);
                value <= delivered && fitting.any(|it| !is_replaced(it))
            }
        };
        if is_right {
            return Ok(());
        }
        let detail = format!(
            "group {group} {place:?}: committed is {value:?}, delivered {delivered}, latest {latest:?} before {asked_at}"
        );
        Err(broken(oracle_name::OFFSETS, detail))
    }
}
