//! Kafka's own command line tools, each command with what it is to answer.

use super::campaign::Ground;
use super::case::{Case, Outcome};
use super::shell::{Answer, CallId, Shell};
use super::table::{self, Command, Expected, Scenario, Step, Way};
use crate::stop;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Time that one command has.
const COMMAND_LIMIT: Duration = Duration::from_secs(90);
/// Time within which a command that is repeated has to answer as it should.
const EVENTUALLY: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(300);
/// How much of an answer is shown.
const MAX_SHOWN: usize = 1_500;

/// These leave by the virtual machine's own way out, so that each needs one to itself.
const APART: [&str; 2] = ["kafka-verifiable-consumer", "kafka-verifiable-producer"];

const CLASSES: [(&str, &str); 25] = [
    (
        "kafka-broker-api-versions",
        "org.apache.kafka.tools.BrokerApiVersionsCommand",
    ),
    (
        "kafka-client-metrics",
        "org.apache.kafka.tools.ClientMetricsCommand",
    ),
    ("kafka-cluster", "org.apache.kafka.tools.ClusterTool"),
    ("kafka-configs", "kafka.admin.ConfigCommand"),
    (
        "kafka-console-consumer",
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
    ),
    (
        "kafka-console-producer",
        "org.apache.kafka.tools.ConsoleProducer",
    ),
    (
        "kafka-console-share-consumer",
        "org.apache.kafka.tools.consumer.ConsoleShareConsumer",
    ),
    (
        "kafka-consumer-groups",
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    ),
    (
        "kafka-consumer-perf-test",
        "org.apache.kafka.tools.ConsumerPerformance",
    ),
    (
        "kafka-delete-records",
        "org.apache.kafka.tools.DeleteRecordsCommand",
    ),
    (
        "kafka-e2e-latency",
        "org.apache.kafka.tools.EndToEndLatency",
    ),
    ("kafka-features", "org.apache.kafka.tools.FeatureCommand"),
    ("kafka-get-offsets", "org.apache.kafka.tools.GetOffsetShell"),
    ("kafka-groups", "org.apache.kafka.tools.GroupsCommand"),
    (
        "kafka-leader-election",
        "org.apache.kafka.tools.LeaderElectionCommand",
    ),
    ("kafka-log-dirs", "org.apache.kafka.tools.LogDirsCommand"),
    (
        "kafka-metadata-quorum",
        "org.apache.kafka.tools.MetadataQuorumCommand",
    ),
    (
        "kafka-producer-perf-test",
        "org.apache.kafka.tools.ProducerPerformance",
    ),
    (
        "kafka-reassign-partitions",
        "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    ),
    (
        "kafka-share-groups",
        "org.apache.kafka.tools.consumer.group.ShareGroupCommand",
    ),
    ("kafka-topics", "org.apache.kafka.tools.TopicCommand"),
    (
        "kafka-transactions",
        "org.apache.kafka.tools.TransactionsCommand",
    ),
    (
        "kafka-verifiable-consumer",
        "org.apache.kafka.tools.VerifiableConsumer",
    ),
    (
        "kafka-verifiable-producer",
        "org.apache.kafka.tools.VerifiableProducer",
    ),
    (
        "transactional-message-copier",
        "org.apache.kafka.tools.TransactionalMessageCopier",
    ),
];

/// Runs the table at `path`, or those of its cases that `ground` asks for.
pub(super) fn run(path: &Path, ground: &Ground<'_>) -> Result<Outcome> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let scenarios = table::parse(&text).with_context(|| path.display().to_string())?;
    let mut outcome = Outcome::default();
    let mut shell = Shell::new(&ground.log);
    for scenario in scenarios {
        if !ground.wants(&scenario.name) {
            continue;
        }
        stop::check()?;
        let nodes_count = ground.bootstrap.split(',').count();
        if scenario.nodes.is_some_and(|count| count != nodes_count) {
            outcome.cases.push(Case::skipped(&scenario.name));
            continue;
        }
        let mut play = Play {
            shell: &mut shell,
            ground,
            topic: format!("{}-{}", scenario.name, std::process::id()),
            background: BTreeMap::new(),
        };
        let case = match play.run(&scenario) {
            Ok(()) => Case::passed(&scenario.name),
            Err(error) => Case::failed(&scenario.name, format!("{error:#}")),
        };
        ground.tell(&case);
        outcome.cases.push(case);
    }
    Ok(outcome)
}

/// A case that is being run.
struct Play<'a> {
    shell: &'a mut Shell,
    ground: &'a Ground<'a>,
    topic: String,
    background: BTreeMap<String, CallId>,
}

impl Play<'_> {
    fn run(&mut self, scenario: &Scenario) -> Result<()> {
        for step in &scenario.steps {
            match step {
                Step::File { name, text } => {
                    let path = self.ground.directory.join(name);
                    std::fs::write(path, self.fill(text))?;
                }
                Step::Run { command, way } => self.run_command(command, way)?,
                Step::Wait { name, expected } => {
                    let id = self.background.remove(name).context("it was started")?;
                    let answer = self.shell.wait(id, COMMAND_LIMIT)?;
                    self.judge(name, expected, answer)?;
                }
            }
        }
        Ok(())
    }

    fn run_command(&mut self, command: &Command, way: &Way) -> Result<()> {
        if let Way::Background(name) = way {
            let id = self.start(command)?;
            self.background.insert(name.clone(), id);
            return Ok(());
        }
        let end = Instant::now() + EVENTUALLY;
        loop {
            let id = self.start(command)?;
            let answer = self.shell.wait(id, COMMAND_LIMIT)?;
            match self.judge(&command.words.join(" "), &command.expected, answer) {
                Err(_) if *way == Way::Eventually && Instant::now() < end => stop::sleep(PAUSE)?,
                judged => return judged,
            }
        }
    }

    fn start(&mut self, command: &Command) -> Result<CallId> {
        let (tool, arguments) = command.words.split_first().context("a tool")?;
        let class = CLASSES.iter().find(|(name, _)| name == tool);
        let (_, class) = class.with_context(|| format!("{tool} is no tool"))?;
        let names_broker = arguments.iter().any(|word| word.contains("{b}"));
        let mut arguments: Vec<_> = arguments.iter().map(|word| self.fill(word)).collect();
        if !names_broker {
            arguments.extend(["--bootstrap-server".into(), self.ground.bootstrap.clone()]);
        }
        let input = self.fill(&command.input);
        match APART.contains(&tool.as_str()) {
            true => self.shell.start_apart(class, &arguments),
            false => self.shell.start(class, &arguments, &input),
        }
    }

    fn judge(&self, what: &str, expected: &Expected, answer: Option<Answer>) -> Result<()> {
        let Some(answer) = answer else {
            bail!("{what}: not ended within {} s", COMMAND_LIMIT.as_secs());
        };
        let output = format!("{}\n{}", answer.out, answer.err);
        let filled = Expected {
            exit: expected.exit,
            lines: expected.lines.iter().map(|line| self.fill(line)).collect(),
            absent: expected.absent.iter().map(|line| self.fill(line)).collect(),
        };
        match filled.lack(answer.exit, &output) {
            None => Ok(()),
            Some(lack) => {
                let shown: String = output.trim().chars().take(MAX_SHOWN).collect();
                bail!("{what}: {lack} in\n{shown}")
            }
        }
    }

    fn fill(&self, text: &str) -> String {
        text.replace("{t}", &self.topic)
            .replace("{b}", &self.ground.bootstrap)
            .replace("{dir}", &self.ground.directory.display().to_string())
    }
}
