//! One client and one codec: produce while the node is killed, consume with a group, compare.

use crate::checker::{self, Ack, Seen, Verdict};
use crate::client::{self, Guarded, Message};
use crate::corpus::{self, Corpus};
use crate::feed;
use crate::stop;
use crate::target::Target;
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Time a client has for the whole corpus.
const PRODUCE_LIMIT: Duration = Duration::from_secs(600);

/// A client that produces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Client {
    /// Debian's kcat.
    Kcat,
    /// Kafka's console producer.
    Java,
    /// confluent-kafka-python; the one that tells what became of each line.
    Python,
}

impl Client {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Kcat, Self::Java, Self::Python];

    /// Its name in topics and figures.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kcat => "kcat",
            Self::Java => "java",
            Self::Python => "python",
        }
    }
}

/// What is to be done.
pub(super) struct Trial<'a> {
    pub client: Client,
    pub codec: &'static str,
    /// Kills on the way; one more comes before anything is consumed.
    pub kills: u32,
    /// Consume with every consumer, not only with the producer's sister.
    pub thorough: bool,
    pub corpus: &'a Corpus,
}

/// What came of it.
pub(super) struct Figures {
    /// From the first line in to the last one acknowledged.
    pub produced_in: Duration,
    /// Lines that the producer gave up.
    pub given_up: usize,
    /// What each consumer saw.
    pub verdicts: Vec<(&'static str, Verdict)>,
}

/// Runs one trial on a running node.
pub(super) fn run(trial: &Trial<'_>, node: &mut dyn Target, directory: &Path) -> Result<Figures> {
    let topic = format!("clients-{}-{}", trial.client.name(), trial.codec);
    let log = directory.join(format!("{topic}.log"));
    let reports = directory.join(format!("{topic}.acks"));
    let address = node.address();
    let mut command = match trial.client {
        Client::Kcat => client::kcat_producer(&address, &topic, trial.codec),
        Client::Java => client::java_producer(&address, &topic, trial.codec)?,
        Client::Python => client::driver(&address, &topic, trial.codec, 1, &reports)?,
    };
    let started = Instant::now();
    produce(trial, &mut command, &topic, node, &log)?;
    let produced_in = started.elapsed();
    // What was acknowledged last has to be on the disk as well.
    node.kill(&topic)?;
    node.restart()?;
    let (acked, given_up) = match trial.client {
        Client::Python => client::acks(&reports)?,
        Client::Kcat | Client::Java => (every_line(trial.corpus), errors_in(&log)?),
    };
    let verdicts = consume(trial, &acked, &address, &topic, &log)?;
    Ok(Figures {
        produced_in,
        given_up,
        verdicts,
    })
}

/// Feeds the corpus to the client and kills the node at even distances on the way.
fn produce(
    trial: &Trial<'_>,
    command: &mut Command,
    topic: &str,
    node: &mut dyn Target,
    log: &Path,
) -> Result<()> {
    let out = File::options().create(true).append(true).open(log)?;
    command
        .stdin(Stdio::piped())
        .stdout(out.try_clone()?)
        .stderr(out);
    let mut client = Guarded::start(command)?;
    let input = client.process().stdin.take().expect("stdin is piped");
    let bytes = trial.corpus.bytes();
    let fed = AtomicUsize::new(0);
    // At least: the client may be slower.
    let time = node.time_per_kill() * trial.kills;
    std::thread::scope(|scope| {
        let feeder = scope.spawn(|| feed::feed(input, bytes, time, &fed));
        let killed = kill_on_the_way(trial.kills, topic, bytes.len(), &fed, node, &mut client)
            .and_then(|()| client.wait("producer", PRODUCE_LIMIT));
        // With the client gone the feeder's pipe breaks: it cannot hold the scope open.
        client.end();
        let fed = feeder.join().expect("the feeder does not panic");
        let status = killed?;
        if !status.success() {
            bail!("producer: {status}; see {}", log.display());
        }
        fed.context("the producer stopped reading")
    })
}

fn kill_on_the_way(
    kills: u32,
    topic: &str,
    total: usize,
    fed: &AtomicUsize,
    node: &mut dyn Target,
    client: &mut Guarded,
) -> Result<()> {
    for kill in 1..=kills {
        let threshold = total / (kills as usize + 1) * kill as usize;
        stop::wait_for("a part of the corpus", PRODUCE_LIMIT, || {
            let ended = client.process().try_wait()?;
            ensure!(
                ended.is_none(),
                "the producer ended before kill {kill} of {kills}: {ended:?}"
            );
            Ok((fed.load(Ordering::Relaxed) >= threshold).then_some(()))
        })?;
        node.kill(topic)?;
        node.restart()?;
    }
    Ok(())
}

/// A client that exits with 0 says that every line is acknowledged, but not where.
fn every_line(corpus: &Corpus) -> Vec<Ack> {
    (0..corpus.line_count() as u64)
        .map(|seq| Ack { seq, place: None })
        .collect()
}

/// Lines that a client's own log says were given up.
fn errors_in(log: &Path) -> Result<usize> {
    let text = String::from_utf8_lossy(&std::fs::read(log)?).into_owned();
    Ok(text.lines().filter(|line| is_given_up(line)).count())
}

fn is_given_up(line: &str) -> bool {
    line.contains("Error when sending message") || line.contains("Delivery failed")
}

fn consume(
    trial: &Trial<'_>,
    acked: &[Ack],
    address: &str,
    topic: &str,
    log: &Path,
) -> Result<Vec<(&'static str, Verdict)>> {
    let corpus = trial.corpus;
    let mut seen = Vec::new();
    let group = format!("{topic}-kcat");
    client::consume_with_kcat(address, topic, &group, log, &mut |message| {
        seen.push(identify(corpus, &message));
    })?;
    let mut verdicts = vec![("kcat", checker::check(acked, &seen))];
    if trial.thorough || trial.client == Client::Java {
        let count = seen.len();
        seen.clear();
        let group = format!("{topic}-java");
        client::consume_with_java(address, topic, &group, count, log, &mut |message| {
            seen.push(identify(corpus, &message));
        })?;
        verdicts.push(("java", checker::check(acked, &seen)));
    }
    Ok(verdicts)
}

/// A message is known by its number only when all its bytes are that line's.
fn identify(corpus: &Corpus, message: &Message<'_>) -> Seen {
    let seq = corpus::seq_of(message.value).filter(|seq| corpus.line(*seq) == Some(message.value));
    Seen {
        partition: message.partition,
        offset: message.offset,
        seq,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_gave_up_is_told_from_other_noise() {
        assert!(is_given_up(
            "[x] ERROR Error when sending message to topic t with key: null"
        ));
        assert!(is_given_up(
            "% Delivery failed for message: Local: Message timed out"
        ));
        assert!(!is_given_up(
            "%3|1|FAIL|rdkafka#producer-1| Connect to 127.0.0.1:1 failed"
        ));
    }
}
