//! Topics and their partitions.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_access::acl::Operation;
use weir_broker::{
    api::{
        CreateTopics, NewTopic, Outcome, PartitionMetadata, Request, TopicDescription, TopicRef,
        admin::{
            ConfigResource, CreatePartitions, DescribeConfigs, Manage, Managed, MorePartitions,
        },
    },
    audit::is_internal,
    topic_admin::{OffsetAt, TopicAdminAnswer, TopicAdminRequest},
};
use weir_model::{ErrorKind, NodeId, TopicName};

use super::{
    call::{Answer, Call, single, unexpected},
    offsets::refused,
    table::{flag, schema},
};
use crate::routing::{
    problem::Problem,
    query::Parameter,
    route::{Act, Body, Gives, Right, Route, Verb},
};

const VALIDATE: Parameter = flag("validate_only", "Only tell whether it would be done.");

pub(super) const ROUTES: [Route; 7] = [
    Route {
        id: "listTopics",
        verb: Verb::Get,
        path: "/topics",
        summary: "Topics, by name.",
        rights: &[Right::TopicsShown(Operation::Describe)],
        query: &[flag("internal", "Also the broker's own.")],
        body: Body::None,
        gives: Gives::Rows(schema::<TopicRow>, &["topic"]),
        act: Act::Own(|call| Box::pin(list(call))),
    },
    Route {
        id: "getTopic",
        verb: Verb::Get,
        path: "/topics/{topic}",
        summary: "A topic.",
        rights: &[Right::Topic(Operation::Describe)],
        query: &[],
        body: Body::None,
        gives: Gives::One(schema::<TopicRow>),
        act: Act::Own(|call| Box::pin(describe(call))),
    },
    Route {
        id: "putTopic",
        verb: Verb::Put,
        path: "/topics/{topic}",
        summary: "Makes a topic, unless one that is as wanted is there.",
        rights: &[Right::CreateTopic],
        query: &[VALIDATE],
        body: Body::Of(schema::<TopicBody>),
        gives: Gives::Declared,
        act: Act::Own(|call| Box::pin(create(call))),
    },
    Route {
        id: "deleteTopic",
        verb: Verb::Delete,
        path: "/topics/{topic}",
        summary: "Deletes a topic, with all messages in it.",
        rights: &[Right::Topic(Operation::Delete)],
        query: &[],
        body: Body::None,
        gives: Gives::Nothing,
        act: Act::Own(|call| Box::pin(delete(call))),
    },
    Route {
        id: "listPartitions",
        verb: Verb::Get,
        path: "/topics/{topic}/partitions",
        summary: "A topic's partitions with leaders, copies and offsets.",
        rights: &[Right::Topic(Operation::Describe)],
        query: &[],
        body: Body::None,
        gives: Gives::Rows(schema::<PartitionRow>, &["partition"]),
        act: Act::Own(|call| Box::pin(partitions(call))),
    },
    Route {
        id: "addPartitions",
        verb: Verb::Post,
        path: "/topics/{topic}/partitions",
        summary: "Gives a topic more partitions.",
        rights: &[Right::Topic(Operation::Alter)],
        query: &[VALIDATE],
        body: Body::Of(schema::<CountBody>),
        gives: Gives::Nothing,
        act: Act::Own(|call| Box::pin(grow(call))),
    },
    Route {
        id: "deleteRecords",
        verb: Verb::Post,
        path: "/topics/{topic}/partitions/{partition}/delete-records",
        summary: "Deletes a partition's messages before an offset.",
        rights: &[Right::Topic(Operation::Delete)],
        query: &[],
        body: Body::Of(schema::<BeforeBody>),
        gives: Gives::One(schema::<StartRow>),
        act: Act::Own(|call| Box::pin(delete_records(call))),
    },
];

/// A topic.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Topic")]
struct TopicRow {
    /// Its name.
    topic: String,
    /// Its id.
    id: String,
    /// Whether it is the broker's own.
    internal: bool,
    /// How many it has.
    partitions: usize,
    /// Most copies of a partition.
    replication_factor: usize,
    /// Partitions that nobody leads.
    without_leader: usize,
    /// Partitions that lack copies which keep up.
    under_replicated: usize,
}

/// A topic that is wanted. What is not said is as the cluster does by itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TopicBody {
    /// How many partitions.
    #[schemars(range(min = 1, max = 100_000))]
    partitions: Option<u32>,
    /// How many copies of each.
    #[schemars(range(min = 1))]
    replication_factor: Option<u16>,
    /// Settings by Kafka's names.
    #[serde(default)]
    config: BTreeMap<String, String>,
}

/// How many there are to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CountBody {
    /// Partitions in all; more than there are.
    #[schemars(range(min = 1, max = 100_000))]
    count: i32,
}

/// Before where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BeforeBody {
    /// The first offset that stays; -1: none of what is there.
    #[schemars(range(min = -1))]
    offset: i64,
}

/// Where a partition begins.
#[derive(Debug, Serialize, JsonSchema)]
struct StartRow {
    /// Its first offset.
    start_offset: u64,
}

/// A partition.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Partition")]
struct PartitionRow {
    /// Its index.
    partition: i32,
    /// The node that leads it; null: nobody does.
    leader: Option<i32>,
    /// The leader's epoch.
    leader_epoch: i32,
    /// Nodes that have a copy.
    replicas: Vec<i32>,
    /// Those of them that keep up.
    in_sync: Vec<i32>,
    /// Its first offset; null: its leader does not answer.
    start_offset: Option<u64>,
    /// The offset behind its last message.
    end_offset: Option<u64>,
}

impl TopicRow {
    fn of(topic: &TopicDescription) -> Self {
        let count = |lacks: fn(&PartitionMetadata) -> bool| {
            topic.partitions.iter().filter(|it| lacks(it)).count()
        };
        let copies = topic.partitions.iter().map(|it| it.replicas.len());
        Self {
            topic: topic.name.as_str().to_owned(),
            id: topic.id.0.to_string(),
            internal: is_internal(topic.name.as_str()),
            partitions: topic.partitions.len(),
            replication_factor: copies.max().unwrap_or(0),
            without_leader: count(|partition| partition.leader.is_none()),
            under_replicated: count(|partition| partition.in_sync.len() < partition.replicas.len()),
        }
    }
}

async fn list(call: Call) -> Result<Answer, Problem> {
    let after = call.after_text()?;
    let topics = call.topics(None).await?.into_iter().flatten();
    let shows_internal = call.is_set("internal");
    let wanted = topics.filter(|topic| {
        let name = topic.name.as_str();
        after.is_none_or(|after| name > after) && (shows_internal || !is_internal(name))
    });
    let rows = wanted.take(call.limit() + 1);
    let rows = rows.map(|topic| json(&TopicRow::of(&topic)));
    let rows = rows.collect::<Result<_, _>>()?;
    Ok(call.rows(rows, false))
}

/// A row as JSON.
pub(super) fn json(row: &impl Serialize) -> Result<Value, Problem> {
    serde_json::to_value(row).map_err(|_| unexpected())
}

async fn describe(call: Call) -> Result<Answer, Problem> {
    let topic = call.topic(call.named("topic")).await?;
    Answer::one(&TopicRow::of(&topic))
}

async fn create(call: Call) -> Result<Answer, Problem> {
    let wanted: TopicBody = call.said()?;
    let name = call.named("topic").to_owned();
    let validate_only = call.is_set("validate_only");
    let configs = wanted.config.clone().into_iter();
    let topic = NewTopic {
        name: name.clone(),
        partition_count: wanted.partitions,
        replication_factor: wanted.replication_factor,
        configs: configs.map(|(name, value)| (name, Some(value))).collect(),
        assignments: None,
    };
    let create = CreateTopics {
        topics: vec![topic],
        validate_only,
    };
    let outcome = call.change(Request::CreateTopics(create)).await?;
    let Outcome::CreateTopics(created) = outcome else {
        return Err(unexpected());
    };
    let refusal = created.into_iter().next().ok_or_else(unexpected)?.err();
    match refusal {
        None => Ok(Answer::declared(validate_only)),
        Some(refusal) if refusal.kind == ErrorKind::TopicExists => {
            is_as_wanted(&call, &name, &wanted).await?;
            Ok(Answer::declared(true))
        }
        Some(refusal) => Err(weir_broker::Refusal::from(refusal).into()),
    }
}

/// Whether the topic that is there could have been made so.
async fn is_as_wanted(call: &Call, name: &str, wanted: &TopicBody) -> Result<(), Problem> {
    let other = |what: &str| {
        let detail = format!("topic {name} is there with other {what}");
        Err(Problem::conflict("topic_exists", detail))
    };
    let topic = TopicRow::of(&call.topic(name).await?);
    if wanted
        .partitions
        .is_some_and(|count| topic.partitions != count as usize)
    {
        return other("partitions");
    }
    let copies = wanted.replication_factor.map(usize::from);
    if copies.is_some_and(|copies| topic.replication_factor != copies) {
        return other("copies");
    }
    let describe = DescribeConfigs {
        resource: ConfigResource::Topic(name.to_owned()),
        names: Some(wanted.config.keys().cloned().collect()),
    };
    let outcome = call
        .ask(Request::Manage(Manage::DescribeConfigs(vec![describe])))
        .await?;
    let Outcome::Managed(Managed::Configs(found)) = outcome else {
        return Err(unexpected());
    };
    let found = single(found)?;
    let is_same = wanted.config.iter().all(|(name, value)| {
        let mut found = found.iter();
        found.any(|entry| entry.name == name && entry.value.as_deref() == Some(value))
    });
    match is_same {
        true => Ok(()),
        false => other("settings"),
    }
}

async fn delete(call: Call) -> Result<Answer, Problem> {
    let name = TopicName::new(call.named("topic"));
    let name = name.map_err(|_| refused(ErrorKind::InvalidTopic))?;
    let delete = Manage::DeleteTopics(vec![TopicRef::Name(name)]);
    let Outcome::Managed(Managed::DeletedTopics(answers)) =
        call.change(Request::Manage(delete)).await?
    else {
        return Err(unexpected());
    };
    single(answers).map(|_| Answer::nothing())
}

async fn partitions(call: Call) -> Result<Answer, Problem> {
    let after = match call.after() {
        None => -1,
        Some(after) => {
            let after = after.as_i64().and_then(|after| i32::try_from(after).ok());
            after.ok_or_else(|| Problem::invalid("'after' is no place in this list"))?
        }
    };
    let topic = call.topic(call.named("topic")).await?;
    let limit = i32::try_from(call.limit()).unwrap_or(i32::MAX);
    let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    let first = after.max(-1).saturating_add(1);
    let shown = first..count.min(first.saturating_add(limit));
    let starts = call
        .offsets_of(&topic, shown.clone(), OffsetAt::Earliest)
        .await;
    let ends = call
        .offsets_of(&topic, shown.clone(), OffsetAt::Latest)
        .await;
    let has_more = shown.end < count;
    let rows = shown.filter_map(|index| {
        let known = topic.partitions.get(usize::try_from(index).ok()?)?;
        Some(json(&PartitionRow {
            partition: index,
            leader: known.leader,
            leader_epoch: known.leader_epoch,
            replicas: known.replicas.clone(),
            in_sync: known.in_sync.clone(),
            start_offset: starts.get(&index).copied(),
            end_offset: ends.get(&index).copied(),
        }))
    });
    let rows = rows.collect::<Result<_, _>>()?;
    Ok(call.rows(rows, has_more))
}

async fn grow(call: Call) -> Result<Answer, Problem> {
    let CountBody { count } = call.said()?;
    let more = MorePartitions {
        topic: call.named("topic").to_owned(),
        count,
        assignments: None,
    };
    let create = CreatePartitions {
        topics: vec![more],
        validate_only: call.is_set("validate_only"),
    };
    let create = Manage::CreatePartitions(create);
    let Outcome::Managed(Managed::Checked(answers)) = call.change(Request::Manage(create)).await?
    else {
        return Err(unexpected());
    };
    single(answers).map(|()| Answer::nothing())
}

async fn delete_records(call: Call) -> Result<Answer, Problem> {
    let BeforeBody { offset } = call.said()?;
    let partition: i32 = call.number("partition")?;
    let topic = call.topic(call.named("topic")).await?;
    let known = usize::try_from(partition).ok();
    let known = known.and_then(|index| topic.partitions.get(index));
    let known = known.ok_or_else(|| refused(ErrorKind::UnknownTopicOrPartition))?;
    let leader = known.leader.and_then(|leader| u64::try_from(leader).ok());
    let leader = leader.ok_or_else(|| refused(ErrorKind::NotLeader))?;
    let name = topic.name.as_str().to_owned();
    let what = format!("partition {name}-{partition} to {offset}");
    let request = TopicAdminRequest::DeleteRecords {
        topic: name,
        partition,
        offset,
    };
    let answer = call.ask_at(NodeId(leader), request).await;
    call.note("delete_records", &what, &answer);
    match answer? {
        TopicAdminAnswer::Offset { offset } => Answer::one(&StartRow {
            start_offset: offset,
        }),
        _ => Err(unexpected()),
    }
}
