use std::collections::BTreeMap;

use weir_model::Offset;
use weir_model::{
    batch::{MAGIC, PATCHED_BYTES, patched_head, verify_crc},
    record::{Records, write_record},
};

use super::*;

const NOW: Millis = Millis(1_700_000_000_000);
const CODECS: [Codec; 5] = [
    Codec::None,
    Codec::Gzip,
    Codec::Snappy,
    Codec::Lz4,
    Codec::Zstd,
];

fn config(settings: &[(&str, &str)]) -> TopicConfig {
    let settings = settings.iter();
    let settings: BTreeMap<_, _> = settings
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    TopicConfig::parse(&settings).unwrap()
}

/// A batch whose records have these keys and times after `NOW`.
fn batch(codec: Codec, records: &[(Option<&[u8]>, i64)]) -> Bytes {
    let mut body = Vec::new();
    for (at, (key, delta_ms)) in (0..).zip(records) {
        let value = [b'v'; 200];
        write_record(*delta_ms, at, *key, Some(&value), &mut body);
    }
    let latest_ms = records.iter().map(|(_, delta_ms)| *delta_ms).max();
    sealed(codec, records.len(), latest_ms.unwrap_or(0), &body)
}

fn sealed(codec: Codec, count: usize, latest_ms: i64, body: &[u8]) -> Bytes {
    let count = i32::try_from(count).unwrap();
    let packed = match codec {
        Codec::None => body.to_vec(),
        codec => weir_log::codec::compress(codec, body).unwrap(),
    };
    let mut bytes = vec![0; HEADER_BYTES];
    bytes.extend_from_slice(&packed);
    let head = patched_head(Offset(0), bytes.len(), -1);
    bytes[..PATCHED_BYTES].copy_from_slice(&head);
    bytes[16] = MAGIC.to_be_bytes()[0];
    bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    bytes[27..35].copy_from_slice(&NOW.0.to_be_bytes());
    bytes[35..43].copy_from_slice(&(NOW.0 + latest_ms).to_be_bytes());
    bytes[43..57].fill(0xff);
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    batch::set_codec(&mut bytes, codec);
    batch::mend_crc(&mut bytes);
    bytes.into()
}

fn keyed(codec: Codec) -> Bytes {
    batch(codec, &[(Some(b"a"), 0), (Some(b"b"), 5), (Some(b"c"), 3)])
}

fn refusal(result: Result<Bytes, Refused>) -> (ErrorKind, Vec<u32>) {
    let refused = result.unwrap_err();
    let records = refused.detail.map_or_else(Vec::new, |detail| {
        assert!(!detail.message.is_empty());
        detail.records.iter().map(|record| record.at).collect()
    });
    (refused.error, records)
}

/// The records of a stored batch, decompressed.
fn open(batch: &[u8]) -> (BatchHeader, Vec<u8>) {
    verify_crc(batch).unwrap();
    let header = BatchHeader::parse(batch).unwrap();
    assert_eq!(header.size_bytes, batch.len());
    let body = decompress(header.codec, &batch[HEADER_BYTES..], 1 << 20).unwrap();
    (header, body)
}

#[test]
fn a_batch_is_stored_as_it_came_where_no_setting_asks_for_more() {
    for codec in CODECS {
        let came = keyed(codec);
        let stored = admit(came.clone(), &config(&[]), NOW).unwrap();
        assert_eq!(stored.as_ptr(), came.as_ptr(), "{codec:?}");
        let name = format!("{codec:?}").to_lowercase();
        let same = if codec == Codec::None {
            "uncompressed"
        } else {
            &name
        };
        let stored = admit(came.clone(), &config(&[("compression.type", same)]), NOW);
        assert_eq!(stored.unwrap().as_ptr(), came.as_ptr(), "{codec:?}");
    }
}

#[test]
fn another_codec_keeps_the_records_and_all_else_of_the_header() {
    for from in CODECS {
        for (to, name) in CODECS
            .iter()
            .zip(["uncompressed", "gzip", "snappy", "lz4", "zstd"])
        {
            let came = keyed(from);
            let config = config(&[("compression.type", name)]);
            let stored = admit(came.clone(), &config, NOW).unwrap();
            let ((before, records), (after, same)) = (open(&came), open(&stored));
            assert_eq!(records, same, "{from:?} to {to:?}");
            assert_eq!(after.codec, *to);
            assert_eq!(after.record_count, before.record_count);
            assert_eq!(after.max_timestamp_ms, before.max_timestamp_ms);
            assert_eq!(after.base_timestamp_ms, before.base_timestamp_ms);
            assert_eq!(after.producer_id, before.producer_id);
            assert_eq!(Records::new(&same, 3).count(), 3);
        }
    }
}

#[test]
fn the_brokers_time_is_in_the_header_and_the_records_stay_closed() {
    for codec in CODECS {
        let came = keyed(codec);
        let config = config(&[("message.timestamp.type", "LogAppendTime")]);
        let later = Millis(NOW.0 + 9_999_999);
        let stored = admit(came.clone(), &config, later).unwrap();
        let header = open(&stored).0;
        assert!(header.is_log_append_time());
        assert_eq!(header.max_timestamp_ms, later.0);
        assert_eq!(came[HEADER_BYTES..], stored[HEADER_BYTES..], "{codec:?}");
    }
}

#[test]
fn a_compacted_topic_refuses_records_without_a_key_and_names_them() {
    let config = config(&[("cleanup.policy", "compact")]);
    for codec in CODECS {
        assert!(admit(keyed(codec), &config, NOW).is_ok());
        let came = batch(
            codec,
            &[(Some(b"a"), 0), (None, 0), (Some(b""), 0), (None, 0)],
        );
        let refused = refusal(admit(came, &config, NOW));
        assert_eq!(refused, (ErrorKind::InvalidRecord, vec![1, 3]), "{codec:?}");
    }
}

#[test]
fn no_more_records_are_named_than_the_limit() {
    let config = config(&[("cleanup.policy", "compact")]);
    let keyless = vec![(None, 0); crate::api::MAX_REFUSED_RECORDS + 1];
    let (_, named) = refusal(admit(batch(Codec::None, &keyless), &config, NOW));
    assert_eq!(named.len(), crate::api::MAX_REFUSED_RECORDS);
}

#[test]
fn times_are_within_the_topics_bounds_on_both_sides() {
    let settings = [
        ("message.timestamp.before.max.ms", "100"),
        ("message.timestamp.after.max.ms", "50"),
    ];
    let bounded = config(&settings);
    for codec in CODECS {
        let good = batch(codec, &[(None, -100), (None, 50)]);
        assert!(admit(good, &bounded, NOW).is_ok());
        let bad = batch(codec, &[(None, -101), (None, 0), (None, 51)]);
        let refused = refusal(admit(bad, &bounded, NOW));
        assert_eq!(
            refused,
            (ErrorKind::InvalidTimestamp, vec![0, 2]),
            "{codec:?}"
        );
        let append_time = config(&[
            settings[0],
            settings[1],
            ("message.timestamp.type", "LogAppendTime"),
        ]);
        let any = batch(codec, &[(None, -101), (None, 51)]);
        assert!(admit(any, &append_time, NOW).is_ok(), "{codec:?}");
    }
}

#[test]
fn an_hour_ahead_is_the_default_and_told_by_the_header_alone() {
    const HOUR_MS: i64 = 60 * 60 * 1000;
    for codec in CODECS {
        let at = |delta_ms| admit(batch(codec, &[(None, delta_ms)]), &config(&[]), NOW);
        assert!(at(HOUR_MS).is_ok());
        assert_eq!(refusal(at(HOUR_MS + 1)).0, ErrorKind::InvalidTimestamp);
    }
}

#[test]
fn a_record_without_a_time_is_within_all_bounds() {
    let bounded = config(&[("message.timestamp.before.max.ms", "1")]);
    let came = batch(Codec::None, &[(None, -1 - NOW.0)]);
    assert!(admit(came, &bounded, NOW).is_ok());
}

#[test]
fn a_header_that_belies_its_records_is_mended() {
    let mut body = Vec::new();
    write_record(7, 0, None, None, &mut body);
    let came = sealed(Codec::None, 1, 3, &body);
    let (header, same) = open(&admit(came, &config(&[]), NOW).unwrap());
    assert_eq!((header.max_timestamp_ms, same), (NOW.0 + 7, body));
}

#[test]
fn a_batch_is_as_large_as_the_topic_allows_after_compression() {
    let came = keyed(Codec::Zstd);
    let limit = came.len().to_string();
    let fits = [("max.message.bytes", limit.as_str())];
    assert!(admit(came.clone(), &config(&fits), NOW).is_ok());
    let below = (came.len() - 1).to_string();
    let tight = config(&[("max.message.bytes", below.as_str())]);
    let refused = refusal(admit(came.clone(), &tight, NOW));
    assert_eq!(refused.0, ErrorKind::MessageTooLarge);
    // Small as it comes, larger than allowed as it would be stored.
    let loose = config(&[fits[0], ("compression.type", "uncompressed")]);
    assert_eq!(
        refusal(admit(came, &loose, NOW)).0,
        ErrorKind::MessageTooLarge
    );
}

#[test]
fn a_bomb_is_too_large_before_it_is_whole() {
    let bomb = vec![0; MAX_INFLATED_BYTES + 1];
    let config = config(&[("cleanup.policy", "compact")]);
    for codec in [Codec::Gzip, Codec::Zstd] {
        let came = sealed(codec, 1, 0, &bomb);
        assert!(came.len() < 1 << 20, "{codec:?}");
        let refused = refusal(admit(came, &config, NOW));
        assert_eq!(refused.0, ErrorKind::MessageTooLarge, "{codec:?}");
    }
}

#[test]
fn what_cannot_be_decompressed_is_refused_where_it_must_be() {
    let mut junk = sealed(Codec::None, 1, 0, b"no records at all").to_vec();
    batch::set_codec(&mut junk, Codec::Gzip);
    batch::mend_crc(&mut junk);
    let junk = Bytes::from(junk);
    assert!(admit(junk.clone(), &config(&[]), NOW).is_ok());
    let refused = admit(junk, &config(&[("compression.type", "lz4")]), NOW);
    assert_eq!(refusal(refused).0, ErrorKind::InvalidRecord);
}

#[test]
fn what_only_brokers_write_is_refused() {
    let with = |at: usize, bits: u8| {
        let mut bytes = keyed(Codec::None).to_vec();
        bytes[at] |= bits;
        batch::mend_crc(&mut bytes);
        refusal(admit(bytes.into(), &config(&[]), NOW)).0
    };
    assert_eq!(with(22, 1 << 5), ErrorKind::InvalidRecord, "control");
    assert_eq!(with(21, 1 << 6), ErrorKind::InvalidRecord, "references");
    assert_eq!(with(22, 1 << 3), ErrorKind::InvalidTimestamp, "append time");
    let empty = sealed(Codec::None, 0, 0, b"");
    assert_eq!(
        refusal(admit(empty, &config(&[]), NOW)).0,
        ErrorKind::InvalidRecord
    );
}

#[test]
fn records_of_a_compressed_batch_that_is_opened_follow_each_other() {
    let mut body = Vec::new();
    for delta in [0, 2] {
        write_record(0, delta, Some(b"k"), None, &mut body);
    }
    let config = config(&[("cleanup.policy", "compact")]);
    let refused = admit(sealed(Codec::Lz4, 2, 0, &body), &config, NOW);
    assert_eq!(refusal(refused).0, ErrorKind::InvalidRecord);
}
