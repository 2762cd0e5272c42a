//! confluent-kafka-python, driven by `interop/driver/producer.py`.

use crate::checker::Ack;
use crate::place;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{ChildStdout, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Produces the lines of its standard input, records the fate of each in `acks`, and prints how
/// many are acknowledged.
pub(crate) fn driver(
    address: &str,
    topic: &str,
    codec: &str,
    partitions: u32,
    acks: &Path,
) -> Result<Command> {
    let mut command = Command::new(place::python()?);
    command.arg(place::root().join("interop/driver/producer.py"));
    command.args(["--bootstrap", address, "--topic", topic, "--codec", codec]);
    command
        .args(["--partitions", &partitions.to_string(), "--acks"])
        .arg(acks);
    Ok(command)
}

/// How many lines the driver says are acknowledged.
pub(crate) struct Progress {
    acked: Arc<AtomicU64>,
}

impl Progress {
    /// Reads along in a thread that ends with the driver.
    pub(crate) fn follow(out: ChildStdout) -> Self {
        let acked = Arc::new(AtomicU64::new(0));
        let shared = Arc::clone(&acked);
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some(count) = line.strip_prefix("acked ").and_then(|n| n.parse().ok()) {
                    shared.store(count, Ordering::Relaxed);
                }
            }
        });
        Self { acked }
    }

    /// The count last printed.
    pub(crate) fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }
}

#[derive(Deserialize)]
struct Report {
    seq: u64,
    partition: Option<i32>,
    offset: Option<i64>,
}

/// What the driver recorded: acknowledged messages, and how many were given up.
pub(crate) fn acks(path: &Path) -> Result<(Vec<Ack>, usize)> {
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    let mut acked = Vec::new();
    let mut given_up = 0;
    for line in BufReader::new(file).lines() {
        let report: Report = serde_json::from_str(&line?).context("delivery report")?;
        match report.partition.zip(report.offset) {
            Some(place) => acked.push(Ack {
                seq: report.seq,
                place: Some(place),
            }),
            None => given_up += 1,
        }
    }
    Ok((acked, given_up))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read_and_failures_counted() {
        let path = std::env::temp_dir().join(format!("weir-interop-acks-{}", std::process::id()));
        let text =
            "{\"seq\":4,\"partition\":1,\"offset\":9}\n{\"seq\":5,\"error\":\"_TIMED_OUT\"}\n";
        std::fs::write(&path, text).unwrap();
        let read = acks(&path);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            read.unwrap(),
            (
                vec![Ack {
                    seq: 4,
                    place: Some((1, 9))
                }],
                1
            )
        );
    }
}
