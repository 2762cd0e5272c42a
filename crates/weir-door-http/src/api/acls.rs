//! Kafka's ACLs.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use weir_access::acl::Operation;
use weir_broker::{
    access_admin::{AccessAdminAnswer, AccessAdminRequest, AclRow, AclWanted},
    queue_admin::PAGE_ROW_COUNT,
};

use super::{
    call::{Answer, Call, unexpected},
    table::{flag, schema, text},
    topics::json,
    word::access_answer,
};
use crate::routing::{
    problem::Problem,
    query::Parameter,
    route::{Act, Body, Gives, Right, Route, Verb},
};

const WANTED: [Parameter; 7] = [
    text("principal", "About this user."),
    text("host", "From this address."),
    text("effect", "That say this: allow or deny."),
    text("operation", "About this operation."),
    text("resource", "About resources of this type."),
    text(
        "pattern",
        "With names that are meant so: literal, prefixed, glob; or match: all that mean `name`.",
    ),
    text("name", "With this name."),
];

const DELETED: [Parameter; 8] = [
    WANTED[0],
    WANTED[1],
    WANTED[2],
    WANTED[3],
    WANTED[4],
    WANTED[5],
    WANTED[6],
    flag("all", "All there are, where nothing else is said."),
];

pub(super) const ROUTES: [Route; 3] = [
    Route {
        id: "listAcls",
        verb: Verb::Get,
        path: "/acls",
        summary: "ACLs that are meant.",
        rights: &[Right::Cluster(Operation::Describe)],
        query: &WANTED,
        body: Body::None,
        gives: Gives::Rows(schema::<AclRow>, &[]),
        act: Act::Own(|call| Box::pin(list(call))),
    },
    Route {
        id: "addAcl",
        verb: Verb::Post,
        path: "/acls",
        summary: "Adds an ACL, where it is not there.",
        rights: &[Right::Cluster(Operation::Alter)],
        query: &[],
        body: Body::Of(schema::<AclRow>),
        gives: Gives::Nothing,
        act: Act::Own(|call| Box::pin(add(call))),
    },
    Route {
        id: "deleteAcls",
        verb: Verb::Delete,
        path: "/acls",
        summary: "Deletes all ACLs that are meant.",
        rights: &[Right::Cluster(Operation::Alter)],
        query: &DELETED,
        body: Body::None,
        gives: Gives::One(schema::<DeletedRow>),
        act: Act::Own(|call| Box::pin(delete(call))),
    },
];

/// So many.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeletedAcls")]
struct DeletedRow {
    /// ACLs.
    acls: u64,
}

fn wanted(call: &Call) -> AclWanted {
    let said = |name: &str| {
        call.query
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    AclWanted {
        principal: said("principal"),
        host: said("host"),
        effect: said("effect"),
        operation: said("operation"),
        resource: said("resource"),
        pattern: said("pattern"),
        name: said("name"),
    }
}

async fn list(call: Call) -> Result<Answer, Problem> {
    let after = call
        .after()
        .map(|after| serde_json::from_value(after.clone()));
    let after = after.transpose();
    let after = after.map_err(|_| Problem::invalid("'after' is no place in this list"))?;
    let wanted = wanted(&call);
    let request = AccessAdminRequest::ListAcls { wanted, after };
    let AccessAdminAnswer::Acls { rows } = access_answer(&call, request).await? else {
        return Err(unexpected());
    };
    let has_more = rows.len() >= PAGE_ROW_COUNT;
    let rows = rows.iter().map(json).collect::<Result<_, _>>()?;
    Ok(call.rows(rows, has_more))
}

async fn add(call: Call) -> Result<Answer, Problem> {
    let acl: AclRow = call.said()?;
    // All fields of a row have to be there: what is more than those is unknown.
    let known = json(&acl)?;
    if let Some(name) = call.body.keys().find(|name| known.get(name).is_none()) {
        return Err(Problem::invalid(format!("unknown field `{name}`")));
    }
    access_answer(&call, AccessAdminRequest::AddAcl { acl }).await?;
    Ok(Answer::nothing())
}

async fn delete(call: Call) -> Result<Answer, Problem> {
    let wanted = wanted(&call);
    if wanted == AclWanted::default() && !call.is_set("all") {
        return Err(Problem::invalid("say which ACLs are meant, or all=true"));
    }
    match access_answer(&call, AccessAdminRequest::DeleteAcls { wanted }).await? {
        AccessAdminAnswer::Counted { acls } => Answer::one(&DeletedRow { acls }),
        _ => Err(unexpected()),
    }
}
