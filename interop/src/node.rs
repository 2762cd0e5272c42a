//! The node under test: started, killed, started again on the same port and directory.

use crate::memory_group::MemoryGroup;
use crate::stop;
use anyhow::{Context, Result, bail};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

/// Time a node has until it says where it listens.
pub(crate) const READY_LIMIT: Duration = Duration::from_secs(60);
/// Ports for nodes, below the range that outgoing connections are given by default.
const FREE_PORTS: Range<u16> = 20_000..32_000;
/// Lines of a log that an error repeats.
const LAST_LINES: usize = 12;

/// One node, ended when dropped.
pub(crate) struct Node {
    binary: PathBuf,
    data: PathBuf,
    log: PathBuf,
    options: Vec<String>,
    memory: Option<MemoryGroup>,
    address: Option<SocketAddr>,
    amqp: String,
    process: Option<Child>,
    restarts: Vec<Duration>,
}

impl Node {
    /// Starts a node on a free port.
    pub(crate) fn start(binary: &Path, data: &Path, log: &Path) -> Result<Self> {
        Self::start_with(binary, data, log, &[])
    }

    /// The same, with options of `weir serve` besides.
    pub(crate) fn start_with(
        binary: &Path,
        data: &Path,
        log: &Path,
        options: &[String],
    ) -> Result<Self> {
        Self::start_within(binary, data, log, options, None)
    }

    /// The same, with its memory counted and limited by a group.
    pub(crate) fn start_within(
        binary: &Path,
        data: &Path,
        log: &Path,
        options: &[String],
        memory: Option<MemoryGroup>,
    ) -> Result<Self> {
        let mut node = Self {
            binary: binary.to_owned(),
            data: data.to_owned(),
            log: log.to_owned(),
            options: options.to_vec(),
            memory,
            address: None,
            amqp: free_address()?,
            process: None,
            restarts: Vec::new(),
        };
        node.launch()?;
        Ok(node)
    }

    /// Where it serves Kafka's protocol.
    pub(crate) fn address(&self) -> String {
        self.address
            .expect("a started node has said where it listens")
            .to_string()
    }

    /// Where it serves AMQP 0-9-1.
    pub(crate) fn amqp(&self) -> &str {
        &self.amqp
    }

    /// Where it serves other nodes, as it has said last.
    pub(crate) fn peer(&self) -> Result<String> {
        let log = std::fs::read_to_string(&self.log)?;
        let mut lines = log.lines().rev().map(str::split_whitespace);
        let said = lines.find_map(|mut words| {
            let is_peer = words.next() == Some("cluster");
            words.next().filter(|_| is_peer).map(str::to_owned)
        });
        said.with_context(|| format!("{} names a port for nodes", self.log.display()))
    }

    /// The process, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// What counts its memory, where something does.
    pub(crate) fn memory(&self) -> Option<&MemoryGroup> {
        self.memory.as_ref()
    }

    /// An error where it ended by itself, or a part of it panicked.
    pub(crate) fn ensure_sound(&mut self) -> Result<()> {
        if let Some(process) = &mut self.process
            && let Some(status) = process.try_wait()?
        {
            bail!(
                "the node ended by itself, {status}; see {}",
                self.log.display()
            );
        }
        let log = std::fs::read_to_string(&self.log)?;
        match log.lines().find(|line| line.contains("panicked at")) {
            Some(line) => bail!("the node panicked: {line}; see {}", self.log.display()),
            None => Ok(()),
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            if let Some(status) = process.try_wait()? {
                bail!(
                    "the node ended by itself, {status}; see {}",
                    self.log.display()
                );
            }
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// SIGKILL to a node that may have stopped by itself, as it does when its disk fails.
    pub(crate) fn kill_or_gone(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// Starts again after a kill, on the same port.
    pub(crate) fn restart(&mut self) -> Result<()> {
        let started = Instant::now();
        self.launch()?;
        self.restarts.push(started.elapsed());
        Ok(())
    }

    /// Median and longest time from start to readiness after a kill, in milliseconds.
    pub(crate) fn restart_ms(&self) -> (u128, u128) {
        let mut times = self.restarts.clone();
        times.sort();
        let at = |index: usize| times.get(index).map_or(0, Duration::as_millis);
        (at(times.len() / 2), at(times.len().saturating_sub(1)))
    }

    fn launch(&mut self) -> Result<()> {
        let log = open_log(&self.log)?;
        let kafka = self
            .address
            .map_or_else(|| "127.0.0.1:0".to_owned(), |at| at.to_string());
        let mut command = Command::new(&self.binary);
        command
            .args(["serve", "--kafka", &kafka, "--amqp", &self.amqp])
            .args(["--cluster", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(&self.data)
            .args(&self.options);
        if let Some(memory) = &self.memory {
            command = memory.enter(&command);
        }
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", self.binary.display()))?;
        let out = process.stdout.take().expect("stdout is piped");
        self.process = Some(process);
        let said = listen(out, open_log(&self.log)?);
        let log = &self.log;
        self.address = Some(stop::wait_for(
            "node's readiness",
            READY_LIMIT,
            || match said.try_recv() {
                Ok(address) => Ok(Some(address)),
                Err(mpsc::TryRecvError::Empty) => Ok(None),
                Err(mpsc::TryRecvError::Disconnected) => Err(not_started(log)),
            },
        )?);
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Err(error) = self.kill_or_gone() {
            eprintln!("node: {error}");
        }
    }
}

/// A loopback port that is free at the moment; this process gives it again only after all others.
///
/// It lies below those that Linux gives to outgoing connections: one of those could have taken it
/// before its node listens, or while its node is down.
pub(crate) fn free_address() -> Result<String> {
    static NEXT: OnceLock<AtomicU32> = OnceLock::new();
    let count = u32::from(FREE_PORTS.end - FREE_PORTS.start);
    let next = NEXT.get_or_init(|| AtomicU32::new(std::process::id()));
    for _ in 0..count {
        let step = next.fetch_add(1, Ordering::Relaxed) % count;
        let port = u32::from(FREE_PORTS.start) + step;
        let port = u16::try_from(port).expect("ports of the range are ports");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address.to_string());
        }
    }
    bail!("no port of {FREE_PORTS:?} is free")
}

/// Why a node that ended did not start: the end of its log.
pub(crate) fn not_started(log: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "the node did not start; {} ends with:\n{}",
        log.display(),
        last_lines(log).join("\n")
    )
}

/// The end of a log, as far as it can be read.
pub(crate) fn last_lines(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].to_vec()
}

/// A log, to go on writing it.
pub(crate) fn open_log(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| path.display().to_string())
}

/// Copies what the node prints to its log; the address it names comes out of the channel.
pub(crate) fn listen(out: ChildStdout, mut log: File) -> mpsc::Receiver<SocketAddr> {
    let (sender, said) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if let Some(address) = kafka_address(&line) {
                // Only the first is waited for.
                let _ = sender.try_send(address);
            }
            // A log that cannot be written must not stop the node by a full pipe.
            let _ = writeln!(log, "{line}");
        }
    });
    said
}

/// The address on a line like `kafka   127.0.0.1:9092`.
fn kafka_address(line: &str) -> Option<SocketAddr> {
    let mut words = line.split_whitespace();
    words.find(|word| word.trim_end_matches(':').eq_ignore_ascii_case("kafka"))?;
    words.find_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_loosely() {
        let address = "127.0.0.1:9092".parse().ok();
        assert_eq!(kafka_address("kafka   127.0.0.1:9092"), address);
        assert_eq!(kafka_address("  Kafka: at 127.0.0.1:9092 (plain)"), address);
        assert_eq!(kafka_address("data    ./weir-data"), None);
        assert_eq!(kafka_address("listening on 127.0.0.1:9092"), None);
    }
}
