//! `cargo xtask`: the one entrance for people who work on WeirMQ.

mod ci;
mod delegate;
mod fuzz;
mod lint;
mod process;
mod setup;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Builds, checks, breaks and measures WeirMQ"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything CI runs; installs what it needs on Debian 12 with rustup.
    Test,
    /// Formatting, clippy, dependencies and the habits of this house.
    Lint {
        /// Fail where a tool is missing instead of saying so.
        #[arg(long)]
        strict: bool,
        /// Only the checks of our own: no rustfmt, clippy, cargo-deny.
        #[arg(long)]
        own: bool,
    },
    /// Seeded simulation of everything from the log to whole clusters.
    Sim {
        /// Number of seeds to run.
        #[arg(long, default_value_t = 200)]
        seeds: u64,
        /// First seed.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Passed on to `weir-sim run`.
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// Faults under load, on real processes and file systems: one node, then three.
    Crash {
        /// Passed on: `--kills N --cuts N --cycles N --fault F,F+F --fs ext4,xfs --seed S`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// A real text corpus through kcat, Java and Python clients while the node is killed, and
    /// clients' own suites against their allow-lists.
    Clients {
        /// Passed on: `--quick`, `--nodes N`; for the corpus alone `--only CLIENT`, `--codec C`,
        /// `--kills N`; for suites alone `--list`, `--suite A,B`, `--case PART`, `--shrink`,
        /// `--bootstrap ADDR:PORT` of a broker that runs already.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// How long a client waits when the leader of its partition is killed or stopped.
    Failover {
        /// Passed on: `--cycles N`, `--way kill,stop`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// One node becomes three, a dead one is replaced, one is drained, under load.
    Grow {
        /// Passed on: `--cycles N`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Bad input of every kind, whole, split and from a crowd, beside well-behaved clients.
    Hostile {
        /// Passed on: `--quick`, `--only DOOR`, `--row PART`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Benchmarks: `log` beside fio and Kafka, `cluster` of three nodes beside one.
    Bench {
        /// Which, and its options.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Fuzzes every target for a while, or for a number of executions (nightly toolchain and cargo-fuzz).
    Fuzz(fuzz::Options),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Test => ci::run(),
        Command::Lint { strict, own } => {
            lint::run(lint::Options { strict, own }).map(|done| done.clean)
        }
        Command::Sim { seeds, from, rest } => delegate::sim(seeds, from, &rest),
        Command::Crash { rest } => delegate::interop("crash", &rest),
        Command::Clients { rest } => delegate::clients(&rest),
        Command::Failover { rest } => delegate::interop("failover", &rest),
        Command::Grow { rest } => delegate::interop("grow", &rest),
        Command::Hostile { rest } => delegate::interop("hostile", &rest),
        Command::Bench { rest } => delegate::bench(&rest),
        Command::Fuzz(options) => fuzz::run(&options),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}
