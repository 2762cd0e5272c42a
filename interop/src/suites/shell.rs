//! Kafka's command line tools in one virtual machine: see `interop/java/src/Shell.java`.

use super::install;
use crate::client::Guarded;
use crate::stop;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Answers that may wait to be asked for.
const MAX_WAITING: usize = 64;

/// A command's id.
pub(super) type CallId = u64;

#[derive(Serialize)]
struct Request<'a> {
    id: CallId,
    class: &'a str,
    arguments: &'a [String],
    input: &'a str,
}

/// What came of a command.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Answer {
    id: CallId,
    /// Its exit status.
    pub exit: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// A virtual machine that runs tools; a fresh one once a command has hung.
pub(super) struct Shell {
    log: PathBuf,
    machine: Option<Machine>,
    apart: BTreeMap<CallId, Guarded>,
    next_id: CallId,
}

struct Machine {
    _process: Guarded,
    requests: ChildStdin,
    answers: mpsc::Receiver<Answer>,
    early: BTreeMap<CallId, Answer>,
}

impl Shell {
    /// Started with the first command.
    pub(super) fn new(log: &Path) -> Self {
        Self {
            log: log.to_owned(),
            machine: None,
            apart: BTreeMap::new(),
            next_id: 0,
        }
    }

    /// Starts a command.
    pub(super) fn start(
        &mut self,
        class: &str,
        arguments: &[String],
        input: &str,
    ) -> Result<CallId> {
        let id = self.next_id;
        self.next_id += 1;
        let request = Request {
            id,
            class,
            arguments,
            input,
        };
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        let machine = match &mut self.machine {
            Some(machine) => machine,
            none => none.insert(Machine::launch(&self.log)?),
        };
        machine
            .requests
            .write_all(&line)
            .context("the tools' machine has ended")?;
        Ok(id)
    }

    /// Starts a command without input in a machine of its own.
    pub(super) fn start_apart(&mut self, class: &str, arguments: &[String]) -> Result<CallId> {
        let id = self.next_id;
        self.next_id += 1;
        let output = |kind| self.log.with_extension(format!("{id}.{kind}"));
        let mut command = Command::new("java");
        command.args(install::JAVA_OPTIONS);
        command.args(["-cp", &install::java_class_path()?, class]);
        command.args(arguments).stdin(Stdio::null());
        command.stdout(File::create(output("out"))?);
        command.stderr(File::create(output("err"))?);
        self.apart.insert(id, Guarded::start(&mut command)?);
        Ok(id)
    }

    fn wait_apart(
        &mut self,
        id: CallId,
        mut process: Guarded,
        limit: Duration,
    ) -> Result<Option<Answer>> {
        let Ok(status) = process.wait("a tool", limit) else {
            stop::check()?;
            return Ok(None);
        };
        let output = |kind| {
            let bytes = std::fs::read(self.log.with_extension(format!("{id}.{kind}")))?;
            anyhow::Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        Ok(Some(Answer {
            id,
            exit: status.code().unwrap_or(-1),
            out: output("out")?,
            err: output("err")?,
        }))
    }

    /// Waits for a command's end; `None` once `limit` is over, and then all commands are gone.
    pub(super) fn wait(&mut self, id: CallId, limit: Duration) -> Result<Option<Answer>> {
        if let Some(process) = self.apart.remove(&id) {
            return self.wait_apart(id, process, limit);
        }
        let end = Instant::now() + limit;
        while let Some(machine) = &mut self.machine {
            if let Some(answer) = machine.early.remove(&id) {
                return Ok(Some(answer));
            }
            stop::check()?;
            let left = end.saturating_duration_since(Instant::now());
            match machine
                .answers
                .recv_timeout(left.min(Duration::from_millis(100)))
            {
                Ok(answer) => {
                    machine.early.insert(answer.id, answer);
                }
                Err(mpsc::RecvTimeoutError::Timeout) if !left.is_zero() => {}
                Err(_) => self.machine = None,
            }
        }
        Ok(None)
    }
}

impl Machine {
    fn launch(log: &Path) -> Result<Self> {
        let mut command = Command::new("java");
        command.args(install::JAVA_OPTIONS);
        command.args(["-cp", &install::java_class_path()?, "Shell"]);
        let mut process = Guarded::start(
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(File::options().create(true).append(true).open(log)?),
        )?;
        let requests = process.process().stdin.take().expect("stdin is piped");
        let out = process.process().stdout.take().expect("stdout is piped");
        Ok(Self {
            _process: process,
            requests,
            answers: listen(out),
            early: BTreeMap::new(),
        })
    }
}

fn listen(out: ChildStdout) -> mpsc::Receiver<Answer> {
    let (sender, answers) = mpsc::sync_channel(MAX_WAITING);
    std::thread::spawn(move || {
        let lines = BufReader::new(out).lines().map_while(Result::ok);
        for answer in lines.filter_map(|line| serde_json::from_str(&line).ok()) {
            if sender.send(answer).is_err() {
                return;
            }
        }
    });
    answers
}
