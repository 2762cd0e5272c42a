//! A live group of one protocol becomes one of both, and one of the other.

use super::{classic_client::*, world::*};
use crate::group::GroupState;

fn with_topic(partition_count: u32) -> World {
    let mut world = World::new();
    world.topics.create("t", partition_count);
    world
}

fn classic_pair(world: &mut World, is_cooperative: bool) -> [ClassicClient; 2] {
    let mut pair = [(); 2].map(|()| ClassicClient::new(&["t"], is_cooperative));
    rest(world, &mut pair, &mut []);
    assert_eq!(world.classic.state(GROUP), GroupState::Stable);
    pair
}

/// Steps until everybody is in the generation with the same partitions as before.
fn rest(world: &mut World, classic: &mut [ClassicClient], clients: &mut [Client]) {
    for _ in 0..60 {
        for client in classic.iter_mut() {
            world.step(client);
        }
        for client in clients.iter_mut() {
            world.round(client);
        }
        assert_one_reader(classic, clients);
    }
    assert!(classic.iter().all(|it| it.waits == Waits::In));
}

fn assert_one_reader(classic: &[ClassicClient], clients: &[Client]) -> usize {
    let classic = classic.iter().flat_map(|it| &it.owned);
    let mut read: Vec<_> = classic
        .chain(clients.iter().flat_map(|it| &it.owned))
        .collect();
    let count = read.len();
    read.sort_unstable();
    read.dedup();
    assert_eq!(read.len(), count, "a partition has two readers");
    count
}

#[test]
fn a_live_classic_group_becomes_a_consumer_group_when_a_first_such_member_joins() {
    for is_cooperative in [false, true] {
        let mut world = with_topic(6);
        let mut pair = classic_pair(&mut world, is_cooperative);
        let generation = pair[0].generation;
        let mut one = [Client::new("one", &["t"])];
        world.round(&mut one[0]);
        assert!(one[0].owned.is_empty() && one[0].epoch > generation);
        assert!(world.table.consumer(GROUP).is_some() && !world.is_classic());
        assert_eq!(world.live(&pair[0]), Err(ErrorKind::RebalanceInProgress));
        rest(&mut world, &mut pair, &mut one);
        assert_eq!(assert_one_reader(&pair, &one), 6);
        assert!(pair.iter().all(|it| it.owned.len() == 2));
        assert_eq!(world.coordinator.phase(GROUP), GroupPhase::Stable);
        let described = world.coordinator.describe(GROUP).unwrap();
        let classic = described.members.iter().filter(|it| it.is_classic);
        assert_eq!(classic.count(), 2);
    }
}

#[test]
fn a_rebalance_that_is_under_way_ends_in_the_consumer_group() {
    let mut world = with_topic(6);
    let [one, two] = classic_pair(&mut world, false);
    let third = ClassicClient::new(&["t"], false);
    let mut all = [one, two, third];
    world.step(&mut all[2]);
    world.step(&mut all[2]);
    world.step(&mut all[2]);
    world.step(&mut all[0]);
    world.step(&mut all[0]);
    assert_eq!(world.classic.state(GROUP), GroupState::PreparingRebalance);
    let mut new = [Client::new("new", &["t"])];
    world.round(&mut new[0]);
    rest(&mut world, &mut all, &mut new);
    assert_eq!(assert_one_reader(&all, &new), 6);
}

#[test]
fn the_group_is_classic_again_when_its_last_consumer_member_leaves() {
    for is_cooperative in [false, true] {
        let mut world = with_topic(6);
        let mut pair = classic_pair(&mut world, is_cooperative);
        let mut one = Client::new("one", &["t"]);
        rest(&mut world, &mut pair, std::slice::from_mut(&mut one));
        world.ask(one.leaving(-1)).unwrap();
        assert!(world.is_classic() && world.table.get(GROUP).is_some());
        assert_eq!(world.live(&pair[0]), Err(ErrorKind::RebalanceInProgress));
        rest(&mut world, &mut pair, &mut []);
        assert_eq!(world.classic.state(GROUP), GroupState::Stable);
        assert_eq!(assert_one_reader(&pair, &[]), 6);
        let mut again = [Client::new("two", &["t"])];
        rest(&mut world, &mut pair, &mut again);
        assert_eq!(assert_one_reader(&pair, &again), 6);
        assert!(!world.is_classic());
    }
}

#[test]
fn a_silent_last_consumer_member_leaves_a_classic_group_that_rebalances_under_the_next_leader_too()
{
    let mut world = with_topic(4);
    let mut pair = classic_pair(&mut world, true);
    let mut one = Client::new("one", &["t"]);
    rest(&mut world, &mut pair, std::slice::from_mut(&mut one));
    for _ in 0..SESSION_MS / 5_000 + 1 {
        world.pass(5_000);
        if world.is_classic() {
            break;
        }
        pair.iter().for_each(|it| world.live(it).unwrap());
    }
    assert!(world.is_classic());
    world.fail_over();
    assert_eq!(world.classic.state(GROUP), GroupState::PreparingRebalance);
    rest(&mut world, &mut pair, &mut []);
    assert_eq!(assert_one_reader(&pair, &[]), 4);
}

#[test]
fn an_upgrade_that_is_not_stored_leaves_the_classic_group_as_it_was() {
    let mut world = with_topic(4);
    let mut pair = classic_pair(&mut world, false);
    world.stores_at_once = false;
    let failed = world.send(Client::new("one", &["t"]).full());
    let waiting = world.send(Client::new("two", &["t"]).full());
    world.stored(Err(ErrorKind::StorageFull));
    let error = |token| world.answers[token].as_ref().unwrap_err().error;
    assert_eq!(error(&failed), ErrorKind::StorageFull);
    assert_eq!(error(&waiting), ErrorKind::CoordinatorLoading);
    assert_eq!(world.classic.state(GROUP), GroupState::Stable);
    assert!(pair.iter().all(|it| world.live(it) == Ok(())));
    rest(&mut world, &mut pair, &mut []);
}

#[test]
fn a_downgrade_that_is_not_stored_is_tried_again() {
    let mut world = with_topic(4);
    let mut pair = classic_pair(&mut world, false);
    let mut one = Client::new("one", &["t"]);
    rest(&mut world, &mut pair, std::slice::from_mut(&mut one));
    world.stores_at_once = false;
    let failed = world.send(one.leaving(-1));
    let waiting = world.join(pair[0].join(&world.topics));
    world.stored(Err(ErrorKind::StorageFull));
    assert_eq!(
        world.answers[&failed].as_ref().unwrap_err().error,
        ErrorKind::StorageFull
    );
    world.stored(Ok(()));
    assert!(!world.is_classic() && world.joins[&waiting].is_ok());
    let left = world.send(one.leaving(-1));
    let displaced = world.join(pair[1].join(&world.topics));
    world.stored(Ok(()));
    assert!(world.answers[&left].is_ok() && world.is_classic());
    assert_eq!(
        world.joins[&displaced].as_ref().unwrap_err().error,
        ErrorKind::CoordinatorLoading
    );
    world.stores_at_once = true;
    rest(&mut world, &mut pair, &mut []);
}

#[test]
fn what_is_no_consumers_group_is_not_upgraded() {
    let mut world = with_topic(4);
    let mut member = ClassicClient::new(&["t"], false);
    member.id = "x".to_owned();
    let mut join = member.join(&world.topics);
    join.protocol_type = "connect".to_owned();
    join.member.clear();
    join.require_known_member = false;
    let token = world.join(join);
    let joined = world.joins[&token].as_ref().unwrap().clone();
    member.id = joined.member;
    member.generation = 1;
    let refused = world.ask(Client::new("one", &["t"]).full()).unwrap_err();
    assert_eq!(refused.error, ErrorKind::GroupNotFound);
    assert!(
        refused
            .reason
            .contains("does not use the consumer embedded protocol")
    );
    let refused = world.ask(
        Client {
            epoch: 3,
            ..Client::new("one", &["t"])
        }
        .short(),
    );
    assert_eq!(refused.unwrap_err().error, ErrorKind::GroupNotFound);
    assert_eq!(world.live(&member), Ok(()));
}

#[test]
fn a_first_consumer_member_that_is_refused_leaves_the_classic_group_alone() {
    let mut world = with_topic(4);
    let pair = classic_pair(&mut world, false);
    let mut beat = Client::new("one", &["t"]).full();
    beat.pattern = Some("(".to_owned());
    assert_eq!(world.refusal(beat), ErrorKind::InvalidRegularExpression);
    assert!(pair.iter().all(|it| world.live(it) == Ok(())));
}

#[test]
fn a_classic_member_needs_a_protocol_that_the_others_have_and_a_readable_subscription() {
    let mut world = with_topic(4);
    let mut pair = classic_pair(&mut world, false);
    let mut one = [Client::new("one", &["t"])];
    rest(&mut world, &mut pair, &mut one);
    let good = ClassicClient::new(&["t"], false).join(&world.topics);
    let mut others = [good.clone(), good.clone(), good.clone()];
    others[0].protocol_type = "connect".to_owned();
    others[1].protocols[0].0 = "roundrobin".to_owned();
    others[2].protocols[0].1 = bytes::Bytes::from_static(b"?");
    for join in others {
        let token = world.join(join);
        let error = world.joins[&token].as_ref().unwrap_err().error;
        assert_eq!(error, ErrorKind::InconsistentGroupProtocol);
    }
    let token = world.join(good);
    let error = world.joins[&token].as_ref().unwrap_err().error;
    assert_eq!(error, ErrorKind::MemberIdRequired);
}

#[test]
fn a_classic_member_that_lives_but_does_not_join_again_is_given_up() {
    let mut world = with_topic(6);
    let mut pair = classic_pair(&mut world, false);
    let mut one = [Client::new("one", &["t"])];
    rest(&mut world, &mut pair, &mut one);
    let mut two = Client::new("two", &["t"]);
    world.round(&mut two);
    for _ in 0..REBALANCE_MS / 4_000 {
        assert_eq!(world.live(&pair[0]), Err(ErrorKind::RebalanceInProgress));
        world.step(&mut pair[1]);
        world.pass(4_000);
        world.round(&mut one[0]);
        world.round(&mut two);
    }
    assert_eq!(world.live(&pair[0]), Err(ErrorKind::UnknownMember));
    assert_eq!(world.coordinator.describe(GROUP).unwrap().members.len(), 3);
}

#[test]
fn a_static_member_keeps_its_place_from_one_protocol_to_the_other() {
    let mut world = with_topic(4);
    let mut other = [Client::new("other", &["t"])];
    let mut old = ClassicClient::new(&["t"], false);
    old.instance = Some("i".to_owned());
    let mut olds = [old];
    world.round(&mut other[0]);
    rest(&mut world, &mut olds, &mut other);
    let mut new = Client::new("new", &["t"]);
    new.instance = Some("i".to_owned());
    world.round(&mut new);
    assert_eq!(new.owned, olds[0].owned);
    assert_eq!(world.live(&olds[0]), Err(ErrorKind::FencedInstance));
    let mut back = ClassicClient::new(&["t"], false);
    back.instance = Some("i".to_owned());
    let mut backs = [back];
    rest(&mut world, &mut backs, &mut other);
    assert_eq!(backs[0].owned, new.owned);
    assert_eq!(world.refusal(new.short()), ErrorKind::FencedInstance);
}

#[test]
fn commits_of_classic_members_go_by_generation() {
    let mut world = with_topic(4);
    let mut pair = classic_pair(&mut world, false);
    let mut one = [Client::new("one", &["t"])];
    rest(&mut world, &mut pair, &mut one);
    let check = |world: &World, epoch| world.coordinator.check_commit(GROUP, &pair[0].id, epoch);
    assert_eq!(check(&world, pair[0].generation), Ok(()));
    assert_eq!(check(&world, 1), Err(ErrorKind::IllegalGeneration));
    assert!(world.coordinator.is_classic(GROUP, &pair[0].id));
    assert!(!world.coordinator.is_classic(GROUP, "one"));
}

#[test]
fn a_classic_member_that_has_only_asked_for_an_id_does_not_stop_the_next_consumer_member() {
    let mut world = with_topic(4);
    let mut one = Client::new("one", &["t"]);
    world.round(&mut one);
    world.ask(one.leaving(-1)).unwrap();
    let mut classic = [ClassicClient::new(&["t"], false)];
    world.step(&mut classic[0]);
    assert!(world.is_classic());
    let mut two = [Client::new("two", &["t"])];
    world.round(&mut two[0]);
    assert_eq!(two[0].owned.len(), 4);
    rest(&mut world, &mut classic, &mut two);
    assert_eq!(assert_one_reader(&classic, &two), 4);
}
