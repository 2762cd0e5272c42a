//! Kafka's own console tools.

use super::read::{self, Message, number};
use crate::place;
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Produces the lines of its standard input. It exits with 0 even when a line was given up, but
/// then says so on standard error.
pub(crate) fn producer(address: &str, topic: &str, codec: &str) -> Result<Command> {
    let mut command = tool("org.apache.kafka.tools.ConsoleProducer", address, topic)?;
    command.args(["--compression-codec", codec]);
    // The tool's default of 3 retries is spent within one restart.
    command.args([
        "--message-send-max-retries",
        "2147483647",
        "--max-block-ms",
        "300000",
    ]);
    for property in [
        "enable.idempotence=true",
        "acks=all",
        "delivery.timeout.ms=900000",
        "request.timeout.ms=10000",
        "retry.backoff.ms=20",
        "reconnect.backoff.ms=20",
        "reconnect.backoff.max.ms=200",
    ] {
        command.args(["--command-property", property]);
    }
    Ok(command)
}

/// Consumes `count` messages of a topic as the only member of `group`.
pub(crate) fn consume(
    address: &str,
    topic: &str,
    group: &str,
    count: usize,
    log: &Path,
    each: &mut dyn FnMut(Message<'_>),
) -> Result<()> {
    let mut command = tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        address,
        topic,
    )?;
    command.args([
        "--group",
        group,
        "--from-beginning",
        "--timeout-ms",
        "20000",
    ]);
    command.args(["--max-messages", &count.to_string()]);
    for property in ["print.partition=true", "print.offset=true"] {
        command.args(["--formatter-property", property]);
    }
    let (output, status) = read::output(&mut command, log, Duration::from_secs(300))?;
    if !status.success() {
        bail!("Java consumer: {status}; see {}", log.display());
    }
    read::lines(&output, parse, each)
}

fn tool(class: &str, address: &str, topic: &str) -> Result<Command> {
    let mut command = Command::new("java");
    command.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    command.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp"]);
    command.args([&place::java_class_path()?, class]);
    command.args(["--bootstrap-server", address, "--topic", topic]);
    Ok(command)
}

/// `Partition:0<tab>Offset:5<tab>value`.
fn parse(line: &[u8]) -> Option<Message<'_>> {
    let mut parts = line.splitn(3, |byte| *byte == b'\t');
    Some(Message {
        partition: number(parts.next()?.strip_prefix(b"Partition:")?)?,
        offset: number(parts.next()?.strip_prefix(b"Offset:")?)?,
        value: parts.next()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_parsed_and_its_value_is_left_alone() {
        let message = Message {
            partition: 0,
            offset: 5,
            value: b"a\tb ",
        };
        assert_eq!(parse(b"Partition:0\tOffset:5\ta\tb "), Some(message));
        assert_eq!(parse(b"Processed a total of 5 messages"), None);
    }
}
