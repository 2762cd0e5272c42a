//! Order on a channel, and bytes that are cut anywhere.

use bytes::BytesMut;
use weir_broker::api::queues::{
    DeclaredQueue, QueueOutcome, QueueRequest, QueueSession, Refused, Verdict,
};
use weir_door_amqp::codec::{Method, method};
use weir_model::fields::examples::short;

use crate::client::{
    Client, content_bytes, delivered, handshake_bytes, message_bytes, method_bytes, of_queue,
    session, stored,
};

fn purge() -> method::QueuePurge {
    method::QueuePurge {
        queue: short("q"),
        ..Default::default()
    }
}

#[test]
fn a_question_waits_for_what_came_before_and_what_comes_after_waits_for_it() {
    let mut client = Client::open();
    client.raw(&message_bytes(1, "q", false, "a"));
    client.send(1, purge());
    client.raw(&message_bytes(1, "q", false, "b"));
    let (publish, _) = client.ask_publish();
    assert!(client.asks_nothing());
    client.answer(publish, stored(1));
    let (ticket, request) = client.ask();
    assert!(matches!(request, QueueRequest::Purge { .. }) && client.asks_nothing());
    client.answer(ticket, QueueOutcome::Counted(1));
    assert!(matches!(client.one(), Method::QueuePurgeOk(_)));
    let (_, publish) = client.ask_publish();
    assert_eq!(publish.messages[0].body, "b");
}

#[test]
fn what_the_node_is_not_asked_for_is_answered_after_what_came_before_as_well() {
    for method in [
        Method::from(method::BasicQos::default()),
        method::ConfirmSelect { nowait: false }.into(),
        method::ChannelFlow { active: true }.into(),
    ] {
        for is_refused in [false, true] {
            let mut client = Client::open();
            client.raw(&message_bytes(1, "q", false, "a"));
            client.send(1, method.clone());
            let (ticket, _) = client.ask_publish();
            assert!(client.said().is_empty(), "{method:?} has overtaken");
            let verdict = match is_refused {
                true => Verdict::Refused(Refused::Precondition("p".to_owned())),
                false => Verdict::Stored,
            };
            client.answer(ticket, QueueOutcome::Published(vec![verdict]));
            let said = client.one();
            let is_closed = matches!(said, Method::ChannelClose(_));
            assert_eq!(is_closed, is_refused, "{said:?}");
        }
    }
}

#[test]
fn channels_do_not_wait_for_each_other() {
    let mut client = Client::open();
    client.send(2, method::ChannelOpen::default());
    client.said();
    client.send(1, purge());
    client.send(2, purge());
    let (first, _) = client.ask();
    let (second, _) = client.ask();
    client.answer(second, QueueOutcome::Counted(2));
    client.answer(first, QueueOutcome::Counted(1));
    let said: Vec<_> = client.said().into_iter().map(|said| said.0).collect();
    assert_eq!(said, [2, 1]);
}

#[test]
fn a_ticket_is_answered_once() {
    let mut client = Client::open();
    client.send(1, purge());
    let (ticket, _) = client.ask();
    client.answer(ticket, QueueOutcome::Counted(1));
    client.answer(ticket, QueueOutcome::Counted(1));
    assert_eq!(client.said().len(), 1);
}

/// Everything that a client can ask for.
fn dialogue() -> Vec<u8> {
    let mut wire = BytesMut::new();
    let mut add = |bytes: &[u8]| wire.extend_from_slice(bytes);
    for bytes in handshake_bytes(method::ConnectionTuneOk::default()) {
        add(&bytes);
    }
    for channel in [1, 2] {
        add(&method_bytes(channel, method::ChannelOpen::default()));
    }
    declarations(&mut add);
    messages(&mut add);
    undoings(&mut add);
    add(&method_bytes(1, method::ChannelClose::default()));
    add(&method_bytes(0, method::ConnectionClose::default()));
    wire.to_vec()
}

/// What makes exchange, queue and binding.
fn declarations(add: &mut impl FnMut(&[u8])) {
    add(&method_bytes(
        1,
        method::ExchangeDeclare {
            exchange: short("n"),
            ..Default::default()
        },
    ));
    add(&method_bytes(
        1,
        method::QueueDeclare {
            queue: short("n"),
            ..Default::default()
        },
    ));
    add(&method_bytes(
        1,
        method::QueueBind {
            queue: short("n"),
            ..Default::default()
        },
    ));
}

/// What sends and takes messages.
fn messages(add: &mut impl FnMut(&[u8])) {
    add(&method_bytes(2, method::ConfirmSelect { nowait: true }));
    for body in ["", "one", "two"] {
        add(&message_bytes(2, "n", true, body));
    }
    add(&content_bytes(
        1,
        method::BasicPublish::default(),
        &weir_model::fields::examples::full(),
        "full",
    ));
    add(&method_bytes(
        1,
        method::BasicQos {
            prefetch_count: 5,
            ..Default::default()
        },
    ));
    add(&method_bytes(1, of_queue("n")));
    add(&method_bytes(
        1,
        method::BasicGet {
            queue: short("n"),
            ..Default::default()
        },
    ));
    add(&method_bytes(
        1,
        method::BasicNack {
            multiple: true,
            requeue: true,
            ..Default::default()
        },
    ));
    add(&method_bytes(
        1,
        method::BasicCancel {
            consumer_tag: short("c"),
            no_wait: true,
        },
    ));
}

/// What empties and deletes.
fn undoings(add: &mut impl FnMut(&[u8])) {
    add(&method_bytes(1, purge()));
    add(&method_bytes(
        1,
        method::ExchangeBind {
            source: short("n"),
            ..Default::default()
        },
    ));
    add(&method_bytes(
        1,
        method::ExchangeUnbind {
            source: short("n"),
            ..Default::default()
        },
    ));
    add(&method_bytes(
        1,
        method::QueueUnbind {
            queue: short("n"),
            ..Default::default()
        },
    ));
    add(&method_bytes(
        1,
        method::QueueDelete {
            queue: short("n"),
            ..Default::default()
        },
    ));
    add(&method_bytes(
        1,
        method::ExchangeDelete {
            exchange: short("n"),
            ..Default::default()
        },
    ));
}

fn outcome(request: &QueueRequest) -> QueueOutcome {
    match request {
        QueueRequest::Open(_) => QueueOutcome::Opened(QueueSession::detached("/")),
        QueueRequest::DeclareQueue(declare) => QueueOutcome::Declared(DeclaredQueue {
            name: declare.name.clone(),
            message_count: 0,
            consumer_count: 0,
        }),
        QueueRequest::DeleteQueue { .. } | QueueRequest::Purge { .. } => QueueOutcome::Counted(1),
        QueueRequest::Publish(publish) => {
            QueueOutcome::Published(vec![Verdict::Unroutable; publish.messages.len()])
        }
        QueueRequest::Get { .. } => QueueOutcome::Got(Some((delivered(1), 0))),
        QueueRequest::DeclareExchange(_)
        | QueueRequest::DeleteExchange { .. }
        | QueueRequest::CheckPublish { .. }
        | QueueRequest::Bind(_)
        | QueueRequest::Unbind(_)
        | QueueRequest::Consume(_)
        | QueueRequest::Cancel { .. }
        | QueueRequest::Limit { .. }
        | QueueRequest::End { .. }
        | QueueRequest::Settle { .. } => QueueOutcome::Done,
    }
}

/// Messages that come together go together; so one by one, whatever the cut.
fn told_apart(request: QueueRequest) -> Vec<String> {
    match request {
        QueueRequest::Publish(publish) => {
            let messages = publish.messages.iter();
            messages.map(|message| format!("{message:?}")).collect()
        }
        request => vec![format!("{request:?}")],
    }
}

/// Requests and answers by channel, for bytes that come in these parts.
fn run(parts: &[&[u8]]) -> (Vec<String>, Vec<Vec<Method>>) {
    let mut client = Client::new(session());
    let mut requests = Vec::new();
    for part in parts {
        client.raw(part);
        while !client.asks_nothing() {
            let (ticket, request) = client.ask();
            let outcome = outcome(&request);
            requests.extend(told_apart(request));
            client.answer(ticket, outcome);
        }
    }
    assert_eq!(client.reason(), "done");
    requests.sort();
    let said = client.said();
    let of = |channel| {
        let said = said.iter().filter(move |said| said.0 == channel);
        // How many acknowledgements go together depends on what came together.
        let said = said.filter(|said| !matches!(said.1, Method::BasicAck(_)));
        said.map(|said| said.1.clone()).collect::<Vec<_>>()
    };
    (requests, vec![of(0), of(1), of(2)])
}

#[test]
fn any_split_of_the_bytes_gives_the_same_requests_and_answers() {
    let wire = dialogue();
    let whole = run(&[&wire]);
    assert!(whole.0.len() > 18, "{:#?}", whole.0);
    for cut in 0..=wire.len() {
        assert_eq!(run(&[&wire[..cut], &wire[cut..]]), whole, "cut at {cut}");
    }
    for step in [1, 2, 3, 7, 64] {
        let parts: Vec<&[u8]> = wire.chunks(step).collect();
        assert_eq!(run(&parts), whole, "steps of {step}");
    }
}
