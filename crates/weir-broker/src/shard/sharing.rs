//! Who takes from share partitions, and who waits for records: the leader's own.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Weak},
};

use weir_log::Millis;
use weir_model::PartitionId;

use super::Shard;
use crate::{node::share::ShareTask, share::ShareKey};

/// Those who wait for one share partition are looked through when there are so many more.
const LOOK_STEP_COUNT: usize = 64;

/// Volatile.
#[derive(Default)]
pub(super) struct Sharing {
    /// Somebody has looked and is about to take: others would find the same.
    busy: BTreeSet<ShareKey>,
    waiting: BTreeMap<ShareKey, VecDeque<Weak<ShareTask>>>,
    /// No locks are ended before, by the clock that never jumps.
    pub(super) not_before: Millis,
}

impl Sharing {
    /// Keeps the share partition for somebody; `false`: another one has it.
    pub(super) fn keep(&mut self, key: &ShareKey) -> bool {
        self.busy.insert(key.clone())
    }

    pub(super) fn free(&mut self, key: &ShareKey) {
        self.busy.remove(key);
        self.wake(key);
    }

    /// The first of those who wait looks again.
    pub(super) fn wake(&mut self, key: &ShareKey) {
        if self.busy.contains(key) {
            return;
        }
        let Some(waiting) = self.waiting.get_mut(key) else {
            return;
        };
        while let Some(first) = waiting.pop_front() {
            if first.upgrade().is_some_and(|task| task.wake()) {
                break;
            }
        }
        if waiting.is_empty() {
            self.waiting.remove(key);
        }
    }

    /// Likewise for all groups.
    pub(super) fn wake_all_of(&mut self, id: PartitionId) {
        if self.waiting.is_empty() {
            return;
        }
        let from = self.waiting.range((id, String::new())..);
        let keys = from.map(|(key, _)| key).take_while(|key| key.0 == id);
        let keys: Vec<ShareKey> = keys.cloned().collect();
        keys.iter().for_each(|key| self.wake(key));
    }

    pub(super) fn dismiss(&mut self) {
        self.busy.clear();
        let waiting = std::mem::take(&mut self.waiting);
        for task in waiting.into_values().flatten() {
            if let Some(task) = task.upgrade() {
                task.wake();
            }
        }
    }
}

impl Shard {
    /// Somebody waits for records.
    pub(crate) fn wait_for_share(&mut self, key: &ShareKey, task: &Arc<ShareTask>) {
        let waiting = self.sharing.waiting.entry(key.clone()).or_default();
        if waiting.len() % LOOK_STEP_COUNT == LOOK_STEP_COUNT - 1 {
            waiting.retain(|each| each.upgrade().is_some_and(|task| task.is_waiting()));
        }
        let is_same = |each: &Weak<ShareTask>| std::ptr::eq(each.as_ptr(), Arc::as_ptr(task));
        if !waiting.iter().any(is_same) {
            waiting.push_back(Arc::downgrade(task));
        }
    }
}
