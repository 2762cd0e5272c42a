//! RabbitMQ's own load generator: one publisher or one consumer of a queue that is there.

use crate::place;
use anyhow::{Context, Result, ensure};
use std::process::Command;

/// Publishes that may wait for their confirms, RabbitMQ's own figure.
const CONFIRM_WINDOW: &str = "192";
const PREFETCH: &str = "500";
const MULTI_ACK_EVERY: &str = "100";

/// Publishes `count` messages of `size_bytes` and waits for their confirms; messages a second.
pub(super) fn publish(amqp: &str, queue: &str, count: u64, size_bytes: u64) -> Result<f64> {
    let (count, size) = (count.to_string(), size_bytes.to_string());
    let words = [
        "--producers",
        "1",
        "--consumers",
        "0",
        "--confirm",
        CONFIRM_WINDOW,
        "--flag",
        "persistent",
        "--pmessages",
        &count,
        "--size",
        &size,
    ];
    rate_of(&run(amqp, queue, &words)?, "sending rate avg")
}

/// Takes `count` messages and acknowledges them; messages a second.
pub(super) fn drain(amqp: &str, queue: &str, count: u64) -> Result<f64> {
    let count = count.to_string();
    let words = [
        "--producers",
        "0",
        "--consumers",
        "1",
        "--qos",
        PREFETCH,
        "--multi-ack-every",
        MULTI_ACK_EVERY,
        "--cmessages",
        &count,
    ];
    rate_of(&run(amqp, queue, &words)?, "receiving rate avg")
}

fn run(amqp: &str, queue: &str, words: &[&str]) -> Result<String> {
    let output = Command::new("java")
        .args([
            "-cp",
            &place::jars("interop/java/amqp/pom.xml", "java-amqp")?,
        ])
        .arg("com.rabbitmq.perf.PerfTest")
        .args(["--uri", &format!("amqp://{amqp}")])
        .args(["--queue", queue, "--predeclared"])
        .args(words)
        .output()
        .context("PerfTest needs Java")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "PerfTest: {said}{errors}");
    Ok(said)
}

/// The figure on a line like `id: test-1, sending rate avg: 12345 msg/s`.
fn rate_of(said: &str, what: &str) -> Result<f64> {
    let mut rates = said.lines().filter_map(|line| {
        let (_, rest) = line.split_once(what)?;
        let figure = rest.trim_start_matches([':', ' ']);
        figure.split_whitespace().next()?.parse().ok()
    });
    rates
        .next_back()
        .with_context(|| format!("PerfTest tells its {what}: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_is_read_and_not_the_rate_of_a_second() {
        let said = "id: test-1, time 1.0 s, sent: 9 msg/s\n\
                    id: test-1, sending rate avg: 12345 msg/s\n\
                    id: test-1, receiving rate avg: 0 msg/s\n";
        assert_eq!(rate_of(said, "sending rate avg").unwrap(), 12345.0);
        assert!(rate_of("nothing", "sending rate avg").is_err());
    }
}
