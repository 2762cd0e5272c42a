//! The benchmarks' one producing client: librdkafka, from C.

use crate::place;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SOURCE: &str = "crates/weir-bench/src/producer.c";
/// What is sent.
#[derive(Clone, Copy)]
pub(super) struct Stream {
    pub(super) message_bytes: u64,
    /// The first partitions of the topic, in turns.
    pub(super) partitions: u32,
}

impl Stream {
    pub(super) const fn new(message_bytes: u64, partitions: u32) -> Self {
        Self {
            message_bytes,
            partitions,
        }
    }
}

/// The compiled client.
pub(super) struct Producer {
    binary: PathBuf,
}

impl Producer {
    /// Compiles it into `directory`.
    pub(super) fn build(directory: &Path) -> Result<Self> {
        let binary = directory.join("producer");
        place::run(
            Command::new("cc")
                .args(["-O2", "-o"])
                .arg(&binary)
                .arg(place::root().join(SOURCE))
                .arg("-lrdkafka"),
        )
        .context("the client needs Debian's gcc and librdkafka-dev")?;
        Ok(Self { binary })
    }

    /// Sends `count` messages, and waits until all are acknowledged.
    pub(super) fn send(
        &self,
        bootstrap: &str,
        topic: &str,
        count: u64,
        stream: Stream,
    ) -> Result<Duration> {
        let output = Command::new(&self.binary)
            .args([bootstrap, topic])
            .args([count.to_string(), stream.message_bytes.to_string()])
            .arg(stream.partitions.to_string())
            .output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the client failed: {errors}");
        let seconds = String::from_utf8_lossy(&output.stdout);
        let seconds = seconds
            .trim()
            .parse()
            .context("the client prints seconds")?;
        Ok(Duration::from_secs_f64(seconds))
    }
}
