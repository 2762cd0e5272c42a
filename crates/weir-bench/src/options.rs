//! The command line, and how long a run takes.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

const MIB: u64 = 1 << 20;

#[derive(Parser)]
#[command(
    name = "weir-bench",
    about = "Measures WeirMQ beside fio, a bare write and a Kafka client"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) bench: Bench,
}

#[derive(Subcommand)]
pub(crate) enum Bench {
    /// The log: appends, groups, partitions, reads, idle cost, one producing client.
    Log(LogOptions),
    /// Memory: connections that do nothing, and readers that do not read.
    Crowd(CrowdOptions),
}

#[derive(Args)]
pub(crate) struct CrowdOptions {
    /// Connections that do nothing. Both sides need a file each: ulimit -n.
    #[arg(long, default_value_t = 9_500)]
    pub(crate) idle_count: usize,
    /// Readers that ask and do not read.
    #[arg(long, default_value_t = 100)]
    pub(crate) reader_count: usize,
    /// What there is to read, in MiB.
    #[arg(long, default_value_t = 100)]
    pub(crate) backlog_mib: u64,
    /// Groups with a committed offset each.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) group_count: usize,
    /// Members of one group, on a connection each.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) member_count: usize,
    /// Partitions, in thousands, that are written to.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) partition_count: usize,
    /// Topics that are created, written to and deleted.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) turnover_count: usize,
    /// Only these crowds, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Crowd>,
    /// Where the data goes; what is written there is removed afterwards.
    #[arg(long, default_value = "target/bench")]
    pub(crate) dir: PathBuf,
    /// The node's binary.
    #[arg(long, default_value = "target/release/weir")]
    pub(crate) weir: PathBuf,
}

/// Much of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Crowd {
    /// Connections that do nothing, and readers that do not read.
    Connections,
    /// Groups.
    Groups,
    /// Members of one group.
    Members,
    /// Partitions.
    Partitions,
    /// Topics that come and go.
    Turnover,
}

impl Crowd {
    /// As the table's head.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Connections => "connections on one node",
            Self::Groups => "groups on one node",
            Self::Members => "members of one group",
            Self::Partitions => "partitions on one node",
            Self::Turnover => "topics that come and go",
        }
    }
}

#[derive(Args)]
pub(crate) struct LogOptions {
    /// A run of about a minute.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Where the data goes; what is written there is removed afterwards.
    #[arg(long, default_value = "target/bench")]
    pub(crate) dir: PathBuf,
    /// A broker for the client's line, as HOST:PORT. Without it a node is started, where its
    /// binary is built.
    #[arg(long)]
    pub(crate) broker: Option<String>,
    /// The node's binary.
    #[arg(long, default_value = "target/release/weir")]
    pub(crate) weir: PathBuf,
    /// Only these parts, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Part>,
}

/// A part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// A lone append beside a bare write and sync.
    Lone,
    /// The write-ahead log by itself.
    Wal,
    /// The same through a group of one voter.
    Group,
    /// Many partitions side by side.
    Partitions,
    /// Tail and cold reads.
    Reads,
    /// What groups cost that nobody uses.
    Idle,
    /// One producing client.
    Client,
}

impl LogOptions {
    /// Whether a part was asked for.
    pub(crate) fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// How long and how much.
    pub(crate) fn pace(&self) -> Pace {
        if self.quick {
            Pace {
                slice: Duration::from_millis(300),
                round_count: 3,
                lone_count: 1_500,
                warm_bytes: 640 * MIB,
                produced_bytes: 1024 * MIB,
                partition_round_count: 1,
                idle: Duration::from_secs(2),
                client_message_count: 1_000_000,
            }
        } else {
            Pace {
                slice: Duration::from_millis(800),
                round_count: 5,
                lone_count: 6_000,
                warm_bytes: 1024 * MIB,
                produced_bytes: 3072 * MIB,
                partition_round_count: 2,
                idle: Duration::from_secs(10),
                client_message_count: 5_000_000,
            }
        }
    }
}

/// How long and how much a run measures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// One measurement of one side.
    pub(crate) slice: Duration,
    /// How often ours and the other side take turns.
    pub(crate) round_count: u32,
    /// Lone appends, and as many bare writes.
    pub(crate) lone_count: u32,
    /// Bytes appended to 1, 100 and 10,000 partitions each.
    pub(crate) produced_bytes: u64,
    /// Bytes that go through a node before it is measured: files of its log come back by then.
    pub(crate) warm_bytes: u64,
    /// How often 1, 100 and 10,000 partitions take turns.
    pub(crate) partition_round_count: u32,
    /// How long idle groups are watched.
    pub(crate) idle: Duration,
    /// Messages of the one client.
    pub(crate) client_message_count: u64,
}
