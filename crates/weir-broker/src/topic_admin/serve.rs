//! Requests are carried out as a client's are, by the node that can.

use std::sync::Arc;

use bytes::Bytes;
use weir_model::{ErrorKind, NodeId, TopicName};

use super::words::{
    GroupRow, ListedGroupRow, MemberRow, OffsetAt, OffsetRow, PlaceRow, TopicAdminAnswer,
    TopicAdminRequest,
};
use crate::{
    Node,
    api::{
        Backend as _, CommittedOffset, DeleteOffsets, DescribedConsumerGroup, DescribedGroup,
        FetchedOffset, GroupKind, GroupPhase, ListGroups, ListOffset, ListOffsets, OffsetCommit,
        OffsetFetch, OffsetSpec, Outcome, Request, TopicRef,
        admin::{ConfigResource, DeleteRecords, DescribeConfigs, Manage, Managed},
    },
    group::subscription,
    mailbox::Reply,
    peer::Answer,
};

/// What is not found by then is not told, in ms.
const LOOK_LIMIT_MS: u64 = 5_000;
/// What a client that is no member of a group commits as.
const NO_GENERATION: i32 = -1;

type Done = Box<dyn FnOnce(TopicAdminAnswer) + Send>;

/// Answers a call.
pub(crate) fn serve(node: &Arc<Node>, request: &Bytes, answer: Answer) {
    let done: Done = Box::new(move |said| answer(said.encode()));
    match TopicAdminRequest::decode(request) {
        Ok(request) => carry_out(node, request, done),
        Err(error) => done(TopicAdminAnswer::refused(error)),
    }
}

/// The body of a call as it is understood, written again.
pub(crate) fn reread_call(body: &[u8]) -> Option<Bytes> {
    let request = TopicAdminRequest::decode(body).ok()?;
    Some(request.to_call())
}

impl Node {
    /// Asks a node, this one or another, what it alone can answer. Whether the requester may ask is
    /// looked at before.
    pub fn topic_admin(
        self: &Arc<Self>,
        of: NodeId,
        request: TopicAdminRequest,
        done: Box<dyn FnOnce(TopicAdminAnswer) + Send>,
    ) {
        if of == self.id() {
            return carry_out(self, request, done);
        }
        let heard = move |answer: Result<Bytes, _>| {
            let answer = answer.map_err(|_| ErrorKind::TimedOut);
            let answer = answer.and_then(|answer| {
                TopicAdminAnswer::decode(&answer).map_err(|_| ErrorKind::UnsupportedVersion)
            });
            done(answer.unwrap_or_else(TopicAdminAnswer::refused));
        };
        self.peers.call(of, request.to_call(), Box::new(heard));
    }

    /// The node that coordinates a group, where one is known.
    pub fn group_coordinator(&self, group: &str) -> Option<NodeId> {
        let leader = self.leader_of(self.coordinating_shard(group));
        leader.map(|(node, _)| node)
    }
}

fn ask(node: &Arc<Node>, request: Request, then: impl FnOnce(Outcome) + Send + 'static) {
    node.submit(request, Reply::call(then));
}

fn unexpected() -> TopicAdminAnswer {
    TopicAdminAnswer::refused(ErrorKind::InvalidRequest)
}

fn named(topic: &str) -> Result<TopicRef, ErrorKind> {
    let name = TopicName::new(topic).map_err(|_| ErrorKind::InvalidTopic)?;
    Ok(TopicRef::Name(name))
}

fn answered<T>(
    result: Result<T, ErrorKind>,
    then: impl FnOnce(T) -> TopicAdminAnswer,
) -> TopicAdminAnswer {
    result.map_or_else(TopicAdminAnswer::refused, then)
}

fn carry_out(node: &Arc<Node>, request: TopicAdminRequest, done: Done) {
    let tried = match request {
        TopicAdminRequest::Offsets {
            topic,
            partitions,
            at,
        } => offsets(node, &topic, partitions, at, done),
        TopicAdminRequest::DeleteRecords {
            topic,
            partition,
            offset,
        } => delete_records(node, &topic, (partition, offset), done),
        TopicAdminRequest::DescribeNode => {
            describe_node(node, done);
            Ok(())
        }
        TopicAdminRequest::ListGroups => {
            ask(
                node,
                Request::ListGroups(ListGroups::default()),
                |outcome| {
                    done(listed(outcome));
                },
            );
            Ok(())
        }
        TopicAdminRequest::DescribeGroup { group } => {
            describe(node, group, done);
            Ok(())
        }
        TopicAdminRequest::DeleteGroup { group } => {
            ask(node, Request::DeleteGroups(vec![group]), |outcome| {
                done(match outcome {
                    Outcome::DeleteGroups(answers) => all_done(answers),
                    _ => unexpected(),
                });
            });
            Ok(())
        }
        TopicAdminRequest::CommitOffsets { group, offsets } => commit(node, group, offsets, done),
        TopicAdminRequest::DeleteOffsets { group, places } => forget(node, group, &places, done),
    };
    if let Err((error, done)) = tried {
        done(TopicAdminAnswer::refused(error));
    }
}

/// What could not be asked for, and who waits.
type Tried = Result<(), (ErrorKind, Done)>;

fn offsets(node: &Arc<Node>, topic: &str, partitions: Vec<i32>, at: OffsetAt, done: Done) -> Tried {
    let topic = match named(topic) {
        Ok(topic) => topic,
        Err(error) => return Err((error, done)),
    };
    let at = match at {
        OffsetAt::Earliest => OffsetSpec::Earliest,
        OffsetAt::Latest => OffsetSpec::Latest,
        OffsetAt::TimestampMs(ms) => OffsetSpec::Timestamp(ms),
    };
    let wanted = partitions.iter().map(|index| ListOffset {
        topic: topic.clone(),
        index: *index,
        at,
        leader_epoch: -1,
        committed_only: false,
    });
    let list = ListOffsets {
        wanted: wanted.collect(),
        timeout_ms: Some(LOOK_LIMIT_MS),
    };
    ask(node, Request::ListOffsets(list), move |outcome| {
        let Outcome::ListOffsets(found) = outcome else {
            return done(unexpected());
        };
        let rows = partitions.into_iter().zip(found);
        let rows = rows.map(|(partition, found)| OffsetRow {
            partition,
            offset: found.ok().and_then(|found| Some(found.offset?.0)),
            refusal: found.err().map(Into::into),
        });
        done(TopicAdminAnswer::Offsets {
            rows: rows.collect(),
        });
    });
    Ok(())
}

fn delete_records(node: &Arc<Node>, topic: &str, (index, offset): (i32, i64), done: Done) -> Tried {
    let topic = match named(topic) {
        Ok(topic) => topic,
        Err(error) => return Err((error, done)),
    };
    let wanted = DeleteRecords {
        topic,
        index,
        offset,
    };
    let request = Request::Manage(Manage::DeleteRecords(vec![wanted]));
    ask(node, request, |outcome| {
        let Outcome::Managed(Managed::DeletedRecords(mut starts)) = outcome else {
            return done(unexpected());
        };
        let start = starts.pop().unwrap_or(Err(ErrorKind::InvalidRequest));
        done(answered(start, |start| TopicAdminAnswer::Offset {
            offset: start.0,
        }));
    });
    Ok(())
}

fn describe_node(node: &Arc<Node>, done: Done) {
    let id = i32::try_from(node.id().0).ok();
    let wanted = DescribeConfigs {
        resource: ConfigResource::Broker(id),
        names: None,
    };
    let request = Request::Manage(Manage::DescribeConfigs(vec![wanted]));
    ask(node, request, |outcome| {
        let Outcome::Managed(Managed::Configs(mut found)) = outcome else {
            return done(unexpected());
        };
        done(match found.pop() {
            Some(Ok(entries)) => TopicAdminAnswer::Configs {
                rows: entries.into_iter().map(Into::into).collect(),
            },
            Some(Err(refused)) => TopicAdminAnswer::refused(refused),
            None => unexpected(),
        });
    });
}

fn listed(outcome: Outcome) -> TopicAdminAnswer {
    let Outcome::ListGroups(listed) = outcome else {
        return unexpected();
    };
    answered(listed, |groups| {
        let rows = groups.into_iter().map(|group| ListedGroupRow {
            group: group.group,
            kind: kind_name(group.kind).to_owned(),
            protocol_type: group.protocol_type,
            state: phase_name(group.state).to_owned(),
        });
        TopicAdminAnswer::Groups {
            rows: rows.collect(),
        }
    })
}

fn kind_name(kind: GroupKind) -> &'static str {
    match kind {
        GroupKind::Classic => "classic",
        GroupKind::Consumer => "consumer",
        GroupKind::Share => "share",
    }
}

fn phase_name(phase: GroupPhase) -> &'static str {
    match phase {
        GroupPhase::Empty => "empty",
        GroupPhase::PreparingRebalance => "preparing_rebalance",
        GroupPhase::CompletingRebalance => "completing_rebalance",
        GroupPhase::Assigning => "assigning",
        GroupPhase::Reconciling => "reconciling",
        GroupPhase::Stable => "stable",
        GroupPhase::Dead => "dead",
    }
}

/// One kind of group after the other: which one it is, its name does not tell.
fn describe(node: &Arc<Node>, group: String, done: Done) {
    let again = Arc::clone(node);
    let request = Request::DescribeConsumerGroups(vec![group.clone()]);
    ask(node, request, move |outcome| match consumers(outcome) {
        Ok(found) => places(
            &again,
            of_consumers(group, GroupKind::Consumer, found),
            done,
        ),
        Err(ErrorKind::GroupNotFound) => describe_share(&again, group, done),
        Err(error) => done(TopicAdminAnswer::refused(error)),
    });
}

fn describe_share(node: &Arc<Node>, group: String, done: Done) {
    let again = Arc::clone(node);
    let request = Request::DescribeShareGroups(vec![group.clone()]);
    ask(node, request, move |outcome| match consumers(outcome) {
        Ok(found) => {
            let row = of_consumers(group, GroupKind::Share, found);
            done(TopicAdminAnswer::Group(row));
        }
        Err(ErrorKind::GroupNotFound) => describe_classic(&again, group, done),
        Err(error) => done(TopicAdminAnswer::refused(error)),
    });
}

fn describe_classic(node: &Arc<Node>, group: String, done: Done) {
    let again = Arc::clone(node);
    let request = Request::DescribeGroups(vec![group.clone()]);
    ask(node, request, move |outcome| {
        let Outcome::DescribeGroups(mut found) = outcome else {
            return done(unexpected());
        };
        match found.pop() {
            Some(Ok(found)) if found.state != GroupPhase::Dead => {
                places(&again, of_classic(group, found), done);
            }
            Some(Ok(_)) | None => done(TopicAdminAnswer::refused(ErrorKind::GroupNotFound)),
            Some(Err(refused)) => done(TopicAdminAnswer::refused(refused.error)),
        }
    });
}

fn consumers(outcome: Outcome) -> Result<DescribedConsumerGroup, ErrorKind> {
    let Outcome::DescribeConsumerGroups(mut found) = outcome else {
        return Err(ErrorKind::InvalidRequest);
    };
    let found = found.pop().ok_or(ErrorKind::GroupNotFound)?;
    found.map_err(|refused| refused.error)
}

fn of_consumers(group: String, kind: GroupKind, found: DescribedConsumerGroup) -> GroupRow {
    let members = found.members.into_iter().map(|member| {
        let assigned = member.assigned.into_iter().flat_map(|topic| {
            let name = topic.name;
            let indexes = topic.indexes.into_iter();
            indexes.map(move |index| (name.clone(), index))
        });
        MemberRow {
            member: member.member,
            instance: member.instance,
            client_id: member.client_id,
            client_host: member.client_host,
            assigned: assigned.collect(),
        }
    });
    group_row(group, (kind, found.state), members.collect())
}

fn of_classic(group: String, found: DescribedGroup) -> GroupRow {
    let is_consumer = found.protocol_type == "consumer";
    let members = found.members.into_iter().map(|member| {
        let read = is_consumer.then(|| subscription::read_assignment(&member.assignment));
        let read = read.flatten().unwrap_or_default().partitions;
        let assigned = read.into_iter().flat_map(|(name, indexes)| {
            let indexes = indexes.into_iter();
            indexes.map(move |index| (name.clone(), index))
        });
        MemberRow {
            member: member.member,
            instance: member.instance,
            client_id: member.client_id,
            client_host: member.client_host,
            assigned: assigned.collect(),
        }
    });
    group_row(group, (GroupKind::Classic, found.state), members.collect())
}

/// What the group has committed is put in later.
fn group_row(
    group: String,
    (kind, state): (GroupKind, GroupPhase),
    members: Vec<MemberRow>,
) -> GroupRow {
    GroupRow {
        group,
        kind: kind_name(kind).to_owned(),
        state: phase_name(state).to_owned(),
        members,
        offsets: Vec::new(),
    }
}

/// Puts what the group has committed into the row.
fn places(node: &Arc<Node>, mut row: GroupRow, done: Done) {
    let fetch = OffsetFetch {
        group: row.group.clone(),
        member: None,
        tells_ids: false,
        partitions: None,
        require_stable: false,
    };
    ask(node, Request::OffsetFetch(vec![fetch]), move |outcome| {
        let Outcome::OffsetFetch(mut found) = outcome else {
            return done(unexpected());
        };
        let found = found.pop().unwrap_or(Err(ErrorKind::GroupNotFound));
        done(answered(found, |found| {
            row.offsets = found.into_iter().filter_map(place_row).collect();
            row.offsets.sort();
            TopicAdminAnswer::Group(row)
        }));
    });
}

fn place_row(found: FetchedOffset) -> Option<PlaceRow> {
    let TopicRef::Name(topic) = found.topic else {
        return None;
    };
    Some(PlaceRow {
        topic: topic.as_str().to_owned(),
        partition: found.index,
        offset: found.offset?,
    })
}

fn commit(node: &Arc<Node>, group: String, offsets: Vec<PlaceRow>, done: Done) -> Tried {
    let places = offsets.into_iter().map(|place| {
        Ok(CommittedOffset {
            topic: named(&place.topic)?,
            index: place.partition,
            offset: place.offset,
            leader_epoch: -1,
            metadata: String::new(),
        })
    });
    let offsets = match places.collect::<Result<_, _>>() {
        Ok(offsets) => offsets,
        Err(error) => return Err((error, done)),
    };
    let commit = OffsetCommit {
        group,
        generation: NO_GENERATION,
        member: String::new(),
        instance: None,
        knows_epochs: true,
        offsets,
    };
    ask(node, Request::OffsetCommit(commit), |outcome| {
        done(match outcome {
            Outcome::OffsetCommit(answers) => all_done(answers),
            _ => unexpected(),
        });
    });
    Ok(())
}

fn forget(node: &Arc<Node>, group: String, places: &[(String, i32)], done: Done) -> Tried {
    let places = places.iter();
    let places = places.map(|(topic, index)| Ok((named(topic)?, *index)));
    let partitions = match places.collect::<Result<_, _>>() {
        Ok(partitions) => partitions,
        Err(error) => return Err((error, done)),
    };
    let delete = DeleteOffsets { group, partitions };
    ask(node, Request::DeleteOffsets(delete), |outcome| {
        done(match outcome {
            Outcome::DeleteOffsets(Ok(answers)) => all_done(answers),
            Outcome::DeleteOffsets(Err(error)) => TopicAdminAnswer::refused(error),
            _ => unexpected(),
        });
    });
    Ok(())
}

/// Done where each part is.
fn all_done(answers: Vec<Result<(), ErrorKind>>) -> TopicAdminAnswer {
    let all: Result<(), ErrorKind> = answers.into_iter().collect();
    answered(all, |()| TopicAdminAnswer::Done)
}
