//! Stored messages as frames: properties and bodies as they lie in the record.

use bytes::{Bytes, BytesMut};
use weir_broker::api::queues::Delivered;
use weir_model::{
    fields::{BasicProperties, FieldTable, FieldValue, ShortString, Writer},
    message::StoredMessage,
};

use super::outbox::{Content, Outbox, word};
use crate::codec::Method;

/// The header that counts failed deliveries.
const DELIVERY_COUNT: &str = "x-delivery-count";

/// A message on its way to the client.
pub(super) type Outgoing = StoredMessage;

/// Writes a delivered message behind the method that `method` makes of it. `false`: the record is
/// none that can be read.
pub(super) fn write(
    outbox: &mut Outbox,
    channel: u16,
    delivered: &Delivered,
    queue: &ShortString,
    method: impl FnOnce(&Outgoing) -> Method,
) -> bool {
    let read = StoredMessage::read(&delivered.record, delivered.timestamp_ms, queue);
    let message = match read {
        Ok(message) => message,
        Err(error) => {
            tracing::error!(%queue, offset = delivered.id.offset, %error, "not a record");
            return false;
        }
    };
    let properties = match delivered.failed_count {
        0 => message.raw_properties.clone(),
        count => counted(&message, count),
    };
    let content = Content {
        properties: &properties,
        body: &message.body,
    };
    outbox.content(channel, &method(&message), &content);
    true
}

/// Its properties with the count of failed deliveries.
fn counted(message: &Outgoing, failed_count: u32) -> Bytes {
    let Ok(mut properties) = message.properties() else {
        return message.raw_properties.clone();
    };
    let headers = properties.headers.get_or_insert_with(FieldTable::default);
    headers
        .0
        .retain(|(name, _)| name.as_str() != DELIVERY_COUNT);
    let count = FieldValue::Int64(i64::from(failed_count));
    headers.0.push((word(DELIVERY_COUNT), count));
    encoded(&properties)
}

/// Properties as on the wire.
pub(super) fn encoded(properties: &BasicProperties) -> Bytes {
    let mut out = BytesMut::new();
    let mut writer = Writer::new(&mut out);
    properties.write(&mut writer);
    writer.finish();
    out.freeze()
}
