//! Kafka's own verifiable producer, verifiable consumers and transactional copier: what they print
//! becomes a history like that of any other client.

use super::copier::Copier;
use super::failover::now_ns;
use super::nodes::{Cluster, Served};
use super::process::Positions;
use super::worker::Lane;
use crate::client::Guarded;
use crate::place;
use crate::stop;
use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Its partitions begin here in the history.
const FIRST_KEY: u32 = 2_000;
const PARTITIONS: u32 = 2;
const CONSUMERS: usize = 2;
const RATE: &str = "100";
/// Values of the producer begin with it; in the history its process is `v7`.
const PREFIX: &str = "7";
/// Keys that come in turn, so that every partition gets its share.
const MESSAGE_KEYS: &str = "40";
const TRANSACTION: &str = "50";
const TRANSACTION_TIMEOUT_MS: &str = "15000";
const SESSION_TIMEOUT_MS: &str = "6000";

const PRODUCER: &str = "enable.idempotence=true\nretries=2147483647\ndelivery.timeout.ms=900000\n\
    request.timeout.ms=3000\nmax.block.ms=300000\nretry.backoff.ms=20\nreconnect.backoff.ms=20\n\
    reconnect.backoff.max.ms=200\n";
const CONSUMER: &str = "isolation.level=read_committed\nheartbeat.interval.ms=500\n\
    reconnect.backoff.ms=20\nreconnect.backoff.max.ms=200\nretry.backoff.ms=20\n";

/// What a verifiable client prints, as far as it is looked at.
#[derive(Deserialize)]
struct Event {
    name: String,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    partition: Option<u32>,
    #[serde(default)]
    offset: Option<u64>,
    #[serde(default)]
    success: bool,
    #[serde(default)]
    partitions: Vec<Place>,
    #[serde(default)]
    offsets: Vec<Place>,
}

#[derive(Deserialize)]
struct Place {
    partition: u32,
    #[serde(default)]
    offset: Option<u64>,
}

/// One acknowledgement.
#[derive(Clone, Copy)]
struct Ack {
    number: u32,
    key: u32,
    offset: u64,
    time_ns: u64,
}

/// All three at work on a topic of their own.
pub(super) struct Verifiable {
    lane: Lane,
    directory: PathBuf,
    producer: Guarded,
    acks: Arc<Mutex<Vec<Ack>>>,
    given_up: Arc<AtomicU64>,
    consumers: Vec<(Guarded, Positions)>,
    copier: Copier,
}

impl Verifiable {
    /// Starts them.
    pub(super) fn start(cluster: &Cluster, topic: &str, directory: &Path) -> Result<Self> {
        let lane = Lane {
            topic: format!("{topic}-verifiable"),
            first_key: FIRST_KEY,
            partitions: PARTITIONS,
            message_keys: 0,
        };
        for topic in [&lane.topic, &lane.copies()] {
            create_topic(cluster, topic)?;
        }
        let tools = Tools { cluster, directory };
        let (producer, acks, given_up) = tools.producer(&lane.topic)?;
        let consumers = (0..CONSUMERS).map(|number| tools.consumer(&lane.topic, number));
        let consumers = consumers.collect::<Result<_>>()?;
        let copier = Copier::start(&tools.copier(&lane)?, directory);
        Ok(Self {
            lane,
            directory: directory.to_owned(),
            producer,
            acks,
            given_up,
            consumers,
            copier,
        })
    }

    /// Their topic.
    pub(super) fn lane(&self) -> &Lane {
        &self.lane
    }

    /// Where each consumer has got to.
    pub(super) fn positions(&self) -> Vec<&Positions> {
        self.consumers
            .iter()
            .map(|(_, positions)| positions)
            .collect()
    }

    /// Runs of the copier that ended with an error.
    pub(super) fn errors(&self) -> u64 {
        self.copier.errors()
    }

    /// Waits until the producer has one more acknowledgement.
    pub(super) fn wait_for_ack(&mut self, limit: Duration) -> Result<()> {
        let acked = || self.acks.lock().expect("no panic holds it").len();
        let before = acked();
        let producer = &mut self.producer;
        stop::wait_for("the verifiable producer", limit, || {
            let ended = producer.process().try_wait()?;
            ensure!(ended.is_none(), "the verifiable producer ended by itself");
            Ok((acked() > before).then_some(()))
        })
    }

    /// Stops the producer, and writes its history; gives how many messages are in doubt.
    pub(super) fn finish_sending(&mut self, limit: Duration) -> Result<u64> {
        terminate(&mut self.producer, "the verifiable producer", limit)?;
        let mut acks = self.acks.lock().expect("no panic holds it").clone();
        acks.sort_unstable_by_key(|ack| ack.number);
        let mut history = File::create(self.directory.join(format!("v{PREFIX}.jsonl")))?;
        for (number, ack) in (0..).zip(&acks) {
            // What it does not tell of has no partition: its history ends there.
            ensure!(
                ack.number == number,
                "no acknowledgement of number {number}"
            );
            history.write_all(sent(*ack).as_bytes())?;
        }
        Ok(self.given_up.load(Ordering::Relaxed))
    }

    /// Waits until all is copied, and ends everybody.
    pub(super) fn finish_reading(&mut self, limit: Duration) -> Result<()> {
        for (consumer, _) in &mut self.consumers {
            terminate(consumer, "a verifiable consumer", limit)?;
        }
        self.copier.finish(limit)
    }
}

/// SIGTERM, and the time to end as a Java program does.
fn terminate(client: &mut Guarded, what: &str, limit: Duration) -> Result<()> {
    let pid = i32::try_from(client.process().id())
        .ok()
        .and_then(Pid::from_raw);
    kill_process(pid.context("a process has an id")?, Signal::TERM)?;
    client.wait(what, limit).map(|_| ())
}

fn create_topic(cluster: &Cluster, topic: &str) -> Result<()> {
    let mut command = tool(cluster, "TopicCommand")?;
    command
        .args(["--bootstrap-server", &cluster.bootstrap(), "--create"])
        .args(["--topic", topic, "--if-not-exists"])
        .args(["--partitions", &PARTITIONS.to_string()])
        .stdout(Stdio::null());
    let mut made = Guarded::start(&mut command)?;
    let status = made.wait("a topic's creation", Duration::from_secs(60))?;
    ensure!(status.success(), "create {topic}: {status}");
    Ok(())
}

fn tool(cluster: &Cluster, class: &str) -> Result<Command> {
    let mut command = cluster.client("java".as_ref());
    command
        .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
        .arg("-Dorg.slf4j.simpleLogger.showDateTime=true")
        .args(["-cp", &place::java_class_path()?])
        .arg(format!("org.apache.kafka.tools.{class}"))
        .stdin(Stdio::null());
    Ok(command)
}

struct Tools<'a> {
    cluster: &'a Cluster,
    directory: &'a Path,
}

/// A producer, its acknowledgements, and the count of what it gave up.
type Producer = (Guarded, Arc<Mutex<Vec<Ack>>>, Arc<AtomicU64>);

impl Tools<'_> {
    fn command(&self, class: &str, name: &str, config: &str) -> Result<Command> {
        let path = self.directory.join(format!("{name}.properties"));
        std::fs::write(&path, config)?;
        let mut command = tool(self.cluster, class)?;
        command
            .args(["--bootstrap-server", &self.cluster.bootstrap()])
            .arg("--command-config")
            .arg(path)
            .stdout(Stdio::piped())
            .stderr(File::create(self.directory.join(format!("{name}.log")))?);
        Ok(command)
    }

    fn producer(&self, topic: &str) -> Result<Producer> {
        let mut command = self.command("VerifiableProducer", "verifiable-producer", PRODUCER)?;
        command
            .args(["--topic", topic, "--acks", "-1", "--throughput", RATE])
            .args(["--value-prefix", PREFIX, "--repeating-keys", MESSAGE_KEYS]);
        let mut client = Guarded::start(&mut command)?;
        let out = client.process().stdout.take().expect("stdout is piped");
        let (acks, given_up) = (Arc::default(), Arc::default());
        follow_producer(out, Arc::clone(&acks), Arc::clone(&given_up));
        Ok((client, acks, given_up))
    }

    fn consumer(&self, topic: &str, number: usize) -> Result<(Guarded, Positions)> {
        let name = format!("vc{number}");
        let mut command = self.command("VerifiableConsumer", &name, CONSUMER)?;
        command
            .args(["--topic", topic, "--group-id", topic, "--verbose"])
            .args(["--session-timeout", SESSION_TIMEOUT_MS]);
        let mut client = Guarded::start(&mut command)?;
        let out = client.process().stdout.take().expect("stdout is piped");
        let history = File::create(self.directory.join(format!("{name}.jsonl")))?;
        let positions = Positions::default();
        follow_consumer(out, name, history, Arc::clone(&positions));
        Ok((client, positions))
    }

    fn copier(&self, lane: &Lane) -> Result<Command> {
        let mut command = tool(self.cluster, "TransactionalMessageCopier")?;
        let to = lane.copies();
        command
            .args(["--broker-list", &self.cluster.bootstrap()])
            .args(["--transactional-id", &to, "--consumer-group", &to])
            .args(["--input-topic", &lane.topic, "--input-partition", "0"])
            .args(["--output-topic", &to, "--transaction-size", TRANSACTION])
            .args(["--transaction-timeout", TRANSACTION_TIMEOUT_MS])
            .args([
                "--enable-random-aborts",
                "--group-mode",
                "--use-group-metadata",
            ]);
        Ok(command)
    }
}

fn follow_producer(out: ChildStdout, acks: Arc<Mutex<Vec<Ack>>>, given_up: Arc<AtomicU64>) {
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let Ok(event) = serde_json::from_str::<Event>(&line) else {
                continue;
            };
            match event.name.as_str() {
                "producer_send_success" => {
                    acks.lock()
                        .expect("no panic holds it")
                        .extend(ack(&event, now_ns()));
                }
                "producer_send_error" => drop(given_up.fetch_add(1, Ordering::Relaxed)),
                _ => {}
            }
        }
    });
}

fn ack(event: &Event, time_ns: u64) -> Option<Ack> {
    let (prefix, number) = event.value.as_ref()?.split_once('.')?;
    Some(Ack {
        number: number.parse().ok().filter(|_| prefix == PREFIX)?,
        key: FIRST_KEY + event.partition?,
        offset: event.offset?,
        time_ns,
    })
}

/// The two lines of a send.
fn sent(ack: Ack) -> String {
    let Ack {
        number,
        key,
        offset,
        time_ns,
    } = ack;
    let head =
        format!(r#"{{"process":"v{PREFIX}","f":"send","key":{key},"value":"v{PREFIX}-{number}""#);
    format!(
        "{head},\"type\":\"invoke\",\"time_ns\":{time_ns}}}\n\
         {head},\"type\":\"ok\",\"offset\":{offset},\"time_ns\":{time_ns}}}\n"
    )
}

fn follow_consumer(out: ChildStdout, name: String, mut history: File, positions: Positions) {
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let Ok(event) = serde_json::from_str::<Event>(&line) else {
                continue;
            };
            let lines = read(&name, &event, now_ns());
            if let Err(error) = history.write_all(lines.as_bytes()) {
                eprintln!("{name}: {error}");
                return;
            }
            if let ("record_data", Some(partition), Some(offset)) =
                (event.name.as_str(), event.partition, event.offset)
            {
                let mut positions = positions.lock().expect("no panic holds it");
                let position = positions.entry(FIRST_KEY + partition).or_insert(0);
                *position = (offset + 1).max(*position);
            }
        }
    });
}

/// What a consumer's line is in the history.
fn read(name: &str, event: &Event, time_ns: u64) -> String {
    let line = |kind: &str, f: &str, partition: u32, rest: String| {
        let key = FIRST_KEY + partition;
        format!(
            "{{\"process\":\"{name}\",\"type\":\"{kind}\",\"f\":\"{f}\",\"key\":{key}{rest},\
             \"time_ns\":{time_ns}}}\n"
        )
    };
    let at =
        |offset: Option<u64>| offset.map_or_else(String::new, |at| format!(r#","offset":{at}"#));
    match event.name.as_str() {
        "partitions_assigned" => {
            let places = event.partitions.iter();
            places
                .map(|it| line("ok", "assign", it.partition, String::new()))
                .collect()
        }
        "offsets_committed" => {
            let kind = if event.success { "ok" } else { "info" };
            let places = event.offsets.iter();
            places
                .map(|it| line(kind, "commit", it.partition, at(it.offset)))
                .collect()
        }
        "record_data" => {
            let value = event
                .value
                .as_deref()
                .unwrap_or("nothing")
                .replace('.', "-");
            let rest = format!(r#","value":"v{value}"{}"#, at(event.offset));
            event
                .partition
                .map_or_else(String::new, |it| line("ok", "poll", it, rest))
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(line: &str) -> Event {
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn a_producers_line_is_a_send() {
        let line = r#"{"timestamp":1,"name":"producer_send_success","key":null,"value":"7.12","topic":"t","partition":1,"offset":9}"#;
        let lines = sent(ack(&event(line), 5).unwrap());
        assert!(lines.contains(r#""key":2001,"value":"v7-12""#), "{lines}");
        assert_eq!(lines.lines().count(), 2);
        let other = r#"{"name":"producer_send_success","value":"8.12","partition":1,"offset":9}"#;
        assert!(ack(&event(other), 5).is_none());
    }

    #[test]
    fn a_consumers_lines_are_assignments_polls_and_commits() {
        let lines = |text: &str| read("vc0", &event(text), 5);
        let assigned = r#"{"timestamp":1,"name":"partitions_assigned","partitions":[{"topic":"t","partition":1}]}"#;
        assert!(lines(assigned).contains(r#""f":"assign","key":2001,"time"#));
        let polled = r#"{"timestamp":1,"name":"record_data","key":"3","value":"7.4","topic":"t","partition":0,"offset":8}"#;
        assert!(lines(polled).contains(r#""f":"poll","key":2000,"value":"v7-4","offset":8"#));
        let committed = r#"{"timestamp":1,"name":"offsets_committed","offsets":[{"topic":"t","partition":0,"offset":9}],"success":true}"#;
        assert!(lines(committed).contains(r#""type":"ok","f":"commit","key":2000,"offset":9"#));
        let refused = committed.replace("true", "false");
        assert!(lines(&refused).contains(r#""type":"info""#));
        assert!(lines(r#"{"timestamp":1,"name":"startup_complete"}"#).is_empty());
    }
}
