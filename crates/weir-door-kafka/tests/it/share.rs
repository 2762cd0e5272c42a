//! What members of share groups say and hear.

use kafka_protocol::messages::ResponseKind;
use weir_broker::api::{
    Outcome, Request,
    share::{ShareAcks, ShareRefused, ShareRequest},
};
use weir_door::Session;
use weir_door_kafka::{
    codec::versions::{Api, SERVED, Served},
    wire_code,
};

use crate::{
    samples::{frame, framed},
    share_samples::{encode_body, outcome},
    wire::{NOW, asked, decoded, fed, sent},
};

fn line(api: Api) -> Served {
    SERVED.into_iter().find(|line| line.api == api).unwrap()
}

fn understood(api: Api, version: i16) -> ShareRequest {
    let mut session = fed(&frame(line(api), version, 7));
    match asked(&mut session).1 {
        Request::Share(request) => request,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_fetch_says_the_same_in_both_versions_but_for_what_only_the_later_has() {
    for version in [1, 2] {
        let request = understood(Api::ShareFetch, version);
        assert_eq!(
            (&request.group[..], &request.member[..]),
            ("group", "member")
        );
        assert_eq!((request.epoch, request.renews), (3, false));
        let acks = ShareAcks {
            first: 4,
            last: 5,
            kinds: vec![1, 2],
        };
        assert_eq!(request.partitions.len(), 2);
        assert_eq!(request.partitions[0].index, 1);
        assert_eq!(request.partitions[0].acks, [acks.clone(), acks]);
        let fetch = request.fetch.unwrap();
        assert_eq!((fetch.max_wait_ms, fetch.max_records), (500, 500));
        assert_eq!(fetch.by_records, version == 2);
        assert_eq!(fetch.forgotten.len(), 2);
    }
}

#[test]
fn an_acknowledgement_may_renew_from_version_2_on() {
    for version in [1, 2] {
        let request = understood(Api::ShareAcknowledge, version);
        assert_eq!(request.renews, version == 2);
        assert!(request.fetch.is_none());
        assert_eq!(request.partitions.len(), 2);
    }
}

#[test]
fn who_renews_fetches_nothing_by_the_same_request() {
    let line = line(Api::ShareFetch);
    let mut body = bytes::BytesMut::new();
    encode_body(Api::ShareFetch, 2, &mut body);
    // Behind group, member, epoch, five numbers and the mode.
    let renews_at = 17 + 5 * 4 + 1;
    assert_eq!(body[renews_at - 1..=renews_at], [1, 0]);
    body[renews_at] = 1;
    let mut session = fed(&framed(line, 2, 1, &body));
    assert!(session.poll_request().is_none());
    let (_, ResponseKind::ShareFetch(answer)) = decoded(line, 2, sent(&mut session)) else {
        panic!("another answer");
    };
    assert_eq!(answer.error_code, wire_code::INVALID_REQUEST);
}

#[test]
fn records_are_told_with_the_offsets_that_the_member_has() {
    let line = line(Api::ShareFetch);
    let mut session = fed(&frame(line, 1, 1));
    let (ticket, request) = asked(&mut session);
    session.complete(NOW, ticket, outcome(&request, None));
    let (_, ResponseKind::ShareFetch(answer)) = decoded(line, 1, sent(&mut session)) else {
        panic!("another answer");
    };
    assert_eq!(answer.acquisition_lock_timeout_ms, 30_000);
    let partition = &answer.responses[0].partitions[0];
    assert_eq!(partition.records.as_deref(), Some(&b"firstsecond"[..]));
    let acquired = &partition.acquired_records[0];
    let told = (acquired.first_offset, acquired.last_offset);
    assert_eq!((told, acquired.delivery_count), ((7, 9), 2));
}

#[test]
fn a_session_that_is_not_there_has_a_code_of_its_own() {
    for (refused, code) in [
        (ShareRefused::NoSession, 122),
        (ShareRefused::Epoch, 123),
        (ShareRefused::TooManySessions, 133),
        (ShareRefused::Invalid("no"), 42),
    ] {
        let line = line(Api::ShareAcknowledge);
        let mut session = fed(&frame(line, 1, 1));
        let (ticket, _) = asked(&mut session);
        session.complete(NOW, ticket, Outcome::Share(Err(refused)));
        let (_, ResponseKind::ShareAcknowledge(answer)) = decoded(line, 1, sent(&mut session))
        else {
            panic!("another answer");
        };
        assert_eq!(answer.error_code, code, "{refused:?}");
    }
}
