use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use weir_access::AccessError;
use weir_log::{Clock, Millis};
use weir_model::TopicName;

use super::{key::Range, meter::Meter, *};
const PRODUCE: QuotaKey = QuotaKey::ProducerByteRate;
const CONSUME: QuotaKey = QuotaKey::ConsumerByteRate;

/// A clock that stands still until it is set.
#[derive(Default)]
struct Hand(AtomicU64);

impl Hand {
    fn forward_ms(&self, count_ms: u64) {
        self.0.fetch_add(count_ms * 1_000_000, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn now(&self) -> Millis {
        Millis(0)
    }

    fn monotonic_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn value(value: f64) -> QuotaValue {
    QuotaValue::new(value).unwrap()
}

fn entity(user: Option<&str>, client: Option<&str>) -> QuotaEntity {
    let named = |name: &str| match name {
        "*" => Named::Default,
        name => Named::of(Some(name)),
    };
    match (user, client) {
        (Some(user), Some(client)) => QuotaEntity::UserClient(named(user), named(client)),
        (Some(user), None) => QuotaEntity::User(named(user)),
        (None, Some(client)) => QuotaEntity::Client(named(client)),
        (None, None) => panic!("nobody"),
    }
}

fn set(table: &mut QuotaTable, entity: QuotaEntity, rate: f64) {
    let changes = QuotaChanges::from([(PRODUCE, Some(value(rate)))]);
    table.alter(entity, &changes).unwrap();
}

#[test]
fn of_the_eight_levels_the_first_that_says_something_binds() {
    let levels = [
        (None, Some("*"), entity(None, Some("app"))),
        (None, Some("app"), entity(None, Some("app"))),
        (Some("*"), None, entity(Some("tim"), None)),
        (Some("*"), Some("*"), entity(Some("tim"), Some("app"))),
        (Some("*"), Some("app"), entity(Some("tim"), Some("app"))),
        (Some("tim"), None, entity(Some("tim"), None)),
        (Some("tim"), Some("*"), entity(Some("tim"), Some("app"))),
        (Some("tim"), Some("app"), entity(Some("tim"), Some("app"))),
    ];
    let mut table = QuotaTable::default();
    assert_eq!(table.binding(PRODUCE, "tim", "app"), None);
    for (rate, (user, client, sharers)) in (1..).zip(levels) {
        let rate = f64::from(rate);
        set(&mut table, entity(user, client), rate);
        let found = table.binding(PRODUCE, "tim", "app");
        assert_eq!(found, Some((value(rate), sharers)), "{user:?} {client:?}");
        assert_eq!(table.binding(CONSUME, "tim", "app"), None);
    }
    let of_another = table.binding(PRODUCE, "eve", "other");
    let alone = entity(Some("eve"), Some("other"));
    assert_eq!(of_another, Some((value(4.0), alone)));
}

#[test]
fn a_change_that_changes_nothing_is_none_and_an_entity_goes_with_its_last_quota() {
    let mut table = QuotaTable::default();
    set(&mut table, entity(Some("tim"), None), 5.0);
    assert_eq!((table.len(), table.generation()), (1, 1));
    set(&mut table, entity(Some("tim"), None), 5.0);
    assert_eq!((table.len(), table.generation()), (1, 1));
    let gone = QuotaChanges::from([(PRODUCE, None), (CONSUME, None)]);
    table.alter(entity(Some("eve"), None), &gone).unwrap();
    assert_eq!((table.len(), table.generation()), (1, 1));
    table.alter(entity(Some("tim"), None), &gone).unwrap();
    assert_eq!((table.len(), table.generation()), (0, 2));
}

#[test]
fn there_are_as_many_entities_as_there_may_be_and_not_one_more() {
    let mut table = QuotaTable::default();
    for at in 0..MAX_QUOTA_ENTITIES {
        set(&mut table, entity(None, Some(&format!("c{at}"))), 5.0);
    }
    let changes = QuotaChanges::from([(PRODUCE, Some(value(1.0)))]);
    let more = table.alter(entity(None, Some("more")), &changes);
    assert_eq!(more, Err(AccessError::TooManyQuotas));
    assert_eq!(table.alter(entity(None, Some("c7")), &changes), Ok(()));
}

#[test]
fn entities_are_checked_in_kafkas_words() {
    let of = |parts: &[(&str, Option<&str>)]| {
        let checked = checked_entity(parts.iter().copied());
        checked
            .map(|it| it.to_string())
            .map_err(|it| it.to_string())
    };
    assert_eq!(of(&[("user", Some("tim"))]).unwrap(), "user tim");
    assert_eq!(
        of(&[("client-id", None), ("user", Some("tim"))]).unwrap(),
        "user tim client-id <default>"
    );
    let long = "n".repeat(256);
    for (parts, words) in [
        (&[][..], "Invalid empty client quota entity"),
        (
            &[("user", None), ("user", Some("a"))],
            "Invalid client quota entity, multiple entity entries for the same type",
        ),
        (&[("cat", None)], "Unhandled client quota entity type: cat"),
        (
            &[("ip", None), ("user", None)],
            "Invalid quota entity combination: user, ip",
        ),
        (
            &[("ip", Some("example.com"))],
            "example.com is not a valid IP or resolvable host.",
        ),
        (&[("user", Some(""))], "Empty user not supported"),
        (
            &[("user", Some(&*long))],
            "A user of a quota has at most 255 bytes",
        ),
    ] {
        assert_eq!(of(parts), Err(words.to_owned()));
    }
    assert!(of(&[("user", Some(&long[1..]))]).is_ok());
    let mapped = of(&[("ip", Some("::ffff:10.0.0.7"))]).unwrap();
    assert_eq!(mapped, "ip 10.0.0.7");
}

#[test]
fn values_are_checked_in_kafkas_words() {
    let tim = entity(Some("tim"), None);
    let of = |key: &str, value| {
        let checked = checked_value(&tim, key, value);
        checked.map_err(|fault| fault.to_string())
    };
    assert_eq!(of("producer_byte_rate", None), Ok((PRODUCE, None)));
    let set = of("consumer_byte_rate", Some(1024.0));
    assert_eq!(set, Ok((CONSUME, Some(value(1024.0)))));
    for (key, value, words) in [
        ("bytes", 1.0, "Invalid configuration key bytes"),
        (
            "producer_byte_rate",
            0.0,
            "Quota producer_byte_rate must be greater than 0",
        ),
        (
            "producer_byte_rate",
            f64::NAN,
            "Quota producer_byte_rate must be greater than 0",
        ),
        (
            "producer_byte_rate",
            1.5,
            "producer_byte_rate cannot be a fractional value.",
        ),
        (
            "producer_byte_rate",
            1e19,
            "Proposed value for producer_byte_rate is too large for a LONG.",
        ),
    ] {
        assert_eq!(of(key, Some(value)), Err(words.to_owned()));
    }
    assert_eq!(PRODUCE.range(), Range::Long);
    assert!(of("request_percentage", Some(0.5)).is_ok());
    assert!(of("connection_creation_rate", Some(1.0)).is_err());
    let ip = QuotaEntity::Ip(Named::Default);
    let of = |value| checked_value(&ip, "connection_creation_rate", Some(value)).is_ok();
    assert!(of(2_147_483_647.0) && !of(2_147_483_648.0) && !of(0.5));
}

#[test]
fn a_meter_allows_ten_seconds_at_once_and_then_its_rate() {
    let (meter, mut now_us) = (Meter::new(1_000.0), 0);
    assert_eq!(meter.count(now_us, 10_000.0), 0);
    assert_eq!(meter.count(now_us, 500.0), 500);
    assert_eq!(meter.debt_ms(now_us), 500);
    now_us += 400_000;
    assert_eq!(meter.debt_ms(now_us), 100);
    now_us += 100_000;
    assert_eq!(meter.debt_ms(now_us), 0);
    assert_eq!(meter.count(now_us, 1.0), 1);
    // What was not used for long is worth ten seconds again, and no more.
    now_us += 60_000_000;
    assert!(meter.is_rested(now_us));
    assert_eq!(meter.count(now_us, 10_250.0), 250);
}

#[test]
fn what_is_not_paid_is_paid_at_the_new_rate_and_held_for_an_hour_at_most() {
    let meter = Meter::new(1_000.0);
    assert_eq!(meter.count(0, 12_000.0), 2_000);
    meter.set_rate(0, 4_000.0);
    assert_eq!(meter.debt_ms(0), 500);
    meter.set_rate(0, 1.0);
    assert_eq!(meter.debt_ms(0), 2_000_000);
    assert_eq!(meter.count(0, 1e18), MAX_THROTTLE_MS);
}

fn shown(table: &QuotaTable) -> (QuotaView, Arc<Hand>) {
    let (view, hand) = (QuotaView::default(), Arc::new(Hand::default()));
    let clock: Arc<dyn Clock> = hand.clone();
    view.replace(table, &clock);
    (view, hand)
}

#[test]
fn a_users_connections_share_its_quota_and_those_of_others_have_their_own() {
    let mut table = QuotaTable::default();
    set(&mut table, entity(Some("*"), None), 1_000.0);
    let (view, hand) = shown(&table);
    let mut connections = [(); 3].map(|()| ConnectionMeters::new(view.clone()));
    let mut count = |at: usize, user: &str, client: &str, bytes: usize| {
        let caller = Caller {
            user,
            client,
            vhost: None,
        };
        connections[at].count(PRODUCE, caller, bytes)
    };
    assert_eq!(count(0, "tim", "a", 10_000), 0);
    assert_eq!(count(1, "tim", "b", 1_000), 1_000);
    assert_eq!(count(2, "eve", "a", 10_000), 0);
    hand.forward_ms(1_000);
    assert_eq!(count(0, "tim", "a", 100), 100);
    assert_eq!(view.figures()[PRODUCE.at()].count, 2);
    assert_eq!(view.figures()[PRODUCE.at()].total_ms, 1_100);
    assert_eq!(view.figures()[CONSUME.at()].count, 0);
    assert_eq!(
        view.figures().len(),
        QuotaKey::COUNT - 1,
        "partitions are not throttled"
    );
}

#[test]
fn a_change_of_quotas_and_of_who_it_is_counts_at_once() {
    let mut table = QuotaTable::default();
    let (view, hand) = shown(&table);
    let mut meters = ConnectionMeters::new(view.clone());
    let tim = Caller {
        user: "tim",
        client: "a",
        vhost: None,
    };
    assert_eq!(meters.count(PRODUCE, tim, 1 << 40), 0);
    assert_eq!(meters.window(PRODUCE, tim), None);
    set(&mut table, entity(Some("tim"), None), 100.0);
    let clock: Arc<dyn Clock> = hand;
    view.replace(&table, &clock);
    assert!(meters.is_stale());
    assert_eq!(meters.window(PRODUCE, tim), Some(1_000));
    assert_eq!(meters.count(PRODUCE, tim, 1_100), 1_000);
    meters.forget();
    let eve = Caller {
        user: "eve",
        client: "a",
        vhost: None,
    };
    assert_eq!(meters.count(PRODUCE, eve, 1 << 40), 0);
    table
        .alter(
            entity(Some("tim"), None),
            &QuotaChanges::from([(PRODUCE, None)]),
        )
        .unwrap();
    view.replace(&table, &clock);
    assert_eq!(meters.debt_ms(PRODUCE, tim), 0);
}

#[test]
fn meters_that_nobody_needs_go_and_debts_stay() {
    let mut table = QuotaTable::default();
    set(&mut table, entity(None, Some("*")), 1_000.0);
    let (view, hand) = shown(&table);
    let count = |client: &str, bytes: usize| {
        let mut meters = ConnectionMeters::new(view.clone());
        let caller = Caller {
            user: "",
            client,
            vhost: None,
        };
        meters.count(PRODUCE, caller, bytes)
    };
    assert_eq!(count("greedy", 100_000), 90_000);
    for at in 0..1_000 {
        assert_eq!(count(&format!("c{at}"), 1), 0);
        hand.forward_ms(10);
    }
    assert!(view.meter_count() < 1_001);
    hand.forward_ms(10_000);
    (0..1_001).for_each(|at| assert_eq!(count(&format!("d{at}"), 1), 0));
    assert_eq!(count("greedy", 0), 70_000);
}

#[test]
fn connections_from_an_address_come_in_at_its_rate_and_wait_for_ten_seconds_at_most() {
    let mut table = QuotaTable::default();
    let rate = |rate| QuotaChanges::from([(QuotaKey::ConnectionCreationRate, Some(value(rate)))]);
    let named = QuotaEntity::Ip(Named::of(Some("10.0.0.7")));
    table.alter(named, &rate(2.0)).unwrap();
    let (view, hand) = shown(&table);
    let (bound, free) = ([10, 0, 0, 7].into(), [10, 0, 0, 8].into());
    // Ten seconds' worth at once.
    (0..20).for_each(|_| assert_eq!(view.connect(bound), Some(0)));
    for turn in 1..=21 {
        assert_eq!(view.connect(bound), Some(turn * 500));
    }
    assert_eq!(view.connect(bound), None);
    (0..100).for_each(|_| assert_eq!(view.connect(free), Some(0)));
    hand.forward_ms(1_000);
    assert_eq!(view.connect(bound), Some(10_000));
    table
        .alter(QuotaEntity::Ip(Named::Default), &rate(1.0))
        .unwrap();
    let clock: Arc<dyn Clock> = hand;
    view.replace(&table, &clock);
    (0..10).for_each(|_| assert_eq!(view.connect(free), Some(0)));
    assert_eq!(view.connect(free), Some(1_000));
}

#[test]
fn what_requests_cost_is_paid_for_by_the_second() {
    let mut table = QuotaTable::default();
    let key = QuotaKey::RequestPercentage;
    let half = QuotaChanges::from([(key, Some(value(50.0)))]);
    table.alter(entity(Some("tim"), None), &half).unwrap();
    let (view, _) = shown(&table);
    let mut meters = ConnectionMeters::new(view);
    let tim = Caller {
        user: "tim",
        client: "",
        vhost: None,
    };
    assert!(!meters.is_limited(key));
    assert_eq!(meters.count(key, tim, 5_000_000), 0);
    assert!(meters.is_limited(key));
    assert_eq!(meters.count(key, tim, 100_000), 200);
    assert_eq!(meters.count(key, tim, 5_000_000), 1_000);
}

#[test]
fn who_is_in_a_virtual_host_shares_its_quota_and_has_its_own_too() {
    let mut table = QuotaTable::default();
    let rate = |rate| QuotaChanges::from([(PRODUCE, Some(value(rate)))]);
    let vhost = QuotaEntity::Vhost(Named::of(Some("shop")));
    table.alter(vhost, &rate(1_000.0)).unwrap();
    set(&mut table, entity(Some("tim"), None), 100.0);
    let (view, _) = shown(&table);
    let count = |user: &str, vhost: Option<&str>, bytes: usize| {
        let mut meters = ConnectionMeters::new(view.clone());
        let caller = Caller {
            user,
            client: "",
            vhost,
        };
        meters.count(PRODUCE, caller, bytes)
    };
    assert_eq!(count("tim", Some("shop"), 1_000), 0);
    assert_eq!(count("tim", Some("shop"), 100), 1_000);
    assert_eq!(count("eve", Some("shop"), 8_900), 0);
    assert_eq!(count("eve", Some("shop"), 500), 500);
    assert_eq!(count("eve", Some("other"), 1 << 30), 0);
    assert_eq!(count("eve", None, 1 << 30), 0);
    let mut meters = ConnectionMeters::new(view.clone());
    let tim = Caller {
        user: "tim",
        client: "",
        vhost: Some("shop"),
    };
    assert_eq!(meters.window(PRODUCE, tim), Some(1_000));
}

#[test]
fn all_clients_of_a_topic_share_its_quota() {
    let mut table = QuotaTable::default();
    let rate = |rate| QuotaChanges::from([(PRODUCE, Some(value(rate)))]);
    let tim = Caller {
        user: "tim",
        client: "",
        vhost: None,
    };
    let (view, hand) = shown(&table);
    let mut meters = [(); 2].map(|()| ConnectionMeters::new(view.clone()));
    assert!(!meters[0].has_topics(tim));
    let topic = QuotaEntity::Topic(Named::of(Some("orders")));
    table.alter(topic, &rate(100.0)).unwrap();
    let clock: Arc<dyn Clock> = hand;
    view.replace(&table, &clock);
    assert!(meters.iter_mut().all(|meters| meters.has_topics(tim)));
    let [orders, other] = ["orders", "other"].map(|name| TopicName::new(name).unwrap());
    assert_eq!(meters[0].count_of_topic(PRODUCE, &orders, 1_000), 0);
    assert_eq!(meters[1].count_of_topic(PRODUCE, &orders, 100), 1_000);
    assert_eq!(meters[1].count_of_topic(PRODUCE, &other, 1 << 30), 0);
    assert_eq!(meters[1].count_of_topic(CONSUME, &orders, 1 << 30), 0);
    table
        .alter(QuotaEntity::Topic(Named::Default), &rate(10.0))
        .unwrap();
    view.replace(&table, &clock);
    assert!(meters[0].has_topics(tim));
    assert_eq!(meters[0].count_of_topic(PRODUCE, &other, 110), 1_000);
}
