//! Clients that have had too much: answered, told so, and then held.

use bytes::Bytes;
use weir_broker::quota::{Named, QuotaEntity, QuotaKey, QuotaTable};
use weir_door::{Millis, Session};
use weir_door_kafka::{
    KafkaSession,
    codec::versions::{Api, SERVED, Served},
};

use crate::{
    outcomes::outcome,
    quotas::{Still, with_quotas},
    samples::{all_versions, frame, is_answered_here},
    wire::{NOW, asked, decoded, sent, session_with},
};

fn everybody() -> QuotaEntity {
    QuotaEntity::User(Named::Default)
}

fn line(api: Api) -> Served {
    SERVED.into_iter().find(|line| line.api == api).unwrap()
}

/// For how long an answer says that its client is held.
fn told_ms(line: Served, version: i16, answer: Bytes) -> Option<i32> {
    let text = format!("{:?}", decoded(line, version, answer).1);
    let (_, rest) = text.split_once("throttle_time_ms: ")?;
    let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit())?;
    rest[..end].parse().ok()
}

/// Answers the request that waits.
fn answer(session: &mut KafkaSession) {
    let (ticket, request) = asked(session);
    session.complete(NOW, ticket, outcome(&request, None));
}

#[test]
fn every_answer_to_a_held_client_says_for_how_long_it_is_held() {
    let produce = line(Api::Produce);
    for (line, version) in all_versions() {
        if is_answered_here(line.api) || line.api == Api::Produce {
            continue;
        }
        let view = with_quotas(QuotaKey::ProducerByteRate, &[(everybody(), 1.0)]);
        let mut session = session_with(view);
        let both = [frame(line, version, 1), frame(produce, produce.max, 2)].concat();
        session.receive(NOW, Bytes::from(both));
        assert!(!session.wants_read(), "it is held");
        answer(&mut session);
        let told = told_ms(line, version, sent(&mut session));
        let fits = match told {
            Some(0) => has_no_field(line.api, version),
            Some(held_ms) => held_ms > 1_000,
            None => true,
        };
        assert!(fits, "{:?} {version}: {told:?}", line.api);
    }
}

/// The decoder fills in what the version does not have.
fn has_no_field(api: Api, version: i16) -> bool {
    let from = match api {
        Api::Metadata | Api::OffsetCommit | Api::OffsetFetch => 3,
        Api::ListOffsets | Api::OffsetForLeaderEpoch | Api::JoinGroup | Api::CreateTopics => 2,
        Api::FindCoordinator
        | Api::Heartbeat
        | Api::LeaveGroup
        | Api::SyncGroup
        | Api::DescribeGroups
        | Api::ListGroups
        | Api::DeleteTopics => 1,
        _ => 0,
    };
    version < from
}

#[test]
fn a_producer_is_answered_told_and_then_held_until_its_time_is_over() {
    let produce = line(Api::Produce);
    let bytes = frame(produce, produce.max, 1);
    // The first one uses ten seconds' worth, the second as much again.
    let rate = (bytes.len() - 4) as f64 / 10.0;
    let view = with_quotas(QuotaKey::ProducerByteRate, &[(everybody(), rate)]);
    let mut session = session_with(view);
    session.receive(NOW, bytes.clone());
    assert!(session.wants_read());
    answer(&mut session);
    let told = told_ms(produce, produce.max, sent(&mut session));
    assert_eq!(told, Some(0));
    let two = Bytes::from([&bytes[..], &bytes[..]].concat());
    session.receive(NOW, two);
    assert!(!session.wants_read());
    assert_eq!(
        session.in_flight_count(),
        1,
        "the third one is not looked at"
    );
    answer(&mut session);
    let told = told_ms(produce, produce.max, sent(&mut session));
    assert_eq!(told, Some(10_000));
    assert_eq!(session.poll_timeout(), Some(Millis(1_000)));
    session.handle_timeout(Millis(1_000));
    assert!(!session.wants_read());
    session.handle_timeout(Millis(9_999));
    assert_eq!(session.in_flight_count(), 0);
    session.handle_timeout(Millis(10_000));
    assert_eq!(
        session.in_flight_count(),
        1,
        "the third one's turn has come"
    );
}

#[test]
fn a_client_that_is_held_goes_on_where_its_quota_is_gone() {
    let produce = line(Api::Produce);
    let view = with_quotas(QuotaKey::ProducerByteRate, &[(everybody(), 1.0)]);
    let mut session = session_with(view.clone());
    session.receive(NOW, frame(produce, produce.max, 1));
    session.handle_timeout(Millis(1_000));
    assert!(!session.wants_read());
    let mut gone = QuotaTable::default();
    let tim = QuotaEntity::User(Named::of(Some("tim")));
    let changes = [(QuotaKey::ProducerByteRate, None)].into();
    gone.alter(tim, &changes).unwrap();
    let clock: std::sync::Arc<dyn weir_door::Clock> = std::sync::Arc::new(Still);
    view.quotas().replace(&gone, &clock);
    session.handle_timeout(Millis(2_000));
    assert!(session.wants_read());
}

#[test]
fn a_consumer_that_has_had_too_much_is_given_nothing_and_no_session() {
    let fetch = line(Api::Fetch);
    let view = with_quotas(QuotaKey::ConsumerByteRate, &[(everybody(), 1.0)]);
    let mut first = session_with(view.clone());
    first.receive(NOW, frame(fetch, fetch.max, 1));
    // It may have ten bytes at once, and is given two batches of eleven.
    answer(&mut first);
    let told = told_ms(fetch, fetch.max, sent(&mut first)).unwrap();
    assert!(told > 0 && !first.wants_read(), "{told}");
    let mut second = session_with(view);
    second.receive(NOW, frame(fetch, fetch.max, 1));
    assert!(second.poll_request().is_none());
    let answer = sent(&mut second);
    assert_eq!(told_ms(fetch, fetch.max, answer.clone()), Some(told));
    let text = format!("{:?}", decoded(fetch, fetch.max, answer).1);
    assert!(
        text.contains("responses: []") && text.contains("session_id: 0"),
        "{text}"
    );
    assert!(!second.wants_read());
}

#[test]
fn without_a_quota_nothing_is_held() {
    let produce = line(Api::Produce);
    let tim = QuotaEntity::User(Named::of(Some("tim")));
    let view = with_quotas(QuotaKey::ProducerByteRate, &[(tim, 1.0)]);
    let mut session = session_with(view);
    for correlation in 0..10 {
        session.receive(NOW, frame(produce, produce.max, correlation));
        answer(&mut session);
        let told = told_ms(produce, produce.max, sent(&mut session));
        assert_eq!((told, session.wants_read()), (Some(0), true));
    }
}

/// The codes of an answer, and for how long its client is held.
fn codes(line: Served, version: i16, answer: Bytes) -> (Vec<i16>, Option<i32>) {
    let told = told_ms(line, version, answer.clone());
    let text = format!("{:?}", decoded(line, version, answer).1);
    let codes = text.split("error_code: ").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit())?;
        rest[..end].parse().ok()
    });
    (codes.collect(), told)
}

#[test]
fn who_makes_too_many_partitions_is_refused_where_it_understands_that_and_held() {
    const OVER: i16 = 89;
    for (api, strict_from) in [
        (Api::CreateTopics, 6),
        (Api::DeleteTopics, 5),
        (Api::CreatePartitions, 3),
    ] {
        let line = line(api);
        for version in line.min..=line.max {
            let key = QuotaKey::ControllerMutationRate;
            let mut session = session_with(with_quotas(key, &[(everybody(), 0.05)]));
            session.receive(NOW, frame(line, version, 1));
            answer(&mut session);
            let first = codes(line, version, sent(&mut session)).0;
            assert_ne!(first.first(), Some(&OVER), "{api:?} {version}");
            if version < strict_from {
                assert!(!session.wants_read(), "{api:?} {version} is held");
                assert!(!first.contains(&OVER), "{api:?} {version}: {first:?}");
                continue;
            }
            if session.wants_read() {
                session.receive(NOW, frame(line, version, 2));
            } else {
                // Its second topic was too much.
                assert!(first.contains(&OVER), "{api:?} {version}: {first:?}");
                continue;
            }
            assert!(!session.wants_read(), "{api:?} {version} is held");
            while let Some((ticket, request)) = session.poll_request() {
                session.complete(NOW, ticket, outcome(&request, None));
            }
            let (second, told) = codes(line, version, sent(&mut session));
            assert!(second.contains(&OVER), "{api:?} {version}: {second:?}");
            assert_eq!(second.len(), first.len(), "{api:?} {version}");
            assert!(told > Some(0), "{api:?} {version}: {told:?}");
        }
    }
}

#[test]
fn who_keeps_a_core_busy_is_held_for_a_second_at_a_time() {
    let metadata = line(Api::Metadata);
    let view = with_quotas(QuotaKey::RequestPercentage, &[(everybody(), 1.0)]);
    let mut session = session_with(view);
    assert!(!session.is_timed(), "nobody is known to be bound yet");
    session.receive(NOW, frame(metadata, metadata.max, 1));
    assert!(session.is_timed());
    session.note_busy(NOW, 100_000);
    assert!(session.wants_read(), "it has ten seconds' worth at once");
    session.note_busy(NOW, 5_000_000);
    assert!(!session.wants_read());
    answer(&mut session);
    let told = told_ms(metadata, metadata.max, sent(&mut session));
    assert_eq!(told, Some(1_000));
    session.handle_timeout(Millis(1_000));
    assert!(session.wants_read());
    let free = session_with(weir_broker::access::AccessView::open());
    assert!(!free.is_timed());
}

#[test]
fn what_is_written_to_a_topic_and_read_from_it_is_bound_whoever_does_it() {
    let topic = QuotaEntity::Topic(Named::of(Some("topic")));
    let other = QuotaEntity::Topic(Named::of(Some("other")));
    for (key, api) in [
        (QuotaKey::ProducerByteRate, Api::Produce),
        (QuotaKey::ConsumerByteRate, Api::Fetch),
    ] {
        let line = line(api);
        for version in line.min..=line.max {
            let held = |entity: &QuotaEntity| {
                let view = with_quotas(key, &[(entity.clone(), 0.1)]);
                let mut session = session_with(view);
                session.receive(NOW, frame(line, version, 1));
                answer(&mut session);
                let told = told_ms(line, version, sent(&mut session));
                assert_eq!(session.wants_read(), told == Some(0), "{told:?}");
                told > Some(0)
            };
            assert!(held(&topic), "{api:?} {version}");
            assert!(!held(&other), "{api:?} {version}");
        }
    }
}
