//! Values of fields as text.

use std::fmt::{Display, Write};

use bytes::{BufMut, BytesMut};

use crate::fields::{FieldTable, FieldValue};

/// Writes a header's value: strings and bytes as they are, everything else as text. `false`: there
/// is no value.
pub(super) fn write(value: &FieldValue, out: &mut BytesMut) -> bool {
    match value {
        FieldValue::LongString(bytes) | FieldValue::Bytes(bytes) => out.put_slice(bytes),
        FieldValue::Void => return false,
        FieldValue::Boolean(_)
        | FieldValue::Int8(_)
        | FieldValue::UInt8(_)
        | FieldValue::Int16(_)
        | FieldValue::UInt16(_)
        | FieldValue::Int32(_)
        | FieldValue::UInt32(_)
        | FieldValue::Int64(_)
        | FieldValue::Int64Upper(_)
        | FieldValue::Float32(_)
        | FieldValue::Float64(_)
        | FieldValue::Decimal(_)
        | FieldValue::Array(_)
        | FieldValue::Timestamp(_)
        | FieldValue::Table(_) => json(value, out),
    }
    true
}

/// Writes a number in decimal digits.
pub(super) fn number(number: impl Display, out: &mut BytesMut) {
    write!(out, "{number}").expect("memory takes it");
}

/// Writes a value as JSON. Bytes that are not UTF-8 are written with replacement characters, and
/// numbers that JSON does not know as `null`: the envelope has them as they are.
fn json(value: &FieldValue, out: &mut BytesMut) {
    match value {
        FieldValue::Boolean(value) => number(value, out),
        FieldValue::Int8(value) => number(value, out),
        FieldValue::UInt8(value) => number(value, out),
        FieldValue::Int16(value) => number(value, out),
        FieldValue::UInt16(value) => number(value, out),
        FieldValue::Int32(value) => number(value, out),
        FieldValue::UInt32(value) => number(value, out),
        FieldValue::Int64(value) | FieldValue::Int64Upper(value) => number(value, out),
        FieldValue::Timestamp(value) => number(value, out),
        FieldValue::Float32(bits) => {
            float(f64::from(f32::from_bits(*bits)), f32::from_bits(*bits), out);
        }
        FieldValue::Float64(bits) => float(f64::from_bits(*bits), f64::from_bits(*bits), out),
        FieldValue::Decimal(value) => decimal(value.scale, value.value, out),
        FieldValue::LongString(bytes) | FieldValue::Bytes(bytes) => {
            string(&String::from_utf8_lossy(bytes), out);
        }
        FieldValue::Array(values) => {
            out.put_u8(b'[');
            for (at, value) in values.iter().enumerate() {
                comma(at, out);
                json(value, out);
            }
            out.put_u8(b']');
        }
        FieldValue::Table(table) => object(table, out),
        FieldValue::Void => out.put_slice(b"null"),
    }
}

fn object(table: &FieldTable, out: &mut BytesMut) {
    out.put_u8(b'{');
    for (at, (name, value)) in table.0.iter().enumerate() {
        comma(at, out);
        string(name.as_str(), out);
        out.put_u8(b':');
        json(value, out);
    }
    out.put_u8(b'}');
}

fn comma(at: usize, out: &mut BytesMut) {
    if at > 0 {
        out.put_u8(b',');
    }
}

/// Writes `shown`, whose shortest digits are those of its own width.
fn float(value: f64, shown: impl Display, out: &mut BytesMut) {
    match value.is_finite() {
        true => number(shown, out),
        false => out.put_slice(b"null"),
    }
}

/// The digits are unsigned in the protocol's text and signed in its clients.
fn decimal(scale: u8, value: u32, out: &mut BytesMut) {
    let (scale, value) = (usize::from(scale), value.cast_signed());
    if scale == 0 {
        return number(value, out);
    }
    if value < 0 {
        out.put_u8(b'-');
    }
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, part) = digits.split_at(digits.len() - scale);
    write!(out, "{whole}.{part}").expect("memory takes it");
}

fn string(text: &str, out: &mut BytesMut) {
    out.put_u8(b'"');
    for each in text.chars() {
        match each {
            '"' => out.put_slice(b"\\\""),
            '\\' => out.put_slice(b"\\\\"),
            control if control < ' ' => {
                write!(out, "\\u{:04x}", u32::from(control)).expect("memory takes it");
            }
            other => out.put_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.put_u8(b'"');
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::fields::{Decimal, examples::short};

    fn text(value: &FieldValue) -> String {
        let mut out = BytesMut::new();
        assert!(write(value, &mut out));
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn numbers_are_decimal_and_truth_is_a_word() {
        assert_eq!(text(&FieldValue::Boolean(true)), "true");
        assert_eq!(text(&FieldValue::Int8(-7)), "-7");
        assert_eq!(text(&FieldValue::Int64(i64::MIN)), "-9223372036854775808");
        assert_eq!(text(&FieldValue::Float32(0.1_f32.to_bits())), "0.1");
        assert_eq!(text(&FieldValue::Float64(1.5_f64.to_bits())), "1.5");
        assert_eq!(text(&FieldValue::Float64(f64::NAN.to_bits())), "null");
        let decimal = |scale, value| text(&FieldValue::Decimal(Decimal { scale, value }));
        assert_eq!(
            (decimal(2, 314), decimal(3, 7), decimal(0, 9)),
            ("3.14".into(), "0.007".into(), "9".into())
        );
        let negative = (-7_i32).cast_unsigned();
        let texts = (decimal(1, negative), decimal(0, negative));
        assert_eq!(texts, ("-0.7".into(), "-7".into()));
    }

    #[test]
    fn tables_and_arrays_are_json() {
        let table = FieldTable(vec![
            (
                short("a\"b"),
                FieldValue::LongString(Bytes::from_static(b"x\n\\\xc3\xa4")),
            ),
            (
                short("n"),
                FieldValue::Array(vec![FieldValue::Int8(1), FieldValue::Void]),
            ),
        ]);
        let wanted = "{\"a\\\"b\":\"x\\u000a\\\\\u{e4}\",\"n\":[1,null]}";
        assert_eq!(text(&FieldValue::Table(table)), wanted);
    }

    #[test]
    fn bytes_are_as_they_are_and_nothing_is_nothing() {
        let mut out = BytesMut::new();
        assert!(write(
            &FieldValue::Bytes(Bytes::from_static(b"\xff\x00")),
            &mut out
        ));
        assert_eq!(out, &b"\xff\x00"[..]);
        assert!(!write(&FieldValue::Void, &mut out));
    }
}
