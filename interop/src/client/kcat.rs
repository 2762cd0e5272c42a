//! kcat, on librdkafka.

use super::read::{self, Message, number};
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const FORMAT: &str = "%p %o %s\n";

/// Produces the lines of its standard input to partition 0. Exit status 0 means that all are
/// acknowledged: it waits for them, and does not give up within the time a campaign takes.
pub(crate) fn producer(address: &str, topic: &str, codec: &str) -> Command {
    let mut command = kcat(address);
    command.args(["-P", "-t", topic, "-p", "0", "-z", codec]);
    for property in [
        "enable.idempotence=true",
        "message.timeout.ms=900000",
        "retry.backoff.ms=20",
        "reconnect.backoff.ms=20",
        "reconnect.backoff.max.ms=200",
    ] {
        command.args(["-X", property]);
    }
    command
}

/// Consumes a topic to its end as the only member of `group`.
pub(crate) fn consume_group(
    address: &str,
    topic: &str,
    group: &str,
    log: &Path,
    each: &mut dyn FnMut(Message<'_>),
) -> Result<()> {
    let mut command = kcat(address);
    command.args([
        "-G",
        group,
        "-e",
        "-f",
        FORMAT,
        "-X",
        "auto.offset.reset=earliest",
        topic,
    ]);
    consume(&mut command, log, each)
}

/// Reads all partitions of a topic to their ends, without a group.
pub(crate) fn read_all(
    address: &str,
    topic: &str,
    log: &Path,
    each: &mut dyn FnMut(Message<'_>),
) -> Result<()> {
    let mut command = kcat(address);
    command.args(["-C", "-t", topic, "-o", "beginning", "-e", "-f", FORMAT]);
    consume(&mut command, log, each)
}

fn consume(command: &mut Command, log: &Path, each: &mut dyn FnMut(Message<'_>)) -> Result<()> {
    let (output, status) = read::output(command, log, Duration::from_secs(300))?;
    if !status.success() {
        bail!("kcat: {status}; see {}", log.display());
    }
    read::lines(&output, parse, each)
}

/// `-E`: a node that is away for a moment is no reason to exit.
fn kcat(address: &str) -> Command {
    let mut command = Command::new("kcat");
    command.args(["-E", "-q", "-b", address]);
    command
}

fn parse(line: &[u8]) -> Option<Message<'_>> {
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    Some(Message {
        partition: number(parts.next()?)?,
        offset: number(parts.next()?)?,
        value: parts.next()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_parsed_and_its_value_is_left_alone() {
        let message = Message {
            partition: 3,
            offset: 17,
            value: b" a  b ",
        };
        assert_eq!(parse(b"3 17  a  b "), Some(message));
        assert_eq!(parse(b"% ERROR: something"), None);
    }
}
