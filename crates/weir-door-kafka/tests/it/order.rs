//! Order, back-pressure and ends of one connection.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ResponseKind;
use weir_broker::{
    access::AccessView,
    api::{Fetched, FetchedBatches, Outcome, Request},
};
use weir_door::{
    Connection, Session,
    limits::{MAX_IN_FLIGHT_COUNT, MAX_UNSENT_BYTES},
};
use weir_door_kafka::{
    KafkaConfig, KafkaSession,
    codec::{
        frame::MAX_REQUEST_BYTES,
        versions::{self, Api, Served},
    },
    session::answer_budget::{MAX_NODE_ANSWER_BYTES, MIN_GRANT_BYTES},
};
use weir_model::ErrorKind;

use crate::{
    outcomes::outcome,
    samples::{all_versions, batch, frame, framed, is_answered_here, produce},
    wire::{NOW, asked, correlations, decoded, fed, sent, session, shared},
};

fn line(api: Api) -> Served {
    let mut lines = versions::SERVED.into_iter();
    lines.find(|line| line.api == api).unwrap()
}

fn heartbeat(correlation: i32) -> Bytes {
    frame(line(Api::Heartbeat), 4, correlation)
}

fn reason(session: &impl Session) -> String {
    session
        .close_reason()
        .map(ToString::to_string)
        .unwrap_or_default()
}

#[test]
fn answers_leave_in_the_order_of_requests() {
    let mut wire = BytesMut::new();
    (0..5).for_each(|correlation| wire.extend_from_slice(&heartbeat(correlation)));
    let mut session = fed(&wire);
    let mut tickets: Vec<_> = (0..5).map(|_| asked(&mut session).0).collect();
    tickets.swap(0, 3);
    tickets.swap(1, 4);
    let mut got = Vec::new();
    for ticket in tickets {
        session.complete(NOW, ticket, Outcome::Heartbeat(Ok(())));
        got.push(correlations(sent(&mut session)));
    }
    let expected: [&[i32]; 5] = [&[], &[], &[], &[0], &[1, 2, 3, 4]];
    assert_eq!(got, expected);
}

#[test]
fn a_ticket_is_answered_once() {
    let mut session = fed(&heartbeat(1));
    let (ticket, _) = asked(&mut session);
    for _ in 0..2 {
        session.complete(NOW, ticket, Outcome::Heartbeat(Ok(())));
    }
    assert_eq!(correlations(sent(&mut session)), [1]);
}

#[test]
fn any_split_of_the_bytes_gives_the_same_requests() {
    let mut wire = BytesMut::new();
    for (at, (line, _)) in (0..).zip(all_versions().filter(|(line, version)| *version == line.max))
    {
        wire.extend_from_slice(&frame(line, line.max, at));
    }
    let requests = |session: &mut KafkaSession| {
        let mut found = Vec::new();
        while let Some((ticket, request)) = session.poll_request() {
            found.push(format!("{ticket:?} {request:?}"));
            session.complete(NOW, ticket, outcome(&request, None));
        }
        found
    };
    let whole = requests(&mut fed(&wire));
    let asked = versions::SERVED
        .iter()
        .filter(|line| !is_answered_here(line.api));
    assert_eq!(whole.len(), asked.count());
    for cut in 0..=wire.len() {
        let mut session = fed(&wire[..cut]);
        session.receive(NOW, Bytes::copy_from_slice(&wire[cut..]));
        assert_eq!(requests(&mut session), whole, "cut at {cut}");
    }
    for step in [1, 2, 3, 7, 64] {
        let mut session = session();
        for chunk in wire.chunks(step) {
            session.receive(NOW, Bytes::copy_from_slice(chunk));
        }
        assert_eq!(requests(&mut session), whole, "steps of {step}");
    }
}

#[test]
fn the_limit_of_requests_in_flight_holds_reading_back() {
    let max = i32::try_from(MAX_IN_FLIGHT_COUNT).unwrap();
    let mut session = session();
    for correlation in 0..max - 1 {
        session.receive(NOW, heartbeat(correlation));
    }
    assert!(session.wants_read());
    session.receive(NOW, heartbeat(max - 1));
    assert!(!session.wants_read());
    session.receive(NOW, heartbeat(max));
    let mut tickets = Vec::new();
    while let Some((ticket, _)) = session.poll_request() {
        tickets.push(ticket);
    }
    assert_eq!(
        tickets.len(),
        MAX_IN_FLIGHT_COUNT,
        "one past the limit waits"
    );
    session.complete(NOW, tickets[0], Outcome::Heartbeat(Ok(())));
    assert!(
        session.poll_request().is_some(),
        "the next one takes the free place"
    );
}

#[test]
fn a_fetch_waits_for_the_fetch_before_it() {
    let fetch = frame(line(Api::Fetch), 18, 1);
    let mut session = fed(&[&fetch[..], &fetch[..]].concat());
    let (ticket, request) = asked(&mut session);
    assert!(session.poll_request().is_none());
    session.complete(NOW, ticket, outcome(&request, None));
    assert!(session.poll_request().is_some());
}

#[test]
fn acks_0_gets_no_answer() {
    for version in 3..=13 {
        let line = line(Api::Produce);
        let body = produce(version, 0, vec![Some(batch())]);
        let mut session = fed(&framed(line, version, 1, &body));
        let (ticket, request) = asked(&mut session);
        session.receive(NOW, heartbeat(2));
        session.complete(NOW, ticket, outcome(&request, None));
        let (ticket, _) = asked(&mut session);
        session.complete(NOW, ticket, Outcome::Heartbeat(Ok(())));
        assert_eq!(correlations(sent(&mut session)), [2]);
    }
}

#[test]
fn an_error_at_acks_0_closes_the_connection() {
    let line = line(Api::Produce);
    let body = produce(9, 0, vec![Some(batch())]);
    let mut session = fed(&framed(line, 9, 1, &body));
    let (ticket, request) = asked(&mut session);
    session.complete(NOW, ticket, outcome(&request, Some(ErrorKind::StorageFull)));
    assert_eq!(sent(&mut session).len(), 0);
    assert_eq!(
        reason(&session),
        "peer: a request with acks=0 failed with code 56"
    );
}

#[test]
fn a_node_that_is_cut_off_sends_its_clients_elsewhere() {
    let line = line(Api::Metadata);
    let mut session = fed(&frame(line, line.max, 1));
    let (ticket, request) = asked(&mut session);
    let Outcome::Metadata(mut metadata) = outcome(&request, None) else {
        panic!("metadata was asked for");
    };
    metadata.is_cut_off = true;
    session.complete(NOW, ticket, Outcome::Metadata(metadata));
    assert!(sent(&mut session).is_empty());
    assert_eq!(
        reason(&session),
        "node: this node hears of less than half of the nodes"
    );
}

#[test]
fn a_node_that_is_cut_off_lets_clients_find_coordinators_elsewhere() {
    let line = line(Api::FindCoordinator);
    let mut session = fed(&frame(line, line.max, 1));
    let (ticket, request) = asked(&mut session);
    let Outcome::Coordinators(found) = outcome(&request, None) else {
        panic!("coordinators were asked for");
    };
    let unknown = found.iter().map(|_| Err(ErrorKind::NotCoordinator));
    session.complete(NOW, ticket, Outcome::Coordinators(unknown.collect()));
    assert!(sent(&mut session).is_empty());
    assert_eq!(
        reason(&session),
        "node: this node hears of less than half of the nodes"
    );
}

#[test]
fn an_unknown_apiversions_is_answered_at_version_0() {
    let line = line(Api::ApiVersions);
    let mut wire = frame(line, 4, 9).to_vec();
    wire[6..8].copy_from_slice(&99_i16.to_be_bytes());
    let mut session = fed(&wire);
    let (correlation, answer) = decoded(line, 0, sent(&mut session));
    let ResponseKind::ApiVersions(answer) = answer else {
        panic!("not an ApiVersions answer");
    };
    let keys: Vec<_> = answer
        .api_keys
        .iter()
        .map(|each| (each.api_key, each.min_version, each.max_version))
        .collect();
    assert_eq!(
        (correlation, answer.error_code, keys),
        (9, 35, vec![(18, 0, 4)])
    );
    assert!(session.wants_read(), "the connection goes on");
}

#[test]
fn apiversions_tells_the_table() {
    let line = line(Api::ApiVersions);
    let mut session = fed(&frame(line, 3, 9));
    let (_, ResponseKind::ApiVersions(answer)) = decoded(line, 3, sent(&mut session)) else {
        panic!("not an ApiVersions answer");
    };
    let told: Vec<_> = answer
        .api_keys
        .iter()
        .map(|each| (each.api_key, each.min_version, each.max_version))
        .collect();
    assert_eq!(told[0], (0, 0, 13), "Produce is told from version 0");
    assert_eq!(told.len(), versions::SERVED.len());
}

#[test]
fn what_is_not_served_closes_after_the_answers_before_it() {
    for (key, version, expected) in [
        (0_i16, 2_i16, "peer: version 2 of api key 0 is not served"),
        (1, 19, "peer: version 19 of api key 1 is not served"),
        (38, 0, "peer: api key 38 is not served"),
        (-1, 0, "peer: api key -1 is not served"),
    ] {
        let mut wire = heartbeat(1).to_vec();
        let mut odd = heartbeat(2).to_vec();
        odd[4..6].copy_from_slice(&key.to_be_bytes());
        odd[6..8].copy_from_slice(&version.to_be_bytes());
        wire.extend_from_slice(&odd);
        wire.extend_from_slice(&heartbeat(3));
        let mut session = fed(&wire);
        let (ticket, _) = asked(&mut session);
        assert!(session.poll_request().is_none() && !session.wants_read());
        assert_eq!(reason(&session), "");
        session.complete(NOW, ticket, Outcome::Heartbeat(Ok(())));
        assert_eq!(correlations(sent(&mut session)), [1]);
        assert_eq!(reason(&session), expected);
    }
}

#[test]
fn a_frame_over_the_limit_closes_before_it_is_there() {
    let mut wire = BytesMut::new();
    wire.put_i32(i32::try_from(MAX_REQUEST_BYTES + 1).unwrap());
    let session = fed(&wire);
    assert!(reason(&session).starts_with("peer: frame of 104857601 bytes"));
    let mut wire = BytesMut::new();
    wire.put_i32(i32::try_from(MAX_REQUEST_BYTES).unwrap());
    let session = fed(&wire);
    assert_eq!((reason(&session).as_str(), session.held_bytes()), ("", 4));
}

#[test]
fn records_are_slices_of_the_received_bytes() {
    let line = line(Api::Produce);
    let wire = framed(line, 9, 1, &produce(9, 1, vec![Some(batch())]));
    let mut session = session();
    session.receive(NOW, wire.clone());
    let (_, Request::Produce(produce)) = asked(&mut session) else {
        panic!("not a Produce request");
    };
    let records = produce.partitions[0].batch.as_ptr_range();
    let received = wire.as_ptr_range();
    assert!(received.start <= records.start && records.end <= received.end);
}

#[test]
fn answers_whose_turn_has_not_come_count_as_held() {
    let mut wire = BytesMut::new();
    wire.extend_from_slice(&frame(line(Api::JoinGroup), 9, 0));
    for correlation in 1..100 {
        wire.extend_from_slice(&frame(line(Api::Fetch), 18, correlation));
    }
    let mut session = fed(&wire);
    let (join, request) = asked(&mut session);
    let joined = outcome(&request, None);
    let chunk = Bytes::from(vec![0; 1 << 20]);
    let mut given_bytes = 0;
    while let Some((ticket, Request::Fetch(fetch))) = session.poll_request() {
        assert!(session.poll_request().is_none(), "one Fetch at a time");
        let size_bytes = chunk.len().min(fetch.max_bytes);
        given_bytes += size_bytes;
        let batches = FetchedBatches {
            chunks: vec![chunk.slice(..size_bytes)],
            size_bytes,
        };
        let fetched = Fetched {
            batches: Ok(batches),
            ..Fetched::default()
        };
        session.complete(NOW, ticket, Outcome::Fetch(vec![fetched]));
        assert!(given_bytes <= MAX_UNSENT_BYTES + (1 << 20));
    }
    assert!(given_bytes > MAX_UNSENT_BYTES / 2);
    // Once it is their turn and they are on their way, reading goes on.
    session.complete(NOW, join, joined);
    assert!(session.poll_request().is_none());
    sent(&mut session);
    assert!(matches!(asked(&mut session).1, Request::Fetch(_)));
}

#[test]
fn a_fetch_that_waits_holds_nothing_and_what_one_gathers_is_not_given_to_another() {
    let shared = shared(AccessView::open());
    let connect = || {
        let connection = Connection {
            peer: ([127, 0, 0, 1], 5).into(),
            local: ([127, 0, 0, 1], 9092).into(),
            number: 0,
            tls: None,
        };
        let mut session = KafkaSession::sharing(connection, KafkaConfig::default(), &shared);
        session.receive(NOW, frame(line(Api::Fetch), 18, 1));
        session
    };
    let waiting = |session: &mut KafkaSession| match asked(session) {
        (ticket, Request::Fetch(fetch)) => (ticket, fetch.room.unwrap()),
        other => panic!("{other:?}"),
    };
    let mut all: Vec<_> = (0..2).map(|_| connect()).collect();
    let rooms: Vec<_> = all.iter_mut().map(waiting).collect();
    assert_eq!(shared.answers.held_bytes(), 0);
    let taken_bytes = rooms[0].1.take(MAX_NODE_ANSWER_BYTES);
    assert_eq!(taken_bytes, MAX_NODE_ANSWER_BYTES);
    assert_eq!(rooms[1].1.take(1 << 20), MIN_GRANT_BYTES);
    rooms[1].1.give_back(MIN_GRANT_BYTES);
    rooms[0].1.hand_over(taken_bytes);
    assert_eq!(shared.answers.held_bytes(), MAX_NODE_ANSWER_BYTES);
    all[0].complete(NOW, rooms[0].0, Outcome::Fetch(vec![Fetched::default()]));
    assert!(shared.answers.held_bytes() < 1 << 10, "what the answer has");
    drop((all, rooms));
    assert_eq!(shared.answers.held_bytes(), 0);
}
