//! `weir queue`: look at queues, make, empty and delete them, look at their messages and move them.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use weir_broker::queue_admin::{MessageRow, QueueAdminAnswer, QueueAdminRequest, QueueRow};

use super::{
    queueing::{QueueingArguments, argument, flags, line, map, or_dash},
    table::Table,
};

/// Messages that are moved by one request.
const MOVED_AT_ONCE_COUNT: u32 = 100;

/// What to do, and where.
#[derive(Debug, Args)]
pub(crate) struct QueueArguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    queueing: QueueingArguments,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show all queues with what they hold.
    List,
    /// Make a queue, where it is not there.
    Declare {
        /// Its name.
        #[arg(value_name = "QUEUE")]
        name: String,
        /// classic, quorum or stream.
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// It goes when its node starts again.
        #[arg(long)]
        transient: bool,
        /// It goes with its last consumer.
        #[arg(long)]
        auto_delete: bool,
        /// An argument, such as x-message-ttl=60000. May be repeated.
        #[arg(long = "argument", value_name = "NAME=VALUE", value_parser = argument)]
        arguments: Vec<(String, Value)>,
    },
    /// Delete a queue, with all messages in it.
    Delete {
        /// Its name.
        #[arg(value_name = "QUEUE")]
        name: String,
        /// Only where it has no consumers.
        #[arg(long)]
        if_unused: bool,
        /// Only where it has no messages.
        #[arg(long)]
        if_empty: bool,
    },
    /// Remove all messages that are ready.
    Purge {
        /// Its name.
        #[arg(value_name = "QUEUE")]
        name: String,
    },
    /// Show the first messages that are ready. They stay where they are, as redelivered.
    Peek {
        /// Its name.
        #[arg(value_name = "QUEUE")]
        name: String,
        /// How many, 100 at most.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
        count: u32,
    },
    /// Move messages that are ready to another queue, such as out of a dead letter queue.
    Move {
        /// Where they are.
        #[arg(value_name = "FROM")]
        source: String,
        /// Where they go.
        #[arg(value_name = "TO")]
        destination: String,
        /// How many at most. Default: all that are ready.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
    },
}

/// Does it, and says so.
pub(crate) fn run(arguments: &QueueArguments) -> anyhow::Result<()> {
    let queueing = &arguments.queueing;
    let vhost = queueing.vhost.clone();
    match &arguments.verb {
        Verb::List => list(queueing),
        Verb::Declare {
            name,
            kind,
            transient,
            auto_delete,
            arguments,
        } => {
            let mut arguments = map(arguments);
            if let Some(kind) = kind {
                arguments.insert("x-queue-type".to_owned(), json!(kind));
            }
            let request = QueueAdminRequest::DeclareQueue {
                vhost,
                name: name.clone(),
                durable: !transient,
                auto_delete: *auto_delete,
                arguments,
            };
            queueing.change(&request, &format!("queue {name}: declared"))
        }
        Verb::Delete {
            name,
            if_unused,
            if_empty,
        } => {
            let request = QueueAdminRequest::DeleteQueue {
                vhost,
                name: name.clone(),
                if_unused: *if_unused,
                if_empty: *if_empty,
            };
            queueing.change(&request, &format!("queue {name}: deleted"))
        }
        Verb::Purge { name } => {
            let name = name.clone();
            let done = format!("queue {name}: purged");
            queueing.change(&QueueAdminRequest::PurgeQueue { vhost, name }, &done)
        }
        Verb::Peek { name, count } => peek(queueing, name, *count),
        Verb::Move {
            source,
            destination,
            count,
        } => move_messages(queueing, source, destination, *count),
    }
}

fn list(queueing: &QueueingArguments) -> anyhow::Result<()> {
    let rows: Vec<QueueRow> = queueing.pages(
        |after| QueueAdminRequest::ListQueues {
            vhost: queueing.vhost.clone(),
            after,
            only: None,
        },
        |answer| {
            let QueueAdminAnswer::Queues { rows } = answer else {
                return None;
            };
            Some(rows)
        },
        |row| row.name.clone(),
    )?;
    let mut table = Table::new(&[
        "QUEUE",
        "TYPE",
        "FLAGS",
        "READY",
        "UNACKED",
        "DELAYED",
        "CONSUMERS",
        "POLICY",
        "ARGUMENTS",
    ]);
    for row in &rows {
        let figure = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |n| n.to_string());
        let figures = row.figures;
        let of_flags = flags(&[
            (!row.durable, "transient"),
            (row.exclusive, "exclusive"),
            (row.auto_delete, "auto-delete"),
        ]);
        table.row(vec![
            row.name.clone(),
            row.kind.clone(),
            of_flags,
            figure(figures.map(|figures| figures.ready)),
            figure(figures.map(|figures| figures.unacked)),
            figure(figures.map(|figures| figures.delayed)),
            figure(figures.map(|figures| figures.consumers)),
            or_dash(row.policy.as_deref()),
            line(&row.arguments),
        ]);
    }
    queueing.tell(&rows, &table.render())
}

fn peek(queueing: &QueueingArguments, name: &str, count: u32) -> anyhow::Result<()> {
    let request = QueueAdminRequest::Peek {
        vhost: queueing.vhost.clone(),
        name: name.to_owned(),
        count,
    };
    let QueueAdminAnswer::Messages { rows } = queueing.ask(&request)? else {
        anyhow::bail!("the node answers something else");
    };
    let page: String = rows.iter().map(message).collect();
    queueing.tell(&rows, &page)
}

fn message(row: &MessageRow) -> String {
    let mut page = format!(
        "exchange {:?}  routing key {:?}  {} bytes{}\n",
        row.exchange,
        row.routing_key,
        row.body_bytes,
        if row.redelivered { "  redelivered" } else { "" }
    );
    for (name, values) in [("properties", &row.properties), ("headers", &row.headers)] {
        if !values.is_empty() {
            page.push_str(&format!("  {name}: {}\n", line(values)));
        }
    }
    page.push_str(&format!("{}\n", row.body));
    page
}

fn move_messages(
    queueing: &QueueingArguments,
    source: &str,
    destination: &str,
    count: Option<u64>,
) -> anyhow::Result<()> {
    let mut moved_count = 0;
    let mut left_count = count.unwrap_or(u64::MAX);
    while left_count > 0 {
        let wanted = u64::from(MOVED_AT_ONCE_COUNT).min(left_count);
        let request = QueueAdminRequest::MoveMessages {
            vhost: queueing.vhost.clone(),
            source: source.to_owned(),
            destination: destination.to_owned(),
            count: u32::try_from(wanted).unwrap_or(MOVED_AT_ONCE_COUNT),
        };
        let QueueAdminAnswer::Counted { messages } = queueing.ask(&request)? else {
            anyhow::bail!("the node answers something else");
        };
        moved_count += messages;
        left_count = left_count.saturating_sub(messages);
        if messages < wanted {
            break;
        }
    }
    let words = format!("{moved_count} messages moved from {source} to {destination}\n");
    queueing.tell(&json!({ "moved": moved_count }), &words)
}
