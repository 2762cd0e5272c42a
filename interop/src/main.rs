//! Real clients and real faults against a running node. `cargo xtask clients` and
//! `cargo xtask crash` start it.

mod bench;
mod checker;
mod client;
mod clients;
mod cluster;
mod corpus;
mod crash;
mod feed;
mod history;
mod hostile;
mod image;
mod memory_group;
mod moments;
mod node;
mod place;
mod queue_history;
mod record;
mod share_history;
mod stop;
mod suites;
mod target;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "weir-interop",
    about = "Real clients and real faults against a running node"
)]
struct Arguments {
    #[command(subcommand)]
    campaign: Campaign,
    /// The binary under test; it is started as `PATH serve --data-dir DIR --kafka ADDR:PORT`.
    #[arg(long, global = true)]
    weir: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Campaign {
    /// A real text corpus through real clients in every codec while the node is killed.
    Clients(clients::Options),
    /// Real clients' own test suites and command tables, judged against allow-lists.
    Suites(suites::Options),
    /// kill -9 and power cuts under load, and a check of what was acknowledged.
    Crash(crash::Options),
    /// Faults on three nodes under load, and a check of what their clients recorded.
    Cluster(cluster::Options),
    /// How long a client waits when the leader of its partition is gone.
    Failover(cluster::failover::Options),
    /// One node becomes three, a dead one is replaced, one is drained, under load.
    Grow(cluster::grow::Options),
    /// Three nodes beside one, catch-up of an empty node, cost of idle groups.
    Bench(bench::Options),
    /// Bad input of every kind beside well-behaved clients.
    Hostile(hostile::Options),
    /// What real clients send, as seeds for fuzz targets.
    Record(record::Options),
    /// Judges a recorded history; exit status 1 when anything is wrong with it.
    Check {
        /// Directory of `PROCESS.jsonl` files.
        history: PathBuf,
        /// It is one of clients of queues.
        #[arg(long, conflicts_with = "shares")]
        queues: bool,
        /// It is one of members of a share group.
        #[arg(long)]
        shares: bool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = stop::install().and_then(|()| {
        let weir = arguments.weir.map_or_else(place::built_node, Ok)?;
        match arguments.campaign {
            Campaign::Clients(options) => clients::run(&options, &weir),
            Campaign::Suites(options) => suites::run(&options, &weir),
            Campaign::Crash(options) => crash::run(&options, &weir),
            Campaign::Cluster(options) => cluster::run(&options, &weir),
            Campaign::Failover(options) => cluster::failover::run(&options, &weir),
            Campaign::Grow(options) => cluster::grow::run(&options, &weir),
            Campaign::Hostile(options) => hostile::run(&options, &weir),
            Campaign::Record(options) => record::run(&options, &weir),
            Campaign::Bench(options) => bench::run(&options, &weir),
            Campaign::Check {
                history,
                queues,
                shares,
            } => match (queues, shares) {
                (true, _) => queue_history::judge(&history),
                (false, true) => share_history::judge(&history),
                (false, false) => history::judge(&history),
            },
        }
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("weir-interop: {error:#}");
            ExitCode::from(1)
        }
    }
}
