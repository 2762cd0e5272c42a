//! Hashes that give equal keys the same target.

use super::record::Target;

/// Heaviest binding.
pub(super) const MAX_WEIGHT: u32 = 1_000_000;

/// A hash of which every bit counts.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut mixed = crate::encoding::fingerprint(bytes);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A binding's weight, which is its routing key.
pub(super) fn weight(routing_key: &str) -> Option<u32> {
    let weight = routing_key.parse().ok()?;
    (1..=MAX_WEIGHT).contains(&weight).then_some(weight)
}

/// Buckets in the order of their bindings. One more takes from all others alike, and moves nothing
/// else.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    /// Targets with the number of the bucket behind their last one.
    targets: Vec<(u64, Target)>,
}

impl Buckets {
    pub(super) fn new(weighted: impl Iterator<Item = (Target, u32)>) -> Self {
        let mut end = 0;
        let targets = weighted.map(|(target, weight)| {
            end += u64::from(weight);
            (end, target)
        });
        Self {
            targets: targets.collect(),
        }
    }

    /// Whose the hash is.
    pub(super) fn target(&self, hash: u64) -> Option<Target> {
        let (count, _) = self.targets.last()?;
        let bucket = jump(hash, *count);
        let at = self.targets.partition_point(|(end, _)| *end <= bucket);
        self.targets.get(at).map(|(_, target)| *target)
    }
}

/// Jump consistent hash (Lamping and Veach, 2014).
fn jump(mut key: u64, count: u64) -> u64 {
    let (mut bucket, mut next) = (0, 0);
    while next < count {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let divisor = (key >> 33) + 1;
        next =
            u64::try_from((u128::from(bucket + 1) << 31) / u128::from(divisor)).unwrap_or(u64::MAX);
    }
    bucket
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::record::QueueId;

    fn buckets(weights: &[u32]) -> Buckets {
        let targets = weights.iter().zip(1..);
        Buckets::new(targets.map(|(weight, id)| (Target::Queue(QueueId(id)), *weight)))
    }

    fn of_key(buckets: &Buckets, key: u32) -> Option<Target> {
        buckets.target(hash(key.to_string().as_bytes()))
    }

    #[test]
    fn keys_spread_by_weight() {
        let buckets = buckets(&[1, 2, 5]);
        let mut counts = [0; 3];
        for key in 0..80_000 {
            let Some(Target::Queue(QueueId(id))) = of_key(&buckets, key) else {
                panic!("no target");
            };
            counts[usize::try_from(id).unwrap() - 1] += 1;
        }
        for (count, wanted) in counts.into_iter().zip([10_000, 20_000, 50_000]) {
            assert!(i32::abs(count - wanted) < wanted / 20, "{counts:?}");
        }
    }

    #[test]
    fn one_more_target_moves_keys_to_itself_alone() {
        let (before, after) = (buckets(&[3, 3]), buckets(&[3, 3, 3]));
        let mut moved_count = 0;
        for key in 0..9_000 {
            if of_key(&before, key) != of_key(&after, key) {
                assert_eq!(of_key(&after, key), Some(Target::Queue(QueueId(3))));
                moved_count += 1;
            }
        }
        assert!((2_700..3_300).contains(&moved_count), "{moved_count}");
        assert_eq!(buckets(&[]).target(7), None);
    }

    #[test]
    fn weights_are_whole_numbers_from_1_on() {
        assert_eq!(weight("10"), Some(10));
        assert_eq!(weight("1000000"), Some(MAX_WEIGHT));
        for wrong in ["", "0", "-1", "a", "1.5", "1000001"] {
            assert_eq!(weight(wrong), None, "{wrong}");
        }
    }
}
