use super::world::*;

fn pair() -> (World, Client, Client) {
    let mut world = World::new();
    world.topics.create("t", 4);
    let (mut one, mut two) = (Client::new("one", &["t"]), Client::new("two", &["t"]));
    world.round(&mut one);
    world.round(&mut two);
    world.settle(&mut [&mut one, &mut two]);
    (world, one, two)
}

#[test]
fn a_silent_member_is_given_up_after_its_session_and_heartbeats_keep_it() {
    let (mut world, mut one, two) = pair();
    for _ in 0..5 {
        world.pass(SESSION_MS - 1);
        world.ask(one.short()).unwrap();
        world.ask(two.short()).unwrap();
    }
    world.pass(SESSION_MS - 1);
    let beat = world.ask(one.short()).unwrap();
    assert_eq!(beat.assignment, None);
    world.pass(1);
    assert_eq!(world.refusal(two.short()), ErrorKind::UnknownMember);
    let beat = world.ask(one.short()).unwrap();
    one.hear(&beat);
    assert_eq!(one.assigned.len(), 4);
    world.pass(SESSION_MS);
    assert_eq!(world.coordinator.phase(GROUP), GroupPhase::Empty);
    assert_eq!(world.coordinator.next_deadline(), None);
}

#[test]
fn a_member_that_does_not_let_go_is_given_up_after_its_rebalance_timeout() {
    let (mut world, one, two) = pair();
    let three = Client::new("three", &["t"]);
    world.ask(three.full()).unwrap();
    let holders: Vec<&Client> = [&one, &two]
        .into_iter()
        .filter(|it| world.ask(it.short()).unwrap().assignment.is_some())
        .collect();
    let [holder] = holders[..] else {
        panic!("one has to give one partition");
    };
    world.pass(REBALANCE_MS - 1);
    world.ask(holder.short()).unwrap();
    world.pass(1);
    assert_eq!(world.refusal(holder.short()), ErrorKind::UnknownMember);
}

#[test]
fn a_static_member_that_stays_away_loses_its_place() {
    let mut world = World::new();
    world.topics.create("t", 2);
    let mut one = Client::new("one", &["t"]);
    one.instance = Some("i".to_owned());
    world.round(&mut one);
    world.ask(one.leaving(-2)).unwrap();
    world.pass(SESSION_MS - 1);
    assert_eq!(world.coordinator.phase(GROUP), GroupPhase::Reconciling);
    world.pass(1);
    assert_eq!(world.coordinator.phase(GROUP), GroupPhase::Empty);
}

#[test]
fn nobody_is_given_up_while_its_heartbeat_waits_for_a_change() {
    let (mut world, one, two) = pair();
    world.stores_at_once = false;
    world.send(Client::new("three", &["t"]).full());
    let waiting = [world.send(one.short()), world.send(two.short())];
    world.pass(2 * SESSION_MS);
    world.stored(Ok(()));
    while !world.stores.is_empty() {
        world.stored(Ok(()));
    }
    for token in waiting {
        assert!(world.answers[&token].is_ok());
    }
}

#[test]
fn a_new_coordinator_gives_every_member_a_whole_session() {
    let (mut world, one, two) = pair();
    world.now = world.now.plus(10 * SESSION_MS);
    world.fail_over();
    world.pass(SESSION_MS - 1);
    world.ask(one.short()).unwrap();
    world.ask(two.short()).unwrap();
    world.pass(SESSION_MS);
    assert_eq!(world.coordinator.phase(GROUP), GroupPhase::Empty);
}
