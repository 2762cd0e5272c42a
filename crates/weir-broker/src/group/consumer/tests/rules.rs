use super::world::*;
use crate::group::GroupCommand;
use crate::group::GroupConfig;

fn with_topic(partition_count: u32) -> World {
    let mut world = World::new();
    world.topics.create("t", partition_count);
    world
}

#[test]
fn a_lone_member_gets_everything_with_its_first_heartbeat() {
    let mut world = with_topic(3);
    let mut one = Client::new("one", &["t"]);
    let beat = world.ask(one.full()).unwrap();
    assert_eq!((beat.epoch, beat.interval_ms), (1, 5_000));
    one.hear(&beat);
    assert_eq!(one.assigned.len(), 3);
    assert_eq!(world.coordinator.phase(GROUP), GroupPhase::Stable);
}

#[test]
fn a_partition_moves_only_after_its_owner_has_let_go_of_it() {
    let mut world = with_topic(4);
    let (mut one, mut two) = (Client::new("one", &["t"]), Client::new("two", &["t"]));
    world.round(&mut one);
    let beat = world.ask(two.full()).unwrap();
    assert_eq!((beat.epoch, &beat.assignment), (2, &Some(Vec::new())));
    two.hear(&beat);
    assert_eq!(world.coordinator.phase(GROUP), GroupPhase::Reconciling);
    let beat = world.ask(one.short()).unwrap();
    assert_eq!(beat.epoch, 1, "at its epoch until it has let go");
    one.hear(&beat);
    assert_eq!(one.assigned.len(), 2);
    assert_eq!(world.ask(one.full()).unwrap().epoch, 1, "it has not let go");
    assert_eq!(world.ask(two.short()).unwrap().assignment, None);
    one.reconcile();
    let beat = world.ask(one.full()).unwrap();
    assert_eq!(beat.epoch, 2);
    one.hear(&beat);
    let beat = world.ask(two.short()).unwrap();
    two.hear(&beat);
    assert_eq!((beat.epoch, two.assigned.len()), (2, 2));
    assert_eq!(world.coordinator.phase(GROUP), GroupPhase::Stable);
}

#[test]
fn heartbeats_that_change_nothing_write_nothing_and_tell_nothing() {
    let mut world = with_topic(2);
    let mut one = Client::new("one", &["t"]);
    world.round(&mut one);
    let before = world.stored_count;
    for _ in 0..3 {
        let beat = world.ask(one.short()).unwrap();
        assert_eq!((beat.epoch, beat.assignment), (1, None));
        let beat = world.ask(one.full()).unwrap();
        assert_eq!(partitions(&beat.assignment.unwrap()), one.assigned);
    }
    assert_eq!(world.stored_count, before);
}

#[test]
fn a_repeated_heartbeat_of_the_epoch_before_is_answered_again() {
    let mut world = with_topic(4);
    let (mut one, mut two) = (Client::new("one", &["t"]), Client::new("two", &["t"]));
    world.round(&mut one);
    world.round(&mut two);
    world.round(&mut one);
    let confirmed = one.full();
    let first = world.ask(confirmed.clone()).unwrap();
    assert_eq!((confirmed.epoch, first.epoch), (1, 2));
    assert_eq!(world.ask(confirmed.clone()).unwrap(), first);
    let mut without = confirmed.clone();
    without.owned = None;
    assert_eq!(world.refusal(without), ErrorKind::FencedMemberEpoch);
    let mut more = confirmed;
    more.owned = Some(by_topic(&[PartitionId::new(1, 0), PartitionId::new(1, 3)]));
    assert_eq!(world.refusal(more), ErrorKind::FencedMemberEpoch);
}

#[test]
fn a_repeated_join_is_no_second_member_and_an_unknown_epoch_is_fenced() {
    let mut world = with_topic(2);
    let mut one = Client::new("one", &["t"]);
    let joins = one.full();
    let first = world.ask(joins.clone()).unwrap();
    assert_eq!(world.ask(joins).unwrap(), first);
    one.hear(&first);
    one.epoch = 5;
    assert_eq!(world.refusal(one.short()), ErrorKind::FencedMemberEpoch);
    one.epoch = 0;
    one.owned.clear();
    assert_eq!(
        world.ask(one.full()).unwrap(),
        first,
        "it comes back without anything"
    );
    let mut stranger = Client::new("two", &["t"]);
    stranger.epoch = 1;
    assert_eq!(world.refusal(stranger.short()), ErrorKind::UnknownMember);
    let mut elsewhere = stranger.short();
    elsewhere.group = "h".to_owned();
    assert_eq!(world.refusal(elsewhere), ErrorKind::GroupNotFound);
}

#[test]
fn who_leaves_lets_go_of_everything_and_the_last_one_empties_the_group() {
    let mut world = with_topic(4);
    let (mut one, mut two) = (Client::new("one", &["t"]), Client::new("two", &["t"]));
    world.settle(&mut [&mut one]);
    world.round(&mut two);
    world.settle(&mut [&mut one, &mut two]);
    let beat = world.ask(two.leaving(-1)).unwrap();
    assert_eq!((beat.epoch, beat.member.as_str()), (-1, "two"));
    let beat = world.ask(one.short()).unwrap();
    one.hear(&beat);
    assert_eq!(one.assigned.len(), 4);
    assert!(!world.coordinator.forget(GROUP));
    world.ask(one.leaving(-1)).unwrap();
    assert_eq!(world.coordinator.phase(GROUP), GroupPhase::Empty);
    assert_eq!(world.refusal(one.leaving(-1)), ErrorKind::UnknownMember);
    assert_eq!(world.table.consumer(GROUP).unwrap().members.len(), 0);
    assert!(world.coordinator.forget(GROUP) && !world.coordinator.contains(GROUP));
}

#[test]
fn a_static_member_that_is_away_keeps_its_partitions_for_whoever_comes_back() {
    let mut world = with_topic(4);
    let (mut one, mut two) = (Client::new("one", &["t"]), Client::new("two", &["t"]));
    (one.instance, two.instance) = (Some("i".to_owned()), Some("j".to_owned()));
    world.round(&mut one);
    world.round(&mut two);
    world.settle(&mut [&mut one, &mut two]);
    let mut again = Client::new("again", &["t"]);
    again.instance = Some("i".to_owned());
    assert_eq!(world.refusal(again.full()), ErrorKind::UnreleasedInstance);
    let epoch = one.epoch;
    assert_eq!(world.ask(one.leaving(-2)).unwrap().epoch, -2);
    let beat = world.ask(two.full()).unwrap();
    assert_eq!(
        (beat.epoch, two.assigned.len()),
        (epoch, 2),
        "nobody else is disturbed"
    );
    let beat = world.ask(again.full()).unwrap();
    again.hear(&beat);
    assert_eq!((again.epoch, &again.assigned), (epoch, &one.assigned));
    assert_eq!(world.refusal(one.short()), ErrorKind::FencedInstance);
    let mut dynamic = one.short();
    dynamic.instance = None;
    assert_eq!(world.refusal(dynamic), ErrorKind::UnknownMember);
    let mut unknown = again.short();
    unknown.instance = Some("k".to_owned());
    assert_eq!(world.refusal(unknown), ErrorKind::UnknownMember);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let mut world = with_topic(1);
    let one = Client::new("one", &["t"]);
    type Change = fn(&mut ConsumerHeartbeat);
    let changes: [(Change, ErrorKind); 12] = [
        (|it| it.group.clear(), ErrorKind::InvalidRequest),
        (|it| it.group = "g".repeat(2_000), ErrorKind::InvalidGroupId),
        (|it| it.member = "m".repeat(300), ErrorKind::InvalidRequest),
        (
            |it| it.instance = Some(String::new()),
            ErrorKind::InvalidRequest,
        ),
        (
            |it| it.rack = Some(String::new()),
            ErrorKind::InvalidRequest,
        ),
        (
            |it| it.rebalance_timeout_ms = None,
            ErrorKind::InvalidRequest,
        ),
        (|it| it.owned = None, ErrorKind::InvalidRequest),
        (
            |it| it.owned = Some(vec![(id_of(1), vec![0])]),
            ErrorKind::InvalidRequest,
        ),
        (|it| it.topics = None, ErrorKind::InvalidRequest),
        (|it| it.epoch = -2, ErrorKind::InvalidRequest),
        (|it| it.epoch = -3, ErrorKind::InvalidRequest),
        (
            |it| it.assignor = Some("best".into()),
            ErrorKind::UnsupportedAssignor,
        ),
    ];
    for (change, expected) in changes {
        let mut beat = one.full();
        change(&mut beat);
        assert_eq!(world.refusal(beat.clone()), expected, "{beat:?}");
    }
    assert!(!world.coordinator.contains(GROUP));
    let mut nameless = one.full();
    (nameless.epoch, nameless.member) = (1, String::new());
    assert_eq!(world.refusal(nameless), ErrorKind::InvalidRequest);
}

#[test]
fn the_last_member_is_taken_and_one_more_is_not() {
    let mut world = World::with(GroupConfig {
        max_member_count: 2,
        ..GroupConfig::default()
    });
    world.topics.create("t", 2);
    for id in ["one", "two"] {
        world.ask(Client::new(id, &["t"]).full()).unwrap();
    }
    let third = Client::new("three", &["t"]).full();
    assert_eq!(world.refusal(third), ErrorKind::GroupMaxSizeReached);
    world.ask(Client::new("two", &["t"]).full()).unwrap();
}

#[test]
fn most_members_choose_the_assignor() {
    let mut world = with_topic(4);
    let mut joins = Client::new("a", &["t"]).full();
    joins.assignor = Some("range".to_owned());
    world.ask(joins.clone()).unwrap();
    let assignor = |world: &World| world.coordinator.describe(GROUP).unwrap().assignor;
    assert_eq!(assignor(&world), "range");
    for id in ["b", "c"] {
        joins.member = id.to_owned();
        joins.assignor = Some("uniform".to_owned());
        world.ask(joins.clone()).unwrap();
    }
    assert_eq!(assignor(&world), "uniform");
}

#[test]
fn offsets_are_committed_and_read_under_the_members_epoch_alone() {
    let mut world = with_topic(2);
    let coordinator = &world.coordinator;
    assert_eq!(
        coordinator.check_commit(GROUP, "", -1),
        Err(ErrorKind::GroupNotFound)
    );
    let mut one = Client::new("one", &["t"]);
    world.round(&mut one);
    for (member, epoch, expected) in [
        ("one", 1, Ok(())),
        ("one", 0, Err(ErrorKind::StaleMemberEpoch)),
        ("one", 2, Err(ErrorKind::StaleMemberEpoch)),
        ("two", 1, Err(ErrorKind::UnknownMember)),
    ] {
        assert_eq!(
            world.coordinator.check_commit(GROUP, member, epoch),
            expected
        );
        assert_eq!(
            world.coordinator.check_fetch(GROUP, member, epoch),
            expected
        );
    }
    let stranger = world.coordinator.check_commit(GROUP, "", -1);
    assert_eq!(stranger, Err(ErrorKind::UnknownMember));
    world.ask(one.leaving(-1)).unwrap();
    assert_eq!(world.coordinator.check_commit(GROUP, "", -1), Ok(()));
}

#[test]
fn members_that_come_together_share_one_change() {
    let mut world = with_topic(100);
    world.stores_at_once = false;
    let mut clients: Vec<Client> = (0..50)
        .map(|at| Client::new(&format!("m{at:02}"), &["t"]))
        .collect();
    let tokens: Vec<u64> = clients.iter().map(|it| world.send(it.full())).collect();
    assert!(world.answers.is_empty(), "not before it is stored");
    world.stored(Ok(()));
    world.stored(Ok(()));
    assert!(world.stores.is_empty());
    for (client, token) in clients.iter_mut().zip(tokens) {
        client.hear(&world.answers.remove(&token).unwrap().unwrap());
    }
    assert_eq!((clients[0].epoch, clients[1].epoch), (1, 2));
}

#[test]
fn a_change_that_is_not_stored_is_undone_and_told() {
    let mut world = with_topic(2);
    let mut one = Client::new("one", &["t"]);
    world.round(&mut one);
    world.stores_at_once = false;
    let two = Client::new("two", &["t"]);
    let failed = world.send(two.full());
    let waiting = world.send(one.short());
    world.stored(Err(ErrorKind::StorageFull));
    let error = world.answers[&failed].as_ref().unwrap_err().error;
    assert_eq!(error, ErrorKind::StorageFull);
    let beat = world.answers[&waiting].as_ref().unwrap();
    assert_eq!((beat.epoch, &beat.assignment), (1, &None));
    assert_eq!(world.coordinator.describe(GROUP).unwrap().members.len(), 1);
}

#[test]
fn a_change_of_a_group_that_has_changed_since_is_refused_and_the_group_read_again() {
    let mut world = with_topic(2);
    let mut one = Client::new("one", &["t"]);
    world.round(&mut one);
    world.stores_at_once = false;
    let token = world.send(Client::new("two", &["t"]).full());
    let Some((_, GroupCommand::ChangeConsumers(change))) = world.stores.front().cloned() else {
        panic!("a change is to be stored");
    };
    world.table.change(change).unwrap();
    world.stored(Ok(()));
    let error = world.answers[&token].as_ref().unwrap_err().error;
    assert_eq!(error, ErrorKind::NotCoordinator);
    assert_eq!(world.coordinator.describe(GROUP).unwrap().members.len(), 2);
}

#[test]
fn members_keep_epochs_and_partitions_through_a_change_of_coordinator() {
    let mut world = with_topic(5);
    let (mut one, mut two) = (Client::new("one", &["t"]), Client::new("two", &["t"]));
    world.round(&mut one);
    world.round(&mut two);
    world.fail_over();
    world.settle(&mut [&mut one, &mut two]);
    let stored = world.stored_count;
    world.now = world.now.plus(3_600_000);
    world.fail_over();
    for client in [&one, &two] {
        let beat = world.ask(client.short()).unwrap();
        assert_eq!((beat.epoch, beat.assignment), (client.epoch, None));
    }
    assert_eq!(world.stored_count, stored);
}

#[test]
fn who_waits_is_told_when_another_node_leads() {
    let mut world = with_topic(2);
    world.stores_at_once = false;
    let tokens = ["one", "two"].map(|id| world.send(Client::new(id, &["t"]).full()));
    world.fail_over();
    for token in tokens {
        let error = world.answers[&token].as_ref().unwrap_err().error;
        assert_eq!(error, ErrorKind::NotCoordinator);
    }
    assert_eq!(world.coordinator.next_deadline(), None);
}

#[test]
fn administrators_take_members_out_by_id_or_instance() {
    let mut world = with_topic(2);
    let (mut one, mut two) = (Client::new("one", &["t"]), Client::new("two", &["t"]));
    one.instance = Some("i".to_owned());
    world.round(&mut one);
    world.round(&mut two);
    let left = world.take_out(&[
        ("", Some("i")),
        ("one", None),
        ("", Some("j")),
        ("two", None),
    ]);
    let unknown = Err(ErrorKind::UnknownMember);
    assert_eq!(left, Ok(vec![Ok(()), unknown, unknown, Ok(())]));
    assert_eq!(world.coordinator.phase(GROUP), GroupPhase::Empty);
    world.round(&mut Client {
        instance: Some("i".to_owned()),
        ..Client::new("three", &["t"])
    });
    let left = world.take_out(&[("another", Some("i"))]);
    assert_eq!(left, Ok(vec![Err(ErrorKind::FencedInstance)]));
}
