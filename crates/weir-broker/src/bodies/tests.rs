use std::collections::{BTreeMap, BTreeSet};

use weir_log::Millis;
use weir_model::{
    ErrorKind, GroupId, Offset, PartitionId, batch::BatchHeader, batch_builder::BatchBuilder,
    message::MessageForm, reference::BodyReference,
};

use super::{chunks::BODY_GRACE_MS, *};
use crate::encoding::{Reader, Writer};

/// A group's bodies, and logs that refer to them.
#[derive(Default)]
struct Group {
    chunks: Chunks,
    end: u64,
    logs: BTreeMap<u32, Log>,
}

#[derive(Default)]
struct Log {
    held: HeldChunks,
    start: u64,
    end: u64,
    /// What each batch refers to: its last offset, and bodies.
    batches: Vec<(u64, Vec<u64>)>,
}

impl Group {
    fn store(&mut self, count: u32, body_bytes: usize, now: Millis) {
        let mut builder = BatchBuilder::new(0);
        for _ in 0..count {
            builder.push_plain(None, Some(&vec![0; body_bytes]), 0);
        }
        let batch = builder.finish(None);
        let header = BatchHeader::parse(&batch).unwrap();
        self.chunks.appended(Offset(self.end), &header, now);
        self.end += u64::from(count);
    }

    fn refer(&mut self, log: u32, bodies: &[u64]) -> Result<(), ErrorKind> {
        let mut builder = BatchBuilder::new(0);
        for offset in bodies {
            let body = BodyReference {
                offset: Offset(*offset),
                length_bytes: 1,
            };
            builder.push_reference(&MessageForm::default(), body, 0);
        }
        let chunks = self.chunks.referred(&builder.finish(None))?;
        let log = self.logs.entry(log).or_default();
        log.end += bodies.len() as u64;
        let last = log.end - 1;
        log.held.refer(chunks, Offset(last), &mut self.chunks);
        log.batches.push((last, bodies.to_vec()));
        Ok(())
    }

    fn trim(&mut self, log: u32, start: u64) {
        let log = self.logs.get_mut(&log).unwrap();
        log.start = log.start.max(start);
        log.batches.retain(|(last, _)| *last >= log.start);
        log.held.trimmed(Offset(log.start), &mut self.chunks);
    }

    fn is_live(&self, body: u64) -> bool {
        let live = self.chunks.live();
        live.iter()
            .any(|range| (range.first.0..range.end.0).contains(&body))
    }

    fn restored(&self) -> (Chunks, BTreeMap<u32, HeldChunks>) {
        let mut writer = Writer::new();
        self.chunks.encode(&mut writer);
        let encoded = writer.finish();
        let mut reader = Reader::new(&encoded);
        let mut chunks = Chunks::decode(&mut reader).unwrap();
        reader.finish().unwrap();
        let mut logs = BTreeMap::new();
        for (id, log) in &self.logs {
            let mut writer = Writer::new();
            log.held.encode(&mut writer);
            let encoded = writer.finish();
            let mut reader = Reader::new(&encoded);
            let held = HeldChunks::decode(&mut reader, &mut chunks).unwrap();
            reader.finish().unwrap();
            logs.insert(*id, held);
        }
        (chunks, logs)
    }
}

const LATER: Millis = Millis(BODY_GRACE_MS as i64);

#[test]
fn each_group_has_its_own_place_for_bodies_which_is_no_topics() {
    for group in [GroupId(0), GroupId(1), GroupId(9_999)] {
        assert_eq!(group_of_bodies(bodies_of(group)), Some(group));
    }
    assert_eq!(group_of_bodies(PartitionId::new(1, 0)), None);
    assert_eq!(group_of_bodies(PartitionId(u64::MAX)), None);
}

#[test]
fn bodies_live_as_long_as_one_log_refers_to_them() {
    let mut group = Group::default();
    group.store(1, 10, Millis(0));
    for log in 0..3 {
        group.refer(log, &[0]).unwrap();
    }
    for log in 0..3 {
        group.chunks.sweep(LATER);
        assert!(group.is_live(0), "before log {log} lets go");
        group.trim(log, 1);
    }
    group.chunks.sweep(LATER);
    assert!(!group.is_live(0));
    assert_eq!(group.chunks.start(Offset(group.end)), Offset(1));
}

#[test]
fn bodies_that_nobody_refers_to_yet_are_given_their_time() {
    let mut group = Group::default();
    group.store(1, 10, Millis(0));
    group.chunks.sweep(Millis(LATER.0 - 1));
    assert_eq!(group.chunks.next_sweep_in_ms(Millis(LATER.0 - 1)), Some(1));
    assert!(group.is_live(0));
    group.refer(1, &[0]).unwrap();
    group.chunks.sweep(Millis(10 * LATER.0));
    assert!(group.is_live(0));
    assert_eq!(group.chunks.next_sweep_in_ms(Millis(10 * LATER.0)), None);
}

#[test]
fn a_reference_that_comes_too_late_or_points_nowhere_is_refused() {
    let mut group = Group::default();
    group.store(1, 10, Millis(0));
    let nowhere = Err(ErrorKind::OffsetOutOfRange);
    assert_eq!(group.refer(1, &[1]), nowhere);
    group.chunks.sweep(LATER);
    assert_eq!(group.refer(1, &[0]), nowhere);
    // As a whole, or not at all.
    group.store(1, 10, LATER);
    assert_eq!(group.refer(1, &[1, 0]), nowhere);
    assert_eq!(group.chunks, group.restored().0);
    group.refer(1, &[1]).unwrap();
}

#[test]
fn a_clock_that_is_set_back_keeps_no_bodies_for_longer() {
    let mut group = Group::default();
    group.store(1, 10, Millis(1_000_000_000));
    assert_eq!(group.chunks.next_sweep_in_ms(Millis(5)), Some(0));
    group.chunks.sweep(Millis(5));
    assert!(group.is_live(0));
    assert_eq!(
        group.chunks.next_sweep_in_ms(Millis(5)),
        Some(BODY_GRACE_MS)
    );
    group.chunks.sweep(LATER.plus(5));
    assert!(!group.is_live(0));
}

#[test]
fn a_chunk_takes_no_more_than_its_bytes_and_its_records() {
    let mut group = Group::default();
    for _ in 0..6 {
        group.store(1, 1 << 20, Millis(0));
    }
    let firsts = |group: &Group| -> Vec<u64> {
        let live = group.chunks.live();
        live.iter().map(|range| range.first.0).collect()
    };
    assert_eq!(firsts(&group), [0, 4]);
    let mut group = Group::default();
    for _ in 0..5 {
        group.store(2_000, 1, Millis(0));
    }
    assert_eq!(firsts(&group), [0, 6_000]);
}

#[test]
fn what_one_log_keeps_back_keeps_back_no_other_chunk() {
    let mut group = Group::default();
    for body in 0..40 {
        group.store(1, 1 << 20, Millis(0));
        if body == 10 {
            group.refer(1, &[body]).unwrap();
        }
        group.refer(2, &[body]).unwrap();
    }
    group.trim(2, 40);
    group.chunks.sweep(LATER);
    let live = group.chunks.live();
    assert_eq!(live.len(), 1);
    assert_eq!((live[0].first, live[0].end), (Offset(8), Offset(12)));
    // Bodies that come next are none of the dead chunk's.
    group.store(1, 10, LATER);
    assert_eq!(group.chunks.live().len(), 2);
    group.trim(1, 1);
    group.chunks.sweep(Millis(2 * LATER.0));
    assert_eq!(group.chunks.start(Offset(group.end)), Offset(41));
}

#[test]
fn a_log_that_is_read_from_within_a_batch_keeps_the_bodies_of_all_of_it() {
    let mut group = Group::default();
    group.store(1, 5 << 20, Millis(0));
    group.store(1, 5 << 20, Millis(0));
    group.refer(1, &[0, 1]).unwrap();
    group.trim(1, 1);
    group.chunks.sweep(LATER);
    assert!(group.is_live(0) && group.is_live(1));
    group.trim(1, 2);
    group.chunks.sweep(LATER);
    assert!(!group.is_live(0) && !group.is_live(1));
}

#[test]
fn damaged_state_is_refused_at_every_cut() {
    let mut group = Group::default();
    group.store(3, 1, Millis(0));
    group.refer(1, &[0, 2]).unwrap();
    let mut writer = Writer::new();
    group.chunks.encode(&mut writer);
    let chunks = writer.finish();
    for cut in 0..chunks.len() {
        assert!(Chunks::decode(&mut Reader::new(&chunks[..cut])).is_err());
    }
    let mut writer = Writer::new();
    group.logs[&1].held.encode(&mut writer);
    let held = writer.finish();
    for cut in 0..held.len() {
        let mut bodies = group.restored().0;
        assert!(HeldChunks::decode(&mut Reader::new(&held[..cut]), &mut bodies).is_err());
    }
    let whole = HeldChunks::decode(&mut Reader::new(&held), &mut Chunks::default());
    assert!(whole.is_err(), "a chunk that is not there");
}

struct Chance(u64);

impl Chance {
    fn below(&mut self, count: u64) -> u64 {
        let product = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = product.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % count
    }
}

/// All that is referred to lives; all that lives is referred to, or near to what is, or young.
fn check(group: &Group, now: Millis, seed: u64) {
    let live = group.chunks.live();
    let referred: BTreeSet<u64> = group
        .logs
        .values()
        .flat_map(|log| log.batches.iter().flat_map(|(_, bodies)| bodies.clone()))
        .collect();
    for body in &referred {
        assert!(group.is_live(*body), "seed {seed}: body {body} is lost");
    }
    assert_ne!(group.chunks.next_sweep_in_ms(now), Some(0), "seed {seed}");
    for range in live {
        let is_referred = referred.range(range.first.0..range.end.0).next().is_some();
        let is_young = group.chunks.next_sweep_in_ms(now).is_some();
        assert!(is_referred || is_young, "seed {seed}: {range:?} is kept");
    }
    let (chunks, logs) = group.restored();
    assert_eq!(chunks, group.chunks, "seed {seed}");
    let held = group.logs.iter().map(|(id, log)| (*id, log.held.clone()));
    assert_eq!(logs, held.collect(), "seed {seed}");
}

#[test]
fn whatever_logs_do_no_body_is_lost_that_is_referred_to_and_none_is_kept_for_long() {
    let mut refused_count = 0;
    for seed in 0..60 {
        let mut chance = Chance(seed);
        let mut group = Group::default();
        let mut now = Millis(0);
        for _ in 0..400 {
            match chance.below(8) {
                0..=2 => {
                    let count = u32::try_from(1 + chance.below(4)).unwrap();
                    let size = usize::try_from(chance.below(2 << 20)).unwrap();
                    group.store(count, size, now);
                }
                3..=4 if group.end > 0 => {
                    let log = u32::try_from(chance.below(5)).unwrap();
                    let near = group.end.min(60);
                    let mut bodies = Vec::new();
                    for _ in 0..=chance.below(4) {
                        bodies.push(group.end - 1 - chance.below(near));
                    }
                    let all_live = bodies.iter().all(|body| group.is_live(*body));
                    let referred = group.refer(log, &bodies);
                    assert_eq!(referred.is_ok(), all_live, "seed {seed}");
                    refused_count += u32::from(referred.is_err());
                }
                5 => {
                    let log = u32::try_from(chance.below(5)).unwrap();
                    if let Some(found) = group.logs.get(&log) {
                        let start = found.start + chance.below(found.end - found.start + 1);
                        group.trim(log, start);
                    }
                }
                6 if chance.below(10) == 0 => {
                    let log = u32::try_from(chance.below(5)).unwrap();
                    if let Some(mut gone) = group.logs.remove(&log) {
                        gone.held.forget(&mut group.chunks);
                    }
                }
                _ => now = now.plus(chance.below(BODY_GRACE_MS / 4)),
            }
            group.chunks.sweep(now);
            check(&group, now, seed);
        }
        for log in group.logs.values_mut() {
            log.held.trimmed(Offset(log.end), &mut group.chunks);
        }
        group.chunks.sweep(now.plus(BODY_GRACE_MS));
        assert_eq!(group.chunks, Chunks::default(), "seed {seed}");
    }
    assert!(refused_count > 0, "there are late references");
}
