//! Captured requests, cut, bent and lied about: refused, never a panic, never much memory.

use std::path::Path;

use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, RequestKind};
use weir_broker::api::Request;
use weir_door::Session;
use weir_door_kafka::codec::{
    header,
    shape::{self, MAX_ELEMENTS_COUNT},
    shapes,
    versions::Api,
};
use weir_model::{
    batch::{BatchHeader, Codec, HEADER_BYTES},
    record,
};

use crate::{
    outcomes::outcome,
    samples::{all_versions, frame, framed},
    wire::{NOW, asked, fed, sent, session},
};

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const MUTATIONS_COUNT: usize = 10_000;

fn goldens() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    found.sort();
    assert!(found.len() >= 25, "the captures are there");
    found
}

fn sized(body: &[u8]) -> Vec<u8> {
    let mut wire = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    wire.extend_from_slice(body);
    wire
}

/// Answers everything that the bytes ask for. Returns whether anything was understood.
fn play(wire: &[u8]) -> bool {
    let mut session = fed(wire);
    let mut understood = false;
    while let Some((ticket, request)) = session.poll_request() {
        understood = true;
        session.complete(NOW, ticket, outcome(&request, None));
    }
    understood | !sent(&mut session).is_empty()
}

/// What comes of the chunks: requests, answers that need no node, and whether it goes on.
fn asked_for<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (String, Bytes, bool) {
    let mut session = session();
    for chunk in chunks {
        session.receive(NOW, Bytes::copy_from_slice(chunk));
    }
    let mut requests = String::new();
    while let Some(request) = session.poll_request() {
        requests += &format!("{request:?}");
    }
    let answers = sent(&mut session);
    (requests, answers, session.close_reason().is_none())
}

#[test]
fn captures_are_understood() {
    for (name, wire) in goldens() {
        assert!(play(&wire), "{name}");
        assert!(fed(&wire).close_reason().is_none(), "{name}");
    }
}

#[test]
fn captured_appends_are_such_as_the_node_takes() {
    let appends = goldens()
        .into_iter()
        .filter(|(name, _)| name.starts_with("produce"));
    let (mut timeouts_ms, mut plain_count) = (Vec::new(), 0);
    for (name, wire) in appends {
        let (_, Request::Produce(produce)) = asked(&mut fed(&wire)) else {
            panic!("{name} is no Produce request");
        };
        timeouts_ms.push(produce.timeout_ms);
        for partition in produce.partitions {
            let batch = partition.batch;
            let header = BatchHeader::parse(&batch).unwrap();
            if header.codec == Codec::None {
                let records = record::check_dense(&batch[HEADER_BYTES..], header.record_count);
                assert_eq!(records, Ok(()), "{name}");
                plain_count += 1;
            }
        }
    }
    assert!(plain_count >= 1);
    // Java's, then kcat's.
    assert_eq!(timeouts_ms, [1_500, 30_000]);
}

#[test]
fn captures_cut_at_every_byte_wait_or_are_refused() {
    for (name, wire) in goldens() {
        for cut in 0..wire.len() {
            let session = fed(&wire[..cut]);
            assert_eq!(session.in_flight_count(), 0, "{name} cut at {cut}");
            assert!(session.close_reason().is_none(), "{name} cut at {cut}");
        }
        for cut in 8..wire.len() - 4 {
            let cut_wire = sized(&wire[4..4 + cut]);
            let session = fed(&cut_wire);
            assert!(session.close_reason().is_some(), "{name} cut to {cut}");
        }
    }
}

#[test]
fn bytes_after_a_request_are_left_alone_as_kafka_does() {
    for (line, version) in all_versions() {
        let alone = frame(line, version, 1);
        let followed = sized(&[&alone[4..], &[0xff; 3]].concat());
        assert_eq!(
            asked_for([&followed[..]]),
            asked_for([&alone[..]]),
            "{line:?} {version}"
        );
    }
}

#[test]
fn librdkafka_asks_for_all_topics_with_three_bytes_too_many() {
    let body = b"\x00\x03\x00\x0d\x00\x00\x00\x03\x00\x07rdkafka\x00\
                 \x00\x00\x00\x00\x01\x00\x00";
    let (_, request) = asked(&mut fed(&sized(body)));
    assert!(
        matches!(&request, Request::Metadata(metadata) if metadata.topics.is_none()),
        "{request:?}"
    );
}

#[test]
fn ten_thousand_mutations_do_not_panic() {
    let mut state = SEED;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
    };
    let goldens = goldens();
    let mut understood_count = 0;
    for _ in 0..MUTATIONS_COUNT {
        let (_, wire) = &goldens[next(goldens.len())];
        let mut body = wire[4..].to_vec();
        for _ in 0..=next(4) {
            let at = next(body.len());
            match next(5) {
                0 => body[at] = 0xff,
                1 => body[at] ^= 1 << next(8),
                2 => body[at] = u8::try_from(next(256)).unwrap(),
                3 => body.insert(at, 0x7f),
                _ => body.truncate(at.max(9)),
            }
        }
        let wire = sized(&body);
        understood_count += usize::from(play(&wire));
        assert_eq!(asked_for([&wire[..]]), asked_for(wire.chunks(1)));
        agrees(&body.into());
    }
    assert!(understood_count > 0 && understood_count < MUTATIONS_COUNT);
}

/// What the walk lets through, the decoder reads to the end, or refuses for what only it looks
/// at: nulls, text that is not UTF-8, tags of other versions.
fn agrees(body: &Bytes) {
    let Ok(incoming) = header::decode(body) else {
        return;
    };
    let head = incoming.head;
    let shape = shapes::of_request(head.api);
    let Ok(walked) = shape::check(&incoming.body, shape, head.version, head.flexible) else {
        return;
    };
    let key = ApiKey::try_from(i16::from_be_bytes([body[0], body[1]])).unwrap();
    let mut left = incoming.body.slice(..walked.length_bytes);
    match RequestKind::decode(key, &mut left, head.version) {
        Ok(_) => assert!(left.is_empty(), "{head:?}: walked further than decoded"),
        Err(error) => {
            let error = error.to_string();
            assert!(!error.contains("Not enough bytes"), "{head:?}: {error}");
        }
    }
}

#[test]
fn the_walk_agrees_with_the_decoder_at_every_version() {
    for (line, version) in all_versions() {
        let body = frame(line, version, 1).slice(4..);
        let incoming = header::decode(&body).unwrap();
        let shape = shapes::of_request(line.api);
        let flexible = line.is_flexible(version);
        let walked = shape::check(&incoming.body, shape, version, flexible)
            .unwrap_or_else(|error| panic!("{line:?} {version}: {error}"));
        assert_eq!(walked.length_bytes, incoming.body.len());
        agrees(&body);
    }
}

#[test]
fn every_four_bytes_may_claim_to_be_a_count() {
    for (line, version) in all_versions() {
        let body = frame(line, version, 1).slice(4..);
        for at in 8..body.len().saturating_sub(3) {
            for claim in [[0x7f, 0xff, 0xff, 0xff], [0xff, 0xff, 0xff, 0x7f]] {
                let mut bent = body.to_vec();
                bent[at..at + 4].copy_from_slice(&claim);
                play(&sized(&bent));
                let mut grown = body[..at].to_vec();
                grown.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
                grown.extend_from_slice(&body[at..]);
                play(&sized(&grown));
            }
        }
    }
}

#[test]
fn as_many_elements_as_allowed_are_and_one_more_is_not() {
    let (line, version) = all_versions()
        .find(|(line, version)| line.api == Api::FindCoordinator && *version == 4)
        .unwrap();
    let body = |count: usize| {
        let mut body = vec![0];
        let mut rest = count + 1;
        while rest >= 0x80 {
            body.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
            rest >>= 7;
        }
        body.push(u8::try_from(rest).unwrap());
        body.resize(body.len() + count, 1);
        body.push(0);
        framed(line, version, 1, &body)
    };
    assert!(fed(&body(MAX_ELEMENTS_COUNT)).close_reason().is_none());
    let reason = fed(&body(MAX_ELEMENTS_COUNT + 1));
    let reason = reason.close_reason().unwrap().to_string();
    let limit = format!("over {MAX_ELEMENTS_COUNT} elements");
    assert!(reason.contains(&limit), "{reason}");
}
