//! What a well-behaved client does in the place of each kind of abuse: what a crowd costs that is none.

use super::row::{Door, Row, Stage};
use super::{amqp, http, kafka};

/// Its way, by as many connections as that row has, which log in as that row's do.
pub(super) fn in_place_of(row: &Row) -> Row {
    let (payload, due) = match (row.door, row.stage) {
        (Door::Kafka, _) => kafka::usual(),
        (Door::Amqp, Stage::BeforeLogin | Stage::Stranger) => amqp::usual_of_strangers(),
        (Door::Amqp, Stage::AfterLogin | Stage::User) => amqp::usual(),
        (Door::Http, _) => http::usual(),
    };
    Row {
        door: row.door,
        stage: row.stage,
        name: "as usual",
        login: row.login.clone(),
        payload: payload.into(),
        due,
        grace: row.grace,
        crowd_count: row.crowd_count,
    }
}
