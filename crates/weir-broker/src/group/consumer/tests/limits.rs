use super::world::*;
use crate::group::consumer::config::{MAX_PATTERN_COUNT, MAX_WAITING_COUNT};

#[test]
fn the_last_pattern_is_taken_and_one_more_is_not() {
    let mut world = World::new();
    world.topics.create("t-1", 1);
    let joining = |number: usize, pattern: usize| {
        let mut client = Client::new(&format!("m{number}"), &[]);
        client.pattern = Some(format!("t-{pattern}"));
        client.full()
    };
    for number in 0..MAX_PATTERN_COUNT {
        world.ask(joining(number, number)).unwrap();
    }
    let past = joining(MAX_PATTERN_COUNT, MAX_PATTERN_COUNT);
    assert_eq!(world.refusal(past), ErrorKind::GroupMaxSizeReached);
    world.ask(joining(MAX_PATTERN_COUNT, 0)).unwrap();
}

#[test]
fn the_last_heartbeat_waits_for_a_change_and_one_more_does_not() {
    let mut world = World::new();
    world.topics.create("t", 1);
    world.stores_at_once = false;
    let one = Client::new("one", &["t"]);
    world.send(one.full());
    for _ in 0..MAX_WAITING_COUNT {
        world.send(one.full());
    }
    assert!(world.answers.is_empty());
    assert_eq!(world.refusal(one.full()), ErrorKind::Overloaded);
    world.stored(Ok(()));
    assert!(world.stores.is_empty() && world.answers.len() == MAX_WAITING_COUNT + 1);
}

#[test]
fn a_thousand_members_over_a_thousand_partitions_settle_in_a_few_changes_and_write_no_more() {
    let mut world = World::new();
    world.topics.create("t", 1_000);
    world.stores_at_once = false;
    let mut clients: Vec<Client> = (0..1_000)
        .map(|at| Client::new(&format!("m{at:04}"), &["t"]))
        .collect();
    let tokens: Vec<u64> = clients.iter().map(|it| world.send(it.full())).collect();
    while !world.stores.is_empty() {
        world.stored(Ok(()));
    }
    assert_eq!(world.stored_count, 2, "the first, and all others together");
    for (client, token) in clients.iter_mut().zip(tokens) {
        client.hear(&world.answers.remove(&token).unwrap().unwrap());
        client.reconcile();
    }
    world.stores_at_once = true;
    for _ in 0..3 {
        for client in &mut clients {
            let beat = world.ask(client.full()).unwrap();
            client.hear(&beat);
            client.reconcile();
        }
    }
    assert!(clients.iter().all(|client| client.owned.len() == 1));
    let settled = world.stored_count;
    for client in &clients {
        let beat = world.ask(client.short()).unwrap();
        assert_eq!(beat.assignment, None);
    }
    assert_eq!(world.stored_count, settled);
}
