//! Runs a consumer to its end and parses what it prints.

use super::Guarded;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// A consumed message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// Partition.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Value.
    pub value: &'a [u8],
}

/// Everything that a consumer printed to standard output, and how it ended.
pub(super) fn output(
    command: &mut Command,
    log: &Path,
    limit: Duration,
) -> Result<(Vec<u8>, ExitStatus)> {
    let log = File::options().create(true).append(true).open(log)?;
    let mut client = Guarded::start(
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log),
    )?;
    let mut out = client.process().stdout.take().expect("stdout is piped");
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        out.read_to_end(&mut bytes).map(|_| bytes)
    });
    let waited = client.wait("consumer", limit);
    client.end();
    let bytes = reader
        .join()
        .expect("the reader does not panic")
        .context("consumer's output")?;
    Ok((bytes, waited?))
}

/// Hands each line of `output`, parsed, to `each`.
pub(super) fn lines(
    output: &[u8],
    parse: impl Fn(&[u8]) -> Option<Message<'_>>,
    each: &mut dyn FnMut(Message<'_>),
) -> Result<()> {
    for line in output.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        match parse(line) {
            Some(message) => each(message),
            None => bail!("consumer printed {:?}", String::from_utf8_lossy(line)),
        }
    }
    Ok(())
}

/// A decimal number.
pub(super) fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
