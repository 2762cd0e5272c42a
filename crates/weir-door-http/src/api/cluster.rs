//! Nodes, and the groups that replicate what they have.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use weir_access::acl::Operation;
use weir_broker::{
    Refusal, RefusalKind,
    steward::{AdminAnswer, AdminRequest, ClusterStatus, GroupRow, NodeStatus},
};
use weir_model::ErrorKind;

use super::{
    call::{Answer, Call, heard, unexpected},
    offsets::refused,
    table::schema,
    topics::json,
};
use crate::{
    routing::{
        problem::Problem,
        route::{Act, Body, Gives, Right, Route, Verb},
    },
    server::NodeSetting,
};

const LOOK: &[Right] = &[Right::Cluster(Operation::Describe)];
const CHANGE: &[Right] = &[Right::Cluster(Operation::Alter)];

// Table: one route an entry.
pub(super) const ROUTES: [Route; 10] = [
    Route {
        id: "getCluster",
        verb: Verb::Get,
        path: "/cluster",
        summary: "The cluster, as the node that answers knows it.",
        rights: LOOK,
        query: &[],
        body: Body::None,
        gives: Gives::One(schema::<ClusterRow>),
        act: Act::Own(|call| Box::pin(describe(call))),
    },
    Route {
        id: "balanceCluster",
        verb: Verb::Post,
        path: "/cluster/balance",
        summary: "Spreads leadership evenly now, not bit by bit.",
        rights: CHANGE,
        query: &[],
        body: Body::None,
        gives: Gives::One(schema::<DoneRow>),
        act: Act::Own(|call| Box::pin(change(call, |_| Ok(AdminRequest::Balance)))),
    },
    Route {
        id: "listNodes",
        verb: Verb::Get,
        path: "/nodes",
        summary: "Nodes, and what they carry.",
        rights: LOOK,
        query: &[],
        body: Body::None,
        gives: Gives::Rows(schema::<NodeStatus>, &["id"]),
        act: Act::Own(|call| Box::pin(nodes(call))),
    },
    Route {
        id: "getNode",
        verb: Verb::Get,
        path: "/nodes/{node}",
        summary: "A node.",
        rights: LOOK,
        query: &[],
        body: Body::None,
        gives: Gives::One(schema::<NodeStatus>),
        act: Act::Own(|call| Box::pin(node(call))),
    },
    Route {
        id: "removeNode",
        verb: Verb::Delete,
        path: "/nodes/{node}",
        summary: "Takes a node out for good: one that is drained, or lost.",
        rights: CHANGE,
        query: &[],
        body: Body::None,
        gives: Gives::One(schema::<DoneRow>),
        act: Act::Own(|call| {
            Box::pin(change(call, |node| {
                Ok(AdminRequest::Remove { node: node? })
            }))
        }),
    },
    Route {
        id: "drainNode",
        verb: Verb::Post,
        path: "/nodes/{node}/drain",
        summary: "Begins to move everything off a node, such as before maintenance.",
        rights: CHANGE,
        query: &[],
        body: Body::None,
        gives: Gives::One(schema::<DoneRow>),
        act: Act::Own(|call| {
            Box::pin(change(call, |node| Ok(AdminRequest::Drain { node: node? })))
        }),
    },
    Route {
        id: "activateNode",
        verb: Verb::Post,
        path: "/nodes/{node}/activate",
        summary: "Gives a drained node its share again.",
        rights: CHANGE,
        query: &[],
        body: Body::None,
        gives: Gives::One(schema::<DoneRow>),
        act: Act::Own(|call| Box::pin(change(call, |node| Ok(AdminRequest::Add { node: node? })))),
    },
    Route {
        id: "listShards",
        verb: Verb::Get,
        path: "/shards",
        summary: "Groups of replicas: who leads, who votes, who lacks what. 0 is the metadata's.",
        rights: LOOK,
        query: &[],
        body: Body::None,
        gives: Gives::Rows(schema::<GroupRow>, &["id"]),
        act: Act::Own(|call| Box::pin(shards(call))),
    },
    Route {
        id: "transferShard",
        verb: Verb::Post,
        path: "/shards/{shard}/transfer",
        summary: "Lets another of its voters lead a group of replicas.",
        rights: CHANGE,
        query: &[],
        body: Body::Of(schema::<TransferBody>),
        gives: Gives::One(schema::<DoneRow>),
        act: Act::Own(|call| Box::pin(transfer(call))),
    },
    Route {
        id: "listSettings",
        verb: Verb::Get,
        path: "/settings",
        summary: "What the node that answers was started with, and where each value comes from.",
        rights: &[Right::Cluster(Operation::DescribeConfigs)],
        query: &[],
        body: Body::None,
        gives: Gives::Rows(schema::<NodeSetting>, &["name"]),
        act: Act::Own(|call| Box::pin(settings(call))),
    },
];

/// The cluster.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Cluster")]
struct ClusterRow {
    /// Its id, as Kafka clients see it.
    cluster_id: String,
    /// The node that answered.
    answered_by: u64,
    /// The node that looks after the cluster.
    steward: Option<u64>,
    /// How many nodes.
    nodes: usize,
    /// How many of them the node that answered hears.
    nodes_up: usize,
    /// How many groups of replicas.
    shards: usize,
    /// Those of them that nobody leads.
    shards_without_leader: usize,
}

/// What happens.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Done")]
struct DoneRow {
    /// In a sentence.
    message: String,
}

/// Who is to lead.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TransferBody {
    /// The node.
    node: u64,
}

impl Call {
    /// Asks about the cluster, or for a change of it.
    pub(super) async fn admin(&self, request: AdminRequest) -> Result<AdminAnswer, Problem> {
        let (tell, told) = oneshot::channel();
        let done = move |answer| drop(tell.send(answer));
        self.node
            .admin(&self.asker.requester(), request, Box::new(done));
        match heard(told).await? {
            AdminAnswer::Refused { reason } => Err(Problem::conflict("refused", reason)),
            AdminAnswer::NotYet { reason } => Err(Refusal {
                reason,
                kind: RefusalKind::Unavailable,
                error: "not_yet".to_owned(),
                retriable: true,
            }
            .into()),
            answer @ (AdminAnswer::Status(_) | AdminAnswer::Done { .. }) => Ok(answer),
        }
    }

    /// The cluster as this node knows it.
    pub(super) async fn status(&self) -> Result<ClusterStatus, Problem> {
        match self.admin(AdminRequest::Status).await? {
            AdminAnswer::Status(status) => Ok(status),
            _ => Err(unexpected()),
        }
    }
}

async fn describe(call: Call) -> Result<Answer, Problem> {
    let status = call.status().await?;
    Answer::one(&ClusterRow {
        nodes: status.nodes.len(),
        nodes_up: status.nodes.iter().filter(|node| node.is_up).count(),
        shards: status.groups.len(),
        shards_without_leader: status
            .groups
            .iter()
            .filter(|group| group.leader.is_none())
            .count(),
        cluster_id: status.cluster_id,
        answered_by: status.answered_by,
        steward: status.steward,
    })
}

/// Rows by number, from a place on.
fn later<T: Serialize>(call: &Call, rows: &[T], id: impl Fn(&T) -> u64) -> Result<Answer, Problem> {
    let after = match call.after() {
        None => None,
        Some(after) => {
            let number = after.as_u64();
            Some(number.ok_or_else(|| Problem::invalid("'after' is no place in this list"))?)
        }
    };
    let rows = rows.iter();
    let rows = rows.filter(|row| after.is_none_or(|after| id(row) > after));
    let rows = rows.map(json).collect::<Result<_, _>>()?;
    Ok(call.rows(rows, false))
}

async fn nodes(call: Call) -> Result<Answer, Problem> {
    let status = call.status().await?;
    later(&call, &status.nodes, |node| node.id)
}

async fn shards(call: Call) -> Result<Answer, Problem> {
    let status = call.status().await?;
    later(&call, &status.groups, |group| u64::from(group.id))
}

async fn node(call: Call) -> Result<Answer, Problem> {
    let id: u64 = call.number("node")?;
    let status = call.status().await?;
    let found = status.nodes.iter().find(|node| node.id == id);
    Answer::one(found.ok_or_else(|| refused(ErrorKind::UnknownNode))?)
}

/// `meant`: what is asked for of the node that the path names.
async fn change(
    call: Call,
    meant: fn(Result<u64, Problem>) -> Result<AdminRequest, Problem>,
) -> Result<Answer, Problem> {
    let request = meant(call.number("node"))?;
    let named = match request {
        AdminRequest::Drain { node }
        | AdminRequest::Add { node }
        | AdminRequest::Remove { node } => Some(node),
        AdminRequest::Status | AdminRequest::Transfer { .. } | AdminRequest::Balance => None,
    };
    if let Some(id) = named
        && !call.status().await?.nodes.iter().any(|node| node.id == id)
    {
        return Err(refused(ErrorKind::UnknownNode));
    }
    if let AdminRequest::Remove { node } = request
        && node == call.node.id().0
    {
        let detail = format!("node {node} cannot take itself out: ask another one");
        return Err(Problem::conflict("refused", detail));
    }
    done(&call, request).await
}

async fn transfer(call: Call) -> Result<Answer, Problem> {
    let TransferBody { node } = call.said()?;
    let group: u32 = call.number("shard")?;
    let status = call.status().await?;
    if !status.groups.iter().any(|known| known.id == group) {
        return Err(Problem::not_found(format!("there is no shard {group}")));
    }
    done(&call, AdminRequest::Transfer { group, node }).await
}

async fn done(call: &Call, request: AdminRequest) -> Result<Answer, Problem> {
    match call.admin(request).await? {
        AdminAnswer::Done { message } => Answer::one(&DoneRow { message }),
        _ => Err(unexpected()),
    }
}

async fn settings(call: Call) -> Result<Answer, Problem> {
    let after = call.after_text()?;
    let rows = call.settings.iter();
    let rows = rows.filter(|row| after.is_none_or(|after| *row.name > *after));
    let rows = rows.map(json).collect::<Result<_, _>>()?;
    Ok(call.rows(rows, false))
}
