//! Examples for the tests of whoever reads and writes fields.

use bytes::Bytes;

use super::{BasicProperties, Decimal, FieldTable, FieldValue, ShortString};

/// A short string.
///
/// # Panics
///
/// Where it is too long.
pub fn short(text: &str) -> ShortString {
    ShortString::new(text).expect("short")
}

/// One field of each type, tables and arrays within each other.
pub fn of_all_types() -> FieldTable {
    let inner = FieldTable(vec![(
        short("deep"),
        FieldValue::Array(vec![FieldValue::Void]),
    )]);
    let decimal = Decimal {
        scale: 2,
        value: 314,
    };
    let values = vec![
        FieldValue::Boolean(true),
        FieldValue::Int8(-1),
        FieldValue::UInt8(200),
        FieldValue::Int16(-300),
        FieldValue::UInt16(60_000),
        FieldValue::Int32(-70_000),
        FieldValue::UInt32(4_000_000_000),
        FieldValue::Int64(i64::MIN),
        FieldValue::Int64Upper(-1),
        FieldValue::Float32(1.5_f32.to_bits()),
        FieldValue::Float64(f64::NAN.to_bits()),
        FieldValue::Decimal(decimal),
        FieldValue::LongString(Bytes::from_static(b"not \xff text")),
        FieldValue::Bytes(Bytes::from_static(b"\x00\x01")),
        FieldValue::Array(vec![FieldValue::Int8(1), FieldValue::Table(inner.clone())]),
        FieldValue::Timestamp(u64::MAX),
        FieldValue::Table(inner),
        FieldValue::Void,
    ];
    let named = values.into_iter().enumerate();
    FieldTable(
        named
            .map(|(at, value)| (short(&format!("n{at}")), value))
            .collect(),
    )
}

/// All properties there are.
pub fn full() -> BasicProperties {
    let short = |text| Some(short(text));
    BasicProperties {
        content_type: short("text/plain"),
        content_encoding: short(""),
        headers: Some(of_all_types()),
        delivery_mode: Some(2),
        priority: Some(9),
        correlation_id: short("c"),
        reply_to: short("r"),
        expiration: short("60000"),
        message_id: short("m"),
        timestamp: Some(u64::MAX),
        kind: short("k"),
        user_id: short("guest"),
        app_id: short("a"),
        cluster_id: short("x"),
    }
}
