//! `weir produce`: lines from standard input become messages.

use std::io::{BufRead as _, BufReader, IsTerminal as _, Read};

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use serde_json::json;
use weir_model::{batch::Codec, partitioner};

use super::{
    client_arguments::{ClientArguments, name_value},
    progress::Progress,
};
use crate::{
    client::{
        Client,
        records::{self, Outgoing, Signature, codec_named},
    },
    exit_code::Usage,
    moment,
};

/// Most messages and bytes of one batch: below a topic's usual limit of a batch.
const MAX_BATCH_COUNT: usize = 10_000;
const MAX_BATCH_BYTES: usize = 512 << 10;
/// Longest line, in bytes: what the largest batch can carry.
const MAX_LINE_BYTES: usize = 32 << 20;
/// Bytes read at a time. What was read is sent before more is waited for.
const READ_BYTES: usize = 64 << 10;

/// What to send, and how.
#[derive(Debug, Args)]
pub(crate) struct ProduceArguments {
    /// Topic; made on first use where the cluster does that.
    topic: String,
    /// Text between key and value in each line. Messages with equal keys go to one partition.
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// A value that stands for none (a tombstone), such as NULL.
    #[arg(long, value_name = "TEXT")]
    null: Option<String>,
    /// A header of every message. May be repeated.
    #[arg(long = "header", short = 'H', value_name = "NAME=VALUE", value_parser = name_value)]
    headers: Vec<(String, String)>,
    /// What is waited for: all (stored by a majority), 1 (the same here), or 0 (nothing).
    #[arg(long, default_value = "all", value_parser = ["all", "1", "0"])]
    acks: String,
    /// How batches are compressed.
    #[arg(
        long,
        default_value = "none",
        value_parser = ["none", "gzip", "snappy", "lz4", "zstd"]
    )]
    compression: String,
    /// Send everything to this partition.
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    #[command(flatten)]
    client: ClientArguments,
}

/// Messages on their way to one partition.
struct Pending {
    messages: Vec<Outgoing>,
    size_bytes: usize,
    /// Of the next batch.
    signature: Signature,
}

struct Producer<'a> {
    arguments: &'a ProduceArguments,
    client: Client,
    codec: Codec,
    /// By partition.
    pending: Vec<Pending>,
    /// Where messages without a key go until their batch is full.
    sticky: usize,
    sent_count: u64,
    progress: Progress,
}

/// Sends all lines; returns when all are acknowledged.
pub(crate) fn run(arguments: &ProduceArguments) -> anyhow::Result<()> {
    if arguments.key_separator.as_deref() == Some("") {
        return Err(Usage("--key-separator must not be empty".to_owned()).into());
    }
    let mut client = arguments.client.client();
    let topic = client.topic(&arguments.topic, true)?;
    let count = topic.partitions.len();
    if let Some(partition) = arguments.partition {
        let is_there = usize::try_from(partition).is_ok_and(|partition| partition < count);
        let reason = format!("topic {} has partitions 0 to {}", topic.name, count - 1);
        anyhow::ensure!(is_there, Usage(reason));
    }
    if std::io::stdin().is_terminal() {
        eprintln!("each line is a message; end with Ctrl-D");
    }
    let signature = match arguments.acks.as_str() {
        "all" => client.producer()?,
        _ => Signature::NONE,
    };
    let mut producer = Producer {
        arguments,
        client,
        codec: codec_named(&arguments.compression)?,
        pending: (0..count).map(|_| Pending::new(signature)).collect(),
        sticky: 0,
        sent_count: 0,
        progress: Progress::new("sent"),
    };
    let lines = producer.read(std::io::stdin().lock());
    let sent = producer.flush().and(lines);
    producer.progress.end();
    let count = producer.sent_count;
    let stored = match arguments.acks.as_str() {
        "0" => "sent, not acknowledged",
        _ => "acknowledged",
    };
    if let Err(error) = sent {
        eprintln!("weir: {count} messages {stored} before it failed");
        return Err(error);
    }
    if arguments.client.json {
        println!("{}", json!({ "topic": arguments.topic, "count": count }));
    } else {
        eprintln!("{count} messages {stored}");
    }
    Ok(())
}

impl Pending {
    fn new(signature: Signature) -> Self {
        Self {
            messages: Vec::new(),
            size_bytes: 0,
            signature,
        }
    }
}

impl Producer<'_> {
    fn read(&mut self, input: impl Read) -> anyhow::Result<()> {
        let mut input = BufReader::with_capacity(READ_BYTES, input);
        let mut line = Vec::new();
        loop {
            line.clear();
            let limit = u64::try_from(MAX_LINE_BYTES + 1).unwrap_or(u64::MAX);
            let read = (&mut input).take(limit).read_until(b'\n', &mut line);
            if read.context("standard input")? == 0 {
                return Ok(());
            }
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            anyhow::ensure!(
                line.len() <= MAX_LINE_BYTES,
                "a line is longer than {MAX_LINE_BYTES} bytes"
            );
            self.take(&line)?;
            // Somebody types, or another program waits for what it wrote to be stored.
            if !input.buffer().contains(&b'\n') {
                self.flush()?;
            }
        }
    }

    fn take(&mut self, line: &[u8]) -> anyhow::Result<()> {
        let (key, value) = match &self.arguments.key_separator {
            None => (None, line),
            Some(separator) => {
                let split = split(line, separator.as_bytes());
                let (key, value) = split.with_context(|| {
                    let line = String::from_utf8_lossy(line);
                    format!("the line `{line}` has no `{separator}` between key and value")
                })?;
                (Some(Bytes::copy_from_slice(key)), value)
            }
        };
        let null = self.arguments.null.as_deref();
        let value = (null.map(str::as_bytes) != Some(value)).then(|| Bytes::copy_from_slice(value));
        let headers = self.arguments.headers.iter();
        let headers = headers.map(|(name, value)| (name.clone(), Some(Bytes::from(value.clone()))));
        let message = Outgoing {
            key,
            value,
            headers: headers.collect(),
            timestamp_ms: moment::now_ms(),
        };
        let at = self.partition_of(&message);
        let size_bytes = message.size_bytes();
        let is_full = {
            let pending = &self.pending[at];
            pending.messages.len() >= MAX_BATCH_COUNT
                || pending.size_bytes + size_bytes > MAX_BATCH_BYTES
        };
        if is_full {
            self.send(at)?;
        }
        self.pending[at].messages.push(message);
        self.pending[at].size_bytes += size_bytes;
        Ok(())
    }

    /// As Kafka's own clients choose: by the key's hash, or batch after batch.
    fn partition_of(&self, message: &Outgoing) -> usize {
        let count = self.pending.len();
        let fixed = self.arguments.partition;
        match (
            fixed.and_then(|fixed| usize::try_from(fixed).ok()),
            &message.key,
        ) {
            (Some(partition), _) => partition,
            (None, Some(key)) => {
                let hash = usize::try_from(partitioner::of_key(key)).unwrap_or(0);
                hash % count
            }
            (None, None) => self.sticky,
        }
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        (0..self.pending.len()).try_for_each(|at| self.send(at))
    }

    fn send(&mut self, at: usize) -> anyhow::Result<()> {
        if self.pending[at].messages.is_empty() {
            return Ok(());
        }
        let signature = self.pending[at].signature;
        let next = Pending::new(signature.after(self.pending[at].messages.len()));
        let pending = std::mem::replace(&mut self.pending[at], next);
        let batch = records::encode(&pending.messages, self.codec, signature)?;
        let acks = match self.arguments.acks.as_str() {
            "0" => 0,
            "1" => 1,
            _ => -1,
        };
        let index = i32::try_from(at)?;
        let place = (self.arguments.topic.as_str(), index);
        self.client.produce(place, &batch, acks)?;
        self.sent_count += u64::try_from(pending.messages.len()).unwrap_or(0);
        self.progress.at(self.sent_count);
        if at == self.sticky {
            self.sticky = (at + 1) % self.pending.len();
        }
        Ok(())
    }
}

fn split<'a>(line: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = line
        .windows(separator.len())
        .position(|window| window == separator)?;
    Some((&line[..at], &line[at + separator.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_at_its_first_separator() {
        assert_eq!(split(b"a::b::c", b"::"), Some((&b"a"[..], &b"b::c"[..])));
        assert_eq!(split(b"::", b"::"), Some((&b""[..], &b""[..])));
        assert_eq!(split(b"a:b", b"::"), None);
        assert_eq!(split(b"", b":"), None);
    }
}
