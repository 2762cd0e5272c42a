//! ShareFetch and ShareAcknowledge 1 and 2 (KIP-932, KIP-1206, KIP-1222). The crate of the schemas
//! knows version 1 alone.
//!
//! ShareFetch: optional texts group and member, `i32` session epoch, `i32` most wait in ms, least
//! and most bytes, most records, batch size, from version 2 on `i8` acquire mode and `u8` whether it
//! renews; topics, each `u128` id and partitions, each `i32` index and acknowledgements, each `i64`
//! first and last offset and `i8` kinds; forgotten topics, each `u128` id and `i32` indexes.
//! ShareAcknowledge: optional texts group and member, `i32` session epoch, from version 2 on `u8`
//! whether it renews; topics as above. Lengths are compact, and tags end each structure.

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{
    header::Head,
    shape::{DecodeError, Kind, Shape},
    shapes::{I8, I32, I64, TEXT, UUID, all, of, since},
    topic_ids::Body,
};

/// First version with an acquire mode and renewals.
pub const RENEW_FROM: i16 = 2;

pub(super) static SHARE_FETCH: Shape = of(&[
    all(TEXT),
    all(TEXT),
    all(I32),
    all(I32),
    all(I32),
    all(I32),
    all(I32),
    all(I32),
    since(RENEW_FROM, I8),
    since(RENEW_FROM, I8),
    all(Kind::Array(&TOPIC)),
    all(Kind::Array(&FORGOTTEN)),
]);
pub(super) static SHARE_ACKNOWLEDGE: Shape = of(&[
    all(TEXT),
    all(TEXT),
    all(I32),
    since(RENEW_FROM, I8),
    all(Kind::Array(&TOPIC)),
]);
static TOPIC: Shape = of(&[all(UUID), all(Kind::Array(&PARTITION))]);
static PARTITION: Shape = of(&[all(I32), all(Kind::Array(&ACKS))]);
static ACKS: Shape = of(&[all(I64), all(I64), all(Kind::Plain(&I8))]);
static FORGOTTEN: Shape = of(&[all(UUID), all(Kind::Plain(&I32))]);

/// What both requests say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ShareBody {
    /// The group.
    pub group: Option<StrBytes>,
    /// The member.
    pub member: Option<StrBytes>,
    /// The session's epoch.
    pub epoch: i32,
    /// Whether acknowledgements renew.
    pub renews: bool,
    /// The topics.
    pub topics: Vec<(Uuid, Vec<WirePart>)>,
    /// What is fetched; `None`: nothing.
    pub fetch: Option<FetchBody>,
}

/// What ShareFetch says besides.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FetchBody {
    /// Longest wait, in ms.
    pub max_wait_ms: i32,
    /// Least bytes.
    pub min_bytes: i32,
    /// Most bytes.
    pub max_bytes: i32,
    /// Most records.
    pub max_records: i32,
    /// 0: whole batches; 1: no more records than that.
    pub mode: i8,
    /// Topics with indexes.
    pub forgotten: Vec<(Uuid, Vec<i32>)>,
}

/// A partition.
#[derive(Debug, PartialEq, Eq)]
pub struct WirePart {
    /// Its index.
    pub index: i32,
    /// First and last offset, and kinds.
    pub acks: Vec<(i64, i64, Vec<i8>)>,
}

/// Decodes ShareFetch.
pub fn fetch(head: &Head, body: Bytes) -> Result<ShareBody, DecodeError> {
    let mut body = Body::new(body);
    let mut request = ShareBody {
        group: body.optional_text()?,
        member: body.optional_text()?,
        epoch: body.i32()?,
        ..ShareBody::default()
    };
    let mut fetch = FetchBody {
        max_wait_ms: body.i32()?,
        min_bytes: body.i32()?,
        max_bytes: body.i32()?,
        max_records: body.i32()?,
        ..FetchBody::default()
    };
    // Acquired records are told of by what is acknowledged alike, however many that are.
    let _batch_size = body.i32()?;
    if head.version >= RENEW_FROM {
        fetch.mode = body.i8()?;
        request.renews = body.flag()?;
    }
    request.topics = body.list(topic)?.unwrap_or_default();
    fetch.forgotten = body.list(forgotten)?.unwrap_or_default();
    body.finish()?;
    request.fetch = Some(fetch);
    Ok(request)
}

/// Decodes ShareAcknowledge.
pub fn acknowledge(head: &Head, body: Bytes) -> Result<ShareBody, DecodeError> {
    let mut body = Body::new(body);
    let request = ShareBody {
        group: body.optional_text()?,
        member: body.optional_text()?,
        epoch: body.i32()?,
        renews: head.version >= RENEW_FROM && body.flag()?,
        topics: body.list(topic)?.unwrap_or_default(),
        fetch: None,
    };
    body.finish()?;
    Ok(request)
}

fn topic(body: &mut Body) -> Result<(Uuid, Vec<WirePart>), DecodeError> {
    let topic = (body.uuid()?, body.list(part)?.unwrap_or_default());
    body.tags()?;
    Ok(topic)
}

fn part(body: &mut Body) -> Result<WirePart, DecodeError> {
    let part = WirePart {
        index: body.i32()?,
        acks: body.list(acks)?.unwrap_or_default(),
    };
    body.tags()?;
    Ok(part)
}

fn acks(body: &mut Body) -> Result<(i64, i64, Vec<i8>), DecodeError> {
    let kinds = |body: &mut Body| Ok(body.list(Body::i8)?.unwrap_or_default());
    let acks = (body.i64()?, body.i64()?, kinds(body)?);
    body.tags()?;
    Ok(acks)
}

fn forgotten(body: &mut Body) -> Result<(Uuid, Vec<i32>), DecodeError> {
    let topic = (body.uuid()?, body.list(Body::i32)?.unwrap_or_default());
    body.tags()?;
    Ok(topic)
}
