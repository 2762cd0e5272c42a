//! The benchmarks' one producing client: librdkafka, from C.

use crate::place;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SOURCE: &str = "crates/weir-bench/src/producer.c";
/// Size of a message.
pub(super) const MESSAGE_BYTES: u64 = 1 << 10;

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

    /// Sends `count` messages to a topic's first partition, and waits until all are acknowledged.
    pub(super) fn send(&self, bootstrap: &str, topic: &str, count: u64) -> Result<Duration> {
        let output = Command::new(&self.binary)
            .args([bootstrap, topic])
            .args([count.to_string(), MESSAGE_BYTES.to_string()])
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
