use super::*;
use crate::{
    fields::{
        FieldTable,
        examples::{full, short},
    },
    record::{Header, write_record_with},
};

fn stored(properties: &BasicProperties, body: &'static [u8]) -> Bytes {
    let mut form = MessageForm::default();
    // Used before: nothing of it is left.
    form.set(&short("old"), &short("old"), &full());
    form.set(&short("ex"), &short("r.k"), properties);
    let mut out = Vec::new();
    form.write(body, -3, 200, &mut out);
    assert!(out.len() <= form.max_record_bytes(body));
    out.into()
}

fn read(record: &Bytes) -> StoredMessage {
    StoredMessage::read(record, 1_700_000_000_999, &short("q")).unwrap()
}

fn with_headers(headers: Vec<(ShortString, FieldValue)>) -> BasicProperties {
    BasicProperties {
        headers: Some(FieldTable(headers)),
        ..BasicProperties::default()
    }
}

#[test]
fn a_message_comes_back_with_every_property_and_type_tag() {
    for properties in [full(), BasicProperties::default()] {
        let message = read(&stored(&properties, b"body"));
        assert_eq!(message.exchange, short("ex"));
        assert_eq!(message.routing_key, short("r.k"));
        assert_eq!(message.properties(), Ok(properties));
        assert_eq!((&message.body[..], message.key), (&b"body"[..], None));
    }
}

#[test]
fn a_record_has_the_bytes_of_a_record() {
    let record = stored(&full(), b"body");
    let walked = Records::new(&record, 1).next().unwrap().unwrap();
    assert_eq!((walked.timestamp_delta_ms, walked.offset_delta), (-3, 200));
    let headers: Vec<Header<'_>> = walked.headers().collect();
    let mut again = Vec::new();
    write_record_with(-3, 200, walked.key, walked.value, &headers, &mut again);
    assert_eq!(record, again);
}

#[test]
fn readers_of_other_protocols_find_headers_and_properties_as_text() {
    let properties = BasicProperties {
        content_type: Some(short("text/plain")),
        priority: Some(5),
        expiration: Some(short("60000")),
        ..with_headers(vec![
            (short("count"), FieldValue::Int32(-3)),
            (
                short("name"),
                FieldValue::LongString(Bytes::from_static(b"n")),
            ),
            (short("none"), FieldValue::Void),
        ])
    };
    let record = stored(&properties, b"");
    let walked = Records::new(&record, 1).next().unwrap().unwrap();
    let headers: Vec<Header<'_>> = walked.headers().skip(1).collect();
    let wanted: [Header<'_>; 6] = [
        (b"count", Some(b"-3")),
        (b"name", Some(b"n")),
        (b"none", None),
        (b"content-type", Some(b"text/plain")),
        (b"expiration", Some(b"60000")),
        (b"priority", Some(b"5")),
    ];
    assert_eq!(headers, wanted);
    assert_eq!(walked.value, Some(&b""[..]));
}

#[test]
fn the_header_of_the_key_is_the_key_and_comes_back() {
    let key = FieldValue::LongString(Bytes::from_static(b"customer 7"));
    let properties = with_headers(vec![(short("weir-key"), key)]);
    let message = read(&stored(&properties, b"x"));
    assert_eq!(message.key, Some(Bytes::from_static(b"customer 7")));
    assert_eq!(message.properties(), Ok(properties));
}

#[test]
fn nobody_smuggles_an_envelope_in_as_a_header() {
    let forged = FieldValue::Bytes(Bytes::from_static(b"\x01\x01e\x01r\x00\x00"));
    let properties = with_headers(vec![(short("weir-amqp"), forged)]);
    let message = read(&stored(&properties, b"x"));
    assert_eq!(message.exchange, short("ex"));
    assert_eq!(message.properties(), Ok(properties));
}

#[test]
fn a_record_of_another_protocol_becomes_a_message() {
    let headers: [Header<'_>; 7] = [
        (b"content-type", Some(b"text/plain")),
        (b"content-type", Some(b"second")),
        (b"priority", Some(b"7")),
        (b"expiration", Some(b"1")),
        (b"raw", Some(b"\xff")),
        (b"null", None),
        (b"\xff", Some(b"a name that is no text")),
    ];
    let mut record = Vec::new();
    write_record_with(0, 0, Some(b"k"), Some(b"v"), &headers, &mut record);
    let message = read(&record.into());
    assert_eq!(
        (message.exchange.as_str(), message.routing_key.as_str()),
        ("", "q")
    );
    assert_eq!(
        (&message.body[..], message.key.as_deref()),
        (&b"v"[..], Some(&b"k"[..]))
    );
    let text = |text: &'static str| FieldValue::LongString(Bytes::from_static(text.as_bytes()));
    let wanted = BasicProperties {
        content_type: Some(short("text/plain")),
        priority: Some(7),
        delivery_mode: Some(2),
        timestamp: Some(1_700_000_000),
        ..with_headers(vec![
            (short("content-type"), text("second")),
            (short("expiration"), text("1")),
            (short("raw"), FieldValue::Bytes(Bytes::from_static(b"\xff"))),
            (short("null"), FieldValue::Void),
            (short("weir-key"), text("k")),
        ])
    };
    assert_eq!(message.properties(), Ok(wanted));
}

#[test]
fn a_record_without_anything_is_an_empty_message() {
    let mut record = Vec::new();
    write_record_with(0, 0, None, None, &[], &mut record);
    let message = StoredMessage::read(&record.into(), -1, &short("q")).unwrap();
    let wanted = BasicProperties {
        delivery_mode: Some(2),
        ..BasicProperties::default()
    };
    assert_eq!(message.properties(), Ok(wanted));
    assert!(message.body.is_empty());
}

#[test]
fn an_envelope_that_is_damaged_or_of_another_version_is_none() {
    let record = stored(&full(), b"body");
    let walked = Records::new(&record, 1).next().unwrap().unwrap();
    let (name, value) = walked.headers().next().unwrap();
    let whole = value.unwrap();
    let with = |value: &[u8]| {
        let mut record = Vec::new();
        write_record_with(0, 0, None, None, &[(name, Some(value))], &mut record);
        read(&record.into())
    };
    assert_eq!(with(whole).routing_key, short("r.k"));
    for cut in 0..whole.len() {
        assert_eq!(with(&whole[..cut]).routing_key, short("q"), "cut at {cut}");
    }
    let mut next = whole.to_vec();
    next[0] = 2;
    assert_eq!(with(&next).routing_key, short("q"));
}

#[test]
fn a_record_that_is_cut_anywhere_is_an_error() {
    let record = stored(&full(), b"body");
    for cut in 0..record.len() {
        let read = StoredMessage::read(&record.slice(..cut), 0, &short("q"));
        assert!(read.is_err(), "cut at {cut}");
    }
}

#[test]
fn the_time_of_delivery_is_what_a_client_says_unless_it_is_set() {
    let properties = with_headers(vec![
        (short("weir-deliver-at"), FieldValue::Int64(5_000)),
        (short("weir-delay"), FieldValue::Int64(7)),
    ]);
    let mut form = MessageForm::default();
    form.set(&short(""), &short("q"), &properties);
    let time_of = |form: &MessageForm| {
        let mut record = Vec::new();
        form.write(b"", 0, 0, &mut record);
        let record = Records::new(&record, 1).next().unwrap().unwrap();
        (deliver_at_ms(&record), delay_ms(&record))
    };
    assert_eq!(time_of(&form), (Some(5_000), None));
    form.set_delay(1_700_000_000_000, 250);
    assert_eq!(time_of(&form), (Some(1_700_000_000_250), Some(250)));
    form.set(&short(""), &short("q"), &full());
    assert_eq!(time_of(&form), (None, None));
}
