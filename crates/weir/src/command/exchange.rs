//! `weir exchange`: look at exchanges, make and delete them.

use clap::{Args, Subcommand};
use serde_json::Value;
use weir_broker::queue_admin::{ExchangeRow, QueueAdminAnswer, QueueAdminRequest};

use super::{
    queueing::{QueueingArguments, argument, flags, line, map, or_dash},
    table::Table,
};

/// What to do, and where.
#[derive(Debug, Args)]
pub(crate) struct ExchangeArguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    queueing: QueueingArguments,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show all exchanges.
    List,
    /// Make an exchange, where it is not there.
    Declare {
        /// Its name.
        #[arg(value_name = "EXCHANGE")]
        name: String,
        /// direct, fanout, topic, headers, x-consistent-hash and so on.
        #[arg(long = "type", value_name = "TYPE", default_value = "direct")]
        kind: String,
        /// It goes when the whole cluster has started again.
        #[arg(long)]
        transient: bool,
        /// It goes with its last binding.
        #[arg(long)]
        auto_delete: bool,
        /// It takes messages of other exchanges only.
        #[arg(long)]
        internal: bool,
        /// An argument, such as alternate-exchange=rest. May be repeated.
        #[arg(long = "argument", value_name = "NAME=VALUE", value_parser = argument)]
        arguments: Vec<(String, Value)>,
    },
    /// Delete an exchange with its bindings.
    Delete {
        /// Its name.
        #[arg(value_name = "EXCHANGE")]
        name: String,
        /// Only where nothing is bound to it.
        #[arg(long)]
        if_unused: bool,
    },
}

/// Does it, and says so.
pub(crate) fn run(arguments: &ExchangeArguments) -> anyhow::Result<()> {
    let queueing = &arguments.queueing;
    let vhost = queueing.vhost.clone();
    match &arguments.verb {
        Verb::List => list(queueing),
        Verb::Declare {
            name,
            kind,
            transient,
            auto_delete,
            internal,
            arguments,
        } => {
            let request = QueueAdminRequest::DeclareExchange {
                vhost,
                name: name.clone(),
                kind: kind.clone(),
                durable: !transient,
                auto_delete: *auto_delete,
                internal: *internal,
                arguments: map(arguments),
            };
            queueing.change(&request, &format!("exchange {name}: declared"))
        }
        Verb::Delete { name, if_unused } => {
            let request = QueueAdminRequest::DeleteExchange {
                vhost,
                name: name.clone(),
                if_unused: *if_unused,
            };
            queueing.change(&request, &format!("exchange {name}: deleted"))
        }
    }
}

fn list(queueing: &QueueingArguments) -> anyhow::Result<()> {
    let rows: Vec<ExchangeRow> = queueing.pages(
        |after| QueueAdminRequest::ListExchanges {
            vhost: queueing.vhost.clone(),
            after,
            only: None,
        },
        |answer| {
            let QueueAdminAnswer::Exchanges { rows } = answer else {
                return None;
            };
            Some(rows)
        },
        |row| row.name.clone(),
    )?;
    let mut table = Table::new(&[
        "EXCHANGE",
        "TYPE",
        "FLAGS",
        "BINDINGS",
        "POLICY",
        "ARGUMENTS",
    ]);
    for row in &rows {
        let of_flags = flags(&[
            (!row.durable, "transient"),
            (row.auto_delete, "auto-delete"),
            (row.internal, "internal"),
        ]);
        let name = match row.name.is_empty() {
            true => "(default)".to_owned(),
            false => row.name.clone(),
        };
        table.row(vec![
            name,
            row.kind.clone(),
            of_flags,
            row.bindings.to_string(),
            or_dash(row.policy.as_deref()),
            line(&row.arguments),
        ]);
    }
    queueing.tell(&rows, &table.render())
}
