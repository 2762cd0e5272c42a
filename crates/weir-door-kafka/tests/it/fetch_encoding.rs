//! The hand-made Fetch answer against the decoder of its schema.

use bytes::Bytes;
use kafka_protocol::messages::{FetchResponse, ResponseKind};
use uuid::Uuid;
use weir_broker::api::{AbortedTransaction, Broker};
use weir_door_kafka::codec::{
    fetch_response::{FetchAnswer, PartitionAnswer, TopicAnswer, encode},
    header::Head,
    versions::{Api, by_key},
};

use weir_model::{Offset, ProducerId};

use crate::{
    samples::{TOPIC_ID, text},
    wire::decoded,
};

fn partition(index: i32, chunks: &[&'static [u8]]) -> PartitionAnswer {
    PartitionAnswer {
        index,
        error_code: 3 * i16::try_from(index).unwrap(),
        high_watermark: 100 + i64::from(index),
        log_start: 5,
        last_stable: 90 + i64::from(index),
        aborted: (index == 1).then(|| {
            vec![AbortedTransaction {
                producer: ProducerId(7),
                first: Offset(8),
            }]
        }),
        preferred: index - 1,
        diverging: (index == 1).then_some((4, 44)),
        leader: (index != 0).then_some((index, 7)),
        chunks: chunks
            .iter()
            .map(|chunk| Bytes::from_static(chunk))
            .collect(),
    }
}

fn node(node: i32, rack: Option<&str>) -> Broker {
    Broker {
        node,
        host: "a".repeat(100),
        port: 9092,
        tls: None,
        rack: rack.map(str::to_owned),
        is_fenced: false,
    }
}

fn topic(id: Uuid, partitions: Vec<PartitionAnswer>) -> TopicAnswer {
    TopicAnswer {
        name: text("topic"),
        id,
        partitions,
    }
}

fn sample() -> FetchAnswer {
    let first = vec![
        partition(0, &[&[1; 200], &[2; 70_000]]),
        partition(1, &[]),
        partition(2, &[b"abc"]),
    ];
    FetchAnswer {
        error_code: 0,
        session_id: 77,
        nodes: vec![node(1, None), node(2, Some("east"))],
        topics: vec![topic(TOPIC_ID, first), topic(TOPIC_ID, Vec::new())],
    }
}

fn head(version: i16) -> Head {
    Head {
        api: Api::Fetch,
        version,
        correlation: 6,
        flexible: by_key(1).unwrap().is_flexible(version),
        throttle_ms: 0,
    }
}

fn check(version: i16, answer: &FetchResponse) {
    let session = if version >= 7 { 77 } else { 0 };
    assert_eq!((answer.error_code, answer.session_id), (0, session));
    let nodes = answer.node_endpoints.iter();
    let nodes: Vec<_> = nodes
        .map(|node| {
            assert_eq!((node.host.len(), node.port), (100, 9092));
            (*node.node_id, node.rack.as_deref())
        })
        .collect();
    let expected = [(1, None), (2, Some("east"))];
    assert_eq!(nodes, if version >= 16 { &expected[..] } else { &[] });
    assert_eq!(answer.responses.len(), 2);
    let first = &answer.responses[0];
    if version >= 13 {
        assert_eq!(first.topic_id, TOPIC_ID);
    } else {
        assert_eq!(&**first.topic, "topic");
    }
    let lengths = first.partitions.iter();
    let lengths: Vec<_> = lengths
        .map(|each| each.records.as_ref().map(Bytes::len))
        .collect();
    assert_eq!(lengths, [Some(70_200), Some(0), Some(3)]);
    for (index, partition) in (0_i32..).zip(&first.partitions) {
        assert_eq!(partition.partition_index, index);
        assert_eq!(i32::from(partition.error_code), 3 * index);
        let high_watermark = 100 + i64::from(index);
        assert_eq!(partition.high_watermark, high_watermark);
        assert_eq!(partition.last_stable_offset, 90 + i64::from(index));
        assert_eq!(
            partition.log_start_offset,
            if version >= 5 { 5 } else { -1 }
        );
        let preferred = if version >= 11 { index - 1 } else { -1 };
        assert_eq!(*partition.preferred_read_replica, preferred);
        let diverging = &partition.diverging_epoch;
        let diverges = version >= 12 && index == 1;
        let expected = if diverges { (4, 44) } else { (-1, -1) };
        assert_eq!((diverging.epoch, diverging.end_offset), expected);
        let leader = &partition.current_leader;
        let leads = version >= 12 && index != 0;
        let expected = if leads { (index, 7) } else { (-1, -1) };
        assert_eq!((*leader.leader_id, leader.leader_epoch), expected);
        let aborted = partition.aborted_transactions.as_ref();
        let aborted = aborted.map(|all| (*all[0].producer_id, all[0].first_offset));
        assert_eq!(aborted, (index == 1).then_some((7, 8)));
    }
}

#[test]
fn every_version_reads_back() {
    for version in 4..=18 {
        let chunks = encode(&head(version), sample()).unwrap();
        let wire: Bytes = chunks.concat().into();
        let (correlation, answer) = decoded(by_key(1).unwrap(), version, wire);
        let ResponseKind::Fetch(answer) = answer else {
            panic!("not a Fetch answer");
        };
        assert_eq!(correlation, 6);
        check(version, &answer);
    }
}

#[test]
fn no_record_byte_is_copied() {
    for version in 4..=18 {
        let answer = sample();
        let records: Vec<Bytes> = answer.topics[0]
            .partitions
            .iter()
            .flat_map(|partition| partition.chunks.clone())
            .collect();
        let sent = encode(&head(version), answer).unwrap();
        for chunk in records {
            let same = sent.iter().filter(|each| each.as_ptr() == chunk.as_ptr());
            assert_eq!(same.count(), 1, "version {version}");
        }
    }
}
