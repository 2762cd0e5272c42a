//! Deliveries that are not settled in time.

use weir_broker::api::queues::{ConsumerTag, Held, QueueOutcome, QueueRequest, Settlement};
use weir_door::{Door, Millis, Session};
use weir_door_amqp::{
    AmqpConfig, AmqpDoor, AmqpSession,
    codec::{Method, method},
};
use weir_model::fields::{FieldTable, FieldValue};

use crate::client::{Client, delivered, delivery_id, name, of_queue};

const HALF_AN_HOUR_MS: u64 = 1_800_000;

fn with_timeout(timeout_ms: i64) -> method::BasicConsume {
    let timeout = (name("x-consumer-timeout"), FieldValue::Int64(timeout_ms));
    method::BasicConsume {
        arguments: FieldTable(vec![timeout]),
        ..of_queue("q")
    }
}

/// Lets so much time pass, looking whenever the session wants to.
fn pass(client: &mut Client, ms: u64) {
    let end = client.now.plus(ms);
    while let Some(due) = client.session.poll_timeout().filter(|due| *due <= end) {
        assert!(due > client.now, "it is looked at for ever");
        client.now = due;
        client.session.handle_timeout(due);
    }
    client.now = end;
}

/// A client without heartbeats of a door with this setting.
fn client_of(consumer_timeout_ms: u64) -> Client {
    let session: AmqpSession = AmqpDoor::new(AmqpConfig {
        consumer_timeout_ms,
        ..AmqpConfig::default()
    })
    .of(weir_broker::access::AccessView::open())
    .open(crate::client::connection([127, 0, 0, 1]));
    let mut client = Client::of(session, method::ConnectionTuneOk::default());
    client.send(1, method::ChannelOpen::default());
    client.said();
    client
}

fn text_of(method: Method) -> String {
    match method {
        Method::ChannelClose(close) => {
            assert_eq!(close.reply_code, 406);
            assert_eq!((close.class_id, close.method_id), (0, 0));
            close.reply_text.as_str().to_owned()
        }
        method => panic!("{method:?}"),
    }
}

fn text(timeout_ms: u64) -> String {
    format!(
        "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: \
         {timeout_ms} ms. This timeout value can be configured, see consumers doc guide to learn more"
    )
}

#[test]
fn a_channel_that_has_not_settled_in_the_time_of_the_setting_ends_and_gives_all_back() {
    let mut client = client_of(HALF_AN_HOUR_MS);
    let consumer = client.consume(of_queue("q"));
    client.deliver(consumer, 1);
    client.deliver(consumer, 2);
    client.said();
    pass(&mut client, HALF_AN_HOUR_MS - 1);
    assert!(client.said().is_empty());
    pass(&mut client, 1);
    assert_eq!(text_of(client.one()), text(HALF_AN_HOUR_MS));
    match client.answer_next(QueueOutcome::Done) {
        QueueRequest::Cancel {
            consumer: of, held, ..
        } => {
            assert_eq!((of, held), (consumer, Held::Returns));
        }
        request => panic!("{request:?}"),
    }
    match client.answer_next(QueueOutcome::Done) {
        QueueRequest::Settle { deliveries, .. } => {
            let back = |serial| (delivery_id(serial), Settlement::RequeueFailed);
            assert_eq!(deliveries, [back(1), back(2)]);
        }
        request => panic!("{request:?}"),
    }
    assert!(client.session.close_reason().is_none());
    assert_eq!(client.session.poll_timeout(), None);
}

#[test]
fn a_consumers_own_time_counts_before_any_other_and_runs_for_each_delivery() {
    let mut client = client_of(HALF_AN_HOUR_MS);
    let consumer = client.consume(with_timeout(5_000));
    client.deliver(consumer, 1);
    pass(&mut client, 3_000);
    client.deliver(consumer, 2);
    client.send(
        1,
        method::BasicAck {
            delivery_tag: 1,
            multiple: false,
        },
    );
    client.answer_next(QueueOutcome::Done);
    client.said();
    pass(&mut client, 4_999);
    assert!(client.said().is_empty());
    pass(&mut client, 1);
    assert_eq!(text_of(client.one()), text(5_000));
}

#[test]
fn a_longer_time_of_a_consumer_is_kept_to_beside_a_shorter_one() {
    let mut client = client_of(HALF_AN_HOUR_MS);
    let patient = client.consume(with_timeout(100_000_000));
    let hasty = client.consume(method::BasicConsume {
        consumer_tag: name("d"),
        ..with_timeout(100_000)
    });
    client.deliver(patient, 1);
    pass(&mut client, 10_000_000);
    client.deliver(hasty, 2);
    client.said();
    pass(&mut client, 99_999);
    assert!(client.said().is_empty());
    pass(&mut client, 1);
    assert_eq!(text_of(client.one()), text(100_000));
}

#[test]
fn what_was_got_one_by_one_has_to_be_settled_in_time_as_well() {
    let mut client = client_of(HALF_AN_HOUR_MS);
    client.send(
        1,
        method::BasicGet {
            queue: name("q"),
            ..Default::default()
        },
    );
    client.answer_next(QueueOutcome::Got(Some((delivered(1), 0))));
    client.said();
    pass(&mut client, HALF_AN_HOUR_MS);
    assert_eq!(text_of(client.one()), text(HALF_AN_HOUR_MS));
}

#[test]
fn what_needs_no_settlement_is_never_late() {
    let mut client = client_of(HALF_AN_HOUR_MS);
    let consumer = client.consume(method::BasicConsume {
        no_ack: true,
        ..with_timeout(1)
    });
    client.deliver(consumer, 1);
    client.said();
    assert_eq!(client.session.poll_timeout(), None);
}

#[test]
fn another_channel_is_not_held_to_account() {
    let mut client = client_of(HALF_AN_HOUR_MS);
    client.send(2, method::ChannelOpen::default());
    let consumer = client.consume(with_timeout(1_000));
    client.deliver(consumer, 1);
    client.said();
    pass(&mut client, 1_000);
    assert_eq!(text_of(client.one()), text(1_000));
    client.send(2, method::ConfirmSelect { nowait: false });
    assert!(matches!(client.one(), Method::ConfirmSelectOk(_)));
}

#[test]
fn by_default_work_may_take_for_ever() {
    let mut client = client_of(AmqpConfig::default().consumer_timeout_ms);
    let consumer: ConsumerTag = client.consume(of_queue("q"));
    client.deliver(consumer, 1);
    client.said();
    pass(&mut client, 100 * HALF_AN_HOUR_MS);
    assert!(client.said().is_empty());
    assert_ne!(client.session.poll_timeout(), Some(Millis(i64::MAX)));
}
