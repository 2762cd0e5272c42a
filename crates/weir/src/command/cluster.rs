//! `weir cluster`: look at the cluster, and change it.

pub(crate) mod client;
mod progress;
mod status;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use weir_broker::steward::{AdminAnswer, AdminRequest};

use self::{client::AdminClient, progress::Goal};
use crate::{cluster_tls::ClusterTls, host_port::HostPort};

/// What is asked, and of whom.
#[derive(Debug, Args)]
pub(crate) struct ClusterArguments {
    #[command(subcommand)]
    verb: Verb,
    /// Peer port of any node of the cluster.
    #[arg(
        long,
        global = true,
        env = "WEIR_CLUSTER",
        default_value = "127.0.0.1:9192",
        value_name = "HOST:PORT"
    )]
    node: HostPort,
    /// Answer as JSON on stdout, for scripts.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    tls: ClusterTls,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show nodes and groups: who leads, who votes, who lacks what.
    Status,
    /// Give a drained node its share again. (A machine becomes a node by `weir serve --join`.)
    Add {
        /// Id of the node.
        id: u64,
    },
    /// Take a node out for good: one that is drained, or lost. Its id is never given again.
    Remove {
        /// Id of the node.
        id: u64,
        #[command(flatten)]
        wait: Wait,
    },
    /// Let another of its voters lead a group.
    Transfer {
        /// Id of the group.
        group: u32,
        /// Id of the node that is to lead.
        id: u64,
    },
    /// Spread leadership evenly now, not bit by bit.
    Balance,
    /// Move everything off a node, such as before maintenance. It stays a member.
    Drain {
        /// Id of the node.
        id: u64,
        #[command(flatten)]
        wait: Wait,
    },
}

#[derive(Debug, Args)]
struct Wait {
    /// Return once it is decided, not once it is done.
    #[arg(long)]
    no_wait: bool,
}

/// The cluster said no; told already as JSON where that was asked for.
#[derive(Debug, thiserror::Error)]
#[error("refused: {0}")]
struct Refused(String);

impl Verb {
    fn request(&self) -> AdminRequest {
        match *self {
            Self::Status => AdminRequest::Status,
            Self::Add { id } => AdminRequest::Add { node: id },
            Self::Remove { id, .. } => AdminRequest::Remove { node: id },
            Self::Transfer { group, id } => AdminRequest::Transfer { group, node: id },
            Self::Balance => AdminRequest::Balance,
            Self::Drain { id, .. } => AdminRequest::Drain { node: id },
        }
    }

    /// What is waited for.
    fn goal(&self) -> Option<Goal> {
        match self {
            Self::Drain { id, wait } if !wait.no_wait => Some(Goal::Drained(*id)),
            Self::Remove { id, wait } if !wait.no_wait => Some(Goal::Removed(*id)),
            Self::Status
            | Self::Add { .. }
            | Self::Remove { .. }
            | Self::Transfer { .. }
            | Self::Balance
            | Self::Drain { .. } => None,
        }
    }
}

/// Asks, waits where that is wanted, and says what came of it.
pub(crate) fn run(arguments: &ClusterArguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    runtime.block_on(ask(arguments))
}

async fn ask(arguments: &ClusterArguments) -> anyhow::Result<()> {
    let client = AdminClient::new(&arguments.node, &arguments.tls)?;
    if let Verb::Remove { id, .. } = arguments.verb {
        let answered_by = client.status().await?.answered_by;
        anyhow::ensure!(
            answered_by != id,
            "node {id} cannot take itself out: ask another one, with --node HOST:PORT"
        );
    }
    let answer = client.ask_until_settled(&arguments.verb.request()).await?;
    match (arguments.verb.goal(), answer) {
        (Some(goal), AdminAnswer::Done { message }) => {
            eprintln!("{message}");
            let message = progress::wait(&client, goal).await?;
            tell(arguments, &AdminAnswer::Done { message })
        }
        (_, answer) => tell(arguments, &answer),
    }
}

fn tell(arguments: &ClusterArguments, answer: &AdminAnswer) -> anyhow::Result<()> {
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(answer)?);
    }
    match answer {
        AdminAnswer::Refused { reason } | AdminAnswer::NotYet { reason } => {
            return Err(Refused(reason.clone()).into());
        }
        AdminAnswer::Status(status) if !arguments.json => print!("{}", status::page(status)),
        AdminAnswer::Done { message } if !arguments.json => println!("{message}"),
        AdminAnswer::Status(_) | AdminAnswer::Done { .. } => {}
    }
    Ok(())
}
