//! A node behind recording proxies, and the suites of clients that come to it.

use super::proxy::Proxy;
use super::seeds;
use crate::node::Node;
use crate::place::{self, RunDirectory};
use crate::suites;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Clients whose first steps are recorded, by the names of their suites.
const SUITES: [&str; 4] = ["confluent-python", "kafkajs", "pika", "amqplib"];

/// What to record.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Suites whose clients are recorded.
    #[arg(long, value_delimiter = ',', default_values_t = SUITES.map(str::to_owned))]
    suite: Vec<String>,
    /// Where seeds go: a directory a target.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Records; what suites find does not matter here.
pub(crate) fn run(options: &Options, weir: &Path) -> Result<bool> {
    let mut directory = RunDirectory::create()?;
    let (kafka, for_kafka) = Proxy::listen()?;
    let (amqp, for_amqp) = Proxy::listen()?;
    let advertised = ["--kafka-advertise".to_owned(), kafka.address.clone()];
    let log = directory.path().join("node.log");
    let node = Node::start_with(weir, &directory.path().join("data"), &log, &advertised)?;
    kafka.serve(for_kafka, node.address());
    amqp.serve(for_amqp, node.amqp().to_owned());
    let lines = log.display().to_string();
    for words in [
        &["-L"][..],
        &["-P", "-t", "seeds", "-l", &lines],
        &["-C", "-t", "seeds", "-e"],
        &["-Q", "-t", "seeds:0:-1"],
    ] {
        let mut kcat = Command::new("kcat");
        place::run(kcat.args(["-b", &kafka.address]).args(words))?;
    }
    let suites = suites::Options::outside(&options.suite, &kafka.address, &amqp.address);
    let is_clean = suites::run(&suites, weir)?;
    let out = options.out.clone();
    let out = out.unwrap_or_else(|| place::root().join("fuzz/seeds"));
    let count = seeds::write(&out, &kafka.noted(), &amqp.noted())?;
    println!(
        "record: {count} seeds in {}; suites clean: {is_clean}",
        out.display()
    );
    directory.clean();
    Ok(true)
}
