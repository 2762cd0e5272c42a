//! Kafka's verifiable clients and transactional copier while leaders are killed, and what they say
//! beside what is there.

use super::campaign::Ground;
use super::case::{Case, Outcome};
use super::install;
use crate::checker::{self, Ack, Seen};
use crate::client::{self, Guarded};
use crate::stop;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Messages that the verifiable producer sends in one run.
const MESSAGES: usize = 6_000;
const MESSAGES_PER_SECOND: &str = "300";
/// Messages that the copier copies, and those of one transaction.
const COPIES: usize = 3_000;
const TRANSACTION: &str = "50";
const KILLS: u32 = 2;
const LIMIT: Duration = Duration::from_secs(180);
/// A copier that loses its place ends, and is started again.
const MAX_COPIERS: usize = 8;

/// What a verifiable client prints, as far as it is looked at.
#[derive(Deserialize)]
struct Event {
    name: String,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    partition: Option<i32>,
    #[serde(default)]
    offset: Option<i64>,
    #[serde(default)]
    partitions: Vec<Range>,
}

#[derive(Deserialize)]
struct Range {
    partition: i32,
    #[serde(rename = "minOffset", default)]
    first: i64,
    #[serde(rename = "maxOffset", default)]
    last: i64,
}

/// A case: its name and what runs it.
type Named = (&'static str, fn(&Ground<'_>) -> Result<()>);

const CASES: [Named; 2] = [
    ("verifiable-clients-through-kills", verifiable),
    ("transactional-copier-through-kills", copier),
];

/// Runs all cases.
pub(super) fn run(ground: &Ground<'_>) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for (name, body) in CASES {
        if !ground.wants(name) {
            continue;
        }
        let case = match body(ground) {
            Ok(()) => Case::passed(name),
            Err(error) => {
                stop::check()?;
                Case::failed(name, format!("{error:#}"))
            }
        };
        ground.tell(&case);
        outcome.cases.push(case);
    }
    Ok(outcome)
}

/// A program whose standard output is a file of JSON lines.
struct Tool {
    process: Guarded,
    out: PathBuf,
}

impl Tool {
    fn start(ground: &Ground<'_>, name: &str, class: &str, words: &[&str]) -> Result<Self> {
        let out = ground.directory.join(format!("{name}.jsonl"));
        let mut command = Command::new("java");
        command.args(install::JAVA_OPTIONS);
        let class = format!("org.apache.kafka.tools.{class}");
        command.args(["-cp", &install::java_class_path()?, &class]);
        command.args(words).stdin(Stdio::null());
        command.stdout(File::options().create(true).append(true).open(&out)?);
        command.stderr(
            File::options()
                .create(true)
                .append(true)
                .open(&ground.log)?,
        );
        let process = Guarded::start(&mut command)?;
        Ok(Self { process, out })
    }

    fn wait(&mut self, what: &str) -> Result<bool> {
        Ok(self.process.wait(what, LIMIT)?.success())
    }

    fn events(&self) -> Result<Vec<Event>> {
        let text = std::fs::read_to_string(&self.out)?;
        // A client that is killed may leave half a line.
        let lines = text.lines();
        Ok(lines
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect())
    }

    fn wait_for_count(&self, name: &str, count: usize) -> Result<()> {
        stop::wait_for(name, LIMIT, || {
            stop::sleep(Duration::from_millis(100))?;
            let found = self
                .events()?
                .iter()
                .filter(|event| event.name == name)
                .count();
            Ok((found >= count).then_some(()))
        })
    }
}

/// What a producer was told is there, and its consumer's group has seen all of it.
fn verifiable(ground: &Ground<'_>) -> Result<()> {
    let topic = format!("verifiable-{}", std::process::id());
    ground.create_topic(&topic)?;
    let count = MESSAGES.to_string();
    let at = ["--bootstrap-server", &ground.bootstrap, "--topic", &topic];
    let send = [
        "--max-messages",
        &count,
        "--throughput",
        MESSAGES_PER_SECOND,
        "--acks",
        "-1",
    ];
    let words = [&at[..], &send].concat();
    let mut producer = Tool::start(ground, "producer", "VerifiableProducer", &words)?;
    let member = ["--group-id", topic.as_str()];
    let mut consumer = Tool::start(
        ground,
        "consumer",
        "VerifiableConsumer",
        &[&at[..], &member].concat(),
    )?;
    for kill in 1..=KILLS {
        let some = MESSAGES / (KILLS as usize + 1) * kill as usize;
        producer.wait_for_count("producer_send_success", some / 2)?;
        ground.kill_and_restart(&topic)?;
    }
    ensure!(
        producer.wait("verifiable producer")?,
        "the producer failed; see {}",
        ground.log.display()
    );
    let acked: Vec<_> = producer.events()?.iter().filter_map(ack).collect();
    let seen = read(ground, &topic)?;
    let verdict = checker::check(&acked, &seen);
    ensure!(verdict.is_clean(), "{:?}", verdict);
    ensure!(
        acked.len() > MESSAGES / 2,
        "only {} of {MESSAGES} acknowledged",
        acked.len()
    );
    let end = seen
        .iter()
        .map(|message| message.offset + 1)
        .max()
        .unwrap_or(0);
    stop::wait_for("the group to have seen everything", LIMIT, || {
        stop::sleep(Duration::from_millis(200))?;
        let ranges: Vec<_> = consumer
            .events()?
            .into_iter()
            .filter(|event| event.name == "records_consumed")
            .flat_map(|event| event.partitions)
            .collect();
        Ok((covered(ranges) >= end).then_some(()))
    })?;
    consumer.process.end();
    Ok(())
}

fn ack(event: &Event) -> Option<Ack> {
    let is_ack = event.name == "producer_send_success";
    let seq = event.value.as_ref()?.parse().ok()?;
    is_ack.then_some(Ack {
        seq,
        place: event.partition.zip(event.offset),
    })
}

/// The offset of partition 0 before which nothing is left out.
fn covered(mut ranges: Vec<Range>) -> i64 {
    ranges.retain(|range| range.partition == 0);
    ranges.sort_by_key(|range| range.first);
    ranges
        .iter()
        .fold(0, |end, range| match range.first <= end {
            true => end.max(range.last + 1),
            false => end,
        })
}

/// What was copied in transactions is there once and in order, whatever was aborted on the way.
fn copier(ground: &Ground<'_>) -> Result<()> {
    let from = format!("copied-{}", std::process::id());
    let to = format!("copies-{}", std::process::id());
    ground.create_topic(&from)?;
    ground.create_topic(&to)?;
    let count = COPIES.to_string();
    let words = [
        "--bootstrap-server",
        &ground.bootstrap,
        "--topic",
        &from,
        "--max-messages",
        &count,
        "--acks",
        "-1",
    ];
    let mut filler = Tool::start(ground, "filler", "VerifiableProducer", &words)?;
    ensure!(filler.wait("verifiable producer")?, "the filler failed");
    let words = [
        "--broker-list",
        &ground.bootstrap,
        "--transactional-id",
        &to,
        "--consumer-group",
        &to,
        "--input-topic",
        &from,
        "--input-partition",
        "0",
        "--output-topic",
        &to,
        "--max-messages",
        &count,
        "--transaction-size",
        TRANSACTION,
        "--enable-random-aborts",
    ];
    let mut kills = 0;
    for _ in 0..MAX_COPIERS {
        let mut copier = Tool::start(ground, "copier", "TransactionalMessageCopier", &words)?;
        let ended = run_copier(ground, &mut copier, &to, &mut kills)?;
        if ended && kills >= KILLS {
            return check_copies(ground, &to);
        }
    }
    bail!("{MAX_COPIERS} copiers, and {kills} kills, were not enough")
}

/// Kills leaders while the copier works; whether it ended well.
fn run_copier(
    ground: &Ground<'_>,
    copier: &mut Tool,
    topic: &str,
    kills: &mut u32,
) -> Result<bool> {
    let end = Instant::now() + LIMIT;
    while *kills < KILLS {
        stop::sleep(Duration::from_secs(3))?;
        ensure!(Instant::now() < end, "the copier does not end");
        ground.kill_and_restart(topic)?;
        *kills += 1;
    }
    copier.wait("transactional copier")
}

fn check_copies(ground: &Ground<'_>, topic: &str) -> Result<()> {
    let expected: Vec<_> = (0..COPIES as u64)
        .map(|seq| Ack { seq, place: None })
        .collect();
    let verdict = checker::check(&expected, &read(ground, topic)?);
    ensure!(verdict.is_clean(), "{verdict:?}");
    ensure!(
        verdict.seen == COPIES,
        "{} copies of {COPIES}",
        verdict.seen
    );
    Ok(())
}

/// All that is committed.
fn read(ground: &Ground<'_>, topic: &str) -> Result<Vec<Seen>> {
    let mut seen = Vec::new();
    let log: &Path = &ground.log;
    client::read_all(&ground.bootstrap, topic, log, &mut |message| {
        let text = std::str::from_utf8(message.value).ok();
        seen.push(Seen {
            partition: message.partition,
            offset: message.offset,
            seq: text.and_then(|text| text.parse().ok()),
        });
    })
    .context("kcat")?;
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_ends_what_is_covered() {
        let range = |first, last| Range {
            partition: 0,
            first,
            last,
        };
        assert_eq!(covered(vec![range(5, 9), range(0, 5)]), 10);
        assert_eq!(covered(vec![range(0, 4), range(6, 9)]), 5);
    }

    #[test]
    fn only_acknowledgements_are_taken_for_them() {
        let line = r#"{"timestamp":1,"name":"producer_send_success","key":null,"value":"7","topic":"t","partition":0,"offset":9}"#;
        let event: Event = serde_json::from_str(line).unwrap();
        let expected = Ack {
            seq: 7,
            place: Some((0, 9)),
        };
        assert_eq!(ack(&event), Some(expected));
        let line = r#"{"name":"producer_send_error","value":"7","message":"no"}"#;
        assert_eq!(ack(&serde_json::from_str(line).unwrap()), None);
    }
}
