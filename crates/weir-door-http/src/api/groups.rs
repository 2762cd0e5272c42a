//! Consumer groups and their offsets.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_access::{
    Need,
    acl::{Operation, ResourceType},
};
use weir_broker::{
    steward::{AdminAnswer, AdminRequest},
    topic_admin::{
        GroupRow, ListedGroupRow, OffsetAt, PlaceRow, TopicAdminAnswer, TopicAdminRequest,
    },
};
use weir_model::{ErrorKind, NodeId};

use super::{
    call::{Answer, Call, unexpected},
    offsets::{Offsets, refused},
    table::schema,
    topics::json,
};
use crate::routing::{
    problem::Problem,
    route::{Act, Body, Gives, Right, Route, Verb},
};

/// Most offsets that one request sets.
const MAX_OFFSETS_AT_ONCE: usize = 1_000;

pub(super) const ROUTES: [Route; 7] = [
    Route {
        id: "listGroups",
        verb: Verb::Get,
        path: "/groups",
        summary: "Consumer groups, by name.",
        rights: &[Right::GroupsShown(Operation::Describe)],
        query: &[],
        body: Body::None,
        gives: Gives::Rows(schema::<ListedGroupRow>, &["group"]),
        act: Act::Own(|call| Box::pin(list(call))),
    },
    Route {
        id: "getGroup",
        verb: Verb::Get,
        path: "/groups/{group}",
        summary: "A consumer group's members.",
        rights: &[Right::Group(Operation::Describe)],
        query: &[],
        body: Body::None,
        gives: Gives::One(schema::<MembersRow>),
        act: Act::Own(|call| Box::pin(describe(call))),
    },
    Route {
        id: "deleteGroup",
        verb: Verb::Delete,
        path: "/groups/{group}",
        summary: "Deletes a group that has no members, with its offsets.",
        rights: &[Right::Group(Operation::Delete)],
        query: &[],
        body: Body::None,
        gives: Gives::Nothing,
        act: Act::Own(|call| Box::pin(delete(call))),
    },
    Route {
        id: "listGroupOffsets",
        verb: Verb::Get,
        path: "/groups/{group}/offsets",
        summary: "Where a group has committed, and how far it is behind.",
        rights: &[
            Right::Group(Operation::Describe),
            Right::TopicsShown(Operation::Describe),
        ],
        query: &[],
        body: Body::None,
        gives: Gives::Rows(schema::<LagRow>, &["topic", "partition"]),
        act: Act::Own(|call| Box::pin(lags(call))),
    },
    Route {
        id: "setGroupOffsets",
        verb: Verb::Patch,
        path: "/groups/{group}/offsets",
        summary: "Sets offsets of a group that has no members.",
        rights: &[
            Right::Group(Operation::Read),
            Right::TopicsOfBody(Operation::Read),
        ],
        query: &[],
        body: Body::Of(schema::<OffsetsBody>),
        gives: Gives::Nothing,
        act: Act::Own(|call| Box::pin(set(call))),
    },
    Route {
        id: "resetGroupOffsets",
        verb: Verb::Post,
        path: "/groups/{group}/reset-offsets",
        summary: "Moves a group's offsets in topics to a place, or tells where they would go.",
        rights: &[
            Right::Group(Operation::Read),
            Right::TopicsOfBody(Operation::Read),
        ],
        query: &[],
        body: Body::Of(schema::<ResetBody>),
        gives: Gives::One(schema::<MovesRow>),
        act: Act::Own(|call| Box::pin(reset(call))),
    },
    Route {
        id: "deleteGroupOffsets",
        verb: Verb::Delete,
        path: "/groups/{group}/offsets/{topic}",
        summary: "Forgets a group's offsets in a topic that it does not read.",
        rights: &[
            Right::Group(Operation::Delete),
            Right::Topic(Operation::Read),
        ],
        query: &[],
        body: Body::None,
        gives: Gives::Nothing,
        act: Act::Own(|call| Box::pin(forget(call))),
    },
];

/// A group and who is in it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "GroupMembers")]
struct MembersRow {
    /// Its name.
    group: String,
    /// `classic`, `consumer` or `share`.
    kind: String,
    /// Where it stands, such as `stable`.
    state: String,
    /// The node that coordinates it.
    coordinator: Option<u64>,
    /// Its members.
    members: Vec<MemberRow>,
}

/// A member of a group.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "GroupMember")]
struct MemberRow {
    /// Its id.
    member: String,
    /// Its instance id.
    instance: Option<String>,
    /// What its client calls itself.
    client_id: String,
    /// Where its client connects from.
    client_host: String,
    /// Partitions that it reads, of topics that may be described.
    assigned: Vec<AssignedRow>,
}

/// A partition that a member reads.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AssignedPartition")]
struct AssignedRow {
    /// The topic.
    topic: String,
    /// The partition's index.
    partition: i32,
}

/// Where a group is in a partition.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "GroupOffset")]
struct LagRow {
    /// The topic.
    topic: String,
    /// The partition's index.
    partition: i32,
    /// The next offset that it reads.
    offset: i64,
    /// The offset behind the last message; null: the leader does not answer.
    end_offset: Option<u64>,
    /// Messages between the two.
    lag: Option<u64>,
}

/// Offsets that are to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OffsetsBody {
    /// One a partition.
    #[schemars(length(min = 1, max = 1_000))]
    offsets: Vec<PlaceBody>,
}

/// An offset that is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewOffset")]
struct PlaceBody {
    /// The topic.
    topic: String,
    /// The partition's index.
    #[schemars(range(min = 0))]
    partition: i32,
    /// The next offset to read.
    #[schemars(range(min = 0))]
    offset: i64,
}

/// Where offsets go.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ResetBody {
    /// In which topics.
    #[schemars(length(min = 1, max = 1_000))]
    topics: Vec<String>,
    /// Whereto.
    to: Target,
    /// Only tell where they would go.
    #[serde(default)]
    dry_run: bool,
}

/// A place in each partition.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Target {
    /// The first message.
    Earliest,
    /// Behind the last one.
    Latest,
    /// The first message at this time or later, in ms since 1970; behind the last one where there is none.
    TimestampMs(#[schemars(range(min = 0))] i64),
}

/// What was moved, or would be.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OffsetMoves")]
struct MovesRow {
    /// One a partition.
    moves: Vec<MoveRow>,
}

/// An offset that moves.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OffsetMove")]
struct MoveRow {
    /// The topic.
    topic: String,
    /// The partition's index.
    partition: i32,
    /// Where it was; null: nowhere.
    before: Option<i64>,
    /// Where it is then.
    after: i64,
}

/// What all nodes that are up say.
async fn list(call: Call) -> Result<Answer, Problem> {
    let after = call.after_text()?.map(str::to_owned);
    let AdminAnswer::Status(status) = call.admin(AdminRequest::Status).await? else {
        return Err(unexpected());
    };
    let mut all = BTreeSet::new();
    for node in status.nodes.into_iter().filter(|node| node.is_up) {
        let asked = call.ask_at(NodeId(node.id), TopicAdminRequest::ListGroups);
        let TopicAdminAnswer::Groups { rows } = asked.await? else {
            return Err(unexpected());
        };
        all.extend(rows);
    }
    let wanted = all.iter();
    let wanted = wanted.filter(|row| after.as_ref().is_none_or(|after| row.group > *after));
    let rows = wanted.take(call.limit() + 1).map(json);
    let rows = rows.collect::<Result<_, _>>()?;
    Ok(call.rows(rows, false))
}

/// A group as its coordinator knows it.
async fn found(call: &Call) -> Result<GroupRow, Problem> {
    let group = call.named("group").to_owned();
    let request = TopicAdminRequest::DescribeGroup {
        group: group.clone(),
    };
    match call.ask_coordinator(&group, request).await? {
        TopicAdminAnswer::Group(row) => Ok(row),
        _ => Err(unexpected()),
    }
}

async fn describe(call: Call) -> Result<Answer, Problem> {
    let group = found(&call).await?;
    let is_shown = |topic: &str| {
        call.asker.may(Need::Acl {
            operation: Operation::Describe,
            resource: ResourceType::Topic,
            name: topic,
        })
    };
    let members = group.members.into_iter().map(|member| {
        let assigned = member.assigned.into_iter();
        let assigned = assigned.filter(|(topic, _)| is_shown(topic));
        MemberRow {
            member: member.member,
            instance: member.instance,
            client_id: member.client_id,
            client_host: member.client_host,
            assigned: assigned
                .map(|(topic, partition)| AssignedRow { topic, partition })
                .collect(),
        }
    });
    Answer::one(&MembersRow {
        coordinator: call.node.group_coordinator(&group.group).map(|node| node.0),
        members: members.collect(),
        group: group.group,
        kind: group.kind,
        state: group.state,
    })
}

async fn delete(call: Call) -> Result<Answer, Problem> {
    let group = call.named("group").to_owned();
    let request = TopicAdminRequest::DeleteGroup {
        group: group.clone(),
    };
    let answer = call.ask_coordinator(&group, request).await;
    call.note("delete_group", &format!("group {group}"), &answer);
    answer.map(|_| Answer::nothing())
}

async fn lags(call: Call) -> Result<Answer, Problem> {
    let after: Option<(String, i32)> = match call.after() {
        None => None,
        Some(after) => {
            let read = serde_json::from_value(after.clone());
            Some(read.map_err(|_| Problem::invalid("'after' is no place in this list"))?)
        }
    };
    let group = found(&call).await?;
    let limit = call.limit();
    let later = group.offsets.into_iter().filter(|place| {
        let at = (&place.topic, place.partition);
        after
            .as_ref()
            .is_none_or(|(topic, partition)| at > (topic, *partition))
    });
    let mut places: Vec<PlaceRow> = later.take(limit + 1).collect();
    let has_more = places.len() > limit;
    places.truncate(limit);
    let mut ends: BTreeMap<String, Offsets> = BTreeMap::new();
    let topics: BTreeSet<String> = places.iter().map(|place| place.topic.clone()).collect();
    for name in topics {
        // A topic that is gone has no end.
        let Ok(topic) = call.topic(&name).await else {
            continue;
        };
        let of_topic = places.iter().filter(|place| place.topic == name);
        let of_topic = of_topic.map(|place| place.partition);
        let found = call.offsets_of(&topic, of_topic, OffsetAt::Latest).await;
        ends.insert(name, found);
    }
    let rows = places.into_iter().map(|place| {
        let end = ends.get(&place.topic);
        let end = end.and_then(|end| end.get(&place.partition)).copied();
        let behind = |end: u64| end.saturating_sub(u64::try_from(place.offset).unwrap_or(0));
        json(&LagRow {
            lag: end.map(behind),
            end_offset: end,
            offset: place.offset,
            partition: place.partition,
            topic: place.topic,
        })
    });
    let rows = rows.collect::<Result<_, _>>()?;
    Ok(call.rows(rows, has_more))
}

async fn set(call: Call) -> Result<Answer, Problem> {
    let OffsetsBody { offsets } = call.said()?;
    if !(1..=MAX_OFFSETS_AT_ONCE).contains(&offsets.len()) {
        let detail = format!("1 to {MAX_OFFSETS_AT_ONCE} offsets are set at once");
        return Err(Problem::invalid(detail));
    }
    if offsets.iter().any(|place| place.offset < 0) {
        return Err(Problem::invalid("an offset is 0 at least"));
    }
    let offsets = offsets.into_iter().map(|place| PlaceRow {
        topic: place.topic,
        partition: place.partition,
        offset: place.offset,
    });
    let offsets = offsets.collect();
    commit(&call, offsets).await.map(|()| Answer::nothing())
}

async fn commit(call: &Call, offsets: Vec<PlaceRow>) -> Result<(), Problem> {
    let group = call.named("group").to_owned();
    let words = format!("group {group}: {} offsets", offsets.len());
    let request = TopicAdminRequest::CommitOffsets {
        group: group.clone(),
        offsets,
    };
    let answer = call.ask_coordinator(&group, request).await;
    call.note("set_offsets", &words, &answer);
    answer.map(drop)
}

async fn reset(call: Call) -> Result<Answer, Problem> {
    let body: ResetBody = call.said()?;
    if body.topics.is_empty() {
        return Err(Problem::invalid("no topic is named"));
    }
    if matches!(body.to, Target::TimestampMs(ms) if ms < 0) {
        return Err(Problem::invalid("a time is 0 at least"));
    }
    let committed = match found(&call).await {
        Ok(group) => group.offsets,
        Err(problem) if problem.error == "group_not_found" => Vec::new(),
        Err(problem) => return Err(problem),
    };
    let topics: BTreeSet<&String> = body.topics.iter().collect();
    let mut moves = Vec::new();
    for name in topics {
        moves_in(&call, name, body.to, &committed, &mut moves).await?;
        if moves.len() > MAX_OFFSETS_AT_ONCE {
            let detail = format!("more than {MAX_OFFSETS_AT_ONCE} offsets: reset fewer topics");
            return Err(Problem::invalid(detail));
        }
    }
    if !body.dry_run {
        let offsets = moves.iter().map(|moved| PlaceRow {
            topic: moved.topic.clone(),
            partition: moved.partition,
            offset: moved.after,
        });
        commit(&call, offsets.collect()).await?;
    }
    Answer::one(&MovesRow { moves })
}

async fn moves_in(
    call: &Call,
    name: &str,
    to: Target,
    committed: &[PlaceRow],
    moves: &mut Vec<MoveRow>,
) -> Result<(), Problem> {
    let topic = call.topic(name).await?;
    let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    let at = match to {
        Target::Earliest => OffsetAt::Earliest,
        Target::Latest => OffsetAt::Latest,
        Target::TimestampMs(ms) => OffsetAt::TimestampMs(ms),
    };
    let found = call.offsets_of(&topic, 0..count, at).await;
    let ends = match to {
        Target::TimestampMs(_) => call.offsets_of(&topic, 0..count, OffsetAt::Latest).await,
        Target::Earliest | Target::Latest => Offsets::new(),
    };
    for partition in 0..count {
        let after = found.get(&partition).or_else(|| ends.get(&partition));
        // None is moved where one's place is not known.
        let after = after.ok_or_else(|| refused(ErrorKind::NotLeader))?;
        let mut known = committed.iter();
        let known = known.find(|place| place.topic == name && place.partition == partition);
        moves.push(MoveRow {
            topic: name.to_owned(),
            partition,
            before: known.map(|place| place.offset),
            after: i64::try_from(*after).unwrap_or(i64::MAX),
        });
    }
    Ok(())
}

async fn forget(call: Call) -> Result<Answer, Problem> {
    let (group, topic) = (call.named("group").to_owned(), call.named("topic"));
    let committed = found(&call).await?.offsets;
    let places = committed.into_iter().filter(|place| place.topic == topic);
    let places: Vec<_> = places.map(|place| (place.topic, place.partition)).collect();
    if places.is_empty() {
        return Ok(Answer::nothing());
    }
    let words = format!("group {group} in topic {topic}");
    let request = TopicAdminRequest::DeleteOffsets {
        group: group.clone(),
        places,
    };
    let answer = call.ask_coordinator(&group, request).await;
    call.note("delete_offsets", &words, &answer);
    answer.map(|_| Answer::nothing())
}
