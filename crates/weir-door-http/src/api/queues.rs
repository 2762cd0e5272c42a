//! Exchanges, bindings, queues and their messages.

use schemars::JsonSchema;
use serde::Serialize;
use weir_broker::queue_admin::{
    BindingRow, ExchangeRow, MessageRow, QueueAdminAnswer, QueueAdminRequest, QueueRow,
};

use super::{
    call::{Answer, Call, unexpected},
    table::{flag, schema},
    word::queue_answer,
};
use crate::routing::{
    problem::Problem,
    route::{Act, Body, Gives, Right, Route, Verb, Word},
};

const CONFIGURE_QUEUE: &[Right] = &[Right::Permissions("`configure` the queue")];
const CONFIGURE_EXCHANGE: &[Right] = &[Right::Permissions("`configure` the exchange")];
const READ_QUEUE: &[Right] = &[Right::Permissions("`read` the queue")];
const BIND: &[Right] = &[Right::Permissions(
    "`write` the destination, `read` the source",
)];

// Table: one route an entry.
pub(super) const ROUTES: [Route; 14] = [
    Route {
        id: "listExchanges",
        verb: Verb::Get,
        path: "/vhosts/{vhost}/exchanges",
        summary: "Exchanges of a virtual host, by name.",
        rights: &[Right::Vhost],
        query: &[],
        body: Body::None,
        gives: Gives::Rows(schema::<ExchangeRow>, &["name"]),
        act: Act::Queue(Word::new("list_exchanges")),
    },
    Route {
        id: "getExchange",
        verb: Verb::Get,
        path: "/vhosts/{vhost}/exchanges/{name}",
        summary: "An exchange.",
        rights: &[Right::Vhost],
        query: &[],
        body: Body::None,
        gives: Gives::One(schema::<ExchangeRow>),
        act: Act::Queue(Word::new("list_exchanges").only("name")),
    },
    Route {
        id: "putExchange",
        verb: Verb::Put,
        path: "/vhosts/{vhost}/exchanges/{name}",
        summary: "Makes an exchange, where it is not there.",
        rights: CONFIGURE_EXCHANGE,
        query: &[],
        body: Body::Word,
        gives: Gives::Declared,
        act: Act::Queue(Word::new("declare_exchange")),
    },
    Route {
        id: "deleteExchange",
        verb: Verb::Delete,
        path: "/vhosts/{vhost}/exchanges/{name}",
        summary: "Deletes an exchange, where it is there.",
        rights: CONFIGURE_EXCHANGE,
        query: &[flag("if_unused", "Only where nothing is bound to it.")],
        body: Body::None,
        gives: Gives::Nothing,
        act: Act::Queue(Word::new("delete_exchange")),
    },
    Route {
        id: "listBindings",
        verb: Verb::Get,
        path: "/vhosts/{vhost}/bindings",
        summary: "Bindings of a virtual host, oldest first.",
        rights: &[Right::Vhost],
        query: &[],
        body: Body::None,
        gives: Gives::Rows(schema::<BindingRow>, &["serial"]),
        act: Act::Queue(Word::new("list_bindings")),
    },
    Route {
        id: "bind",
        verb: Verb::Post,
        path: "/vhosts/{vhost}/bindings",
        summary: "Binds a queue or an exchange to an exchange, where it is not bound so.",
        rights: BIND,
        query: &[],
        body: Body::Word,
        gives: Gives::Nothing,
        act: Act::Queue(Word::new("bind").with(&[("remove", false)])),
    },
    Route {
        id: "unbind",
        verb: Verb::Delete,
        path: "/vhosts/{vhost}/bindings/{serial}",
        summary: "Takes a binding away, by the serial that the list tells.",
        rights: BIND,
        query: &[],
        body: Body::None,
        gives: Gives::Nothing,
        act: Act::Own(|call| Box::pin(unbind(call))),
    },
    Route {
        id: "listQueues",
        verb: Verb::Get,
        path: "/vhosts/{vhost}/queues",
        summary: "Queues of a virtual host, by name, with what they hold.",
        rights: &[Right::Vhost],
        query: &[],
        body: Body::None,
        gives: Gives::Rows(schema::<QueueRow>, &["name"]),
        act: Act::Queue(Word::new("list_queues")),
    },
    Route {
        id: "getQueue",
        verb: Verb::Get,
        path: "/vhosts/{vhost}/queues/{name}",
        summary: "A queue.",
        rights: &[Right::Vhost],
        query: &[],
        body: Body::None,
        gives: Gives::One(schema::<QueueRow>),
        act: Act::Queue(Word::new("list_queues").only("name")),
    },
    Route {
        id: "putQueue",
        verb: Verb::Put,
        path: "/vhosts/{vhost}/queues/{name}",
        summary: "Makes a queue, where it is not there.",
        rights: CONFIGURE_QUEUE,
        query: &[],
        body: Body::Word,
        gives: Gives::Declared,
        act: Act::Queue(Word::new("declare_queue")),
    },
    Route {
        id: "deleteQueue",
        verb: Verb::Delete,
        path: "/vhosts/{vhost}/queues/{name}",
        summary: "Deletes a queue with all messages in it, where it is there.",
        rights: CONFIGURE_QUEUE,
        query: &[
            flag("if_unused", "Only where it has no consumers."),
            flag("if_empty", "Only where it has no messages."),
        ],
        body: Body::None,
        gives: Gives::Nothing,
        act: Act::Queue(Word::new("delete_queue")),
    },
    Route {
        id: "purgeQueue",
        verb: Verb::Post,
        path: "/vhosts/{vhost}/queues/{name}/purge",
        summary: "Removes all messages that are ready.",
        rights: READ_QUEUE,
        query: &[],
        body: Body::None,
        gives: Gives::Whole(schema::<CountedRow>),
        act: Act::Queue(Word::new("purge_queue")),
    },
    Route {
        id: "peekQueue",
        verb: Verb::Post,
        path: "/vhosts/{vhost}/queues/{name}/peek",
        summary: "Shows the first messages that are ready, 100 at most. They stay where they are, as redelivered.",
        rights: READ_QUEUE,
        query: &[],
        body: Body::Word,
        gives: Gives::Whole(schema::<MessagesRow>),
        act: Act::Queue(Word::new("peek")),
    },
    Route {
        id: "moveMessages",
        verb: Verb::Post,
        path: "/vhosts/{vhost}/queues/{source}/move",
        summary: "Moves messages that are ready to another queue, 100 at most. Fewer than asked for: there are no more.",
        rights: &[Right::Permissions(
            "`read` the queue, `write` `amq.default`",
        )],
        query: &[],
        body: Body::Word,
        gives: Gives::Whole(schema::<CountedRow>),
        act: Act::Queue(Word::new("move_messages")),
    },
];

/// So many.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CountedMessages")]
pub(super) struct CountedRow {
    /// Messages.
    messages: u64,
}

/// Messages of a queue.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Messages")]
pub(super) struct MessagesRow {
    /// First comes first.
    rows: Vec<MessageRow>,
}

async fn unbind(call: Call) -> Result<Answer, Problem> {
    let serial: u64 = call.number("serial")?;
    let vhost = call.named("vhost").to_owned();
    // Whoever may not be there is told nothing of what is.
    call.asker
        .require(weir_access::Need::Vhost { vhost: &vhost })?;
    let list = QueueAdminRequest::ListBindings {
        vhost: vhost.clone(),
        after: serial.checked_sub(1),
    };
    let QueueAdminAnswer::Bindings { rows } = queue_answer(&call, list).await? else {
        return Err(unexpected());
    };
    let found = rows.into_iter().find(|row| row.serial == serial);
    let found = found.ok_or_else(|| Problem::not_found("there is no binding of this serial"))?;
    let request = QueueAdminRequest::Bind {
        vhost,
        source: found.source,
        destination: found.destination,
        to_exchange: found.to_exchange,
        routing_key: found.routing_key,
        arguments: found.arguments,
        remove: true,
    };
    queue_answer(&call, request)
        .await
        .map(|_| Answer::nothing())
}
