//! Calls about share groups to the leaders of shards, wherever they are.
//!
//! Calls: tag `SHARE`, then `u8` kind and `u32` shard. Kind 1, what a group has in the shard: text
//! group. Its answer: `u16` 0, `u32` count and for each partition `u64` id, `u64` start and `u64`
//! lag; or the `u16` code of an error. Kind 2, a change: see [`ShareCommand`]. Its answer: `u16` 0
//! or the code of an error.

use std::sync::Arc;

use bytes::Bytes;
use weir_model::{ErrorKind, GroupId, NodeId, PartitionId};
use weir_raft::NotCommitted;

use crate::{
    Node,
    call::SHARE,
    encoding::{DecodeError, Reader, Writer},
    outcome::AppliedOutcome,
    peer::Answer,
    shard::ShardCommand,
    share::{ShareApplied, ShareCommand},
};

// Kinds are never used again for something else.
const LIST: u8 = 1;
const CHANGE: u8 = 2;
const NO_ERROR: u16 = 0;
const PLACE_BYTES: usize = 8 + 8 + 8;

/// Where a group stands in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SharePlace {
    pub(crate) partition: PartitionId,
    pub(crate) start: u64,
    /// Records that are not done with.
    pub(crate) lag: u64,
}

/// What is asked of a shard's leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ShareCall {
    List(String),
    Change(ShareCommand),
}

/// A change has no places.
pub(super) type CallAnswer = Result<Vec<SharePlace>, ErrorKind>;
pub(super) type CallDone = Box<dyn FnOnce(CallAnswer) + Send>;

impl ShareCall {
    fn encode(&self, shard: GroupId) -> Bytes {
        let mut writer = Writer::new();
        writer.u8(SHARE);
        match self {
            Self::List(group) => {
                writer.u8(LIST);
                writer.u32(shard.0);
                writer.text(group);
            }
            Self::Change(command) => {
                writer.u8(CHANGE);
                writer.u32(shard.0);
                command.write(&mut writer);
            }
        }
        writer.finish()
    }

    fn decode(body: &[u8]) -> Result<(GroupId, Self), DecodeError> {
        let mut reader = Reader::new(body);
        let kind = reader.u8()?;
        let shard = GroupId(reader.u32()?);
        let call = match kind {
            LIST => Self::List(reader.text()?.to_owned()),
            CHANGE => Self::Change(ShareCommand::read(&mut reader)?),
            kind => return Err(reader.unknown_tag("share call", kind)),
        };
        reader.finish()?;
        Ok((shard, call))
    }
}

/// For fuzz targets.
pub(crate) fn reread_call(body: &[u8]) -> Option<Bytes> {
    let (shard, call) = ShareCall::decode(body).ok()?;
    Some(call.encode(shard))
}

/// For fuzz targets.
pub(crate) fn reread_answer(bytes: &[u8]) -> Option<Bytes> {
    Some(write_answer(&read_answer(bytes).ok()?))
}

fn write_answer(answer: &CallAnswer) -> Bytes {
    let mut writer = Writer::new();
    match answer {
        Err(error) => writer.u16(error.code()),
        Ok(places) => {
            writer.u16(NO_ERROR);
            writer.count(places.len());
            for place in places {
                writer.u64(place.partition.0);
                writer.u64(place.start);
                writer.u64(place.lag);
            }
        }
    }
    writer.finish()
}

fn read_answer(bytes: &[u8]) -> Result<CallAnswer, DecodeError> {
    let mut reader = Reader::new(bytes);
    let code = reader.u16()?;
    if code != NO_ERROR {
        let error = ErrorKind::from_code(code).ok_or_else(|| reader.invalid("error code"))?;
        return Ok(Err(error));
    }
    let mut places = Vec::new();
    for _ in 0..reader.count(PLACE_BYTES)? {
        places.push(SharePlace {
            partition: PartitionId(reader.u64()?),
            start: reader.u64()?,
            lag: reader.u64()?,
        });
    }
    reader.finish()?;
    Ok(Ok(places))
}

/// Answers a call. Nobody but members asks.
pub(crate) fn serve(node: &Arc<Node>, from: NodeId, request: &Bytes, answer: Answer) {
    match ShareCall::decode(request) {
        Ok(_) if from.0 == 0 => tracing::warn!("a call about share groups from no member"),
        Ok((shard, _)) if !node.has_partitions(shard) => {
            tracing::warn!(%from, %shard, "a call to a group that has no partitions here");
        }
        Ok((shard, call)) => {
            let done = move |result: CallAnswer| answer(write_answer(&result));
            node.share_call_here(shard, call, Box::new(done));
        }
        Err(error) => tracing::warn!(%from, %error, "a call that is damaged or unknown"),
    }
}

impl Node {
    /// Asks a shard's leader, once.
    pub(super) fn ask_share(self: &Arc<Self>, shard: GroupId, call: ShareCall, done: CallDone) {
        match self.leader_of(shard) {
            Some((leader, _)) if leader == self.id() => self.share_call_here(shard, call, done),
            Some((leader, _)) => {
                let done = move |answer: Result<Bytes, _>| {
                    let answer = answer.map(|answer| read_answer(&answer));
                    done(match answer {
                        Ok(Ok(answer)) => answer,
                        Ok(Err(_)) | Err(_) => Err(ErrorKind::NotLeader),
                    });
                };
                self.peers.call(leader, call.encode(shard), Box::new(done));
            }
            None => done(Err(ErrorKind::NotLeader)),
        }
    }

    fn share_call_here(self: &Arc<Self>, shard: GroupId, call: ShareCall, done: CallDone) {
        self.visit_leading(shard, move |visited| {
            let (shard, context) = match visited {
                Ok(visited) => visited,
                Err(error) => return done(Err(error)),
            };
            match call {
                ShareCall::List(group) => done(Ok(shard.share_places(&group))),
                ShareCall::Change(command) => {
                    let done = move |outcome: Result<AppliedOutcome, NotCommitted>| {
                        done(match outcome {
                            Ok(AppliedOutcome::Share(ShareApplied::TooMany)) => {
                                Err(ErrorKind::Overloaded)
                            }
                            Ok(_) => Ok(Vec::new()),
                            Err(error) => Err(error.kind()),
                        });
                    };
                    context.propose(ShardCommand::share(&command), Some(Box::new(done)));
                }
            }
        });
    }

    /// Asks the leaders of all shards; `done` hears all places, or the first error.
    pub(super) fn ask_all_shards(self: &Arc<Self>, call: &ShareCall, done: CallDone) {
        let shards = 1..=self.config.shard_count;
        let shards: Vec<GroupId> = shards.map(GroupId).collect();
        let calls = shards.into_iter().map(|shard| (shard, call.clone()));
        self.ask_shards(calls.collect(), done);
    }

    /// Asks the leaders of some shards, one after the other.
    pub(super) fn ask_shards(self: &Arc<Self>, calls: Vec<(GroupId, ShareCall)>, done: CallDone) {
        self.ask_rest(calls, Vec::new(), done);
    }

    /// What was told so far goes along: answers that were nested would fill the stack with as many
    /// calls as a client wants.
    fn ask_rest(
        self: &Arc<Self>,
        mut calls: Vec<(GroupId, ShareCall)>,
        mut told: Vec<SharePlace>,
        done: CallDone,
    ) {
        let Some((shard, call)) = calls.pop() else {
            return done(Ok(told));
        };
        let node = Arc::clone(self);
        let asked = move |answer: CallAnswer| match answer {
            Err(error) => done(Err(error)),
            Ok(places) => {
                told.extend(places);
                node.ask_rest(calls, told, done);
            }
        };
        self.ask_share(shard, call, Box::new(asked));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_answers_read_back_and_a_cut_one_is_refused() {
        let calls = [
            ShareCall::List("group".to_owned()),
            ShareCall::Change(ShareCommand::Forget {
                group: "group".to_owned(),
                topics: None,
            }),
        ];
        for call in calls {
            let bytes = call.encode(GroupId(3));
            assert_eq!(bytes[0], SHARE);
            assert_eq!(ShareCall::decode(&bytes[1..]), Ok((GroupId(3), call)));
            for cut in 1..bytes.len() {
                assert!(ShareCall::decode(&bytes[1..cut]).is_err(), "cut at {cut}");
            }
        }
        let place = SharePlace {
            partition: PartitionId(7),
            start: 3,
            lag: 2,
        };
        for answer in [
            Ok(vec![place, place]),
            Ok(Vec::new()),
            Err(ErrorKind::NotLeader),
        ] {
            let bytes = write_answer(&answer);
            assert_eq!(read_answer(&bytes), Ok(answer));
            for cut in 0..bytes.len() {
                assert!(read_answer(&bytes[..cut]).is_err(), "cut at {cut}");
            }
        }
    }
}
