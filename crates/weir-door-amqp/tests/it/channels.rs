//! Channels begin, fail and end; the class `queue` and `exchange`.

use weir_broker::api::queues::{
    DeclaredQueue, Destination, QueueOutcome, QueueRequest, Refused, Settlement,
};
use weir_door::Session;
use weir_door_amqp::codec::{Method, method};
use weir_model::fields::examples::short;

use crate::client::{Client, delivery_id, message_bytes, name, of_queue};

fn declare(queue: &str) -> method::QueueDeclare {
    method::QueueDeclare {
        queue: short(queue),
        ..Default::default()
    }
}

fn declared(queue: &str) -> QueueOutcome {
    QueueOutcome::Declared(DeclaredQueue {
        name: short(queue),
        message_count: 3,
        consumer_count: 1,
    })
}

fn no_queue() -> QueueOutcome {
    QueueOutcome::Refused(Refused::NoQueue {
        name: short("q"),
        vhost: "/".to_owned(),
    })
}

#[test]
fn a_failed_channel_is_silent_until_the_client_agrees_and_its_number_is_free_then() {
    let mut client = Client::open();
    let consumer = client.consume(of_queue("q"));
    client.deliver(consumer, 1);
    client.said();
    client.send(1, declare("q"));
    client.send(1, declare("behind"));
    client.answer_next(no_queue());
    let Method::ChannelClose(close) = client.one() else {
        panic!("no close");
    };
    assert_eq!(
        (close.reply_code, close.class_id, close.method_id),
        (404, 50, 10)
    );
    let text = "NOT_FOUND - no queue 'q' in vhost '/'";
    assert_eq!(close.reply_text.as_str(), text);
    // What it held goes back, and what comes for it.
    assert!(matches!(client.ask().1, QueueRequest::Cancel { consumer: it, .. } if it == consumer));
    for serial in [1, 2] {
        let QueueRequest::Settle { deliveries, .. } = client.ask().1 else {
            panic!("nothing given back");
        };
        let how = match serial {
            1 => Settlement::RequeueFailed,
            _ => Settlement::Requeue,
        };
        assert_eq!(deliveries, [(delivery_id(serial), how)]);
        client.deliver(consumer, 2);
    }
    client.raw(&message_bytes(1, "q", false, "dropped"));
    client.send(1, declare("q"));
    client.send(1, method::ChannelClose::default());
    assert!(matches!(client.one(), Method::ChannelCloseOk(_)));
    client.send(1, method::ChannelCloseOk {});
    client.send(1, method::ChannelOpen::default());
    assert!(matches!(client.one(), Method::ChannelOpenOk(_)));
    assert_eq!(client.reason(), "");
}

#[test]
fn a_closed_channel_gives_back_what_it_holds_before_the_client_hears_so() {
    let mut client = Client::open();
    let consumer = client.consume(of_queue("q"));
    client.deliver(consumer, 1);
    client.said();
    client.send(1, method::ChannelClose::default());
    let (cancel, request) = client.ask();
    assert!(matches!(request, QueueRequest::Cancel { .. }));
    let (settle, request) = client.ask();
    let QueueRequest::Settle { deliveries, .. } = request else {
        panic!("{request:?}");
    };
    assert_eq!(deliveries, [(delivery_id(1), Settlement::RequeueFailed)]);
    client.answer(cancel, QueueOutcome::Done);
    assert!(client.said().is_empty());
    client.answer(settle, QueueOutcome::Done);
    assert!(matches!(client.one(), Method::ChannelCloseOk(_)));
    client.send(1, method::ChannelOpen::default());
    assert!(matches!(client.one(), Method::ChannelOpenOk(_)));
}

#[test]
fn what_comes_behind_a_close_is_nobodys() {
    let mut client = Client::open();
    client.send(1, declare("q"));
    client.send(1, method::ChannelClose::default());
    client.send(1, declare("behind"));
    client.answer_next(declared("q"));
    assert!(client.asks_nothing());
    let said = client.said();
    let [
        (1, Method::QueueDeclareOk(_), _),
        (1, Method::ChannelCloseOk(_), _),
    ] = &said[..]
    else {
        panic!("{said:#?}");
    };
}

#[test]
fn both_sides_may_close_a_channel_at_once() {
    let mut client = Client::open();
    client.send(1, declare("q"));
    client.send(1, method::ChannelClose::default());
    client.answer_next(no_queue());
    let said = client.said();
    let [
        (1, Method::ChannelClose(_), _),
        (1, Method::ChannelCloseOk(_), _),
    ] = &said[..]
    else {
        panic!("{said:#?}");
    };
    client.send(1, method::ChannelCloseOk {});
    client.send(1, method::ChannelOpen::default());
    assert!(matches!(client.one(), Method::ChannelOpenOk(_)));
}

#[test]
fn an_empty_name_is_the_last_queue_that_was_declared() {
    let mut client = Client::open();
    client.send(1, declare(""));
    let QueueRequest::DeclareQueue(asked) = client.answer_next(declared("amq.gen-1")) else {
        panic!("no declaration");
    };
    assert!(asked.name.is_empty());
    let Method::QueueDeclareOk(ok) = client.one() else {
        panic!("no answer");
    };
    assert_eq!((ok.message_count, ok.consumer_count), (3, 1));
    client.send(
        1,
        method::QueueBind {
            exchange: short("x"),
            ..Default::default()
        },
    );
    let QueueRequest::Bind(bind) = client.answer_next(QueueOutcome::Done) else {
        panic!("no binding");
    };
    assert_eq!(bind.destination, Destination::Queue(name("amq.gen-1")));
    assert_eq!(bind.routing_key, name("amq.gen-1"));
    assert!(matches!(client.one(), Method::QueueBindOk(_)));
    client.send(1, method::QueuePurge::default());
    assert!(matches!(
        client.answer_next(QueueOutcome::Counted(4)),
        QueueRequest::Purge { name, .. } if name.as_str() == "amq.gen-1"
    ));
    assert_eq!(
        client.one(),
        method::QueuePurgeOk { message_count: 4 }.into()
    );
}

#[test]
fn without_a_declared_queue_an_empty_name_means_none() {
    let mut client = Client::open();
    client.send(1, method::QueueDelete::default());
    let Method::ChannelClose(close) = client.one() else {
        panic!("no close");
    };
    assert_eq!(
        (close.reply_code, close.class_id, close.method_id),
        (404, 50, 40)
    );
}

#[test]
fn who_does_not_wait_hears_nothing_unless_it_fails() {
    let mut client = Client::open();
    client.send(
        1,
        method::QueueDeclare {
            no_wait: true,
            ..declare("q\r\n")
        },
    );
    let QueueRequest::DeclareQueue(asked) = client.answer_next(declared("q")) else {
        panic!("no declaration");
    };
    assert_eq!(asked.name, name("q"), "names have no line ends");
    client.send(
        1,
        method::ExchangeDeclare {
            exchange: short("x"),
            no_wait: true,
            ..Default::default()
        },
    );
    client.answer_next(QueueOutcome::Done);
    assert!(client.said().is_empty());
    client.send(
        1,
        method::QueueDelete {
            queue: short("q"),
            no_wait: true,
            ..Default::default()
        },
    );
    client.answer_next(no_queue());
    assert!(matches!(client.one(), Method::ChannelClose(_)));
}

#[test]
fn channels_are_opened_once_and_below_the_limit() {
    for (number, opens, code) in [(1, 2, 504), (3, 1, 530)] {
        let tune = method::ConnectionTuneOk {
            channel_max: 2,
            ..Default::default()
        };
        let mut client = Client::tuned(tune);
        for _ in 0..opens {
            client.send(number, method::ChannelOpen::default());
        }
        let Some((0, Method::ConnectionClose(close), _)) = client.said().pop() else {
            panic!("no close");
        };
        assert_eq!((close.reply_code, close.class_id), (code, 20));
        client.send(0, method::ConnectionCloseOk {});
        assert!(client.session.close_reason().is_some());
    }
}

#[test]
fn small_talk_is_answered_here() {
    let mut client = Client::open();
    client.send(1, method::ChannelFlow { active: true });
    assert_eq!(client.one(), method::ChannelFlowOk { active: true }.into());
    client.send(1, method::AccessRequest::default());
    assert_eq!(client.one(), method::AccessRequestOk { ticket: 1 }.into());
    client.send(1, method::ChannelFlow { active: false });
    let Method::ConnectionClose(close) = client.one() else {
        panic!("no close");
    };
    assert_eq!(close.reply_code, 540);
}
