use super::world::*;

#[test]
fn an_empty_group_waits_for_more_members_within_the_rebalance_timeout() {
    let mut world = World::with(GroupConfig::default());
    let first = world.join(join("", None));
    world.pass(2_999);
    assert!(world.joins.is_empty());
    let second = world.join(join("", None));
    world.pass(1);
    assert!(world.joins.is_empty(), "put off for the second member");
    world.pass(2_999);
    assert!(world.joins.is_empty());
    world.pass(1);
    assert_eq!(world.joined(first).generation, 1);
    assert_eq!(world.joined(first).members.len(), 2);
    assert_eq!(world.joined(second).leader, world.joined(first).member);
}

#[test]
fn newcomers_cannot_put_off_the_first_generation_past_the_rebalance_timeout() {
    let mut world = World::with(GroupConfig::default());
    let first = world.join(join("", None));
    for _ in 0..30 {
        world.pass(2_000);
        if !world.joins.contains_key(&first) {
            world.join(join("", None));
        }
    }
    assert!(world.joins.contains_key(&first));
}

#[test]
fn a_silent_member_is_removed_after_its_session_and_heartbeats_keep_it() {
    let mut world = World::new();
    let (leader, follower) = world.pair();
    for _ in 0..5 {
        world.pass(SESSION_MS - 1);
        assert_eq!(world.heartbeat(&leader, 2), Ok(()));
        assert_eq!(world.heartbeat(&follower, 2), Ok(()));
    }
    world.pass(SESSION_MS - 1);
    assert_eq!(world.heartbeat(&leader, 2), Ok(()));
    world.pass(1);
    assert_eq!(world.heartbeat(&follower, 2), Err(ErrorKind::UnknownMember));
    assert_eq!(
        world.heartbeat(&leader, 2),
        Err(ErrorKind::RebalanceInProgress)
    );
}

#[test]
fn who_does_not_join_again_in_time_is_left_behind() {
    let mut world = World::new();
    let (leader, follower) = world.pair();
    let token = world.join(join(&leader, None));
    for _ in 0..REBALANCE_MS / 5_000 {
        assert!(!world.joins.contains_key(&token));
        let _ = world.heartbeat(&follower, 2);
        world.pass(5_000);
    }
    assert_eq!(world.joined(token).members.len(), 1);
    assert_eq!(world.heartbeat(&follower, 3), Err(ErrorKind::UnknownMember));
}

#[test]
fn who_does_not_sync_in_time_is_removed_and_the_others_are_told() {
    let mut world = World::new();
    let (leader, follower) = world.pair();
    world.join(join(&leader, None));
    world.join(join(&follower, None));
    let waiting = world.sync(&follower, 3, &[]);
    for _ in 0..REBALANCE_MS / 5_000 {
        let _ = world.heartbeat(&leader, 3);
        world.pass(5_000);
    }
    assert_eq!(world.syncs[&waiting], Err(ErrorKind::RebalanceInProgress));
    assert_eq!(world.heartbeat(&leader, 3), Err(ErrorKind::UnknownMember));
    let token = world.join(join(&follower, None));
    assert_eq!(world.joined(token).leader, follower);
}

#[test]
fn a_static_member_may_miss_a_rebalance_within_its_session() {
    let mut world = World::new();
    let mut slow = join("", Some("slow"));
    slow.session_timeout_ms = 10 * REBALANCE_MS;
    let token = world.join(slow);
    let slow = world.joined(token).member.clone();
    let other = world.join(join("", None));
    world.pass(REBALANCE_MS);
    let joined = world.joined(other).clone();
    assert_eq!((joined.generation, &joined.leader), (2, &joined.member));
    assert!(joined.members.iter().any(|member| member.member == slow));
}

#[test]
fn restored_members_go_on_without_a_rebalance() {
    let mut world = World::new();
    let (leader, follower) = world.pair();
    let record = world.coordinator.describe(Millis(0), GROUP).unwrap();
    let mut after = World::new();
    after.now = world.now.plus(3_600_000);
    after.coordinator.restore(after.now, [&record].into_iter());
    assert_eq!(after.coordinator.describe(Millis(0), GROUP), Some(record));
    assert_eq!(after.state(), GroupState::Stable);
    after.pass(SESSION_MS - 1);
    assert_eq!(after.heartbeat(&leader, 2), Ok(()));
    assert_eq!(after.heartbeat(&follower, 2), Ok(()));
    let sync = after.sync(&follower, 2, &[]);
    assert_eq!(
        after.syncs[&sync].as_ref().unwrap().assignment,
        bytes("two")
    );
    after.pass(2 * SESSION_MS + REBALANCE_MS);
    assert_eq!(after.state(), GroupState::Empty);
}

#[test]
fn a_deposed_coordinator_tells_everybody_who_waits() {
    let mut world = World::new();
    let (leader, follower) = world.pair();
    let token = world.join(join(&leader, None));
    let mut out = Vec::new();
    world.coordinator.unload(&mut out);
    world.take(out);
    assert_eq!(world.refused(token), ErrorKind::NotCoordinator);
    assert_eq!(
        (world.state(), world.coordinator.next_deadline()),
        (GroupState::Dead, None)
    );
    assert_eq!(world.heartbeat(&follower, 2), Err(ErrorKind::UnknownMember));
}
