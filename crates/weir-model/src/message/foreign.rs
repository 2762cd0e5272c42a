//! Properties and headers under the names that other protocols' readers and writers know.

use bytes::Bytes;

use super::{ENVELOPE, HOP, KEY};
use crate::{
    fields::{BasicProperties, FieldTable, FieldValue, ShortString},
    record::Record,
};

/// The priority, in decimal digits.
pub(super) const PRIORITY: &str = "priority";

/// Delivery mode of what lies in a log already.
const PERSISTENT: u8 = 2;

/// Properties that are text, by their names.
pub(super) fn named(
    properties: &BasicProperties,
) -> impl Iterator<Item = (&'static str, &ShortString)> {
    let all = [
        ("content-type", &properties.content_type),
        ("content-encoding", &properties.content_encoding),
        ("message-id", &properties.message_id),
        ("correlation-id", &properties.correlation_id),
        ("reply-to", &properties.reply_to),
        ("type", &properties.kind),
        ("app-id", &properties.app_id),
        ("expiration", &properties.expiration),
    ];
    all.into_iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)))
}

/// What a record of another protocol says of itself. How long it lives is not its headers' to say.
pub(super) fn properties(whole: &Bytes, record: &Record<'_>, timestamp_ms: i64) -> BasicProperties {
    let mut properties = BasicProperties {
        delivery_mode: Some(PERSISTENT),
        timestamp: u64::try_from(timestamp_ms).ok().map(|ms| ms / 1000),
        ..BasicProperties::default()
    };
    let mut headers = Vec::new();
    for (name, value) in record.headers() {
        // A name that is no short string has no counterpart; a damaged envelope is none.
        let Some(name) = ShortString::from_wire(whole.slice_ref(name)) else {
            continue;
        };
        let value = value.map(|value| whole.slice_ref(value));
        let is_own = matches!(name.as_str(), ENVELOPE | KEY | HOP);
        if !is_own && !take(&mut properties, name.as_str(), value.as_ref()) {
            headers.push((name, value.map_or(FieldValue::Void, as_field)));
        }
    }
    if let Some(key) = record.key {
        let name = ShortString::new(KEY).expect("it is short");
        headers.push((name, as_field(whole.slice_ref(key))));
    }
    properties.headers = (!headers.is_empty()).then_some(FieldTable(headers));
    properties
}

fn as_field(value: Bytes) -> FieldValue {
    match std::str::from_utf8(&value) {
        Ok(_) => FieldValue::LongString(value),
        Err(_) => FieldValue::Bytes(value),
    }
}

/// Whether the header is a property that is not set yet, and fits it.
fn take(properties: &mut BasicProperties, name: &str, value: Option<&Bytes>) -> bool {
    let Some(text) = value.and_then(|value| ShortString::from_wire(value.clone())) else {
        return false;
    };
    let slot = match name {
        "content-type" => &mut properties.content_type,
        "content-encoding" => &mut properties.content_encoding,
        "message-id" => &mut properties.message_id,
        "correlation-id" => &mut properties.correlation_id,
        "reply-to" => &mut properties.reply_to,
        "type" => &mut properties.kind,
        "app-id" => &mut properties.app_id,
        PRIORITY => {
            let priority = text.as_str().parse().ok();
            let fits = priority.is_some() && properties.priority.is_none();
            properties.priority = properties.priority.or(priority);
            return fits;
        }
        _ => return false,
    };
    let is_free = slot.is_none();
    slot.get_or_insert(text);
    is_free
}
