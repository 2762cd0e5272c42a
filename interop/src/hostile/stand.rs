//! A node under attack, its well-behaved clients, and what one attempt did to both.

use super::memory::Memory;
use super::row::{Door, Row, Stage, Way};
use super::witness::{Times, Witness};
use super::{kafka, peer, sasl};
use crate::memory_group::MemoryGroup;
use crate::node::{Node, READY_LIMIT, free_address};
use crate::place;
use crate::stop;
use anyhow::{Context, Result};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// More resident memory than before an attempt, at most. What somebody who may come in has sent
/// comes on top: it is held until it is judged, and a copy of it may be.
const MAX_GROWTH_BYTES: u64 = 8 << 20;
const COPIES_COUNT: u64 = 2;
/// How long well-behaved clients are watched during an attempt, at least.
const MIN_WATCH: Duration = Duration::from_millis(300);
/// Ordinary connections at once before the first row: what they leave in the allocator is not
/// counted for hostile ones.
const WARM_CONNECTIONS_COUNT: usize = 1_000;

/// A node with its witnesses.
pub(super) struct Stand {
    // Before the node: they end first.
    witnesses: Vec<Witness>,
    memory: Memory,
    node: Node,
    addresses: [SocketAddr; 3],
}

/// How the node and its well-behaved clients did meanwhile.
pub(super) struct Meanwhile {
    pub(super) growth_bytes: u64,
    pub(super) times: Times,
    /// Who was not served.
    pub(super) faults: Vec<String>,
}

/// One line of the table.
pub(super) struct Line {
    /// What connections got, by how many.
    pub(super) got: String,
    pub(super) growth_bytes: u64,
    pub(super) slowest: Duration,
    pub(super) p99: Duration,
    pub(super) faults: Vec<String>,
}

impl Stand {
    pub(super) fn new(weir: &Path, directory: &Path) -> Result<Self> {
        Self::with(weir, directory, &[], None)
    }

    /// The same, where there is a user.
    pub(super) fn with_a_user(weir: &Path, directory: &Path) -> Result<Self> {
        let mut stand = Self::with(weir, directory, &[], None)?;
        // Theirs would end with the first user.
        stand.witnesses.clear();
        let password = directory.join("password");
        std::fs::write(&password, sasl::USER)?;
        let asked = stand.node.peer()?;
        let user = |words: &[&str]| {
            let mut command = Command::new(weir);
            place::run(command.arg("user").args(words).args(["--node", &asked]))
        };
        let password = password.display().to_string();
        user(&[
            "add",
            sasl::USER,
            "--tag",
            "administrator",
            "--password-file",
            &password,
        ])?;
        user(&[
            "grant",
            sasl::USER,
            "--configure",
            ".*",
            "--write",
            ".*",
            "--read",
            ".*",
        ])?;
        let (kafka, amqp) = (stand.address(Door::Kafka), stand.address(Door::Amqp));
        stand.witnesses = vec![
            Witness::at_kafka(kafka, &sasl::login())?,
            Witness::at_amqp(amqp, sasl::USER)?,
            Witness::at_http(stand.address(Door::Http))?,
        ];
        Ok(stand)
    }

    /// The same, with options of `weir serve`, and its memory counted.
    pub(super) fn with(
        weir: &Path,
        directory: &Path,
        options: &[String],
        memory: Option<MemoryGroup>,
    ) -> Result<Self> {
        let admin = free_address()?;
        let admin_options = ["--admin".to_owned(), admin.clone()];
        let options = [&admin_options, options].concat();
        let log = directory.join("node.log");
        let node = Node::start_within(weir, &directory.join("data"), &log, &options, memory)?;
        let addresses = [node.address(), node.amqp().to_owned(), admin];
        let [kafka, amqp, admin] = addresses.map(|address| address.parse::<SocketAddr>());
        let addresses = [kafka?, amqp?, admin?];
        for address in addresses {
            stop::wait_for("all doors open", READY_LIMIT, || {
                Ok(TcpStream::connect(address).ok().map(drop))
            })?;
        }
        kafka::create_topic(addresses[0], &[])?;
        let memory = Memory::watch(node.pid().context("the node runs")?)?;
        let witnesses = vec![
            Witness::at_kafka(addresses[0], &[])?,
            Witness::at_amqp(addresses[1], "guest")?,
            Witness::at_http(addresses[2])?,
        ];
        Ok(Self {
            witnesses,
            memory,
            node,
            addresses,
        })
    }

    pub(super) fn address(&self, door: Door) -> SocketAddr {
        let [kafka, amqp, admin] = self.addresses;
        match door {
            Door::Kafka => kafka,
            Door::Amqp => amqp,
            Door::Http => admin,
        }
    }

    pub(super) fn warm_up(&self) -> Result<()> {
        for address in self.addresses {
            let open: std::io::Result<Vec<_>> = (0..WARM_CONNECTIONS_COUNT)
                .map(|_| TcpStream::connect(address))
                .collect();
            drop(open?);
        }
        Ok(())
    }

    pub(super) fn times(&self) -> Result<Times> {
        let mut all = Times::none();
        for witness in &self.witnesses {
            let taken = witness.take()?;
            if witness.stores() {
                all.add(&taken);
            }
        }
        Ok(all)
    }

    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    /// What the node holds now.
    pub(super) fn resident_bytes(&self) -> Result<u64> {
        self.memory.begin()
    }

    /// Does that, and looks at the node and its well-behaved clients meanwhile.
    pub(super) fn watch<T>(
        &mut self,
        work: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<(T, Meanwhile)> {
        let before = self.memory.begin()?;
        self.times()?;
        let began = Instant::now();
        let done = work(self)?;
        stop::sleep(MIN_WATCH.saturating_sub(began.elapsed()))?;
        let growth_bytes = self.memory.peak_bytes().saturating_sub(before);
        self.node.ensure_sound()?;
        let mut meanwhile = Meanwhile {
            growth_bytes,
            times: Times::none(),
            faults: Vec::new(),
        };
        for witness in &self.witnesses {
            let taken = witness.take()?;
            if taken.percentile(50).is_zero() {
                let fault = format!("nobody else was served at {}", witness.name());
                meanwhile.faults.push(fault);
            }
            if witness.stores() {
                meanwhile.times.add(&taken);
            }
        }
        Ok((done, meanwhile))
    }

    pub(super) fn try_row(&mut self, row: &Row, way: Way, sum: &mut Times) -> Result<Line> {
        let address = self.address(row.door);
        let (outcomes, meanwhile) = self.watch(|_| {
            peer::attempt(row, way, address)
                .with_context(|| format!("{}: {}", row.door.name(), row.name))
        })?;
        let (growth_bytes, times) = (meanwhile.growth_bytes, meanwhile.times);
        let mut faults = meanwhile.faults;
        let wrong = outcomes.iter().filter(|outcome| !outcome.is_due).count();
        if wrong > 0 {
            faults.push(format!("{wrong} got nothing that was due"));
        }
        let sent_bytes = match row.stage {
            Stage::BeforeLogin | Stage::Stranger => 0,
            Stage::AfterLogin | Stage::User => (row.payload.len() * outcomes.len()) as u64,
        };
        if growth_bytes > MAX_GROWTH_BYTES + COPIES_COUNT * sent_bytes {
            faults.push("memory grew".to_owned());
        }
        sum.add(&times);
        Ok(Line {
            got: counted(outcomes.iter().map(|outcome| outcome.words.as_str())),
            growth_bytes,
            slowest: outcomes.iter().map(|it| it.took).max().unwrap_or_default(),
            p99: times.percentile(99),
            faults,
        })
    }
}

/// Each answer once, with how many got it where it is not all.
fn counted<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    if let (1, Some((word, _))) = (counts.len(), counts.first_key_value()) {
        return (*word).to_owned();
    }
    let parts = counts.iter().map(|(word, count)| format!("{count} {word}"));
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_unless_all_are_the_same() {
        assert_eq!(counted(["closed", "closed"].into_iter()), "closed");
        assert_eq!(counted(["b", "a", "b"].into_iter()), "1 a, 2 b");
    }
}
