//! What goes on while faults come: clients of topics, of queues, or of share groups.

use super::load::{Load, Shape};
use super::nodes::Cluster;
use super::plan::Clients;
use super::queue_load::QueueLoad;
use super::share_load::ShareLoad;
use crate::moments::Moments;
use anyhow::Result;
use std::path::Path;
use std::time::Duration;

/// Clients at work.
pub(super) enum Work {
    /// On a topic, by Kafka's protocol.
    Topics(Box<Load>),
    /// On queues, by AMQP.
    Queues(QueueLoad),
    /// On a topic, by members of a share group.
    Shares(ShareLoad),
}

/// What a history amounts to.
pub(super) struct Judged {
    /// Messages that were acknowledged.
    pub acked: u64,
    /// What was acknowledged, or was to come of it, and is not there.
    pub lost: u64,
    /// Everything else that was found: what nobody sent, in a place or at a time that is not its own.
    pub wrong: u64,
    /// Nothing was found.
    pub is_clean: bool,
    /// All counts.
    pub words: String,
    /// The first findings.
    pub examples: Vec<String>,
}

impl Work {
    /// Starts all clients, and waits for the first acknowledgements.
    pub(super) fn start(
        cluster: &Cluster,
        name: &str,
        (clients, shape): (Clients, Shape),
        directory: &Path,
    ) -> Result<Self> {
        match clients {
            Clients::Queues => QueueLoad::start(cluster, name, shape, directory).map(Self::Queues),
            Clients::Shares => ShareLoad::start(cluster, name, shape, directory).map(Self::Shares),
            Clients::Plain | Clients::Transactions | Clients::Verifiable => {
                let load = Load::start(cluster, name, shape, directory)?;
                Ok(Self::Topics(Box::new(load)))
            }
        }
    }

    /// Where the history is.
    pub(super) fn directory(&self) -> &Path {
        match self {
            Self::Topics(load) => load.directory(),
            Self::Queues(load) => load.directory(),
            Self::Shares(load) => load.directory(),
        }
    }

    /// The node that leads what some of the clients work on.
    pub(super) fn leader(&self, cluster: &Cluster, moments: &mut Moments) -> Result<usize> {
        match self {
            Self::Topics(load) => {
                let partition = u32::try_from(moments.draw(4)).expect("below 4");
                cluster.leader_of(load.topic(), partition)
            }
            Self::Queues(load) => load.leader(cluster, moments),
            Self::Shares(load) => load.leader(cluster, moments),
        }
    }

    /// Waits until each sender has `count` more acknowledgements everywhere.
    pub(super) fn wait_for_acks(&mut self, count: u64) -> Result<()> {
        match self {
            Self::Topics(load) => load.wait_for_acks(count),
            Self::Queues(load) => load.wait_for_acks(count),
            Self::Shares(load) => load.wait_for_acks(count),
        }
    }

    /// The same, but for those that send outside of transactions.
    pub(super) fn wait_for_plain_acks(&mut self, count: u64) -> Result<()> {
        match self {
            Self::Topics(load) => load.wait_for_plain_acks(count),
            Self::Queues(load) => load.wait_for_acks(count),
            Self::Shares(load) => load.wait_for_acks(count),
        }
    }

    /// Waits until everything is read on; gives how long that took.
    pub(super) fn wait_for_groups(&mut self) -> Result<Duration> {
        match self {
            Self::Topics(load) => load.wait_for_groups(),
            Self::Queues(load) => load.wait_for_consumers(),
            Self::Shares(load) => load.wait_for_members(),
        }
    }

    /// kill -9 of one client, which comes back at once.
    pub(super) fn kill_a_client(&mut self, cluster: &Cluster, moments: &mut Moments) -> Result<()> {
        match self {
            Self::Topics(load) => load.kill_a_client(cluster, moments),
            Self::Queues(load) => load.kill_a_client(cluster, moments),
            Self::Shares(load) => load.kill_a_member(cluster, moments),
        }
    }

    /// Stops sending, waits for the last answers, and ends all clients. Gives how many messages are
    /// in doubt that should not be.
    pub(super) fn finish(&mut self) -> Result<u64> {
        match self {
            Self::Topics(load) => load.finish(),
            // Without a confirm a publisher never knows.
            Self::Queues(load) => load.finish().map(|()| 0),
            Self::Shares(load) => load.finish(),
        }
    }

    /// Calls of clients that failed for good.
    pub(super) fn errors(&self) -> u64 {
        match self {
            Self::Topics(load) => load.errors(),
            Self::Queues(load) => load.errors(),
            Self::Shares(load) => load.errors(),
        }
    }

    /// How often publishers were told to wait; `None` where nobody is ever told.
    pub(super) fn blocks(&self) -> Option<u64> {
        match self {
            Self::Topics(_) | Self::Shares(_) => None,
            Self::Queues(load) => Some(load.blocks()),
        }
    }

    /// Whose errors those are.
    pub(super) fn who_errs(&self) -> &'static str {
        match self {
            Self::Topics(_) => "transactional clients",
            Self::Queues(_) => "clients",
            Self::Shares(_) => "acknowledgements of members",
        }
    }

    /// Whom [`Work::wait_for_groups`] waits for.
    pub(super) fn who_goes_on(&self) -> &'static str {
        match self {
            Self::Topics(_) => "groups",
            Self::Queues(_) => "consumers",
            Self::Shares(_) => "members",
        }
    }

    /// Reads everything that is there into the history, as `name`; what is in queues stays there.
    pub(super) fn read_all(&self, cluster: &Cluster, name: &str) -> Result<()> {
        match self {
            Self::Topics(load) => load.read_all_acked(cluster, name),
            Self::Queues(_) | Self::Shares(_) => Ok(()),
        }
    }

    /// Reads everything that is there and judges the history. Where nodes had wrong clocks, what
    /// lives for a time may have expired early: that goes by wall clocks.
    pub(super) fn judge(&self, cluster: &Cluster, clocks: Clocks) -> Result<Judged> {
        match self {
            Self::Topics(load) => load.judge(cluster).map(|verdict| {
                let lost = verdict.lost + verdict.unseen + verdict.uncopied;
                Judged {
                    acked: verdict.acked,
                    lost,
                    wrong: sum(&verdict.findings()) - lost,
                    is_clean: verdict.is_clean(),
                    words: verdict.to_string(),
                    examples: verdict.examples,
                }
            }),
            Self::Queues(load) => load.judge(cluster).map(|mut verdict| {
                let words = verdict.to_string();
                if clocks == Clocks::Wrong {
                    verdict.expired_early = 0;
                }
                let lost = verdict.lost + verdict.dead_letters_lost;
                Judged {
                    acked: verdict.confirmed,
                    lost,
                    wrong: sum(&verdict.findings()) - lost,
                    is_clean: verdict.is_clean(),
                    words,
                    examples: verdict.examples,
                }
            }),
            Self::Shares(load) => load.judge(cluster).map(|verdict| Judged {
                acked: verdict.acked,
                lost: verdict.lost,
                wrong: sum(&verdict.findings()) - verdict.lost,
                is_clean: verdict.is_clean(),
                words: verdict.to_string(),
                examples: verdict.examples,
            }),
        }
    }
}

/// What nodes' wall clocks showed while clients worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clocks {
    /// The time.
    Right,
    /// Hours or days before it or after it, for a while.
    Wrong,
}

fn sum(findings: &[(&str, u64)]) -> u64 {
    findings.iter().map(|(_, count)| count).sum()
}
