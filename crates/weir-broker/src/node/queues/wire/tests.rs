use weir_model::{NodeId, ProducerId, fields::ShortString};

use super::*;
use crate::{
    api::queues::{Held, Refused, Settlement},
    encoding::trial,
    node::queues::stream::Chunk,
    queue::{Attach, CloseIf, CloserKey, ConsumerKey, QueueFigures, settings},
};

const SESSION: SessionKey = SessionKey {
    node: NodeId(3),
    boot: 0xdead,
    number: 7,
};

fn delivered(record: &'static [u8]) -> Delivered {
    Delivered {
        id: DeliveryId::of(PartitionId(9), 10, 11),
        is_redelivered: true,
        failed_count: 2,
        record: Bytes::from_static(record),
        timestamp_ms: -5,
    }
}

fn calls() -> Vec<QueueCall> {
    let consumer = ConsumerKey {
        session: SESSION,
        tag: ConsumerTag(4),
    };
    vec![
        QueueCall::Configure(Box::new(settings::tests::full())),
        QueueCall::Configure(Box::default()),
        QueueCall::Attach(Attach {
            consumer,
            no_ack: true,
            is_exclusive: false,
            priority: -10,
            prefetch_count: 250,
        }),
        QueueCall::Detach(consumer, Held::Stays),
        QueueCall::Detach(consumer, Held::Returns),
        QueueCall::EndSession(SESSION),
        QueueCall::Settle {
            session: SESSION,
            deliveries: vec![
                (1, 2, Settlement::Ack),
                (3, 4, Settlement::RequeueFailed),
                (5, 6, Settlement::Requeue),
                (7, 8, Settlement::Reject),
            ],
        },
        QueueCall::Get {
            session: SESSION,
            request: 12,
        },
        QueueCall::Purge,
        QueueCall::Close(
            CloserKey(SESSION),
            CloseIf {
                is_unused: false,
                is_empty: true,
            },
        ),
        QueueCall::Reopen(CloserKey(SESSION)),
        QueueCall::Figures { is_use: true },
    ]
}

#[test]
fn calls_come_back_and_damage_is_an_error() {
    let (group, partition) = (GroupId(5), PartitionId(6));
    let asked = calls().into_iter().map(|call| Call::Ask {
        group,
        partition,
        call,
    });
    let others = [
        Call::Append {
            group,
            partition,
            batch: Bytes::from_static(b"batch"),
        },
        Call::Deliver(vec![
            (SESSION, ConsumerTag(1), delivered(b"one")),
            (SESSION, ConsumerTag(2), delivered(b"")),
        ]),
        Call::Room(vec![SESSION]),
        Call::StreamRead {
            partition,
            offset: 1 << 40,
            max_bytes: 9,
        },
        Call::ReplyConsumer(ConsumerKey {
            session: SESSION,
            tag: ConsumerTag(8),
        }),
    ];
    let starts = [
        StreamStart::First,
        StreamStart::Last,
        StreamStart::Next,
        StreamStart::Offset(4),
        StreamStart::Time(-1),
    ];
    let starts = starts.map(|start| Call::StreamStart { partition, start });
    for call in asked.chain(others).chain(starts) {
        let bytes = call.encode();
        assert_eq!(bytes[0], QUEUE);
        let decode = |body: &[u8]| Call::decode(&Bytes::copy_from_slice(body));
        assert_eq!(decode(&bytes[1..]), Ok(call));
        trial::damage(&bytes[1..], decode);
    }
}

fn refusals() -> Vec<Refused> {
    let name = ShortString::new("q").unwrap();
    let vhost = "/".to_owned();
    let text = "text".to_owned();
    vec![
        Refused::NoVhost(vhost.clone()),
        Refused::NoExchange {
            name: name.clone(),
            vhost: vhost.clone(),
        },
        Refused::NoQueue {
            name: name.clone(),
            vhost: vhost.clone(),
        },
        Refused::Locked {
            name: name.clone(),
            vhost: vhost.clone(),
        },
        Refused::Inequivalent {
            what: "queue",
            name: name.clone(),
            vhost: vhost.clone(),
            argument: text.clone(),
            received: text.clone(),
            current: text.clone(),
        },
        Refused::Argument {
            what: "exchange",
            name: name.clone(),
            vhost: vhost.clone(),
            argument: text.clone(),
            reason: text.clone(),
        },
        Refused::UnknownKind(name.clone()),
        Refused::InUse {
            what: "exchange",
            name: name.clone(),
            vhost: vhost.clone(),
        },
        Refused::NotEmpty {
            name: name.clone(),
            vhost: vhost.clone(),
        },
        Refused::Access(text.clone()),
        Refused::Exclusive { name, vhost },
        Refused::Precondition(text.clone()),
        Refused::NotImplemented(text),
        Refused::Failed(ErrorKind::StorageFull),
    ]
}

#[test]
fn answers_come_back_and_damage_is_an_error() {
    let figures = QueueFigures {
        ready_count: 1,
        unacked_count: 2,
        delayed_count: 3,
        consumer_count: 4,
        idle_ms: 5,
    };
    let answers = [
        QueueAnswer::Done,
        QueueAnswer::Counted(5),
        QueueAnswer::Got(None),
        QueueAnswer::Got(Some((delivered(b"record"), 6))),
        QueueAnswer::Figures(figures),
        QueueAnswer::InExclusiveUse,
        QueueAnswer::NotAQueue,
        QueueAnswer::SessionLost,
        QueueAnswer::StillUsed,
        QueueAnswer::NotEmpty,
    ];
    let refused = refusals().into_iter().map(QueueAnswer::Refused);
    let answers = answers.into_iter().chain(refused).map(Ok);
    for answer in answers.chain([Err(ErrorKind::NotLeader)]) {
        let bytes = write_answer(&answer);
        let decode = |body: &[u8]| read_answer(&Bytes::copy_from_slice(body));
        assert_eq!(decode(&bytes), Ok(answer));
        trial::damage(&bytes, decode);
    }
}

#[test]
fn what_became_of_batches_and_sessions_comes_back() {
    let landed = Landed {
        base_offset: Some(Offset(7)),
        refused_from: Some(3),
    };
    for appended in [
        Ok(Landed::default()),
        Ok(landed),
        Err(ErrorKind::StorageFull),
    ] {
        let bytes = write_appended(appended);
        assert_eq!(read_appended(&bytes), Ok(appended));
        trial::damage(&bytes, read_appended);
    }
    let sessions = Sessions {
        ended: vec![SESSION],
        full: vec![SESSION, SESSION],
    };
    assert_eq!(Sessions::decode(&sessions.encode()), Ok(sessions.clone()));
    trial::damage(&sessions.encode(), Sessions::decode);
}

#[test]
fn what_is_found_and_read_of_streams_comes_back() {
    for found in [Ok(7), Err(ErrorKind::NotLeader)] {
        let bytes = write_start_answer(found);
        assert_eq!(read_start(&bytes), Ok(found));
        trial::damage(&bytes, read_start);
    }
    let chunk = Chunk {
        log_start: 1,
        end: 2,
        aborted: vec![(ProducerId(3), 4)],
        batches: Bytes::from_static(b"batches"),
    };
    for chunk in [Ok(chunk), Err(ErrorKind::OffsetOutOfRange)] {
        let bytes = write_chunk(&chunk);
        let decode = |body: &[u8]| read_chunk(&Bytes::copy_from_slice(body));
        assert_eq!(decode(&bytes), Ok(chunk));
        trial::damage(&bytes, decode);
    }
}
