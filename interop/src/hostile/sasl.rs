//! Rows about logging in, and about strangers once there are users, at both doors.

use super::row::{Door, Due, Judge, Row, Stage};
use super::wire::{Wire, number_at};
use super::{amqp, kafka};
use std::time::Duration;

/// Who well-behaved clients are, with a password of the same letters.
pub(super) const USER: &str = "honest";
const METADATA: i16 = 3;
const HANDSHAKE: i16 = 17;
const AUTHENTICATE: i16 = 36;
const UNSUPPORTED_MECHANISM: u64 = 33;
const ILLEGAL_STATE: u64 = 34;
const FAILED: u64 = 58;
/// From a frame's begin: behind its size and its correlation id.
const CODE_AT: usize = 8;
/// Past what a stranger's frame may be, in bytes.
const LARGE_BYTES: usize = 16 << 10;
const CROWD_COUNT: usize = 1_000;
/// Of rows that cost the node a derivation of a password each.
const SMALL_CROWD_COUNT: usize = 100;

fn handshake(mechanism: &str) -> Vec<u8> {
    kafka::request(HANDSHAKE, 1, &Wire::new().string(mechanism).end())
}

fn token(bytes: &[u8]) -> Vec<u8> {
    kafka::request(AUTHENTICATE, 0, &Wire::new().bytes(bytes).end())
}

/// What a well-behaved client of Kafka's protocol sends first.
pub(super) fn login() -> Vec<u8> {
    let said = format!("\0{USER}\0{USER}");
    [handshake("PLAIN"), token(said.as_bytes())].concat()
}

/// The last of so many answers has that code.
fn code(answers_count: usize, wanted: u64) -> Judge {
    Box::new(move |heard| {
        let mut left = heard;
        for _ in 1..answers_count {
            left = left.get(kafka::whole(left)?.len()..)?;
        }
        let code = number_at(kafka::whole(left)?, CODE_AT, 2)?;
        (code == wanted).then(|| format!("error {code}"))
    })
}

fn row(stage: Stage, name: &'static str, payload: Vec<u8>, due: Due) -> Row {
    Row {
        door: Door::Kafka,
        stage,
        name,
        login: match stage {
            Stage::User => login().into(),
            Stage::BeforeLogin | Stage::AfterLogin | Stage::Stranger => [].into(),
        },
        payload: payload.into(),
        due,
        grace: Duration::ZERO,
        crowd_count: CROWD_COUNT,
    }
}

/// All of them.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = of_mechanisms();
    rows.extend(of_tokens());
    rows.extend(of_bare_tokens());
    rows.extend(of_order());
    rows.extend(of_amqp());
    let strangers = kafka::frames().into_iter().map(|row| Row {
        stage: Stage::Stranger,
        ..row
    });
    rows.extend(strangers);
    rows
}

fn of_mechanisms() -> Vec<Row> {
    let row = |name, payload, due| row(Stage::Stranger, name, payload, due);
    let unknown = || Due::Answer(code(1, UNSUPPORTED_MECHANISM));
    vec![
        row("SASL mechanism that is none", handshake("NONE"), unknown()),
        row("SASL mechanism of no letters", handshake(""), unknown()),
        row(
            "SASL mechanism of 10,000 letters",
            handshake(&"S".repeat(10_000)),
            unknown(),
        ),
        row(
            "SASL mechanism in small letters",
            handshake("scram-sha-256"),
            unknown(),
        ),
        row(
            "1,000 handshakes, no token",
            handshake("SCRAM-SHA-512").repeat(1_000),
            Due::AnswerOrEnd(code(1_000, 0)),
        ),
    ]
}

fn of_tokens() -> Vec<Row> {
    let tried = |mechanism: &str, tokens: &[&[u8]]| {
        let tokens = tokens.iter().map(|bytes| token(bytes)).collect::<Vec<_>>();
        [vec![handshake(mechanism)], tokens].concat().concat()
    };
    let row = |name, payload, due| row(Stage::Stranger, name, payload, due);
    let failed = |answers_count| Due::Answer(code(answers_count, FAILED));
    let name = format!("n,,n={},r=abc", "a".repeat(15_000));
    let wrong = Row {
        crowd_count: SMALL_CROWD_COUNT,
        ..row(
            "PLAIN with a wrong password",
            tried("PLAIN", &[b"\0honest\0wrong"]),
            failed(2),
        )
    };
    vec![
        wrong,
        row(
            "SASL token past what a stranger may send",
            tried("SCRAM-SHA-256", &[&[b'a'; LARGE_BYTES]]),
            Due::End,
        ),
        row("PLAIN of no parts", tried("PLAIN", &[b"honest"]), failed(2)),
        row(
            "PLAIN in no UTF-8",
            tried("PLAIN", &[b"\0\xff\xfe\0\x80"]),
            failed(2),
        ),
        row(
            "PLAIN for somebody else",
            tried("PLAIN", &[b"root\0honest\0x"]),
            failed(2),
        ),
        row(
            "SCRAM name of 15,000 letters",
            tried("SCRAM-SHA-256", &[name.as_bytes()]),
            Due::AnswerOrEnd(Box::new(|heard| {
                let first = kafka::whole(heard)?;
                kafka::whole(&heard[first.len()..]).map(|_| "answered".to_owned())
            })),
        ),
        row(
            "SCRAM with nothing in it",
            tried("SCRAM-SHA-512", &[b""]),
            failed(2),
        ),
        row(
            "SCRAM's last message first",
            tried("SCRAM-SHA-256", &[b"c=biws,r=abc,p=AAAA"]),
            failed(2),
        ),
        row(
            "SCRAM nonce of somebody else",
            tried(
                "SCRAM-SHA-256",
                &[b"n,,n=honest,r=abc", b"c=biws,r=abcdef,p=AAAA"],
            ),
            failed(3),
        ),
        row(
            "SCRAM that wants channel binding",
            tried("SCRAM-SHA-256", &[b"p=tls-unique,,n=honest,r=abc"]),
            failed(2),
        ),
    ]
}

/// Tokens without a header, as before Kafka 1.0.
fn of_bare_tokens() -> Vec<Row> {
    let bare = |size: i32| {
        let version_0 = Wire::new().string("PLAIN").end();
        [
            kafka::request(HANDSHAKE, 0, &version_0),
            Wire::new().i32(size).end(),
        ]
        .concat()
    };
    let row = |name, payload, due| row(Stage::Stranger, name, payload, due);
    vec![
        row("bare token of 2^31-1 bytes", bare(i32::MAX), Due::End),
        row("bare token of -1 bytes", bare(-1), Due::End),
        row("bare token of no bytes", bare(0), Due::End),
    ]
}

fn of_order() -> Vec<Row> {
    let metadata = || kafka::request(METADATA, 1, &Wire::new().i32(-1).end());
    let illegal = || Due::Answer(code(1, ILLEGAL_STATE));
    let fresh = handshake("SCRAM-SHA-256");
    let named = || handshake("PLAIN");
    vec![
        row(
            Stage::Stranger,
            "token before a handshake",
            token(b"\0a\0b"),
            illegal(),
        ),
        row(
            Stage::Stranger,
            "Metadata before a login",
            metadata(),
            Due::End,
        ),
        row(
            Stage::Stranger,
            "Metadata in the middle of a login",
            [fresh, metadata()].concat(),
            Due::End,
        ),
        row(Stage::User, "handshake after a login", named(), illegal()),
        row(
            Stage::User,
            "token after a login",
            token(b"\0a\0b"),
            illegal(),
        ),
    ]
}

fn of_amqp() -> Vec<Row> {
    let row = |name, payload, due| Row {
        door: Door::Amqp,
        ..row(Stage::Stranger, name, payload, due)
    };
    let refused = || amqp::refused(&[403, 501, 502, 503, 504]);
    let greeted = |frames: &[Vec<u8>]| [amqp::login()[..8].to_vec(), frames.concat()].concat();
    let start = |mechanism: &str, response: &[u8]| amqp::start_ok(mechanism, response, b"");
    let long = format!("\0{}\0x", "a".repeat(100_000));
    let secure = amqp::method(0, 10, 21, &Wire::new().long(b"x").end());
    vec![
        row(
            "guest once there are users",
            greeted(&[start("PLAIN", b"\0guest\0guest")]),
            refused(),
        ),
        row(
            "PLAIN of 100,000 letters",
            greeted(&[start("PLAIN", long.as_bytes())]),
            refused(),
        ),
        row(
            "PLAIN of no parts",
            greeted(&[start("PLAIN", b"honest")]),
            refused(),
        ),
        row(
            "AMQPLAIN of no table",
            greeted(&[start("AMQPLAIN", b"\xff\xff\xff")]),
            refused(),
        ),
        row(
            "EXTERNAL without a certificate",
            greeted(&[start("EXTERNAL", b"")]),
            refused(),
        ),
        row(
            "secure-ok that nobody asked for",
            greeted(&[secure]),
            refused(),
        ),
        row(
            "start-ok again and again",
            greeted(&vec![start("PLAIN", b"\0honest\0wrong"); 100]),
            refused(),
        ),
    ]
}
