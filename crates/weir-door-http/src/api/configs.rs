//! Settings of topics, groups, nodes and the cluster, which change while nodes run.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use weir_access::acl::Operation;
use weir_broker::{
    api::{
        Outcome, Request,
        admin::{
            AlterConfigs, ConfigChange, ConfigOp, ConfigResource, DescribeConfigs, Manage, Managed,
        },
    },
    topic_admin::{ConfigRow, TopicAdminAnswer, TopicAdminRequest},
};
use weir_model::{ErrorKind, NodeId};

use super::{
    call::{Answer, Call, single, unexpected},
    offsets::refused,
    table::{flag, schema},
    topics::json,
};
use crate::routing::{
    problem::Problem,
    query::Parameter,
    route::{Act, Body, Gives, Right, Route, Verb},
};

const VALIDATE: Parameter = flag("validate_only", "Only tell whether it would be done.");

/// Two routes of one kind of thing that has settings.
macro_rules! routes {
    ($($get:literal $patch:literal $path:literal $whose:literal $describe:expr, $alter:expr, $of:expr;)*) => {
        pub(super) const ROUTES: [Route; 8] = [$(
            Route {
                id: $get,
                verb: Verb::Get,
                path: $path,
                summary: concat!("Settings of ", $whose, "."),
                rights: &[$describe],
                query: &[],
                body: Body::None,
                gives: Gives::Rows(schema::<ConfigRow>, &["name"]),
                act: Act::Own(|call| Box::pin(async move {
                    let of = $of(&call)?;
                    describe(call, of).await
                })),
            },
            Route {
                id: $patch,
                verb: Verb::Patch,
                path: $path,
                summary: concat!("Changes settings of ", $whose, "."),
                rights: &[$alter],
                query: &[VALIDATE],
                body: Body::Of(schema::<ChangeBody>),
                gives: Gives::Nothing,
                act: Act::Own(|call| Box::pin(async move {
                    let of = $of(&call)?;
                    alter(call, of).await
                })),
            },
        )*];
    };
}

routes! {
    "getTopicConfig" "changeTopicConfig" "/topics/{topic}/config" "a topic"
        Right::Topic(Operation::DescribeConfigs), Right::Topic(Operation::AlterConfigs), topic;
    "getGroupConfig" "changeGroupConfig" "/groups/{group}/config" "a consumer group"
        Right::Group(Operation::DescribeConfigs), Right::Group(Operation::AlterConfigs), group;
    "getNodeConfig" "changeNodeConfig" "/nodes/{node}/config" "a node"
        Right::Cluster(Operation::DescribeConfigs), Right::Cluster(Operation::AlterConfigs), node;
    "getClusterConfig" "changeClusterConfig" "/cluster/config" "all nodes"
        Right::Cluster(Operation::DescribeConfigs), Right::Cluster(Operation::AlterConfigs), cluster;
}

/// Changes of settings, all or none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    /// Values by name.
    #[serde(default)]
    set: BTreeMap<String, String>,
    /// Names of settings that go back to what they are by themselves.
    #[serde(default)]
    unset: Vec<String>,
}

type Of = Result<ConfigResource, Problem>;

fn topic(call: &Call) -> Of {
    Ok(ConfigResource::Topic(call.named("topic").to_owned()))
}

fn group(call: &Call) -> Of {
    Ok(ConfigResource::Group(call.named("group").to_owned()))
}

fn node(call: &Call) -> Of {
    Ok(ConfigResource::Broker(Some(call.number("node")?)))
}

fn cluster(_: &Call) -> Of {
    Ok(ConfigResource::Broker(None))
}

async fn describe(call: Call, of: ConfigResource) -> Result<Answer, Problem> {
    let rows = match of {
        ConfigResource::Broker(Some(_)) => of_node(&call).await?,
        ConfigResource::Topic(_)
        | ConfigResource::Group(_)
        | ConfigResource::Broker(None)
        | ConfigResource::BrokerLogger(_)
        | ConfigResource::ClientMetrics(_) => known(&call, of).await?,
    };
    let after = call.after_text()?;
    let rows = rows.iter();
    let rows = rows.filter(|row| after.is_none_or(|after| *row.name > *after));
    let rows = rows.map(json).collect::<Result<_, _>>()?;
    Ok(call.rows(rows, false))
}

async fn known(call: &Call, resource: ConfigResource) -> Result<Vec<ConfigRow>, Problem> {
    let wanted = DescribeConfigs {
        resource,
        names: None,
    };
    let request = Request::Manage(Manage::DescribeConfigs(vec![wanted]));
    let Outcome::Managed(Managed::Configs(found)) = call.ask(request).await? else {
        return Err(unexpected());
    };
    let mut rows: Vec<ConfigRow> = single(found)?.into_iter().map(Into::into).collect();
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(rows)
}

/// What stands in a node's file it alone knows.
async fn of_node(call: &Call) -> Result<Vec<ConfigRow>, Problem> {
    let id: u64 = call.number("node")?;
    if !call.status().await?.nodes.iter().any(|node| node.id == id) {
        return Err(refused(ErrorKind::UnknownNode));
    }
    let asked = call.ask_at(NodeId(id), TopicAdminRequest::DescribeNode);
    let TopicAdminAnswer::Configs { mut rows } = asked.await? else {
        return Err(unexpected());
    };
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(rows)
}

async fn alter(call: Call, of: ConfigResource) -> Result<Answer, Problem> {
    let body: ChangeBody = call.said()?;
    if body.set.is_empty() && body.unset.is_empty() {
        return Err(Problem::invalid(
            "neither 'set' nor 'unset' names a setting",
        ));
    }
    let set = body.set.into_iter().map(|(name, value)| ConfigChange {
        name,
        op: ConfigOp::Set,
        value: Some(value),
    });
    let unset = body.unset.into_iter().map(|name| ConfigChange {
        name,
        op: ConfigOp::Delete,
        value: None,
    });
    let alter = AlterConfigs {
        resources: vec![(of, set.chain(unset).collect())],
        is_whole: false,
        validate_only: call.is_set("validate_only"),
    };
    let request = Request::Manage(Manage::AlterConfigs(alter));
    let Outcome::Managed(Managed::Checked(answers)) = call.change(request).await? else {
        return Err(unexpected());
    };
    single(answers).map(|()| Answer::nothing())
}
