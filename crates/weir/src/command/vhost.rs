//! `weir vhost`: look at virtual hosts, make and delete them.

use clap::{Args, Subcommand};
use weir_broker::queue_admin::{QueueAdminAnswer, QueueAdminRequest, VhostRow};

use super::{
    queueing::{QueueingArguments, or_dash},
    table::Table,
};

/// What to do, and where.
#[derive(Debug, Args)]
pub(crate) struct VhostArguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    queueing: QueueingArguments,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show all virtual hosts.
    List,
    /// Make a virtual host, or change what is said of it.
    Declare {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
        /// For people.
        #[arg(long, default_value = "")]
        description: String,
        /// The type of durable queues that do not say: classic, quorum or stream.
        #[arg(long, value_name = "TYPE")]
        default_queue_type: Option<String>,
    },
    /// Set how much of something there may be in a virtual host.
    SetLimits {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
        /// Most connections. Without it: no limit.
        #[arg(long, value_name = "COUNT")]
        max_connections: Option<u32>,
        /// Most queues. Without it: no limit.
        #[arg(long, value_name = "COUNT")]
        max_queues: Option<u32>,
    },
    /// Delete a virtual host, with all that is in it.
    Delete {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// Does it, and says so.
pub(crate) fn run(arguments: &VhostArguments) -> anyhow::Result<()> {
    let queueing = &arguments.queueing;
    match &arguments.verb {
        Verb::List => list(queueing),
        Verb::Declare {
            name,
            description,
            default_queue_type,
        } => {
            let request = QueueAdminRequest::DeclareVhost {
                name: name.clone(),
                description: description.clone(),
                default_queue_type: default_queue_type.clone(),
            };
            queueing.change(&request, &format!("vhost {name}: declared"))
        }
        Verb::SetLimits {
            name,
            max_connections,
            max_queues,
        } => {
            let request = QueueAdminRequest::SetVhostLimits {
                name: name.clone(),
                max_connections: *max_connections,
                max_queues: *max_queues,
            };
            queueing.change(&request, &format!("vhost {name}: limits set"))
        }
        Verb::Delete { name } => {
            let done = format!("vhost {name}: deleted");
            let name = name.clone();
            queueing.change(&QueueAdminRequest::DeleteVhost { name }, &done)
        }
    }
}

fn list(queueing: &QueueingArguments) -> anyhow::Result<()> {
    let rows: Vec<VhostRow> = queueing.pages(
        |after| QueueAdminRequest::ListVhosts { after, only: None },
        |answer| {
            let QueueAdminAnswer::Vhosts { rows } = answer else {
                return None;
            };
            Some(rows)
        },
        |row| row.name.clone(),
    )?;
    let mut table = Table::new(&["VHOST", "DEFAULT QUEUE TYPE", "LIMITS", "DESCRIPTION"]);
    for row in &rows {
        table.row(vec![
            row.name.clone(),
            or_dash(row.default_queue_type.as_deref()),
            or_dash(limits_of(row).as_deref()),
            row.description.clone(),
        ]);
    }
    queueing.tell(&rows, &table.render())
}

fn limits_of(row: &VhostRow) -> Option<String> {
    let limits = [
        ("max-connections", row.max_connections),
        ("max-queues", row.max_queues),
    ];
    let set = limits.iter().filter_map(|(name, limit)| {
        let limit = limit.as_ref()?;
        Some(format!("{name}={limit}"))
    });
    let set: Vec<_> = set.collect();
    (!set.is_empty()).then(|| set.join(","))
}
