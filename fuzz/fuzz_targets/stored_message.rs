//! No record makes the reader of messages panic, whatever its headers hold: what it gives is sent to
//! clients as it is, so it has to be properties.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use weir_model::{
    fields::{BasicProperties, Glance, Reader, ShortString},
    message::{Envelope, MessageForm, StoredMessage, deliver_at_ms},
    record::{Records, write_record_with},
};

fn check(record: &Bytes) {
    let queue = ShortString::new("queue").expect("short");
    let Ok(message) = StoredMessage::read(record, 1_000, &queue) else {
        return;
    };
    let properties = message.properties().expect("what is stored can be read");
    let mut form = MessageForm::default();
    form.set(&message.exchange, &message.routing_key, &properties);
    let mut again = Vec::new();
    form.write(&message.body, 0, 0, &mut again);
    let again = StoredMessage::read(&again.into(), 1_000, &queue).expect("it was written");
    assert_eq!(again.properties(), Ok(properties));
    assert_eq!((again.exchange, again.body), (message.exchange, message.body));
}

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    check(&bytes);
    if let Some(Ok(record)) = Records::new(&bytes, 1).next() {
        let _ = (Envelope::of(&record), deliver_at_ms(&record));
    }
    let read = BasicProperties::read(Reader::new(bytes.clone()));
    assert_eq!(Glance::at(&bytes).is_some(), read.is_ok());
    let mut record = Vec::new();
    let envelope: (&[u8], Option<&[u8]>) = (b"weir-amqp", Some(data));
    write_record_with(0, 0, None, Some(b"body"), &[envelope], &mut record);
    check(&record.into());
});
