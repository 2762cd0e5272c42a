//! Routes that are one of the broker's own requests: path, query and body are its fields.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::oneshot;
use weir_broker::{
    access_admin::{AccessAdminAnswer, AccessAdminRequest},
    queue_admin::{PAGE_ROW_COUNT, QueueAdminAnswer, QueueAdminRequest},
};

use super::call::{Answer, Call, heard, unexpected};
use crate::routing::{
    path::Parameters,
    problem::Problem,
    route::{Gives, Word},
};

/// The request that is meant.
pub(crate) fn request<T: DeserializeOwned>(
    word: Word,
    path: &Parameters,
    query: &Map<String, Value>,
    body: &Map<String, Value>,
) -> Result<T, Problem> {
    let mut said = body.clone();
    let fields = path.iter();
    let fields = fields.map(|(name, value)| (word.field(name), Value::from(value.as_str())));
    let fixed = word
        .fixed
        .iter()
        .map(|(name, value)| (*name, Value::from(*value)));
    let query = query.iter().filter(|(name, _)| *name != "limit");
    let query = query.map(|(name, value)| (name.as_str(), value.clone()));
    let named = [("request", Value::from(word.word))].into_iter();
    for (name, value) in named.chain(fields).chain(fixed).chain(query) {
        if said.insert(name.to_owned(), value).is_some() {
            return Err(Problem::invalid(format!("there is no field `{name}` here")));
        }
    }
    serde_json::from_value(Value::Object(said)).map_err(|error| Problem::invalid(error.to_string()))
}

/// Asks for something about queues and what leads to them.
pub(crate) async fn queue(call: Call, word: Word) -> Result<Answer, Problem> {
    let request: QueueAdminRequest = request(word, &call.path, &call.query, &call.body)?;
    let was_there = call.node.is_declared(&request);
    let answer = queue_answer(&call, request).await?;
    shown(&call, &answer, was_there)
}

/// What the broker says to it.
pub(crate) async fn queue_answer(
    call: &Call,
    request: QueueAdminRequest,
) -> Result<QueueAdminAnswer, Problem> {
    let (tell, told) = oneshot::channel();
    let done = move |answer| drop(tell.send(answer));
    call.node
        .queue_admin(&call.asker.requester(), request, Box::new(done));
    match heard(told).await? {
        QueueAdminAnswer::Refused(refusal) => Err(refusal.into()),
        answer => Ok(answer),
    }
}

/// Asks for something about users and rules.
pub(crate) async fn access(call: Call, word: Word) -> Result<Answer, Problem> {
    let request: AccessAdminRequest = request(word, &call.path, &call.query, &call.body)?;
    let answer = access_answer(&call, request).await?;
    shown(&call, &answer, false)
}

/// What the broker says to it.
pub(crate) async fn access_answer(
    call: &Call,
    request: AccessAdminRequest,
) -> Result<AccessAdminAnswer, Problem> {
    let (tell, told) = oneshot::channel();
    let done = move |answer| drop(tell.send(answer));
    call.node
        .access_admin(&call.asker.requester(), request, Box::new(done));
    match heard(told).await? {
        AccessAdminAnswer::Refused(refusal) => Err(refusal.into()),
        answer => Ok(answer),
    }
}

/// An answer of the broker's as the route gives it.
pub(crate) fn shown(
    call: &Call,
    answer: &impl serde::Serialize,
    was_there: bool,
) -> Result<Answer, Problem> {
    match call.route.gives {
        Gives::Nothing => Ok(Answer::nothing()),
        Gives::Declared => Ok(Answer::declared(was_there)),
        Gives::Rows(..) => {
            let rows = rows(answer)?;
            let has_more = rows.len() >= PAGE_ROW_COUNT;
            Ok(call.rows(rows, has_more))
        }
        Gives::One(_) => match rows(answer)?.first() {
            Some(row) => Answer::one(row),
            None => Err(Problem::not_found("there is none of this name")),
        },
        Gives::Whole(_) => {
            let mut fields = fields(answer)?;
            fields.remove("answer");
            Answer::one(&fields)
        }
    }
}

fn fields(answer: &impl serde::Serialize) -> Result<Map<String, Value>, Problem> {
    match serde_json::to_value(answer) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) | Err(_) => Err(unexpected()),
    }
}

fn rows(answer: &impl serde::Serialize) -> Result<Vec<Value>, Problem> {
    match fields(answer)?.remove("rows") {
        Some(Value::Array(rows)) => Ok(rows),
        Some(_) | None => Err(unexpected()),
    }
}
