//! One node of a cluster: its process, its place in the network and its disk.

use super::bit_flip::Flip;
use super::strace::Strace;
use super::wall_clock::WallClock;
use crate::image::Image;
use crate::memory_group::MemoryGroup;
use crate::moments::Moments;
use crate::node::{self, READY_LIMIT};
use crate::place;
use crate::stop;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Where a node listens.
pub(super) struct Addresses {
    /// For Kafka's clients.
    pub(super) kafka: String,
    /// For clients of AMQP.
    pub(super) amqp: String,
    /// For nodes; also its name in the status.
    pub(super) peer: String,
}

/// A node that may run.
pub(super) struct Member {
    /// Where it listens.
    pub(super) at: Addresses,
    data: PathBuf,
    log: PathBuf,
    image: Option<Image>,
    surroundings: Surroundings,
    process: Option<Child>,
    launch: Option<Launch>,
    restarts: Vec<Duration>,
}

/// What stands between a node and the system, where a fault wants it.
#[derive(Default)]
pub(super) struct Surroundings {
    /// Its wall clock.
    pub(super) clock: Option<WallClock>,
    /// What it may use of memory.
    pub(super) memory: Option<MemoryGroup>,
}

/// A node that was started with damage.
pub(super) enum Started {
    /// It serves.
    Ready,
    /// It ended by itself, with these last words.
    Refused(ExitStatus, Vec<String>),
}

/// A start whose end is not known.
struct Launch {
    at: Instant,
    said: mpsc::Receiver<SocketAddr>,
}

impl Member {
    /// A node that has not been started. Its data lie on `image` if there is one.
    pub(super) fn new(
        directory: &Path,
        name: &str,
        at: Addresses,
        image: Option<Image>,
        surroundings: Surroundings,
    ) -> Self {
        let parent = image.as_ref().map_or(directory, Image::mount_point);
        Self {
            at,
            data: parent.join(format!("{}-{name}", place::DATA)),
            log: directory.join(format!("{name}.log")),
            image,
            surroundings,
            process: None,
            launch: None,
            restarts: Vec::new(),
        }
    }

    /// Starts it by `command`, which names the binary. It may not be ready without others.
    pub(super) fn launch(&mut self, command: &mut Command, more: &[&str]) -> Result<()> {
        command
            .args(["serve", "--kafka", &self.at.kafka, "--amqp", &self.at.amqp])
            .arg("--allow-anonymous")
            .arg("--data-dir")
            .arg(&self.data)
            .args(more);
        if let Some(clock) = &self.surroundings.clock {
            clock.give_to(command)?;
        }
        if let Some(memory) = &self.surroundings.memory {
            *command = memory.enter(command);
        }
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(node::open_log(&self.log)?)
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let out = process.stdout.take().expect("stdout is piped");
        self.process = Some(process);
        self.launch = Some(Launch {
            at: Instant::now(),
            said: node::listen(out, node::open_log(&self.log)?),
        });
        Ok(())
    }

    /// Waits until it has said that it is ready.
    pub(super) fn wait_until_ready(&mut self) -> Result<()> {
        let Some(launch) = self.launch.take() else {
            return Ok(());
        };
        let log = &self.log;
        let ready = || match launch.said.try_recv() {
            Ok(_) => Ok(Some(())),
            Err(mpsc::TryRecvError::Empty) => Ok(None),
            Err(mpsc::TryRecvError::Disconnected) => Err(node::not_started(log)),
        };
        stop::wait_for("node's readiness", READY_LIMIT, ready)
            .with_context(|| format!("log in {}", log.display()))?;
        self.restarts.push(launch.at.elapsed());
        Ok(())
    }

    /// The same of a node that may rather end than serve.
    pub(super) fn wait_until_ready_or_refused(&mut self) -> Result<Started> {
        let process = self.process.as_mut().context("the node was started")?;
        let launch = self.launch.take().context("the node was started")?;
        let log = &self.log;
        let decided = || match launch.said.try_recv() {
            Ok(_) => Ok(Some(Started::Ready)),
            Err(mpsc::TryRecvError::Empty) => Ok(None),
            // Its output may have ended a moment before itself.
            Err(mpsc::TryRecvError::Disconnected) => Ok(process
                .try_wait()?
                .map(|status| Started::Refused(status, node::last_lines(log)))),
        };
        let started = stop::wait_for("a node to be ready or to refuse", READY_LIMIT, decided)
            .with_context(|| format!("log in {}", log.display()))?;
        if matches!(started, Started::Refused(..)) {
            self.process = None;
        }
        Ok(started)
    }

    /// Whether there is a process.
    pub(super) fn is_started(&self) -> bool {
        self.process.is_some()
    }

    /// Its process id, while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Its admin port, as it has said last.
    pub(super) fn admin(&self) -> Result<String> {
        let log = std::fs::read_to_string(&self.log)?;
        let mut lines = log.lines().rev().map(str::split_whitespace);
        let said = lines.find_map(|mut words| {
            let is_admin = words.next() == Some("admin");
            words.next().filter(|_| is_admin).map(str::to_owned)
        });
        said.with_context(|| format!("{} names an admin port", self.log.display()))
    }

    /// The end of its log.
    pub(super) fn last_lines(&self) -> Vec<String> {
        node::last_lines(&self.log)
    }

    /// An error when it ended by itself.
    pub(super) fn ensure_alive(&mut self) -> Result<()> {
        if let Some(process) = &mut self.process
            && let Some(status) = process.try_wait()?
        {
            self.process = None;
            bail!(
                "a node ended by itself, {status}; see {}",
                self.log.display()
            );
        }
        Ok(())
    }

    /// Waits until it ends by itself.
    pub(super) fn wait_for_end(&mut self, what: &str, limit: Duration) -> Result<()> {
        if let Some(process) = &mut self.process {
            stop::wait_for(what, limit, || Ok(process.try_wait()?))?;
            self.process = None;
        }
        Ok(())
    }

    /// SIGKILL, to a running node, a stopped one, or one that ended by itself.
    pub(super) fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// SIGSTOP or SIGCONT.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(Pid::from_raw).context("the node runs")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Its file system takes nothing any more; the process is left to see it.
    pub(super) fn cut_power(&self) -> Result<()> {
        self.disk()?.cut_power()
    }

    /// Power is back, for the file system; the process must be gone.
    pub(super) fn power_on(&self) -> Result<()> {
        self.disk()?.power_on()
    }

    /// Its disk is full, or has room again.
    pub(super) fn set_full(&self, is_full: bool) -> Result<()> {
        match is_full {
            true => self.disk()?.fill(),
            false => self.disk()?.make_room(),
        }
    }

    /// From here on its system calls are tampered with, as strace is told by `inject`.
    pub(super) fn trace(&self, inject: &str) -> Result<Strace> {
        Strace::attach(self.pid().context("the node runs")?, inject)
    }

    /// Turns a bit of what it keeps; it must not run.
    pub(super) fn flip_a_bit(&self, moments: &mut Moments) -> Result<Flip> {
        Flip::make(&self.data, moments)
    }

    /// Its own wall clock, where it has one.
    pub(super) fn clock(&self) -> Result<&WallClock> {
        let clock = self.surroundings.clock.as_ref();
        clock.context("the node has its own wall clock")
    }

    /// What counts its memory, where something does.
    pub(super) fn memory(&self) -> Result<&MemoryGroup> {
        let memory = self.surroundings.memory.as_ref();
        memory.context("the node's memory is counted")
    }

    /// Its data are gone.
    pub(super) fn wipe(&self) -> Result<()> {
        Ok(std::fs::remove_dir_all(&self.data)?)
    }

    /// Times from start to readiness.
    pub(super) fn restarts(&self) -> &[Duration] {
        &self.restarts
    }

    fn disk(&self) -> Result<&Image> {
        self.image.as_ref().context("the node has its own disk")
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Before the image, which is a field: a mounted file system in use does not go.
        if let Err(error) = self.kill() {
            eprintln!("node: {error}");
        }
    }
}
