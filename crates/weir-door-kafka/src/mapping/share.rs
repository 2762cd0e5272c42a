//! ShareFetch and ShareAcknowledge 1 and 2 (KIP-932).

use uuid::Uuid;
use weir_broker::api::{
    Broker, Request,
    share::{
        AckRefused, ShareAcks, ShareAnswer, ShareFetch, SharePart, ShareRefused, ShareRequest,
        SharedPartition,
    },
};
use weir_model::TopicId;

use super::plan::{Answer, Client, MapError, Mapped, Plan};
use crate::{
    codec::{
        header::Head,
        share::{FetchBody, ShareBody},
        share_response::{self, PartAnswer, ShareAnswerBody},
    },
    wire_code::{self, Surface},
};

/// The acquire mode that counts records.
const RECORD_LIMIT: i8 = 1;

/// Maps a request.
pub fn map(head: &Head, body: ShareBody, client: &Client) -> Result<Mapped, MapError> {
    if let Some(reason) = misfit(&body) {
        let refused = Err(ShareRefused::Invalid(reason));
        return Ok(Mapped::Answered(answer(head, refused, client)?));
    }
    let parts = body.topics.into_iter().flat_map(|(topic, parts)| {
        parts.into_iter().map(move |part| {
            let acks = part.acks.into_iter();
            SharePart {
                topic: TopicId(topic),
                index: part.index,
                acks: acks
                    .map(|(first, last, kinds)| ShareAcks { first, last, kinds })
                    .collect(),
            }
        })
    });
    let request = ShareRequest {
        group: body.group.unwrap_or_default().to_string(),
        member: body.member.unwrap_or_default().to_string(),
        epoch: body.epoch,
        renews: body.renews,
        partitions: parts.collect(),
        fetch: body.fetch.map(|fetch| wanted(fetch, client)),
    };
    Ok(Mapped::Ask(Request::Share(request), Plan::Share))
}

/// Whoever renews locks fetches nothing by the same request: it could take longer than they last.
fn misfit(body: &ShareBody) -> Option<&'static str> {
    let fetch = body.fetch.as_ref()?;
    let numbers = [
        fetch.max_wait_ms,
        fetch.min_bytes,
        fetch.max_bytes,
        fetch.max_records,
    ];
    let fetches = numbers.iter().any(|number| *number != 0);
    if body.renews && fetches {
        return Some("Records cannot be fetched by a request that renews locks.");
    }
    (!(0..=RECORD_LIMIT).contains(&fetch.mode)).then_some("The acquire mode is not known.")
}

fn wanted(fetch: FetchBody, client: &Client) -> ShareFetch {
    let bytes = |bytes: i32| usize::try_from(bytes).unwrap_or(0);
    let forgotten = fetch.forgotten.into_iter().flat_map(|(topic, indexes)| {
        let indexes = indexes.into_iter();
        indexes.map(move |index| (TopicId(topic), index))
    });
    ShareFetch {
        min_bytes: bytes(fetch.min_bytes),
        max_bytes: bytes(fetch.max_bytes).min(client.max_fetch_bytes),
        max_wait_ms: u64::try_from(fetch.max_wait_ms).unwrap_or(0),
        max_records: u32::try_from(fetch.max_records).unwrap_or(0),
        by_records: fetch.mode == RECORD_LIMIT,
        forgotten: forgotten.collect(),
    }
}

/// Maps the outcome.
pub fn answer(
    head: &Head,
    outcome: Result<ShareAnswer, ShareRefused>,
    client: &Client,
) -> Result<Answer, MapError> {
    let body = match outcome {
        Ok(answer) => {
            if let Some(hold) = answer.hold {
                client.shares.keep(hold);
            }
            let mut nodes: Vec<Broker> = Vec::new();
            for leader in answer.partitions.iter().filter_map(|it| it.leader.as_ref()) {
                if nodes.iter().all(|node| node.node != leader.broker.node) {
                    nodes.push(leader.broker.clone());
                }
            }
            ShareAnswerBody {
                lock_ms: i32::try_from(answer.lock_ms).unwrap_or(i32::MAX),
                topics: grouped(answer.partitions),
                nodes,
                ..ShareAnswerBody::default()
            }
        }
        Err(refused) => ShareAnswerBody {
            error_code: match refused {
                ShareRefused::Unauthorized => wire_code::GROUP_AUTHORIZATION_FAILED,
                ShareRefused::NoSession => wire_code::SHARE_SESSION_NOT_FOUND,
                ShareRefused::Epoch => wire_code::INVALID_SHARE_SESSION_EPOCH,
                ShareRefused::TooManySessions => wire_code::SHARE_SESSION_LIMIT_REACHED,
                ShareRefused::Invalid(_) => wire_code::INVALID_REQUEST,
            },
            message: match refused {
                ShareRefused::Invalid(reason) => Some(reason),
                ShareRefused::Unauthorized
                | ShareRefused::NoSession
                | ShareRefused::Epoch
                | ShareRefused::TooManySessions => None,
            },
            ..ShareAnswerBody::default()
        },
    };
    Ok(Answer::Frame(share_response::encode(head, body)?))
}

/// Puts partitions of one topic together.
fn grouped(partitions: Vec<SharedPartition>) -> Vec<(Uuid, Vec<PartAnswer>)> {
    let mut topics: Vec<(Uuid, Vec<PartAnswer>)> = Vec::new();
    for shared in partitions {
        let id = shared.topic.0;
        let part = part(shared);
        match topics.iter_mut().find(|(known, _)| *known == id) {
            Some((_, parts)) => parts.push(part),
            None => topics.push((id, vec![part])),
        }
    }
    topics
}

fn part(shared: SharedPartition) -> PartAnswer {
    let leader = shared.leader.as_deref();
    let mut part = PartAnswer {
        index: shared.index,
        leader: leader.map(|leader| (leader.broker.node, leader.epoch)),
        ack_code: match shared.acknowledged {
            Ok(()) => wire_code::NONE,
            Err(AckRefused::NotHeld) => wire_code::INVALID_RECORD_STATE,
            Err(AckRefused::Invalid) => wire_code::INVALID_REQUEST,
            Err(AckRefused::Failed(kind)) => wire_code::of(kind, Surface::Share),
        },
        acquired: shared.acquired,
        ..PartAnswer::default()
    };
    match shared.batches {
        Ok(batches) => part.chunks = batches.chunks,
        Err(kind) => part.error_code = wire_code::of(kind, Surface::Share),
    }
    part
}
