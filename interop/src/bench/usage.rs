//! What nodes take of the machine: figures that hold beside other work, where times do not.

use crate::cluster::Cluster;
use anyhow::{Context, Result, ensure};
use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::ops::{Add, Sub};
use std::time::Duration;

/// Ticks per second in `/proc/PID/stat`: fixed in Linux's interface on all machines we build for.
const TICKS_PER_S: f64 = 100.0;
const SYNCS: &str = "weir_wal_syncs_total";
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Of all nodes of a cluster together, since they were started.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// User and system.
    cpu_s: f64,
    /// Handed to the disk.
    written_bytes: f64,
    /// Of threads that still run.
    switches: f64,
    /// Of files.
    reads_and_writes: f64,
    page_faults: f64,
    /// Of the write-ahead logs.
    syncs: f64,
}

impl Usage {
    pub(super) fn of(cluster: &Cluster) -> Result<Self> {
        let mut sum = Self::default();
        for pid in cluster.pids() {
            sum = sum + of_process(pid)?;
        }
        for address in cluster.admin_addresses()? {
            sum.syncs += metric(&address, SYNCS)?;
        }
        Ok(sum)
    }

    pub(super) fn cpu_s(&self) -> f64 {
        self.cpu_s
    }

    /// For each of `count`.
    pub(super) fn per(self, count: f64) -> Self {
        self.with(self, |figure, _| figure / count)
    }

    fn with(self, other: Self, by: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            cpu_s: by(self.cpu_s, other.cpu_s),
            written_bytes: by(self.written_bytes, other.written_bytes),
            switches: by(self.switches, other.switches),
            reads_and_writes: by(self.reads_and_writes, other.reads_and_writes),
            page_faults: by(self.page_faults, other.page_faults),
            syncs: by(self.syncs, other.syncs),
        }
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.with(other, f64::add)
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.with(other, f64::sub)
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "CPU {:.2} s, {:.2} GB to disk, {:.0} syncs, {:.0}k file calls, {:.0}k switches, {:.0}k page faults",
            self.cpu_s,
            self.written_bytes / 1e9,
            self.syncs,
            self.reads_and_writes / 1e3,
            self.switches / 1e3,
            self.page_faults / 1e3
        )
    }
}

fn of_process(pid: u32) -> Result<Usage> {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
    let stat = read("stat")?;
    // The second field is the program's name in brackets and may hold blanks.
    let (_, fields) = stat.rsplit_once(')').context("stat has a name")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |at: usize| -> Result<f64> { Ok(fields.get(at).context("stat is long")?.parse()?) };
    let io = read("io")?;
    let mut switches = 0.0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile.
        if let Ok(status) = std::fs::read_to_string(thread?.path().join("status")) {
            switches += labelled(&status, "voluntary_ctxt_switches")?;
            switches += labelled(&status, "nonvoluntary_ctxt_switches")?;
        }
    }
    Ok(Usage {
        cpu_s: (field(11)? + field(12)?) / TICKS_PER_S,
        written_bytes: labelled(&io, "write_bytes")?,
        switches,
        reads_and_writes: labelled(&io, "syscr")? + labelled(&io, "syscw")?,
        page_faults: field(7)?,
        syncs: 0.0,
    })
}

/// The number behind a label and a colon.
fn labelled(text: &str, label: &str) -> Result<f64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(known, _)| *known == label);
    let (_, number) = found.with_context(|| format!("{label} is there"))?;
    Ok(number.trim().parse()?)
}

/// A counter of a node's admin port.
fn metric(address: &str, name: &str) -> Result<f64> {
    let mut socket = TcpStream::connect(address).with_context(|| format!("connect {address}"))?;
    socket.set_read_timeout(Some(ANSWER_LIMIT))?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes())?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{address} answers");
    let of_name = |line: &&str| line.split([' ', '{']).next() == Some(name);
    let line = answer.lines().find(of_name);
    let line = line.with_context(|| format!("{address} has {name}"))?;
    let number = line.rsplit(' ').next().context("a line has a number")?;
    Ok(number.parse()?)
}

/// CPU time of a process, user and system, in s.
pub(super) fn cpu_s(pid: u32) -> Result<f64> {
    Ok(of_process(pid)?.cpu_s)
}

/// Resident memory of a process, in MB.
pub(super) fn resident_mb(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.split_whitespace().next());
    let kb: f64 = kb.context("the process has memory")?.parse()?;
    Ok(kb / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_the_whole_word_before_the_colon() {
        let text = "voluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(labelled(text, "voluntary_ctxt_switches").unwrap(), 12.0);
        assert_eq!(labelled(text, "nonvoluntary_ctxt_switches").unwrap(), 3.0);
        assert!(labelled(text, "ctxt_switches").is_err());
    }

    #[test]
    fn this_process_has_used_something() {
        let usage = of_process(std::process::id()).unwrap();
        assert!(usage.page_faults > 0.0 && usage.switches > 0.0);
        assert_eq!((usage - usage).page_faults, 0.0);
    }
}
