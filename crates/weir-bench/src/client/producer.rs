//! The client: a small C program, since only librdkafka itself shows what librdkafka reaches.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, bail, ensure};

use super::node::NodeProcess;
use crate::{
    cpu,
    options::{LogOptions, Pace},
    report::{Report, Row, per_s},
    scratch::Scratch,
};

const SOURCE: &str = include_str!("../producer.c");
/// Size of a message.
const MESSAGE_BYTES: usize = 1 << 10;
/// Sent before the clock starts.
const WARM_UP_COUNT: u64 = 200_000;
/// What others reached on a machine of two cores.
const ELSEWHERE: &str = "Kafka, no fsync: 332,000/s at 3.2; other: 386,000/s at 0.41";

/// Prints the client's line, or why there is none.
pub(crate) fn measure(
    options: &LogOptions,
    pace: Pace,
    dir: &Path,
    report: &mut Report,
) -> Result<()> {
    report.part(
        "one librdkafka producer, acks=all",
        "orientation, CPU s per million messages",
    );
    let scratch = Scratch::new(dir, "client")?;
    let client = match Client::build(scratch.path()) {
        Ok(client) => client,
        Err(error) => {
            report.skipped("the client's line", &format!("{error:#}"));
            return Ok(());
        }
    };
    let node = match (&options.broker, options.weir.exists()) {
        (Some(_), _) => None,
        (None, true) => Some(NodeProcess::start(&options.weir, scratch.path())),
        (None, false) => {
            let why = format!("no --broker, and {} is not built", options.weir.display());
            report.skipped("the client's line", &why);
            return Ok(());
        }
    };
    let node = match node.transpose() {
        Ok(node) => node,
        Err(error) => {
            report.skipped("the client's line", &format!("{error:#}"));
            return Ok(());
        }
    };
    let named = options.broker.as_deref();
    let address = node
        .as_ref()
        .map(NodeProcess::address)
        .or(named)
        .unwrap_or_default();
    client.produce(address, WARM_UP_COUNT)?;
    let books = || {
        node.as_ref()
            .map(|node| cpu::of_process(node.pid()))
            .transpose()
    };
    let before = books()?;
    let time = client.produce(address, pace.client_message_count)?;
    let after = books()?;
    let rate = pace.client_message_count as f64 / time.as_secs_f64();
    let spent = before
        .zip(after)
        .map(|(before, after)| after.saturating_sub(before));
    let millions = pace.client_message_count as f64 / 1e6;
    let cost = spent.map_or_else(
        || "CPU of a foreign broker unknown".to_owned(),
        |spent| format!("{:.2} CPU s/M", spent.as_secs_f64() / millions),
    );
    report.row(Row {
        what: "1 KiB, one partition".to_owned(),
        ours: format!("{}, {cost}", per_s(rate, "msg")),
        beside: ELSEWHERE.to_owned(),
        ..Row::default()
    });
    Ok(())
}

struct Client {
    binary: std::path::PathBuf,
}

impl Client {
    fn build(dir: &Path) -> Result<Self> {
        let source = dir.join("producer.c");
        let binary = dir.join("producer");
        fs::write(&source, SOURCE)?;
        let built = Command::new("cc")
            .args(["-O2", "-Wall", "-o"])
            .args([&binary, &source])
            .arg("-lrdkafka")
            .output();
        let built = built.context("no C compiler (Debian: apt install gcc)")?;
        if !built.status.success() {
            bail!("the client does not build (Debian: apt install librdkafka-dev)");
        }
        Ok(Self { binary })
    }

    /// Sends `count` messages and waits until all are acknowledged.
    fn produce(&self, address: &str, count: u64) -> Result<Duration> {
        let output = Command::new(&self.binary)
            .args([
                address,
                "bench",
                &count.to_string(),
                &MESSAGE_BYTES.to_string(),
            ])
            .output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the client failed: {errors}");
        let seconds = String::from_utf8_lossy(&output.stdout)
            .trim()
            .parse::<f64>();
        Ok(Duration::from_secs_f64(
            seconds.context("the client prints seconds")?,
        ))
    }
}
