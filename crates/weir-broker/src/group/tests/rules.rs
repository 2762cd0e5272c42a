use super::world::*;
use crate::group::config::{
    MAX_ASSIGNMENT_BYTES, MAX_GROUP_ID_BYTES, MAX_INSTANCE_ID_BYTES, MAX_METADATA_BYTES,
    MAX_PROTOCOL_COUNT,
};

#[test]
fn a_lone_member_leads_and_gets_its_assignment_once_it_is_replicated() {
    let mut world = World::new();
    let token = world.join(join("", None));
    let joined = world.joined(token).clone();
    assert_eq!((joined.generation, joined.protocol.as_str()), (1, "range"));
    assert_eq!(joined.leader, joined.member);
    assert!(joined.member.starts_with("client-"));
    assert_eq!(
        (joined.members.len(), &joined.members[0].metadata),
        (1, &bytes("topics"))
    );
    let sync = world.sync(&joined.member, 1, &[(&joined.member, "all")]);
    assert!(world.syncs.is_empty(), "not before it is replicated");
    assert_eq!(world.state(), GroupState::CompletingRebalance);
    let record = world.persisted(Ok(()));
    assert_eq!(
        (record.generation, &record.members[0].assignment),
        (1, &bytes("all"))
    );
    assert_eq!(
        world.syncs[&sync].as_ref().unwrap().assignment,
        bytes("all")
    );
    assert_eq!(world.heartbeat(&joined.member, 1), Ok(()));
}

#[test]
fn a_second_member_rebalances_the_first_and_only_the_leader_sees_all() {
    let mut world = World::new();
    let (leader, follower) = world.pair();
    let again = world.sync(&follower, 2, &[]);
    assert_eq!(
        world.syncs[&again].as_ref().unwrap().assignment,
        bytes("two")
    );
    let third = world.join(join("", None));
    assert_eq!(
        world.heartbeat(&leader, 2),
        Err(ErrorKind::RebalanceInProgress)
    );
    assert!(!world.joins.contains_key(&third));
    let tokens = [
        world.join(join(&leader, None)),
        world.join(join(&follower, None)),
        third,
    ];
    let seen = tokens.map(|token| world.joined(token).members.len());
    assert_eq!(seen, [3, 0, 0]);
    assert!(
        tokens
            .iter()
            .all(|token| world.joined(*token).generation == 3)
    );
}

#[test]
fn a_first_join_is_sent_back_for_its_id() {
    let mut world = World::new();
    let mut first = join("", None);
    first.require_known_member = true;
    let token = world.join(first.clone());
    let refused = world.joins[&token].clone().unwrap_err();
    assert_eq!(refused.error, ErrorKind::MemberIdRequired);
    assert_eq!(world.state(), GroupState::Empty);
    first.member.clone_from(&refused.member);
    let token = world.join(first.clone());
    assert_eq!(world.joined(token).member, refused.member);
    let mut forgotten = World::new();
    first.member.clear();
    let token = forgotten.join(first.clone());
    first.member = forgotten.joins[&token].clone().unwrap_err().member;
    forgotten.pass(SESSION_MS);
    assert_eq!(forgotten.state(), GroupState::Dead);
    let token = forgotten.join(first);
    assert_eq!(forgotten.refused(token), ErrorKind::UnknownMember);
}

type Change = Box<dyn Fn(&mut Join)>;

#[test]
fn joins_that_break_a_rule_are_refused() {
    use ErrorKind as E;
    let long = |count: usize| "x".repeat(count);
    let cases: Vec<(E, Change)> = vec![
        (E::InvalidGroupId, Box::new(|j| j.group.clear())),
        (
            E::InvalidGroupId,
            Box::new(move |j| j.group = long(MAX_GROUP_ID_BYTES + 1)),
        ),
        (
            E::InvalidSessionTimeout,
            Box::new(|j| j.session_timeout_ms = 5_999),
        ),
        (
            E::InvalidSessionTimeout,
            Box::new(|j| j.session_timeout_ms = 1_800_001),
        ),
        (
            E::InconsistentGroupProtocol,
            Box::new(|j| j.protocols.clear()),
        ),
        (
            E::InconsistentGroupProtocol,
            Box::new(|j| j.protocol_type.clear()),
        ),
        (
            E::InconsistentGroupProtocol,
            Box::new(|j| j.protocol_type = "connect".to_owned()),
        ),
        (
            E::InconsistentGroupProtocol,
            Box::new(|j| j.protocols[0].0 = "sticky".to_owned()),
        ),
        (
            E::UnknownMember,
            Box::new(|j| j.member = "nobody".to_owned()),
        ),
        (
            E::InvalidRequest,
            Box::new(move |j| j.instance = Some(long(MAX_INSTANCE_ID_BYTES + 1))),
        ),
        (
            E::InvalidRequest,
            Box::new(|j| j.protocols = vec![j.protocols[0].clone(); MAX_PROTOCOL_COUNT + 1]),
        ),
        (
            E::InvalidRequest,
            Box::new(|j| j.protocols[0].1 = vec![0; MAX_METADATA_BYTES].into()),
        ),
        (
            E::GroupMaxSizeReached,
            Box::new(|j| j.protocols[0].1 = vec![0; MAX_METADATA_BYTES - 5].into()),
        ),
    ];
    let mut world = World::new();
    world.pair();
    for (number, (error, change)) in cases.iter().enumerate() {
        let mut wrong = join("", None);
        change(&mut wrong);
        let token = world.join(wrong);
        assert_eq!(world.refused(token), *error, "case {number}");
        assert_eq!(world.state(), GroupState::Stable);
    }
}

#[test]
fn a_full_group_takes_its_own_members_only() {
    let mut world = World::with(GroupConfig {
        initial_rebalance_delay_ms: 0,
        max_member_count: 2,
        ..GroupConfig::default()
    });
    let (leader, follower) = world.pair();
    let token = world.join(join("", None));
    assert_eq!(world.refused(token), ErrorKind::GroupMaxSizeReached);
    let again = world.join(join(&leader, None));
    world.join(join(&follower, None));
    assert_eq!(world.joined(again).generation, 3);
}

#[test]
fn the_protocol_with_most_votes_among_the_common_ones_wins() {
    let offer = |names: &[&str]| -> Vec<(String, Bytes)> {
        names
            .iter()
            .map(|name| ((*name).to_owned(), bytes(name)))
            .collect()
    };
    let mut world = World::new();
    let mut first = join("", None);
    first.protocols = offer(&["only-mine", "range", "sticky"]);
    let token = world.join(first.clone());
    first.member = world.joined(token).member.clone();
    for names in [["sticky", "range"], ["sticky", "range"]] {
        let mut other = join("", None);
        other.protocols = offer(&names);
        world.join(other);
    }
    let token = world.join(first);
    let joined = world.joined(token);
    assert_eq!(joined.protocol, "sticky");
    assert!(
        joined
            .members
            .iter()
            .all(|member| member.metadata == bytes("sticky"))
    );
}

#[test]
fn a_stable_group_rebalances_for_its_leader_and_for_new_metadata_only() {
    let mut world = World::new();
    let (leader, follower) = world.pair();
    let same = world.join(join(&follower, None));
    assert_eq!(
        (world.joined(same).generation, world.state()),
        (2, GroupState::Stable)
    );
    let mut changed = join(&follower, None);
    changed.protocols[0].1 = bytes("other topics");
    world.join(changed);
    assert_eq!(world.state(), GroupState::PreparingRebalance);
    let token = world.join(join(&leader, None));
    assert_eq!(world.joined(token).generation, 3);
    let mut world = World::new();
    let (leader, _) = world.pair();
    world.join(join(&leader, None));
    assert_eq!(world.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_lost_join_answer_is_given_again() {
    let mut world = World::new();
    let token = world.join(join("", None));
    let first = world.joined(token).clone();
    let token = world.join(join(&first.member, None));
    assert_eq!(world.joined(token), &first);
}

#[test]
fn syncs_that_break_a_rule_are_refused() {
    let mut world = World::new();
    let (leader, follower) = world.pair();
    let good = Sync {
        group: GROUP.to_owned(),
        generation: 2,
        member: follower,
        instance: None,
        protocol_type: Some("consumer".to_owned()),
        protocol: Some("range".to_owned()),
        assignments: Vec::new(),
    };
    let mut case = |change: &dyn Fn(&mut Sync)| {
        let mut sync = good.clone();
        change(&mut sync);
        let token = world.sync_with(sync);
        world.syncs[&token].clone().map(|_| ())
    };
    assert_eq!(case(&|_| ()), Ok(()));
    assert_eq!(case(&|s| s.group.clear()), Err(ErrorKind::InvalidGroupId));
    assert_eq!(
        case(&|s| s.group = "h".to_owned()),
        Err(ErrorKind::UnknownMember)
    );
    assert_eq!(
        case(&|s| s.member = "x".to_owned()),
        Err(ErrorKind::UnknownMember)
    );
    assert_eq!(
        case(&|s| s.instance = Some("x".to_owned())),
        Err(ErrorKind::UnknownMember)
    );
    assert_eq!(
        case(&|s| s.generation = 1),
        Err(ErrorKind::IllegalGeneration)
    );
    let inconsistent = Err(ErrorKind::InconsistentGroupProtocol);
    assert_eq!(case(&|s| s.protocol = Some("x".to_owned())), inconsistent);
    assert_eq!(
        case(&|s| s.protocol_type = Some("x".to_owned())),
        inconsistent
    );
    let huge = Bytes::from(vec![0; MAX_ASSIGNMENT_BYTES + 1]);
    let long = case(&|s| s.assignments = vec![("x".to_owned(), huge.clone())]);
    assert_eq!(long, Err(ErrorKind::InvalidRequest));
    world.join(join(&leader, None));
    let token = world.sync(&leader, 2, &[]);
    assert_eq!(world.syncs[&token], Err(ErrorKind::RebalanceInProgress));
}

#[test]
fn a_record_that_is_not_replicated_fails_the_syncs_and_rebalances() {
    let mut world = World::new();
    let token = world.join(join("", None));
    let member = world.joined(token).member.clone();
    let sync = world.sync(&member, 1, &[(&member, "all")]);
    world.persisted(Err(ErrorKind::NotCoordinator));
    assert_eq!(world.syncs[&sync], Err(ErrorKind::NotCoordinator));
    assert_eq!(world.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_record_that_a_rebalance_overtook_hands_out_nothing() {
    let mut world = World::new();
    let token = world.join(join("", None));
    let member = world.joined(token).member.clone();
    let sync = world.sync(&member, 1, &[(&member, "all")]);
    world.join(join("", None));
    assert_eq!(world.syncs[&sync], Err(ErrorKind::RebalanceInProgress));
    world.join(join(&member, None));
    world.sync(&member, 2, &[]);
    world.persisted(Ok(()));
    assert_eq!(world.state(), GroupState::CompletingRebalance);
    world.persisted(Ok(()));
    assert_eq!(world.state(), GroupState::Stable);
}

#[test]
fn a_leaver_rebalances_the_rest_and_the_last_one_empties_the_group() {
    let mut world = World::new();
    let (leader, follower) = world.pair();
    assert_eq!(world.leave("nobody", None), Err(ErrorKind::UnknownMember));
    assert_eq!(world.leave(&leader, None), Ok(()));
    assert_eq!(world.state(), GroupState::PreparingRebalance);
    let token = world.join(join(&follower, None));
    assert_eq!(world.joined(token).leader, follower);
    assert_eq!(world.leave(&follower, None), Ok(()));
    assert_eq!(world.state(), GroupState::Empty);
    let record = world.persisted(Ok(()));
    assert_eq!(
        (record.generation, record.members.len(), record.leader),
        (4, 0, None)
    );
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_fences_its_former_self() {
    let mut world = World::new();
    let token = world.join(join("", Some("i")));
    let old = world.joined(token).member.clone();
    world.sync(&old, 1, &[(&old, "all")]);
    world.persisted(Ok(()));
    let token = world.join(join("", Some("i")));
    assert!(
        !world.joins.contains_key(&token),
        "not before it is replicated"
    );
    let record = world.persisted(Ok(()));
    let joined = world.joined(token).clone();
    assert_ne!(joined.member, old);
    assert_eq!((joined.generation, world.state()), (1, GroupState::Stable));
    assert_ne!(joined.leader, joined.member);
    assert_eq!(record.members[0].member, joined.member);
    let sync = world.sync(&joined.member, 1, &[]);
    assert_eq!(
        world.syncs[&sync].as_ref().unwrap().assignment,
        bytes("all")
    );
    let token = world.join(join(&old, Some("i")));
    assert_eq!(world.refused(token), ErrorKind::FencedInstance);
    assert_eq!(world.leave(&old, Some("i")), Err(ErrorKind::FencedInstance));
    assert_eq!(world.leave("", Some("i")), Ok(()));
    assert_eq!(world.state(), GroupState::Empty);
}

#[test]
fn a_static_members_new_id_that_is_not_replicated_is_refused() {
    let mut world = World::new();
    let token = world.join(join("", Some("i")));
    let old = world.joined(token).member.clone();
    world.sync(&old, 1, &[]);
    world.persisted(Ok(()));
    let first = world.join(join("", Some("i")));
    let second = world.join(join("", Some("i")));
    assert_eq!(world.refused(first), ErrorKind::FencedInstance);
    world.persisted(Ok(()));
    assert!(
        !world.joins.contains_key(&second),
        "that was the first one's record"
    );
    world.persisted(Err(ErrorKind::NotCoordinator));
    assert_eq!(world.refused(second), ErrorKind::NotCoordinator);
    assert_eq!(world.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_static_member_with_new_protocols_rebalances() {
    let mut world = World::new();
    let mut first = join("", Some("i"));
    first.protocols.push(("sticky".to_owned(), bytes("s")));
    let token = world.join(first.clone());
    let old = world.joined(token).member.clone();
    world.sync(&old, 1, &[]);
    world.persisted(Ok(()));
    first.protocols.remove(0);
    let token = world.join(first);
    let joined = world.joined(token);
    assert_eq!((joined.generation, joined.protocol.as_str()), (2, "sticky"));
}

#[test]
fn commits_are_taken_from_members_and_from_loners_of_an_empty_group() {
    let mut world = World::new();
    let check = |world: &mut World, generation, member: &str| {
        world
            .coordinator
            .check_commit(world.now, GROUP, generation, member, None)
    };
    assert_eq!(check(&mut world, -1, ""), Ok(()));
    assert_eq!(check(&mut world, 0, "x"), Err(ErrorKind::IllegalGeneration));
    let (leader, follower) = world.pair();
    assert_eq!(check(&mut world, 2, &leader), Ok(()));
    assert_eq!(
        check(&mut world, 1, &leader),
        Err(ErrorKind::IllegalGeneration)
    );
    assert_eq!(check(&mut world, 2, "x"), Err(ErrorKind::UnknownMember));
    assert_eq!(check(&mut world, -1, ""), Err(ErrorKind::UnknownMember));
    world.join(join(&leader, None));
    assert_eq!(check(&mut world, 2, &follower), Ok(()));
    world.join(join(&follower, None));
    assert_eq!(
        check(&mut world, 3, &follower),
        Err(ErrorKind::RebalanceInProgress)
    );
    world.leave(&leader, None).unwrap();
    world.leave(&follower, None).unwrap();
    assert_eq!(check(&mut world, -1, ""), Ok(()));
    assert_eq!(check(&mut world, 3, &leader), Err(ErrorKind::UnknownMember));
}
