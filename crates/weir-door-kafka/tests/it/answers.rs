//! Every request at every version: it is understood, and its answers are what its client's
//! decoder reads.

use kafka_protocol::messages::ResponseKind;
use weir_broker::api::{Outcome, Request};
use weir_door::Session;
use weir_door_kafka::{codec::versions::Api, wire_code};
use weir_model::ErrorKind;

use crate::{
    outcomes::outcome,
    samples::{all_versions, frame, framed, is_answered_here, produce},
    wire::{NOW, asked, decoded, fed, sent},
};

#[test]
fn every_version_is_asked_and_answered() {
    for (line, version) in all_versions() {
        for kind in [
            None,
            Some(ErrorKind::UnknownTopicOrPartition),
            Some(ErrorKind::UnknownTopicId),
            Some(ErrorKind::NotCoordinator),
        ] {
            let mut session = fed(&frame(line, version, 77));
            if !is_answered_here(line.api) {
                let (ticket, request) = asked(&mut session);
                let outcome = outcome(&request, kind);
                session.complete(NOW, ticket, outcome);
            }
            let reason = session.close_reason().map(ToString::to_string);
            if line.api == Api::FindCoordinator && kind == Some(ErrorKind::NotCoordinator) {
                assert!(
                    reason.is_some(),
                    "a node that is cut off sends clients elsewhere"
                );
                continue;
            }
            assert_eq!(reason, None, "{line:?} {version}");
            let (correlation, _) = decoded(line, version, sent(&mut session));
            assert_eq!(correlation, 77);
            assert_eq!((session.in_flight_count(), session.held_bytes()), (0, 0));
        }
    }
}

#[test]
fn a_short_outcome_is_an_error_for_what_it_lacks() {
    for (line, version) in all_versions().filter(|(line, _)| line.api == Api::Produce) {
        let mut session = fed(&frame(line, version, 1));
        let (ticket, _) = asked(&mut session);
        session.complete(NOW, ticket, Outcome::Produce(Vec::new()));
        let (_, ResponseKind::Produce(answer)) = decoded(line, version, sent(&mut session)) else {
            panic!("not a Produce answer");
        };
        let codes = answer.responses[0].partition_responses.iter();
        let codes: Vec<_> = codes.map(|each| each.error_code).collect();
        assert_eq!(codes, [wire_code::UNKNOWN_SERVER_ERROR; 2]);
    }
}

#[test]
fn another_requests_outcome_closes_the_connection() {
    for (line, version) in all_versions().filter(|(line, _)| !is_answered_here(line.api)) {
        let mut session = fed(&frame(line, version, 1));
        let (ticket, request) = asked(&mut session);
        let wrong = match request {
            Request::Heartbeat(_) => Outcome::ListOffsets(Vec::new()),
            _ => Outcome::Heartbeat(Ok(())),
        };
        session.complete(NOW, ticket, wrong);
        assert!(session.close_reason().is_some(), "{line:?} {version}");
    }
}

#[test]
fn a_produce_answer_keeps_the_order_around_refused_partitions() {
    let good = crate::samples::batch();
    let mut two = good.to_vec();
    two.extend_from_slice(&good);
    let cut = good.slice(..60);
    let records = vec![
        Some(two.into()),
        Some(good.clone()),
        None,
        Some(cut),
        Some(good),
        Some(bytes::Bytes::new()),
    ];
    for (line, version) in all_versions().filter(|(line, _)| line.api == Api::Produce) {
        let body = produce(version, -1, records.clone());
        let mut session = fed(&framed(line, version, 1, &body));
        let (ticket, request) = asked(&mut session);
        let Request::Produce(produce) = &request else {
            panic!("not a Produce request");
        };
        let indexes: Vec<_> = produce.partitions.iter().map(|each| each.index).collect();
        assert_eq!(indexes, [1, 4]);
        let outcome = outcome(&request, None);
        session.complete(NOW, ticket, outcome);
        let (_, ResponseKind::Produce(answer)) = decoded(line, version, sent(&mut session)) else {
            panic!("not a Produce answer");
        };
        let partitions = answer.responses[0].partition_responses.iter();
        let got: Vec<_> = partitions
            .map(|each| (each.index, each.error_code, each.base_offset))
            .collect();
        let invalid = wire_code::INVALID_RECORD;
        assert_eq!(
            got,
            [
                (0, invalid, -1),
                (1, 0, 10),
                (2, invalid, -1),
                (3, wire_code::CORRUPT_MESSAGE, -1),
                (4, 0, 11),
                (5, invalid, -1),
            ],
            "version {version}"
        );
    }
}
