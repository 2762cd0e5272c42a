//! The class `tx`.

use weir_broker::api::queues::{Message, QueueOutcome, QueueRequest, Refused, Settlement, Verdict};
use weir_door::Session;
use weir_door_amqp::codec::{Method, method};
use weir_model::fields::examples::short;

use crate::client::{Client, delivery_id, message_bytes, of_queue};

fn transacted() -> Client {
    let mut client = Client::open();
    client.send(1, method::TxSelect {});
    assert!(matches!(client.one(), Method::TxSelectOk(_)));
    client
}

/// What is asked about messages as they come.
fn checked(client: &mut Client, outcome: QueueOutcome) -> Vec<Message> {
    match client.answer_next(outcome) {
        QueueRequest::CheckPublish { messages, .. } => messages,
        request => panic!("{request:?}"),
    }
}

#[test]
fn messages_and_acknowledgements_count_when_they_are_committed() {
    let mut client = transacted();
    let consumer = client.consume(of_queue("q"));
    client.deliver(consumer, 1);
    client.said();
    let ack = method::BasicAck {
        delivery_tag: 1,
        multiple: false,
    };
    client.raw(&message_bytes(1, "q", false, "a"));
    client.send(1, ack);
    client.raw(&message_bytes(1, "q", true, "b"));
    for _ in 0..2 {
        let messages = checked(&mut client, QueueOutcome::Done);
        assert!(messages.len() == 1 && messages[0].body.is_empty());
    }
    assert!(client.asks_nothing());
    client.send(1, method::TxCommit {});
    let (ticket, publish) = client.ask_publish();
    assert!(publish.is_atomic && publish.messages.len() == 2);
    assert!(client.asks_nothing());
    let verdicts = vec![Verdict::Stored, Verdict::Unroutable];
    client.answer(ticket, QueueOutcome::Published(verdicts));
    assert!(matches!(client.one(), Method::BasicReturn(_)));
    let QueueRequest::Settle { deliveries, .. } = client.answer_next(QueueOutcome::Done) else {
        panic!("nothing settled");
    };
    assert_eq!(deliveries, [(delivery_id(1), Settlement::Ack)]);
    assert!(matches!(client.one(), Method::TxCommitOk(_)));
    client.send(1, method::TxCommit {});
    assert!(matches!(client.one(), Method::TxCommitOk(_)));
}

#[test]
fn what_is_rolled_back_never_was() {
    let mut client = transacted();
    let consumer = client.consume(of_queue("q"));
    client.deliver(consumer, 1);
    client.said();
    let held_bytes = client.session.held_bytes();
    client.raw(&message_bytes(1, "q", false, "a"));
    checked(&mut client, QueueOutcome::Done);
    assert!(client.session.held_bytes() > held_bytes);
    let nack = method::BasicNack {
        delivery_tag: 1,
        ..Default::default()
    };
    client.send(1, nack.clone());
    client.send(1, method::TxRollback {});
    assert!(matches!(client.one(), Method::TxRollbackOk(_)));
    assert_eq!(client.session.held_bytes(), held_bytes);
    // The tag is there again.
    client.send(1, nack);
    client.send(1, method::TxCommit {});
    let QueueRequest::Settle { deliveries, .. } = client.answer_next(QueueOutcome::Done) else {
        panic!("nothing settled");
    };
    assert_eq!(deliveries, [(delivery_id(1), Settlement::Reject)]);
}

#[test]
fn what_could_not_be_published_is_told_when_it_comes_and_nothing_of_it_counts() {
    let refused = || {
        QueueOutcome::Refused(Refused::NoExchange {
            vhost: "/".to_owned(),
            name: short("nope"),
        })
    };
    for commits in [false, true] {
        let mut client = transacted();
        client.raw(&message_bytes(1, "q", false, "a"));
        checked(&mut client, QueueOutcome::Done);
        client.raw(&message_bytes(1, "nope", false, "b"));
        if commits {
            // It waits for what came before it.
            client.send(1, method::TxCommit {});
        }
        checked(&mut client, refused());
        let Method::ChannelClose(close) = client.one() else {
            panic!("the channel goes on");
        };
        assert_eq!(close.reply_code, 404);
        assert_eq!((close.class_id, close.method_id), (60, 40));
        assert!(client.asks_nothing());
    }
}

#[test]
fn a_channel_confirms_or_transacts() {
    let confirm = || Method::from(method::ConfirmSelect { nowait: false });
    let select = || Method::from(method::TxSelect {});
    for (first, second) in [(confirm(), select()), (select(), confirm())] {
        let mut client = Client::open();
        client.send(1, first);
        client.said();
        client.send(1, second);
        assert!(matches!(client.one(), Method::ChannelClose(close) if close.reply_code == 406));
    }
    let mut client = Client::open();
    client.send(1, method::TxCommit {});
    assert!(matches!(client.one(), Method::ChannelClose(close) if close.reply_code == 406));
}

#[test]
fn a_transaction_has_its_longest_length() {
    let mut client = transacted();
    let message = message_bytes(1, "q", false, &"x".repeat(100 << 10));
    for _ in 0..163 {
        client.raw(&message);
        checked(&mut client, QueueOutcome::Done);
    }
    assert!(client.said().is_empty() && client.session.wants_read());
    client.raw(&message);
    assert!(matches!(client.one(), Method::ChannelClose(close) if close.reply_code == 406));
    assert!(client.session.held_bytes() < 10_000);
}
