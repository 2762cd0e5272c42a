//! Arguments and headers as JSON, and back.

use bytes::Bytes;
use serde_json::{Map, Number, Value};
use weir_model::fields::{FieldTable, FieldValue, ShortString};

/// Why arguments are none.
pub(super) fn table(arguments: &Map<String, Value>) -> Result<FieldTable, String> {
    let fields = arguments.iter().map(|(name, value)| {
        let short = ShortString::new(name);
        let short = short.ok_or_else(|| format!("'{name}' has more than 255 bytes"))?;
        Ok((short, field(value)?))
    });
    fields.collect::<Result<_, String>>().map(FieldTable)
}

fn field(value: &Value) -> Result<FieldValue, String> {
    Ok(match value {
        Value::Null => FieldValue::Void,
        Value::Bool(value) => FieldValue::Boolean(*value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => FieldValue::Int64(number),
            (None, Some(number)) => FieldValue::Float64(number.to_bits()),
            (None, None) => return Err(format!("{number} is too large")),
        },
        Value::String(text) => FieldValue::LongString(Bytes::copy_from_slice(text.as_bytes())),
        Value::Array(values) => {
            FieldValue::Array(values.iter().map(field).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => FieldValue::Table(table(fields)?),
    })
}

pub(super) fn map(table: &FieldTable) -> Map<String, Value> {
    let fields = table.0.iter();
    let fields = fields.map(|(name, value)| (name.as_str().to_owned(), json(value)));
    fields.collect()
}

fn json(value: &FieldValue) -> Value {
    if let Some(number) = value.as_int() {
        return number.into();
    }
    match value {
        FieldValue::Boolean(value) => (*value).into(),
        FieldValue::Float32(bits) => float(f64::from(f32::from_bits(*bits))),
        FieldValue::Float64(bits) => float(f64::from_bits(*bits)),
        FieldValue::LongString(bytes) | FieldValue::Bytes(bytes) => text(bytes),
        FieldValue::Array(values) => values.iter().map(json).collect(),
        FieldValue::Timestamp(at) => (*at).into(),
        FieldValue::Table(table) => map(table).into(),
        FieldValue::Void => Value::Null,
        FieldValue::Decimal(decimal) => {
            float(f64::from(decimal.value) / 10_f64.powi(i32::from(decimal.scale)))
        }
        FieldValue::Int8(_)
        | FieldValue::UInt8(_)
        | FieldValue::Int16(_)
        | FieldValue::UInt16(_)
        | FieldValue::Int32(_)
        | FieldValue::UInt32(_)
        | FieldValue::Int64(_)
        | FieldValue::Int64Upper(_) => Value::Null,
    }
}

fn float(number: f64) -> Value {
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

pub(super) fn text(bytes: &[u8]) -> Value {
    String::from_utf8_lossy(bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_come_back_as_they_were_written() {
        let Value::Object(written) = json!({
            "x-message-ttl": 1000,
            "x-single-active-consumer": true,
            "x-queue-type": "quorum",
            "list": [1, "a", null],
            "table": {"part": 0.5},
        }) else {
            panic!("no object");
        };
        assert_eq!(map(&table(&written).unwrap()), written);
        let long = Map::from_iter([("n".repeat(256), Value::Null)]);
        assert!(table(&long).is_err());
    }
}
