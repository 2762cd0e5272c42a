use super::world::*;
use crate::group::consumer::config::{
    MATCH_INTERVAL_MS, MAX_PATTERN_BYTES, MAX_SUBSCRIPTION_BYTES,
};

fn told(world: &mut World, client: &mut Client) -> usize {
    let beat = world.ask(client.short()).unwrap();
    client.hear(&beat);
    client.reconcile();
    client.assigned.len()
}

#[test]
fn topics_that_come_grow_and_go_change_the_assignment() {
    let mut world = World::new();
    let mut one = Client::new("one", &["t", "u"]);
    world.round(&mut one);
    assert_eq!((one.epoch, one.assigned.len()), (1, 0));
    world.topics.create("t", 2);
    assert_eq!(told(&mut world, &mut one), 2);
    world.topics.grow("t", 5);
    assert_eq!(told(&mut world, &mut one), 5);
    world.topics.create("u", 1);
    assert_eq!(told(&mut world, &mut one), 6);
    world.topics.create("other", 1);
    assert_eq!(told(&mut world, &mut one), 6);
    assert_eq!(one.epoch, 4);
    world.topics.delete("t");
    assert_eq!(told(&mut world, &mut one), 1);
    world.settle(&mut [&mut one]);
    world.topics.create("t", 3);
    assert_eq!(
        told(&mut world, &mut one),
        4,
        "under the same name, another topic"
    );
}

#[test]
fn a_topic_that_is_not_read_any_more_is_let_go_of_before_somebody_else_gets_it() {
    let mut world = World::new();
    world.topics.create("t", 2);
    world.topics.create("u", 2);
    let mut one = Client::new("one", &["t"]);
    world.round(&mut one);
    one.topics = vec!["u".to_owned()];
    let beat = world.ask(one.full()).unwrap();
    assert_eq!((beat.epoch, beat.assignment), (1, Some(Vec::new())));
    let mut two = Client::new("two", &["t"]);
    world.round(&mut two);
    assert_eq!(two.assigned.len(), 0);
    one.assigned.clear();
    one.reconcile();
    world.settle(&mut [&mut one, &mut two]);
    assert_eq!((one.assigned.len(), two.assigned.len()), (2, 2));
}

#[test]
fn a_pattern_reads_what_matches_now_and_later() {
    let mut world = World::new();
    world.topics.create("log-a", 2);
    world.topics.create("xlog-a", 1);
    let mut one = Client::new("one", &[]);
    one.pattern = Some("log-.*".to_owned());
    world.round(&mut one);
    assert_eq!(one.assigned.len(), 2);
    world.topics.create("log-b", 3);
    world.pass(MATCH_INTERVAL_MS);
    assert_eq!(told(&mut world, &mut one), 5);
    world.topics.create("log-c", 1);
    assert_eq!(told(&mut world, &mut one), 5, "not more often than that");
    world.pass(MATCH_INTERVAL_MS);
    assert_eq!(told(&mut world, &mut one), 6);
    one.topics = vec!["xlog-a".to_owned()];
    world.settle(&mut [&mut one]);
    assert_eq!(one.assigned.len(), 7, "names and pattern");
    one.pattern = Some(String::new());
    world.settle(&mut [&mut one]);
    assert_eq!(one.assigned.len(), 1);
}

#[test]
fn a_pattern_that_is_none_is_refused_with_words() {
    let mut world = World::new();
    let mut one = Client::new("one", &[]);
    for wrong in ["[".to_owned(), "a".repeat(MAX_PATTERN_BYTES + 1)] {
        one.pattern = Some(wrong.clone());
        let refused = world.ask(one.full()).unwrap_err();
        assert_eq!(refused.error, ErrorKind::InvalidRegularExpression);
        assert!(
            refused.reason.starts_with("SubscribedTopicRegex `"),
            "{}",
            refused.reason
        );
    }
    assert!(!world.coordinator.contains(GROUP));
}

#[test]
fn subscriptions_past_the_limit_are_refused() {
    let mut world = World::new();
    let name = "t".repeat(MAX_SUBSCRIPTION_BYTES / 2);
    world.ask(Client::new("one", &[&name]).full()).unwrap();
    world.ask(Client::new("two", &[&name]).full()).unwrap();
    let more = Client::new("three", &["t"]).full();
    assert_eq!(world.refusal(more), ErrorKind::GroupMaxSizeReached);
    world.ask(Client::new("two", &["t"]).full()).unwrap();
    world.ask(Client::new("three", &["t"]).full()).unwrap();
}

#[test]
fn metadata_that_are_behind_take_nothing_from_anybody() {
    let mut world = World::new();
    world.topics.create("t", 2);
    let mut one = Client::new("one", &["t"]);
    world.round(&mut one);
    let known = std::mem::take(&mut world.topics);
    world.fail_over();
    assert_eq!(world.refusal(one.short()), ErrorKind::CoordinatorLoading);
    world.pass(2 * SESSION_MS);
    world.topics = known;
    let beat = world.ask(one.short()).unwrap();
    assert_eq!((beat.epoch, beat.assignment), (1, None));
}
