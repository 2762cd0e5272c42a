//! Hostile peers: each kind of bad input, in one piece, a byte at a time and from a crowd, against
//! a node that serves well-behaved clients meanwhile.
//!
//! A peer must get its protocol's own error or lose its connection; the node's memory must stay
//! where it was, its well-behaved clients must be served, and nothing may panic. How long those
//! clients wait is told as a figure: two cores serve the crowd and the node.

mod amqp;
mod batch;
mod http;
mod kafka;
mod memory;
mod peer;
mod row;
mod wire;
mod witness;

use crate::node::{Node, READY_LIMIT, free_address};
use crate::place::RunDirectory;
use crate::stop;
use anyhow::{Context, Result};
use memory::Memory;
use row::{Door, Row, Stage, Way};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};
use witness::{Times, Witness};

/// More resident memory than before an attempt, at most. What somebody who may come in has sent
/// comes on top: it is held until it is judged, and a copy of it may be.
const MAX_GROWTH_BYTES: u64 = 8 << 20;
const COPIES_COUNT: u64 = 2;
/// How long well-behaved clients are watched before the first row, and during each one at least.
const BASELINE: Duration = Duration::from_secs(5);
const MIN_WATCH: Duration = Duration::from_millis(300);
/// Ordinary connections at once before the first row: what they leave in the allocator is not
/// counted for hostile ones.
const WARM_CONNECTIONS_COUNT: usize = 1_000;

/// What to try.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rows of these doors only
    #[arg(long)]
    only: Vec<Door>,
    /// Only rows whose name has this in it
    #[arg(long)]
    row: Option<String>,
    /// No crowds, which take most of the time
    #[arg(long)]
    quick: bool,
}

/// A node with its witnesses.
struct Stand {
    // Before the node: they end first.
    witnesses: Vec<Witness>,
    memory: Memory,
    node: Node,
    addresses: [SocketAddr; 3],
}

/// One line of the table.
struct Line {
    /// What connections got, by how many.
    got: String,
    growth_bytes: u64,
    slowest: Duration,
    p99: Duration,
    faults: Vec<String>,
}

/// Runs all rows; false when one fell short.
pub(crate) fn run(options: &Options, weir: &Path) -> Result<bool> {
    let mut directory = RunDirectory::create()?;
    let mut stand = Stand::new(weir, directory.path())?;
    stand.warm_up()?;
    stop::sleep(BASELINE)?;
    let baseline = stand.times()?;
    let (mut crowds, mut others) = (Times::none(), Times::none());
    let (mut tried_count, mut connection_count, mut short) = (0_u32, 0, Vec::new());
    for row in rows(options)? {
        for way in ways(&row, options) {
            let line = stand.try_row(
                &row,
                way,
                match way {
                    Way::Crowd(_) => &mut crowds,
                    Way::Whole | Way::Split => &mut others,
                },
            )?;
            tried_count += 1;
            connection_count += match way {
                Way::Whole | Way::Split => 1,
                Way::Crowd(count) => count,
            };
            let told = told(&row, way, &line);
            println!("{told}");
            if !line.faults.is_empty() {
                short.push(told);
            }
        }
    }
    println!("well-behaved clients, p50 and p99 of a message with its disk write:");
    for (name, times) in [
        ("before", &baseline),
        ("beside one peer", &others),
        ("beside a crowd", &crowds),
    ] {
        println!(
            "    {name:<16} {:>8.2} ms {:>8.2} ms",
            times.percentile(50).as_secs_f64() * 1e3,
            times.percentile(99).as_secs_f64() * 1e3,
        );
    }
    for line in &short {
        println!("short: {line}");
    }
    println!(
        "hostile: {tried_count} attempts, {connection_count} connections, {} fell short",
        short.len()
    );
    if short.is_empty() {
        directory.clean();
    }
    Ok(short.is_empty())
}

fn rows(options: &Options) -> Result<Vec<Row>> {
    let mut rows = kafka::rows()?;
    rows.extend(amqp::rows());
    rows.extend(http::rows());
    rows.retain(|row| {
        let is_door = options.only.is_empty() || options.only.contains(&row.door);
        let named = options.row.as_ref();
        is_door && named.is_none_or(|part| row.name.contains(part.as_str()))
    });
    Ok(rows)
}

fn ways(row: &Row, options: &Options) -> Vec<Way> {
    let crowd = (!options.quick).then_some(Way::Crowd(row.crowd_count));
    [Way::Whole, Way::Split].into_iter().chain(crowd).collect()
}

fn told(row: &Row, way: Way, line: &Line) -> String {
    let faults = match line.faults.is_empty() {
        true => "ok".to_owned(),
        false => line.faults.join("; "),
    };
    format!(
        "{:<5} {:<12} {:<32} {:<7} {:<40} {:>7.0} ms {:>6.1} MiB {:>7.1} ms  {faults}",
        row.door.name(),
        row.stage.name(),
        row.name,
        way.name(),
        line.got,
        line.slowest.as_secs_f64() * 1e3,
        line.growth_bytes as f64 / f64::from(1 << 20),
        line.p99.as_secs_f64() * 1e3,
    )
}

impl Stand {
    fn new(weir: &Path, directory: &Path) -> Result<Self> {
        let admin = free_address()?;
        let options = ["--admin".to_owned(), admin.clone()];
        let log = directory.join("node.log");
        let node = Node::start_with(weir, &directory.join("data"), &log, &options)?;
        let addresses = [node.address(), node.amqp().to_owned(), admin];
        let [kafka, amqp, admin] = addresses.map(|address| address.parse::<SocketAddr>());
        let addresses = [kafka?, amqp?, admin?];
        for address in addresses {
            stop::wait_for("all doors open", READY_LIMIT, || {
                Ok(TcpStream::connect(address).ok().map(drop))
            })?;
        }
        kafka::create_topic(addresses[0])?;
        let memory = Memory::watch(node.pid().context("the node runs")?)?;
        let witnesses = vec![
            Witness::at_kafka(addresses[0])?,
            Witness::at_amqp(addresses[1])?,
        ];
        Ok(Self {
            witnesses,
            memory,
            node,
            addresses,
        })
    }

    fn address(&self, door: Door) -> SocketAddr {
        let [kafka, amqp, admin] = self.addresses;
        match door {
            Door::Kafka => kafka,
            Door::Amqp => amqp,
            Door::Http => admin,
        }
    }

    fn warm_up(&self) -> Result<()> {
        for address in self.addresses {
            let open: std::io::Result<Vec<_>> = (0..WARM_CONNECTIONS_COUNT)
                .map(|_| TcpStream::connect(address))
                .collect();
            drop(open?);
        }
        Ok(())
    }

    fn times(&self) -> Result<Times> {
        let mut all = Times::none();
        for witness in &self.witnesses {
            all.add(&witness.take()?);
        }
        Ok(all)
    }

    fn try_row(&mut self, row: &Row, way: Way, sum: &mut Times) -> Result<Line> {
        let address = self.address(row.door);
        let before = self.memory.begin()?;
        self.times()?;
        let began = Instant::now();
        let outcomes = peer::attempt(row, way, address)
            .with_context(|| format!("{}: {}", row.door.name(), row.name))?;
        stop::sleep(MIN_WATCH.saturating_sub(began.elapsed()))?;
        let growth_bytes = self.memory.peak_bytes().saturating_sub(before);
        let mut faults = Vec::new();
        let wrong = outcomes.iter().filter(|outcome| !outcome.is_due).count();
        if wrong > 0 {
            faults.push(format!("{wrong} got nothing that was due"));
        }
        let sent_bytes = match row.stage {
            Stage::BeforeLogin => 0,
            Stage::AfterLogin => (row.payload.len() * outcomes.len()) as u64,
        };
        if growth_bytes > MAX_GROWTH_BYTES + COPIES_COUNT * sent_bytes {
            faults.push("memory grew".to_owned());
        }
        self.node.ensure_sound()?;
        let mut times = Times::none();
        for witness in &self.witnesses {
            let taken = witness.take()?;
            if taken.percentile(50).is_zero() {
                faults.push(format!("nobody else was served at {}", witness.name()));
            }
            times.add(&taken);
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

    #[test]
    fn names_of_rows_are_unique_at_their_stage() {
        let options = Options {
            only: Vec::new(),
            row: None,
            quick: true,
        };
        let mut names = std::collections::BTreeSet::new();
        for row in rows(&options).unwrap() {
            assert!(
                names.insert((row.door, row.stage.name(), row.name)),
                "{}",
                row.name
            );
        }
    }
}
