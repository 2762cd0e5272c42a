//! Consumers, deliveries and their settlement.

use weir_broker::api::queues::{
    Delivered, QueueOutcome, QueueRequest, REPLY_QUEUE, Settlement, Tiding,
};
use weir_door_amqp::codec::{Method, method};
use weir_model::fields::{BasicProperties, FieldValue, examples::short};

use crate::client::{Client, content_bytes, delivered, name, of_queue};

fn tags(client: &mut Client) -> Vec<u64> {
    let said = client.said().into_iter();
    let tags = said.map(|(_, method, _)| match method {
        Method::BasicDeliver(deliver) => deliver.delivery_tag,
        method => panic!("{method:?}"),
    });
    tags.collect()
}

fn settled(client: &mut Client) -> Vec<(u64, Settlement)> {
    let QueueRequest::Settle { deliveries, .. } = client.answer_next(QueueOutcome::Done) else {
        panic!("nothing settled");
    };
    let deliveries = deliveries.into_iter();
    deliveries.map(|(id, how)| (id.serial, how)).collect()
}

fn ack(delivery_tag: u64, multiple: bool) -> method::BasicAck {
    method::BasicAck {
        delivery_tag,
        multiple,
    }
}

#[test]
fn a_message_comes_with_its_properties_and_is_settled_by_its_tag() {
    let mut client = Client::open();
    let consumer = client.consume(of_queue("q"));
    client.deliver(consumer, 5);
    let said = client.said();
    let [(1, Method::BasicDeliver(deliver), Some((properties, body)))] = &said[..] else {
        panic!("{said:#?}");
    };
    assert_eq!(deliver.consumer_tag, name("c"));
    assert_eq!((deliver.delivery_tag, deliver.redelivered), (1, false));
    assert_eq!(
        (&deliver.exchange, &deliver.routing_key),
        (&name("x"), &name("rk"))
    );
    assert_eq!(
        (&properties.message_id, &body[..]),
        (&Some(name("m")), &b"5"[..])
    );
    (6..=9).for_each(|serial| client.deliver(consumer, serial));
    assert_eq!(tags(&mut client), [2, 3, 4, 5]);
    client.send(1, ack(2, true));
    let reject = |requeue, delivery_tag| method::BasicReject {
        delivery_tag,
        requeue,
    };
    assert_eq!(
        settled(&mut client),
        [(5, Settlement::Ack), (6, Settlement::Ack)]
    );
    client.send(1, reject(true, 3));
    assert_eq!(settled(&mut client), [(7, Settlement::RequeueFailed)]);
    client.send(1, reject(false, 4));
    assert_eq!(settled(&mut client), [(8, Settlement::Reject)]);
    let nack = method::BasicNack {
        delivery_tag: 0,
        multiple: true,
        requeue: true,
    };
    client.send(1, nack);
    assert_eq!(settled(&mut client), [(9, Settlement::Requeue)]);
}

#[test]
fn a_tag_that_is_unknown_or_used_up_ends_the_channel() {
    let mut client = Client::open();
    let consumer = client.consume(of_queue("q"));
    client.deliver(consumer, 1);
    client.said();
    client.send(1, ack(1, false));
    client.send(1, ack(1, false));
    let Method::ChannelClose(close) = client.one() else {
        panic!("no close");
    };
    assert_eq!(
        (close.reply_code, close.class_id, close.method_id),
        (406, 60, 80)
    );
    let text = "PRECONDITION_FAILED - unknown delivery tag 1";
    assert_eq!(close.reply_text.as_str(), text);
}

#[test]
fn what_was_given_back_as_failed_says_how_often() {
    let mut client = Client::open();
    let consumer = client.consume(of_queue("q"));
    let again = Delivered {
        is_redelivered: true,
        failed_count: 2,
        ..delivered(1)
    };
    client.tell(Tiding::Delivered(consumer, again));
    let said = client.said();
    let [(1, Method::BasicDeliver(deliver), Some((properties, _)))] = &said[..] else {
        panic!("{said:#?}");
    };
    assert!(deliver.redelivered);
    let headers = properties.headers.as_ref().unwrap();
    assert_eq!(headers.get("x-delivery-count"), Some(&FieldValue::Int64(2)));
    assert_eq!(properties.message_id, Some(name("m")));
}

#[test]
fn who_deletes_the_queue_that_it_consumes_hears_the_answer_before_the_cancellation() {
    let mut client = Client::open();
    let consumer = client.consume(of_queue("q"));
    client.send(
        1,
        method::QueueDelete {
            queue: name("q"),
            ..Default::default()
        },
    );
    client.tell(Tiding::Cancelled(consumer));
    assert!(client.said().is_empty());
    client.answer_next(QueueOutcome::Counted(0));
    let said = client.said();
    let order: Vec<_> = said.iter().map(|(_, method, _)| method.id()).collect();
    let deleted = Method::from(method::QueueDeleteOk { message_count: 0 });
    assert_eq!(order.len(), 2, "{said:#?}");
    assert_eq!(order[0], deleted.id());
    assert!(matches!(said[1].1, Method::BasicCancel(_)));
}

#[test]
fn messages_come_until_the_cancel_is_answered_and_stay_the_clients() {
    let mut client = Client::open();
    let consumer = client.consume(of_queue("q"));
    let cancel = method::BasicCancel {
        consumer_tag: short("c"),
        no_wait: false,
    };
    client.send(1, cancel.clone());
    client.deliver(consumer, 1);
    assert_eq!(tags(&mut client), [1]);
    client.answer_next(QueueOutcome::Done);
    assert!(matches!(client.one(), Method::BasicCancelOk(_)));
    client.send(1, ack(1, false));
    assert_eq!(settled(&mut client), [(1, Settlement::Ack)]);
    // Cancelled already.
    client.send(1, cancel);
    assert!(matches!(client.one(), Method::BasicCancelOk(_)));
    client.deliver(consumer, 2);
    assert_eq!(settled(&mut client), [(2, Settlement::Requeue)]);
}

#[test]
fn a_consumer_hears_that_its_queue_is_gone() {
    let mut client = Client::open();
    let consumer = client.consume(of_queue("q"));
    client.tell(Tiding::Cancelled(consumer));
    let Method::BasicCancel(cancel) = client.one() else {
        panic!("no cancel");
    };
    assert_eq!((cancel.consumer_tag, cancel.no_wait), (name("c"), true));
    client.consume(of_queue("q"));
}

#[test]
fn a_name_of_a_consumer_is_used_once_at_a_time() {
    let mut client = Client::open();
    client.consume(of_queue("q"));
    client.send(1, of_queue("q"));
    let Method::ConnectionClose(close) = client.one() else {
        panic!("no close");
    };
    let text = "NOT_ALLOWED - attempt to reuse consumer tag 'c'";
    assert_eq!((close.reply_code, close.reply_text.as_str()), (530, text));
}

#[test]
fn limits_go_with_the_consumer_and_with_the_channel() {
    let mut client = Client::open();
    let qos = |prefetch_count, global| method::BasicQos {
        prefetch_count,
        global,
        ..Default::default()
    };
    client.send(1, qos(10, false));
    assert!(matches!(client.one(), Method::BasicQosOk(_)));
    client.send(1, of_queue("q"));
    let QueueRequest::Consume(consume) = client.answer_next(QueueOutcome::Done) else {
        panic!("no consumer");
    };
    assert_eq!(consume.prefetch_count, 10);
    client.said();
    client.send(1, qos(2, true));
    client.said();
    assert!(matches!(
        client.answer_next(QueueOutcome::Done),
        QueueRequest::Limit {
            prefetch_count: 2,
            ..
        }
    ));
    (1..=4).for_each(|serial| client.deliver(consume.consumer, serial));
    assert_eq!(tags(&mut client), [1, 2]);
    client.send(1, ack(1, false));
    assert_eq!(tags(&mut client), [3]);
    client.answer_next(QueueOutcome::Done);
    client.send(1, qos(0, true));
    assert!(matches!(
        client.said()[..],
        [
            (1, Method::BasicQosOk(_), _),
            (1, Method::BasicDeliver(_), Some(_))
        ]
    ));
    client.answer_next(QueueOutcome::Done);
    let size = method::BasicQos {
        prefetch_size: 1,
        ..Default::default()
    };
    client.send(1, size);
    assert!(matches!(client.one(), Method::ConnectionClose(close) if close.reply_code == 540));
}

#[test]
fn what_the_limit_holds_back_goes_back_with_the_consumer() {
    let mut client = Client::open();
    let qos = method::BasicQos {
        prefetch_count: 1,
        global: true,
        ..Default::default()
    };
    client.send(1, qos);
    let consumer = client.consume(of_queue("q"));
    (1..=3).for_each(|serial| client.deliver(consumer, serial));
    assert_eq!(tags(&mut client), [1]);
    let cancel = method::BasicCancel {
        consumer_tag: short("c"),
        no_wait: true,
    };
    client.send(1, cancel);
    client.answer_next(QueueOutcome::Done);
    let back = [(2, Settlement::Requeue), (3, Settlement::Requeue)];
    assert_eq!(settled(&mut client), back);
    assert!(client.said().is_empty());
}

#[test]
fn what_the_limit_holds_back_goes_back_with_the_channel() {
    let mut client = Client::open();
    let qos = method::BasicQos {
        prefetch_count: 1,
        global: true,
        ..Default::default()
    };
    client.send(1, qos);
    let consumer = client.consume(of_queue("q"));
    (1..=2).for_each(|serial| client.deliver(consumer, serial));
    client.send(1, method::ChannelClose::default());
    let request = client.answer_next(QueueOutcome::Done);
    assert!(matches!(request, QueueRequest::Cancel { .. }));
    let back = [(1, Settlement::RequeueFailed), (2, Settlement::Requeue)];
    assert_eq!(settled(&mut client), back);
}

#[test]
fn single_messages_are_fetched_and_do_not_count_against_the_limit() {
    let mut client = Client::open();
    let get = |no_ack| method::BasicGet {
        queue: short("q"),
        no_ack,
        ..Default::default()
    };
    client.send(1, get(false));
    client.answer_next(QueueOutcome::Got(None));
    assert!(matches!(client.one(), Method::BasicGetEmpty(_)));
    for (tag, no_ack) in [(1, false), (2, true)] {
        client.send(1, get(no_ack));
        client.answer_next(QueueOutcome::Got(Some((delivered(tag), 8))));
        let Method::BasicGetOk(ok) = client.one() else {
            panic!("nothing got");
        };
        assert_eq!((ok.delivery_tag, ok.message_count), (tag, 8));
    }
    client.send(1, ack(0, true));
    assert_eq!(settled(&mut client), [(1, Settlement::Ack)]);
}

#[test]
fn recovered_messages_go_back_before_the_answer() {
    let mut client = Client::open();
    let consumer = client.consume(of_queue("q"));
    client.deliver(consumer, 1);
    client.said();
    client.send(1, method::BasicRecover { requeue: true });
    assert!(client.said().is_empty());
    assert_eq!(settled(&mut client), [(1, Settlement::Requeue)]);
    assert!(matches!(client.one(), Method::BasicRecoverOk(_)));
    client.send(1, method::BasicRecoverAsync { requeue: true });
    assert!(client.asks_nothing() && client.said().is_empty());
    client.send(1, method::BasicRecover { requeue: false });
    assert!(matches!(client.one(), Method::ConnectionClose(close) if close.reply_code == 540));
}

#[test]
fn answers_come_to_the_channels_own_consumer() {
    let mut client = Client::open();
    let reply_to = BasicProperties {
        reply_to: Some(short(REPLY_QUEUE)),
        ..BasicProperties::default()
    };
    let consumer = client.consume(method::BasicConsume {
        no_ack: true,
        ..of_queue(REPLY_QUEUE)
    });
    let publish = method::BasicPublish {
        routing_key: short("q"),
        ..Default::default()
    };
    client.raw(&content_bytes(1, publish.clone(), &reply_to, "?"));
    let (_, asked) = client.ask_publish();
    let address = asked.session.reply_address(consumer);
    assert_eq!(asked.messages[0].properties.reply_to, Some(address));
    client.send(
        1,
        method::BasicConsume {
            no_ack: true,
            consumer_tag: short("second"),
            ..of_queue(REPLY_QUEUE)
        },
    );
    // It waits for the message before.
    assert!(client.said().is_empty());
    // Without a consumer nobody can answer.
    let mut other = Client::open();
    other.raw(&content_bytes(1, publish, &reply_to, "?"));
    let Method::ChannelClose(close) = other.one() else {
        panic!("no close");
    };
    let text = "PRECONDITION_FAILED - fast reply consumer does not exist";
    assert_eq!((close.reply_code, close.reply_text.as_str()), (406, text));
    let mut acking = Client::open();
    acking.send(1, of_queue(REPLY_QUEUE));
    assert!(matches!(acking.one(), Method::ChannelClose(close) if close.reply_code == 406));
}
