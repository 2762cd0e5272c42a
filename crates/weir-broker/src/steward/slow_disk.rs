//! Whether this node's disk is too slow to lead: every group of the node waits for its log.

use weir_log::wal::{CommitPace, RECENT_COMMIT_COUNT};

/// A commit that takes longer makes the disk slow at once, in ms.
const MAX_COMMIT_MS: u64 = 500;
/// A longer mean of the last commits makes the disk slow, in ms.
const MAX_MEAN_MS: u64 = 100;
/// The disk is not slow any more after this long without a commit above [`MAX_MEAN_MS`], in ms.
const GOOD_FOR_MS: u64 = 5_000;
/// The same for a disk that was slow again and again: it doubles each time, up to this, in ms.
/// Every change of the verdict moves leaders, and every move costs clients something.
const MAX_GOOD_FOR_MS: u64 = 160_000;
/// A disk that has been good for this many times as long begins anew.
const FORGIVEN_AFTER: u64 = 4;

/// The verdict, and what it follows from.
#[derive(Debug, Default)]
pub(super) struct SlowDisk {
    is_slow: bool,
    /// Commits that were looked at, and those before the last verdict.
    seen_count: u64,
    judged_count: u64,
    last_bad_ms: u64,
    /// How long the disk has to be good for; 0: it never was slow.
    good_for_ms: u64,
    /// When the verdict last changed.
    changed_ms: u64,
}

impl SlowDisk {
    /// Looks again. `Some`: the verdict has changed.
    pub(super) fn judge(&mut self, now_ms: u64, pace: &CommitPace) -> Option<bool> {
        let ended = pace.commit_count.saturating_sub(self.seen_count);
        self.seen_count = pace.commit_count;
        let slowest_ms = pace.newest_ms(ended).chain(pace.under_way_ms).max();
        let slowest_ms = slowest_ms.unwrap_or(0);
        if slowest_ms > MAX_MEAN_MS {
            self.last_bad_ms = now_ms;
        }
        let is_slow = if self.is_slow {
            now_ms.saturating_sub(self.last_bad_ms) < self.good_for_ms
        } else {
            slowest_ms > MAX_COMMIT_MS || self.mean_ms(pace) > MAX_MEAN_MS
        };
        if is_slow == self.is_slow {
            return None;
        }
        if is_slow {
            self.good_for_ms = self.next_good_for_ms(now_ms);
        }
        self.changed_ms = now_ms;
        self.is_slow = is_slow;
        self.judged_count = pace.commit_count;
        self.last_bad_ms = now_ms;
        Some(is_slow)
    }

    fn next_good_for_ms(&self, now_ms: u64) -> u64 {
        let was_good_ms = now_ms.saturating_sub(self.changed_ms);
        if was_good_ms >= self.good_for_ms * FORGIVEN_AFTER {
            GOOD_FOR_MS
        } else {
            (self.good_for_ms * 2).clamp(GOOD_FOR_MS, MAX_GOOD_FOR_MS)
        }
    }

    /// Of the last commits, once there were enough since the last verdict.
    fn mean_ms(&self, pace: &CommitPace) -> u64 {
        let enough = RECENT_COMMIT_COUNT as u64;
        if pace.commit_count.saturating_sub(self.judged_count) < enough {
            return 0;
        }
        pace.newest_ms(enough).sum::<u64>() / enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commits, of so many ms each, a look after each one.
    struct Trial {
        disk: SlowDisk,
        pace: CommitPace,
        now_ms: u64,
    }

    impl Trial {
        fn new() -> Self {
            Self {
                disk: SlowDisk::default(),
                pace: CommitPace::default(),
                now_ms: 1_000_000,
            }
        }

        fn commit(&mut self, took_ms: u64) -> Option<bool> {
            self.now_ms += took_ms;
            self.pace = self.pace.with(took_ms);
            self.disk.judge(self.now_ms, &self.pace)
        }

        fn wait(&mut self, ms: u64) -> Option<bool> {
            self.now_ms += ms;
            self.disk.judge(self.now_ms, &self.pace)
        }
    }

    #[test]
    fn one_long_commit_makes_the_disk_slow_even_before_it_ends() {
        let mut trial = Trial::new();
        assert_eq!(trial.commit(MAX_COMMIT_MS), None);
        trial.pace.under_way_ms = Some(MAX_COMMIT_MS);
        assert_eq!(trial.wait(1), None);
        trial.pace.under_way_ms = Some(MAX_COMMIT_MS + 1);
        assert_eq!(trial.wait(1), Some(true));
        let mut trial = Trial::new();
        assert_eq!(trial.commit(MAX_COMMIT_MS + 1), Some(true));
    }

    #[test]
    fn a_long_mean_makes_the_disk_slow_once_there_are_enough_commits() {
        let mut trial = Trial::new();
        for _ in 1..RECENT_COMMIT_COUNT {
            assert_eq!(trial.commit(MAX_MEAN_MS + 1), None);
        }
        assert_eq!(trial.commit(MAX_MEAN_MS + 1), Some(true));
        let mut trial = Trial::new();
        for _ in 0..3 * RECENT_COMMIT_COUNT {
            assert_eq!(trial.commit(MAX_MEAN_MS), None);
        }
    }

    #[test]
    fn a_slow_disk_is_good_again_after_a_while_of_good_commits() {
        let mut trial = Trial::new();
        assert_eq!(trial.commit(600), Some(true));
        assert_eq!(trial.wait(GOOD_FOR_MS - 200), None);
        assert_eq!(trial.commit(MAX_MEAN_MS + 1), None, "begins again");
        assert_eq!(trial.wait(GOOD_FOR_MS - 10), None);
        assert_eq!(trial.commit(10), Some(false));
        // What was slow before the verdict does not count any more.
        assert_eq!(trial.commit(10), None);
    }

    #[test]
    fn a_disk_that_is_slow_again_and_again_has_to_be_good_for_longer_each_time() {
        let mut trial = Trial::new();
        let mut good_for_ms = GOOD_FOR_MS;
        while good_for_ms < MAX_GOOD_FOR_MS {
            assert_eq!(trial.commit(600), Some(true));
            assert_eq!(trial.wait(good_for_ms - 1), None);
            assert_eq!(trial.wait(1), Some(false));
            good_for_ms *= 2;
        }
        assert_eq!(trial.wait(MAX_GOOD_FOR_MS * FORGIVEN_AFTER), None);
        assert_eq!(trial.commit(600), Some(true));
        assert_eq!(trial.wait(GOOD_FOR_MS), Some(false));
    }

    #[test]
    fn a_short_stall_between_two_looks_is_not_missed() {
        let mut trial = Trial::new();
        trial.pace = trial.pace.with(900).with(1).with(1);
        assert_eq!(trial.wait(100), Some(true));
    }
}
