//! `weir policy`: look at policies, set and delete them.

use clap::{Args, Subcommand};
use serde_json::Value;
use weir_broker::queue_admin::{PolicyRow, QueueAdminAnswer, QueueAdminRequest};

use super::{
    queueing::{QueueingArguments, argument, line, map},
    table::Table,
};

/// What to do, and where.
#[derive(Debug, Args)]
pub(crate) struct PolicyArguments {
    #[command(subcommand)]
    verb: Verb,
    /// Of operators: they cap what others set.
    #[arg(long, global = true)]
    operator: bool,
    #[command(flatten)]
    queueing: QueueingArguments,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show all policies.
    List,
    /// Set a policy; what it applies to behaves by it at once.
    Declare {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
        /// Which queues and exchanges, by their names: a regular expression.
        #[arg(value_name = "PATTERN")]
        pattern: String,
        /// What it sets, such as message-ttl=60000. May be repeated.
        #[arg(long = "set", value_name = "NAME=VALUE", value_parser = argument, required = true)]
        definition: Vec<(String, Value)>,
        /// all, exchanges, queues, classic_queues, quorum_queues or streams.
        #[arg(long, default_value = "all")]
        apply_to: String,
        /// Of several that match, the one with the highest counts.
        #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
        priority: i32,
    },
    /// Delete a policy.
    Delete {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// Does it, and says so.
pub(crate) fn run(arguments: &PolicyArguments) -> anyhow::Result<()> {
    let (queueing, operator) = (&arguments.queueing, arguments.operator);
    let vhost = queueing.vhost.clone();
    match &arguments.verb {
        Verb::List => list(queueing, operator),
        Verb::Declare {
            name,
            pattern,
            definition,
            apply_to,
            priority,
        } => {
            let request = QueueAdminRequest::DeclarePolicy {
                vhost,
                operator,
                name: name.clone(),
                pattern: pattern.clone(),
                apply_to: apply_to.clone(),
                priority: *priority,
                definition: map(definition),
            };
            queueing.change(&request, &format!("policy {name}: declared"))
        }
        Verb::Delete { name } => {
            let request = QueueAdminRequest::DeletePolicy {
                vhost,
                operator,
                name: name.clone(),
            };
            queueing.change(&request, &format!("policy {name}: deleted"))
        }
    }
}

fn list(queueing: &QueueingArguments, operator: bool) -> anyhow::Result<()> {
    let rows: Vec<PolicyRow> = queueing.pages(
        |after| QueueAdminRequest::ListPolicies {
            vhost: queueing.vhost.clone(),
            operator,
            after,
            only: None,
        },
        |answer| {
            let QueueAdminAnswer::Policies { rows } = answer else {
                return None;
            };
            Some(rows)
        },
        |row| row.name.clone(),
    )?;
    let mut table = Table::new(&["POLICY", "PATTERN", "APPLIES TO", "PRIORITY", "SETS"]);
    for row in &rows {
        table.row(vec![
            row.name.clone(),
            row.pattern.clone(),
            row.apply_to.clone(),
            row.priority.to_string(),
            line(&row.definition),
        ]);
    }
    queueing.tell(&rows, &table.render())
}
