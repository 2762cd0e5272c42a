//! `weir binding`: look at bindings, make and delete them.

use clap::{Args, Subcommand};
use serde_json::Value;
use weir_broker::queue_admin::{BindingRow, QueueAdminAnswer, QueueAdminRequest};

use super::{
    queueing::{QueueingArguments, argument, line, map},
    table::Table,
};

/// What to do, and where.
#[derive(Debug, Args)]
pub(crate) struct BindingArguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    queueing: QueueingArguments,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show all bindings, in the order in which they were made.
    List,
    /// Bind a queue or an exchange to an exchange.
    Declare(Bound),
    /// Take a binding away.
    Delete(Bound),
}

#[derive(Debug, Args)]
struct Bound {
    /// The exchange that messages come from.
    #[arg(value_name = "EXCHANGE")]
    source: String,
    /// The queue that they go to; with --to-exchange an exchange.
    #[arg(value_name = "TO")]
    destination: String,
    /// Its routing key, or a pattern.
    #[arg(long, default_value = "", value_name = "KEY")]
    key: String,
    /// They go to an exchange.
    #[arg(long)]
    to_exchange: bool,
    /// An argument, such as x-match=any. May be repeated.
    #[arg(long = "argument", value_name = "NAME=VALUE", value_parser = argument)]
    arguments: Vec<(String, Value)>,
}

impl Bound {
    fn request(&self, vhost: &str, remove: bool) -> QueueAdminRequest {
        QueueAdminRequest::Bind {
            vhost: vhost.to_owned(),
            source: self.source.clone(),
            destination: self.destination.clone(),
            to_exchange: self.to_exchange,
            routing_key: self.key.clone(),
            arguments: map(&self.arguments),
            remove,
        }
    }
}

/// Does it, and says so.
pub(crate) fn run(arguments: &BindingArguments) -> anyhow::Result<()> {
    let queueing = &arguments.queueing;
    let (bound, remove) = match &arguments.verb {
        Verb::List => return list(queueing),
        Verb::Declare(bound) => (bound, false),
        Verb::Delete(bound) => (bound, true),
    };
    let verb = if remove { "unbound from" } else { "bound to" };
    let done = format!("{}: {verb} {}", bound.destination, bound.source);
    queueing.change(&bound.request(&queueing.vhost, remove), &done)
}

fn list(queueing: &QueueingArguments) -> anyhow::Result<()> {
    let rows: Vec<BindingRow> = queueing.pages(
        |after| QueueAdminRequest::ListBindings {
            vhost: queueing.vhost.clone(),
            after,
        },
        |answer| {
            let QueueAdminAnswer::Bindings { rows } = answer else {
                return None;
            };
            Some(rows)
        },
        |row| row.serial,
    )?;
    let mut table = Table::new(&["EXCHANGE", "TO", "KIND", "KEY", "ARGUMENTS"]);
    for row in &rows {
        let kind = if row.to_exchange { "exchange" } else { "queue" };
        table.row(vec![
            row.source.clone(),
            row.destination.clone(),
            kind.to_owned(),
            row.routing_key.clone(),
            line(&row.arguments),
        ]);
    }
    queueing.tell(&rows, &table.render())
}
