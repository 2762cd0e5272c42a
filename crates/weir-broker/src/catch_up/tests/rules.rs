//! Rules of taking over a checkpoint.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use weir_model::{ErrorKind, GroupId, Offset};
use weir_raft::{Input, SnapshotPort};

use super::super::ranges::{MAX_RANGE_BYTES, RangeRequest};
use super::world::{SHARD, World, partition, settle};
use crate::{machine::Machine, peer::CallFailed};

/// As many batches in each of as many partitions.
fn fill(world: &mut World, partition_count: u32, batch_count: u64, payload_bytes: usize) {
    for seed in 0..batch_count {
        for index in 0..partition_count {
            world.append(
                partition(index),
                payload_bytes,
                seed * 1000 + u64::from(index),
            );
        }
    }
    settle(&mut world.leader);
}

#[test]
fn an_empty_replica_takes_over_all_of_many_partitions_and_keeps_it_over_a_restart() {
    let mut world = World::new(300_000);
    fill(&mut world, 40, 20, 65_000);
    let metadata = world.offer(GroupId::METADATA);
    assert!(world.take_over(metadata));
    assert!(world.follower.node().topology.load().by_serial(1).is_some());
    let offer = world.offer(SHARD);
    assert!(world.take_over(offer));
    world.assert_equal(40);
    assert!(world.files(partition(0)).len() > 4, "sizes are the topic's");
    world.reopen_follower();
    world.assert_equal(40);
}

#[test]
fn only_what_is_missing_is_brought_the_second_time() {
    let mut world = World::new(50_000);
    fill(&mut world, 3, 20, 10_000);
    let offer = world.offer(SHARD);
    assert!(world.take_over(offer));
    let first_calls = world.link.call_count.load(Ordering::Relaxed);
    fill(&mut world, 3, 2, 100);
    let offer = world.offer(SHARD);
    assert!(world.take_over(offer));
    let calls = world.link.call_count.load(Ordering::Relaxed) - first_calls;
    assert!(calls <= 3, "{calls} calls");
    world.assert_equal(3);
}

#[test]
fn what_an_interrupted_take_over_brought_is_used_by_the_next_offer() {
    let mut world = World::new(50_000);
    fill(&mut world, 4, 30, 10_000);
    let answers = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&answers);
    world.spoil(move |answer| {
        if counted.fetch_add(1, Ordering::Relaxed) < 20 {
            Ok(answer)
        } else {
            Err(CallFailed::Unreachable)
        }
    });
    let offer = world.offer(SHARD);
    assert!(!world.take_over(offer));
    assert!(!world.has_checkpoint(SHARD));
    fill(&mut world, 4, 3, 10_000);
    let brought = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&brought);
    world.spoil(move |answer| {
        counted.fetch_add(answer.len() as u64, Ordering::Relaxed);
        Ok(answer)
    });
    let offer = world.offer(SHARD);
    assert!(world.take_over(offer));
    world.assert_equal(4);
    let brought_bytes = brought.load(Ordering::Relaxed);
    assert!(brought_bytes < 4 * 33 * 10_000 / 2, "{brought_bytes} bytes");
    world.reopen_follower();
    world.assert_equal(4);
}

#[test]
fn lost_answers_are_asked_for_again() {
    let mut world = World::new(50_000);
    fill(&mut world, 2, 20, 10_000);
    let mut count = 0;
    world.spoil(move |answer| {
        count += 1;
        if count % 3 == 0 {
            Ok(answer)
        } else {
            Err(CallFailed::TimedOut)
        }
    });
    let offer = world.offer(SHARD);
    assert!(world.take_over(offer));
    world.assert_equal(2);
}

#[test]
fn any_damage_on_the_way_is_refused_and_leaves_nothing_that_counts() {
    let mut world = World::new(50_000);
    fill(&mut world, 1, 1, 200);
    for bit in (0..8 * 80).step_by(29).chain([8 * 100, 8 * 200]) {
        world.spoil(move |answer| {
            let mut damaged = answer.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            Ok(damaged.into())
        });
        let offer = world.offer(SHARD);
        assert!(!world.take_over(offer), "bit {bit}");
        assert_eq!(world.files(partition(0)), Vec::<String>::new(), "bit {bit}");
    }
    world.spoil(Ok);
    let offer = world.offer(SHARD);
    assert!(world.take_over(offer));
    world.assert_equal(1);
}

#[test]
fn what_the_leader_trims_meanwhile_is_not_needed() {
    let mut world = World::new(50_000);
    fill(&mut world, 2, 30, 10_000);
    let offer = world.offer(SHARD);
    world.trim(partition(0), Offset(17));
    world.trim(partition(1), Offset(30));
    assert!(world.take_over(offer));
    let (leader, follower) = (world.leader.node(), world.follower.node());
    let wanted = World::contents(&leader, partition(0));
    assert_eq!(wanted.0, Offset(17));
    assert!(World::contents(&follower, partition(0)) == wanted);
    let (start, end, bytes) = World::contents(&follower, partition(1));
    assert_eq!((start, end, bytes.len()), (Offset(30), Offset(30), 0));
    fill(&mut world, 2, 2, 100);
    let offer = world.offer(SHARD);
    assert!(world.take_over(offer));
    world.assert_equal(2);
    world.reopen_follower();
    world.assert_equal(2);
}

#[test]
fn what_is_trimmed_behind_a_checkpoint_changes_nothing_of_its_state() {
    let mut world = World::new(50_000);
    fill(&mut world, 1, 30, 10_000);
    world.trim(partition(0), Offset(5));
    let offer = world.offer(SHARD);
    let wanted = World::alike(&mut world.leader);
    world.trim(partition(0), Offset(17));
    assert!(world.take_over(offer));
    let follower = world.follower.node();
    assert_eq!(World::contents(&follower, partition(0)).0, Offset(17));
    assert!(World::alike(&mut world.follower) == wanted);
}

#[test]
fn a_crash_at_any_step_leaves_the_old_state_or_the_new_one() {
    let mut world = World::new(50_000);
    let (mut old_count, mut new_count) = (0, 0);
    for step_count in (0..28).step_by(2) {
        fill(&mut world, 2, 6, 9_000);
        let offer = world.offer(SHARD);
        let before = World::contents(&world.follower.node(), partition(1));
        world.follower.node().offers.offered(offer);
        for _ in 0..step_count {
            world.follower.step().unwrap();
        }
        world.reopen_follower();
        settle(&mut world.follower);
        let wanted = World::contents(&world.leader.node(), partition(1));
        let had = World::contents(&world.follower.node(), partition(1));
        if had == before {
            old_count += 1;
        } else {
            assert!(had == wanted, "after {step_count} steps");
            new_count += 1;
        }
    }
    assert!(old_count > 0 && new_count > 0, "{old_count} {new_count}");
    let offer = world.offer(SHARD);
    world.take_over(offer);
    world.assert_equal(2);
}

#[test]
fn an_older_checkpoint_than_the_saved_one_is_given_up() {
    let mut world = World::new(50_000);
    fill(&mut world, 1, 2, 1000);
    let old = world.offer(SHARD);
    fill(&mut world, 1, 2, 1000);
    let new = world.offer(SHARD);
    assert!(world.take_over(new));
    assert!(!world.take_over(old));
    world.assert_equal(1);
}

#[test]
fn a_replica_that_retires_leaves_nothing_on_the_disk() {
    let mut world = World::new(50_000);
    fill(&mut world, 2, 10, 10_000);
    let offer = world.offer(SHARD);
    assert!(world.take_over(offer.clone()));
    let visit = Box::new(
        |machine: &mut Machine, _: &mut weir_raft::Context<'_, crate::outcome::AppliedOutcome>| {
            weir_raft::StateMachine::retire(machine);
        },
    );
    let node = world.follower.node();
    node.handle_of(SHARD).send(Input::Visit {
        group: SHARD,
        visit,
    });
    settle(&mut world.follower);
    assert!(world.has_checkpoint(SHARD), "the write-ahead log needs it");
    assert!(!world.files(partition(0)).is_empty());
    node.env.checkpoints.retired(SHARD);
    settle(&mut world.follower);
    assert!(!world.has_checkpoint(SHARD));
    assert_eq!(world.files(partition(0)), Vec::<String>::new());
    assert!(node.env.registry.get(partition(0)).is_none());
    assert!(world.take_over(offer));
    world.assert_equal(2);
}

#[test]
fn a_new_member_takes_over_the_checkpoint_and_then_follows_the_log() {
    let mut world = World::new(50_000);
    fill(&mut world, 3, 20, 10_000);
    drop(world.offer(SHARD));
    fill(&mut world, 3, 2, 1000);
    world.add_learner();
    world.replicate();
    world.assert_equal(3);
    assert!(world.link.call_count.load(Ordering::Relaxed) > 0);
    fill(&mut world, 4, 5, 1000);
    world.replicate();
    world.assert_equal(4);
    world.follower.checkpoint();
    world.replicate();
    world.reopen_follower();
    world.replicate();
    fill(&mut world, 4, 5, 1000);
    world.replicate();
    world.assert_equal(4);
}

/// Two nodes with the same three partitions, all of it in segments.
fn replicated() -> World {
    let mut world = World::new(50_000);
    let metadata = world.offer(GroupId::METADATA);
    assert!(world.take_over(metadata));
    fill(&mut world, 3, 20, 10_000);
    drop(world.offer(SHARD));
    world.add_learner();
    world.replicate();
    world.follower.checkpoint();
    world.replicate();
    world
}

#[test]
fn a_damaged_segment_of_a_follower_is_replaced_by_the_leaders_data() {
    let mut world = replicated();
    world.damage(false, partition(1));
    world.reopen_follower();
    world.replicate();
    let node = world.follower.node();
    let asked = RangeRequest {
        partition: partition(1),
        from: Offset(0),
        to: Offset(4),
        max_bytes: MAX_RANGE_BYTES,
    };
    node.take_call(node.id(), asked.encode(), Box::new(drop));
    world.work();
    world.replicate();
    world.assert_equal(3);
    world.reopen_follower();
    world.assert_equal(3);
}

#[test]
fn a_damaged_segment_of_the_leader_is_replaced_once_a_fetch_finds_it() {
    let mut world = replicated();
    world.damage(true, partition(2));
    world.reopen_leader();
    world.replicate();
    let found = world.fetch(2, 0).batches;
    assert_eq!(found.err(), Some(ErrorKind::StorageFailed));
    settle(&mut world.leader);
    let served = world.fetch(2, 0).batches.unwrap();
    assert!(served.size_bytes > 10_000);
    world.assert_equal(3);
    world.reopen_leader();
    world.replicate();
    world.assert_equal(3);
}

#[test]
fn progress_is_told_while_it_lasts() {
    let mut config = World::config();
    config.catch_up_bytes_per_s = 100_000;
    let mut world = World::with(50_000, config);
    fill(&mut world, 1, 30, 10_000);
    let offer = world.offer(SHARD);
    let node = world.follower.node();
    node.offers.offered(offer);
    let mut seen = Vec::new();
    for _ in 0..2000 {
        world.follower.step().unwrap();
        seen.extend(node.catch_up_progress());
    }
    let partly = |progress: &&crate::CatchUpProgress| {
        progress.group == SHARD
            && progress.brought_bytes > 0
            && progress.brought_bytes < progress.total_bytes
    };
    assert!(seen.iter().any(|progress| partly(&progress)));
    world.work();
    assert_eq!(node.catch_up_progress(), []);
}

#[cfg(feature = "seeded-bugs")]
#[test]
fn the_seeded_bug_loses_the_last_range_silently() {
    let mut config = World::config();
    config.seeded_bug = Some(crate::SeededBug::SnapshotMissesLastSegment);
    let mut world = World::with(50_000, config);
    fill(&mut world, 2, 20, 10_000);
    let offer = world.offer(SHARD);
    assert!(world.take_over(offer));
    let (leader, follower) = (world.leader.node(), world.follower.node());
    let wanted = World::contents(&leader, partition(1));
    let had = World::contents(&follower, partition(1));
    assert_eq!((wanted.0, wanted.1), (had.0, had.1));
    assert!(had.2.len() < wanted.2.len() && wanted.2.starts_with(&had.2));
}

#[test]
fn a_take_over_of_a_group_that_retires_meanwhile_saves_nothing() {
    let mut world = World::new(50_000);
    fill(&mut world, 2, 20, 10_000);
    let offer = world.offer(SHARD);
    assert!(world.take_over(offer));
    fill(&mut world, 2, 20, 10_000);
    let offer = world.offer(SHARD);
    let answers = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&answers);
    world.spoil(move |answer| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(answer)
    });
    world.follower.node().offers.offered(offer);
    while answers.load(Ordering::Relaxed) == 0 {
        world.follower.step().unwrap();
    }
    world.follower.node().retire_replica(SHARD);
    world.work();
    assert!(!world.has_checkpoint(SHARD), "its files are gone");
    let offer = world.offer(SHARD);
    assert!(world.take_over(offer), "the next one counts");
    world.assert_equal(2);
    world.reopen_follower();
    world.assert_equal(2);
}

#[test]
fn a_repair_of_a_partition_that_goes_meanwhile_is_given_up() {
    let mut world = replicated();
    world.damage(false, partition(1));
    world.reopen_follower();
    world.replicate();
    let node = world.follower.node();
    let asked = RangeRequest {
        partition: partition(1),
        from: Offset(0),
        to: Offset(4),
        max_bytes: MAX_RANGE_BYTES,
    };
    node.take_call(node.id(), asked.encode(), Box::new(drop));
    let calls = world.link.call_count.load(Ordering::Relaxed);
    while world.link.call_count.load(Ordering::Relaxed) == calls {
        world.follower.step().unwrap();
    }
    world.retire_behind_the_back_of_catch_up();
    assert!(world.files(partition(1)).is_empty());
    world.work();
    assert!(world.files(partition(1)).is_empty());
}
