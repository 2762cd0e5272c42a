//! Rows of Kafka's protocol. Requests are of versions before the flexible ones, where one byte
//! more or less is easy to see, unless the row is about what came with those.

use super::batch::{self, Batch};
use super::row::{Door, Due, Judge, Row, Stage};
use super::wire::{Wire, number_at};
use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What well-behaved and hostile clients write to.
pub(super) const TOPIC: &str = "hostile";
const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const METADATA: i16 = 3;
const JOIN_GROUP: i16 = 11;
const HEARTBEAT: i16 = 12;
const SASL_HANDSHAKE: i16 = 17;
const API_VERSIONS: i16 = 18;
const CREATE_TOPICS: i16 = 19;
const END_TXN: i16 = 26;
const UNSUPPORTED_VERSION: u64 = 35;
const CROWD_COUNT: usize = 1_000;
/// Connections that send 0.8 MB each which is taken: what is stored is held for a while, whoever sent it.
const STORED_CROWD_COUNT: usize = 4;
/// Of rows whose payload is large.
const SMALL_CROWD_COUNT: usize = 100;
/// How long a Produce request waits for its replicas: longer than any crowd keeps a node busy.
const PRODUCE_LIMIT_MS: i32 = 20_000;
const SETUP_LIMIT: Duration = Duration::from_secs(10);
/// From a frame's begin, behind its size: the correlation id.
const BODY_AT: usize = 8;

/// A frame with a request header of version 1.
pub(super) fn request(api: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let head = Wire::new().i16(api).i16(version).i32(7).string("hostile");
    frame(&head.raw(body).end())
}

/// A frame with a request header of version 2.
fn flexible(api: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let head = Wire::new().i16(api).i16(version).i32(7).string("hostile");
    frame(&head.u8(0).raw(body).end())
}

fn frame(body: &[u8]) -> Vec<u8> {
    Wire::new().bytes(body).end()
}

/// A Produce request of version 7 that waits for all replicas.
pub(super) fn produce(batch: &[u8]) -> Vec<u8> {
    let body = Wire::new()
        .i16(-1)
        .i16(-1)
        .i32(PRODUCE_LIMIT_MS)
        .i32(1)
        .string(TOPIC)
        .i32(1)
        .i32(0)
        .bytes(batch);
    request(PRODUCE, 7, &body.end())
}

/// The error of the one partition in a Produce answer of version 7.
pub(super) fn produce_error(answer: &[u8]) -> Option<u64> {
    number_at(answer, BODY_AT + 4 + 2 + TOPIC.len() + 4 + 4, 2)
}

/// A Fetch request of version 4, of so many partitions from their begin.
pub(super) fn fetch(max_bytes: i32, partition_count: usize) -> Vec<u8> {
    let mut body = Wire::new().i32(-1).i32(100).i32(1).i32(max_bytes).i8(0);
    body = body.i32(1).string(TOPIC);
    body = body.i32(i32::try_from(partition_count).expect("rows have few partitions"));
    for _ in 0..partition_count {
        body = body.i32(0).i64(0).i32(max_bytes);
    }
    request(FETCH, 4, &body.end())
}

/// What a well-behaved client asks first, and is told.
pub(super) fn usual() -> (Vec<u8>, Due) {
    let is_answered = code_at(BODY_AT, |code| code == 0);
    (request(API_VERSIONS, 0, b""), Due::Answer(is_answered))
}

fn join(group: &str, metadata_count: usize) -> Vec<u8> {
    let mut body = Wire::new().string(group).i32(10_000).i32(10_000).string("");
    body = body.string("consumer");
    body = body.i32(i32::try_from(metadata_count).expect("rows have few protocols"));
    for _ in 0..metadata_count {
        body = body.string("range").bytes(b"");
    }
    request(JOIN_GROUP, 2, &body.end())
}

/// Sends the requests of a login one by one, each once the one before is answered.
pub(super) fn log_in(socket: &mut TcpStream, login: &[u8]) -> Result<()> {
    let mut left = login;
    while let Some(request) = whole(left) {
        socket.write_all(request)?;
        let mut size = [0; 4];
        socket.read_exact(&mut size)?;
        let mut answer = vec![0; u32::from_be_bytes(size) as usize];
        socket.read_exact(&mut answer)?;
        let error = number_at(&answer, BODY_AT - 4, 2).context("an error code")?;
        ensure!(error == 0, "a login was answered {error}");
        left = &left[request.len()..];
    }
    Ok(())
}

/// Makes the topic that rows write to.
pub(super) fn create_topic(address: SocketAddr, login: &[u8]) -> Result<()> {
    let body = Wire::new()
        .i32(1)
        .string(TOPIC)
        .i32(1)
        .i16(1)
        .i32(0)
        .i32(0)
        .i32(10_000)
        .u8(0);
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(SETUP_LIMIT))?;
    log_in(&mut socket, login)?;
    socket.write_all(&request(CREATE_TOPICS, 2, &body.end()))?;
    let mut answer = vec![0; BODY_AT + 4 + 4 + 2 + TOPIC.len() + 2];
    socket.read_exact(&mut answer)?;
    let error = number_at(&answer, answer.len() - 2, 2).context("an error code")?;
    ensure!(error == 0, "CreateTopics answered {error}");
    Ok(())
}

/// A whole frame with an error code at that place.
fn code_at(at: usize, is_meant: fn(u64) -> bool) -> Judge {
    Box::new(move |answer| {
        let code = whole(answer).and_then(|frame| number_at(frame, at, 2))?;
        is_meant(code).then(|| format!("error {code}"))
    })
}

/// A whole frame, whatever it says.
fn served() -> Judge {
    Box::new(|answer| whole(answer).map(|frame| format!("{} bytes", frame.len())))
}

/// The first frame, once it is there as a whole.
pub(super) fn whole(answer: &[u8]) -> Option<&[u8]> {
    let size = usize::try_from(number_at(answer, 0, 4)?).ok()?;
    answer.get(..4 + size)
}

fn refused_batch() -> Due {
    Due::AnswerOrEnd(Box::new(|answer| {
        let code = produce_error(whole(answer)?)?;
        (code != 0).then(|| format!("error {code}"))
    }))
}

fn row(name: &'static str, payload: Vec<u8>, due: Due) -> Row {
    let is_large = payload.len() > 64 << 10;
    Row {
        door: Door::Kafka,
        stage: Stage::BeforeLogin,
        name,
        login: [].into(),
        payload: payload.into(),
        due,
        grace: Duration::ZERO,
        crowd_count: if is_large {
            SMALL_CROWD_COUNT
        } else {
            CROWD_COUNT
        },
    }
}

/// All of them.
pub(super) fn rows() -> Result<Vec<Row>> {
    let mut rows = frames();
    let known = requests().into_iter().chain(batches()?);
    // As long as nobody has made a user, whoever comes from this machine is let in.
    rows.extend(known.map(|row| Row {
        stage: Stage::AfterLogin,
        ..row
    }));
    Ok(rows)
}

/// What no stranger may send either.
pub(super) fn frames() -> Vec<Row> {
    let versions = flexible(API_VERSIONS, 999, b"\x01\x01\x00");
    let overflow = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let tag = Wire::new().u8(1).u8(0).u8(0).u8(1).u8(5);
    let tag = tag.raw(&[0xff, 0xff, 0xff, 0x7f]).end();
    vec![
        row("size -1", Wire::new().i32(-1).end(), Due::End),
        row("size 0", Wire::new().i32(0).end(), Due::End),
        row("size 2^31-1", Wire::new().i32(i32::MAX).end(), Due::End),
        row("api key 9999", request(9999, 0, b""), Due::End),
        row("Metadata v99", request(METADATA, 99, b""), Due::End),
        row(
            "ApiVersions v999",
            versions,
            Due::Answer(code_at(BODY_AT, |code| code == UNSUPPORTED_VERSION)),
        ),
        row(
            "array of 2^31-1",
            request(METADATA, 1, &Wire::new().i32(i32::MAX).end()),
            Due::End,
        ),
        row(
            "varint of ten bytes",
            flexible(METADATA, 12, &overflow),
            Due::End,
        ),
        row(
            "tagged field beyond the frame",
            flexible(METADATA, 12, &tag),
            Due::End,
        ),
        row(
            "body cut off",
            request(JOIN_GROUP, 2, b"\x00\x05ab"),
            Due::End,
        ),
    ]
}

fn requests() -> Vec<Row> {
    let late_end = Wire::new().string("never").i64(1 << 40).i16(3).u8(1).end();
    let first_proof = Wire::new().string("SCRAM-SHA-9999").end();
    vec![
        row("Fetch of 0 bytes", fetch(0, 1), Due::Answer(served())),
        row(
            "Fetch of 2^31-1 bytes",
            fetch(i32::MAX, 1),
            Due::Answer(served()),
        ),
        row(
            "Fetch of 10^6 partitions",
            fetch(1, 1_000_000),
            Due::AnswerOrEnd(served()),
        ),
        row(
            "JoinGroup with 10^5 protocols",
            join("crowded", 100_000),
            Due::AnswerOrEnd(served()),
        ),
        row(
            "group id of 32 KiB",
            request(HEARTBEAT, 0, &long_group()),
            Due::AnswerOrEnd(code_at(BODY_AT, |code| code != 0)),
        ),
        row(
            "EndTxn of nobody's transaction",
            request(END_TXN, 0, &late_end),
            Due::Answer(code_at(BODY_AT + 4, |code| code != 0)),
        ),
        row(
            "SaslHandshake of no mechanism",
            request(SASL_HANDSHAKE, 1, &first_proof),
            Due::AnswerOrEnd(code_at(BODY_AT, |code| code != 0)),
        ),
    ]
}

fn long_group() -> Vec<u8> {
    Wire::new()
        .string(&"g".repeat(32_000))
        .i32(1)
        .string("m")
        .end()
}

fn batches() -> Result<Vec<Row>> {
    let mut rows: Vec<_> = spoilt_batches()
        .into_iter()
        .map(|(name, batch)| row(name, produce(&batch.bytes()), refused_batch()))
        .collect();
    rows.push(epoch_rollback());
    // Whatever an offset says that the node gives itself, and whatever is in what nobody decompresses.
    for (name, batch) in [
        ("base offset below zero", below_zero()),
        ("compression in compression", batch::nested()?),
    ] {
        rows.push(row(
            name,
            produce(&batch.bytes()),
            Due::AnswerOrEnd(any_error()),
        ));
    }
    let bombs = [
        ("gzip bomb", batch::GZIP),
        ("snappy bomb", batch::SNAPPY),
        ("lz4 bomb", batch::LZ4),
        ("zstd bomb", batch::ZSTD),
    ];
    for (name, codec) in bombs {
        let bomb = Batch {
            attributes: codec,
            records: batch::bomb(codec)?,
            ..Batch::default()
        };
        // Taken as it is where it is small enough: nobody decompresses it.
        let mut row = row(name, produce(&bomb.bytes()), Due::AnswerOrEnd(any_error()));
        if codec == batch::SNAPPY {
            row.crowd_count = STORED_CROWD_COUNT;
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Whatever a Produce request is answered.
fn any_error() -> Judge {
    Box::new(|answer| Some(format!("error {}", produce_error(whole(answer)?)?)))
}

fn below_zero() -> Batch {
    Batch {
        base_offset: -5,
        ..Batch::default()
    }
}

/// Each with one thing wrong.
fn spoilt_batches() -> Vec<(&'static str, Batch)> {
    let spoilt = |spoil: fn(&mut Batch)| {
        let mut batch = Batch::default();
        spoil(&mut batch);
        batch
    };
    vec![
        ("more records stated than there", spoilt(|it| it.count = 5)),
        ("2^31-1 records stated", spoilt(|it| it.count = i32::MAX)),
        ("checksum wrong", spoilt(|it| it.is_checksum_wrong = true)),
        ("magic 0", spoilt(|it| it.magic = 0)),
        ("magic 1", spoilt(|it| it.magic = 1)),
        ("magic 3", spoilt(|it| it.magic = 3)),
        ("codec that is none", spoilt(|it| it.attributes = 7)),
        (
            "offset delta 2^31-1",
            spoilt(|it| it.last_offset_delta = i32::MAX),
        ),
        (
            "producer epoch below zero",
            spoilt(|it| it.producer = (5, -3, 0)),
        ),
    ]
}

fn epoch_rollback() -> Row {
    let batch = |epoch, sequence| Batch {
        producer: (1 << 40, epoch, sequence),
        ..Batch::default()
    };
    let payload = [produce(&batch(5, 0).bytes()), produce(&batch(3, 1).bytes())];
    let second: Judge = Box::new(|answer| {
        let first = whole(answer)?;
        let code = produce_error(whole(&answer[first.len()..])?)?;
        (code != 0).then(|| format!("error {code}"))
    });
    row(
        "producer epoch rolled back",
        payload.concat(),
        Due::Answer(second),
    )
}
