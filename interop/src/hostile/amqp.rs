//! Rows of AMQP 0-9-1. What RabbitMQ says to each stands in the specification's table of reply
//! codes; either the connection or the channel may be closed with it.

use super::amqp_much;
use super::row::{Door, Due, Judge, Row, Stage};
use super::wire::{Wire, number_at};
use anyhow::{Result, bail};
use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const FRAME_END: u8 = 0xce;
pub(super) const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
pub(super) const CONNECTION: u16 = 10;
pub(super) const CHANNEL: u16 = 20;
const EXCHANGE: u16 = 40;
const QUEUE: u16 = 50;
const BASIC: u16 = 60;
const CONFIRM: u16 = 85;
const TX: u16 = 90;
const CLOSE_OF_CONNECTION: u64 = 50;
const CLOSE_OF_CHANNEL: u64 = 40;
pub(super) const FRAME_MAX_BYTES: u32 = 128 << 10;
pub(super) const CHANNEL_MAX: u16 = 2_047;
const CROWD_COUNT: usize = 1_000;
pub(super) const SMALL_CROWD_COUNT: usize = 20;
/// How deep a table within tables goes.
const DEPTH: usize = 1_000;

/// A frame; all but those that rows spoil end as they should.
pub(super) fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    Wire::new()
        .u8(kind)
        .u16(channel)
        .long(payload)
        .u8(FRAME_END)
        .end()
}

pub(super) fn method(channel: u16, class: u16, id: u16, arguments: &[u8]) -> Vec<u8> {
    frame(
        METHOD,
        channel,
        &Wire::new().u16(class).u16(id).raw(arguments).end(),
    )
}

/// The answer to `connection.start`.
pub(super) fn start_ok(mechanism: &str, response: &[u8], properties: &[u8]) -> Vec<u8> {
    let arguments = Wire::new()
        .long(properties)
        .short(mechanism)
        .long(response)
        .short("en_US");
    method(0, CONNECTION, 11, &arguments.end())
}

/// All that a client sends until its channel 1 is open, in one piece.
pub(super) fn login() -> Vec<u8> {
    login_as("guest")
}

/// The same of a user whose password is its name.
pub(super) fn login_as(user: &str) -> Vec<u8> {
    let tune = Wire::new()
        .u16(CHANNEL_MAX)
        .u32(FRAME_MAX_BYTES)
        .u16(0)
        .end();
    let open = Wire::new().short("/").short("").u8(0).end();
    [
        PROTOCOL_HEADER.to_vec(),
        start_ok("PLAIN", format!("\0{user}\0{user}").as_bytes(), b""),
        method(0, CONNECTION, 31, &tune),
        method(0, CONNECTION, 40, &open),
        method(1, CHANNEL, 10, &Wire::new().short("").end()),
    ]
    .concat()
}

/// Whether the answers go as far as `channel.open-ok`.
pub(super) fn is_channel_open(heard: &[u8]) -> bool {
    methods(heard).any(|(class, id, _)| (class, id) == (u64::from(CHANNEL), 11))
}

/// Class, method and arguments of each whole frame of a method.
pub(super) fn methods(heard: &[u8]) -> impl Iterator<Item = (u64, u64, &[u8])> {
    let mut left = heard;
    std::iter::from_fn(move || {
        loop {
            let size = usize::try_from(number_at(left, 3, 4)?).ok()?;
            let payload = left.get(7..7 + size)?;
            let kind = left[0];
            left = left.get(8 + size..).unwrap_or_default();
            if kind == METHOD {
                let (class, id) = (number_at(payload, 0, 2)?, number_at(payload, 2, 2)?);
                return Some((class, id, &payload[4..]));
            }
        }
    })
}

/// Reads until that method comes; what comes before it is not looked at.
pub(super) fn wait_for_method(socket: &mut TcpStream, wanted: (u64, u64)) -> Result<()> {
    let mut heard = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = socket.read(&mut piece)?;
        if count == 0 {
            bail!("closed before method {wanted:?}");
        }
        heard.extend_from_slice(&piece[..count]);
        if methods(&heard).any(|(class, id, _)| (class, id) == wanted) {
            return Ok(());
        }
    }
}

/// One of those codes closes the channel or the connection.
pub(super) fn refused(codes: &'static [u64]) -> Due {
    Due::AnswerOrEnd(Box::new(|heard| {
        let code = methods(heard).find_map(|(class, id, arguments)| {
            let is_close = (class, id) == (u64::from(CONNECTION), CLOSE_OF_CONNECTION)
                || (class, id) == (u64::from(CHANNEL), CLOSE_OF_CHANNEL);
            is_close.then(|| number_at(arguments, 0, 2))?
        })?;
        codes.contains(&code).then(|| format!("reply code {code}"))
    }))
}

/// That method is answered.
fn answered(class: u16, id: u16) -> Judge {
    Box::new(move |heard| {
        let is_there =
            methods(heard).any(|found| (found.0, found.1) == (u64::from(class), u64::from(id)));
        is_there.then(|| format!("method {class}.{id}"))
    })
}

/// How a well-behaved client begins, and is greeted.
pub(super) fn usual_of_strangers() -> (Vec<u8>, Due) {
    (
        PROTOCOL_HEADER.to_vec(),
        Due::Answer(answered(CONNECTION, 10)),
    )
}

/// What it may ask once it is in, and is answered.
pub(super) fn usual() -> (Vec<u8>, Due) {
    let qos = Wire::new().u32(0).u16(1).u8(0).end();
    (method(1, BASIC, 10, &qos), Due::Answer(answered(BASIC, 11)))
}

pub(super) fn stranger(name: &'static str, payload: Vec<u8>, due: Due) -> Row {
    Row {
        door: Door::Amqp,
        stage: Stage::BeforeLogin,
        name,
        login: [].into(),
        payload: payload.into(),
        due,
        grace: Duration::ZERO,
        crowd_count: CROWD_COUNT,
    }
}

pub(super) fn known(name: &'static str, payload: Vec<u8>, due: Due) -> Row {
    Row {
        stage: Stage::AfterLogin,
        login: login().into(),
        crowd_count: if payload.len() > 64 << 10 {
            SMALL_CROWD_COUNT
        } else {
            CROWD_COUNT
        },
        ..stranger(name, payload, due)
    }
}

/// All of them.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = strangers();
    rows.extend(frames());
    rows.extend(methods_out_of_place());
    rows.extend(amqp_much::rows());
    rows
}

/// A table in a table in a table.
fn nested_table() -> Vec<u8> {
    let mut table = Vec::new();
    for _ in 0..DEPTH {
        table = Wire::new().short("t").u8(b'F').long(&table).end();
    }
    table
}

fn strangers() -> Vec<Row> {
    let greeted = |frame: Vec<u8>| [PROTOCOL_HEADER.to_vec(), frame].concat();
    let knows_header: Judge = Box::new(|heard| {
        heard
            .starts_with(PROTOCOL_HEADER)
            .then(|| "AMQP 0-9-1's header".to_owned())
    });
    let mut unended = start_ok("PLAIN", b"\0guest\0guest", b"");
    if let Some(end) = unended.last_mut() {
        *end = 0;
    }
    let huge = Wire::new().u8(METHOD).u16(0).u32(u32::MAX).end();
    let lying = Wire::new().u16(CONNECTION).u16(11).u32(u32::MAX).end();
    let garbled = Wire::new().u16(CONNECTION).u16(11).u32(0).u8(4);
    let garbled = garbled
        .raw(&[0xff, 0xfe, 0x80, 0x00])
        .long(b"")
        .short("en_US")
        .end();
    vec![
        stranger(
            "protocol header that is none",
            b"HELO you\r\n".to_vec(),
            Due::AnswerOrEnd(knows_header),
        ),
        stranger("frame-end wrong", greeted(unended), refused(&[501])),
        stranger("frame of 2^32-1 bytes", greeted(huge), refused(&[501])),
        stranger(
            "table 1,000 deep",
            greeted(start_ok("PLAIN", b"", &nested_table())),
            refused(&[501, 502]),
        ),
        stranger(
            "table beyond its frame",
            greeted(frame(METHOD, 0, &lying)),
            refused(&[501, 502]),
        ),
        stranger(
            "mechanism in no UTF-8",
            greeted(frame(METHOD, 0, &garbled)),
            refused(&[403, 501, 502]),
        ),
        stranger(
            "mechanism that is none",
            greeted(start_ok("NONE", b"", b"")),
            refused(&[403, 503, 504]),
        ),
        stranger(
            "password wrong",
            greeted(start_ok("PLAIN", b"\0guest\0wrong", b"")),
            refused(&[403]),
        ),
        stranger(
            "open before tune",
            greeted(method(0, CONNECTION, 40, b"\x01/\0\0")),
            refused(&[501, 503, 504]),
        ),
        stranger(
            "publish as a stranger",
            greeted(publish(1, "q")),
            refused(&[501, 503, 504]),
        ),
    ]
}

fn frames() -> Vec<Row> {
    let mut unended = method(1, BASIC, 10, b"\0\0\0\0\0\0\0");
    if let Some(end) = unended.last_mut() {
        *end = 0;
    }
    let long = frame(BODY, 1, &vec![0; FRAME_MAX_BYTES as usize + 1]);
    let header = |size: u64| {
        frame(
            HEADER,
            1,
            &Wire::new().u16(BASIC).u16(0).u64(size).u16(0).end(),
        )
    };
    let huge_body = [publish(1, "q"), header(1 << 63)].concat();
    let early_body = [publish(1, "q"), frame(BODY, 1, b"body")].concat();
    let longer_body = [publish(1, "q"), header(2), frame(BODY, 1, b"longer")].concat();
    vec![
        known("frame-end wrong", unended, refused(&[501])),
        known("frame of more than was negotiated", long, refused(&[501])),
        known("frame type 9", frame(9, 1, b""), refused(&[501, 505])),
        known("body before header", early_body, refused(&[505])),
        known("header without a method", header(4), refused(&[505])),
        known("body of 2^63 bytes", huge_body, refused(&[406, 501, 502])),
        known("body longer than stated", longer_body, refused(&[501, 505])),
        known(
            "heartbeat on a channel",
            frame(8, 1, b""),
            refused(&[501, 503, 505]),
        ),
    ]
}

fn publish(channel: u16, key: &str) -> Vec<u8> {
    method(
        channel,
        BASIC,
        40,
        &Wire::new().u16(0).short("").short(key).u8(0).end(),
    )
}

fn methods_out_of_place() -> Vec<Row> {
    let declare = |queue: &[u8], table: &[u8]| {
        let name = u8::try_from(queue.len()).expect("rows have short names");
        let arguments = Wire::new().u16(0).u8(name).raw(queue).u8(0).long(table);
        method(1, QUEUE, 10, &arguments.end())
    };
    let ack = |tag: u64, is_multiple: u8| {
        method(1, BASIC, 80, &Wire::new().u64(tag).u8(is_multiple).end())
    };
    let qos = method(1, BASIC, 10, &Wire::new().u32(0).u16(1).u8(0).end());
    let mixed = [method(1, CONFIRM, 10, b"\0"), method(1, TX, 10, b"")].concat();
    vec![
        known(
            "channel 65535",
            method(u16::MAX, CHANNEL, 10, b"\0"),
            refused(&[504, 530]),
        ),
        known("channel that is not open", publish(7, "q"), refused(&[504])),
        known(
            "channel opened twice",
            method(1, CHANNEL, 10, b"\0"),
            refused(&[504]),
        ),
        known("method 999.1", method(1, 999, 1, b""), refused(&[503, 540])),
        known(
            "method cut off",
            method(1, QUEUE, 10, b"\0\0\x09ab"),
            refused(&[501, 502]),
        ),
        known(
            "table 1,000 deep",
            declare(b"q", &nested_table()),
            refused(&[501, 502]),
        ),
        known(
            "field type that is none",
            declare(b"q", b"\x01x?1234"),
            refused(&[501, 502]),
        ),
        known(
            "queue named in no UTF-8",
            declare(&[0xff, 0xfe], b""),
            refused(&[501, 502, 406]),
        ),
        known("reserved name", declare(b"amq.mine", b""), refused(&[403])),
        known("tx after confirm", mixed, refused(&[406])),
        known("ack of what was not delivered", ack(77, 0), refused(&[406])),
        known(
            "ack of all of nothing",
            [ack(0, 1), qos].concat(),
            Due::Answer(answered(BASIC, 11)),
        ),
        known(
            "bindings in a circle",
            circle(),
            Due::Answer(answered(BASIC, 11)),
        ),
    ]
}

/// Two exchanges bound to each other, and a message to one of them.
fn circle() -> Vec<u8> {
    let declare = |name: &str| {
        let arguments = Wire::new()
            .u16(0)
            .short(name)
            .short("fanout")
            .u8(0)
            .long(b"");
        method(1, EXCHANGE, 10, &arguments.end())
    };
    let bind = |to: &str, from: &str| {
        let arguments = Wire::new()
            .u16(0)
            .short(to)
            .short(from)
            .short("")
            .u8(0)
            .long(b"");
        method(1, EXCHANGE, 30, &arguments.end())
    };
    let message = method(
        1,
        BASIC,
        40,
        &Wire::new().u16(0).short("circle-a").short("").u8(0).end(),
    );
    let header = frame(
        HEADER,
        1,
        &Wire::new().u16(BASIC).u16(0).u64(0).u16(0).end(),
    );
    [
        declare("circle-a"),
        declare("circle-b"),
        bind("circle-a", "circle-b"),
        bind("circle-b", "circle-a"),
        message,
        header,
        method(1, BASIC, 10, &Wire::new().u32(0).u16(1).u8(0).end()),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_is_found_behind_other_frames() {
        let heard = [
            frame(8, 0, b""),
            method(
                0,
                CONNECTION,
                50,
                &Wire::new().u16(501).short("why").u16(0).u16(0).end(),
            ),
        ]
        .concat();
        let Due::AnswerOrEnd(judge) = refused(&[501]) else {
            panic!("it may end")
        };
        assert_eq!(judge(&heard).as_deref(), Some("reply code 501"));
        assert_eq!(judge(&heard[..heard.len() - 12]), None);
    }

    #[test]
    fn another_code_is_no_refusal() {
        let heard = method(1, CHANNEL, 40, &Wire::new().u16(404).short("").end());
        let Due::AnswerOrEnd(judge) = refused(&[406]) else {
            panic!("it may end")
        };
        assert_eq!(judge(&heard), None);
    }
}
