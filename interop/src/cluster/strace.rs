//! strace, attached to a running node: its system calls are slow, or fail.

use crate::client::Guarded;
use crate::stop;
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Command, Stdio};
use std::time::Duration;

const ATTACH_LIMIT: Duration = Duration::from_secs(10);
const DETACH_LIMIT: Duration = Duration::from_secs(10);

/// A tracer; detached when dropped.
pub(super) struct Strace {
    tracer: Guarded,
    pid: u32,
}

impl Strace {
    /// Attaches to all threads of a process, and waits until it has.
    pub(super) fn attach(pid: u32, inject: &str) -> Result<Self> {
        let calls = inject.split(':').next().unwrap_or_default();
        let tracer = Guarded::start(
            Command::new("strace")
                .args(["-f", "-qq", "-o", "/dev/null", "-p", &pid.to_string()])
                .args(["-e", &format!("trace={calls}")])
                .args(["-e", &format!("inject={inject}")])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        )?;
        let mut strace = Self { tracer, pid };
        stop::wait_for("strace to attach", ATTACH_LIMIT, || {
            if let Some(status) = strace.tracer.process().try_wait()? {
                anyhow::bail!("strace did not attach: {status}");
            }
            Ok(strace.is_attached()?.then_some(()))
        })?;
        Ok(strace)
    }

    /// Lets the process go.
    pub(super) fn detach(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        let id = self.tracer.process().id();
        if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
            // It ends by itself with the last thread that it traces.
            let _ = kill_process(pid, Signal::TERM);
        }
        self.tracer.wait("strace to detach", DETACH_LIMIT)?;
        Ok(())
    }

    /// All threads have a tracer, or none is left.
    fn is_attached(&self) -> Result<bool> {
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{}/task", self.pid)) else {
            return Ok(true);
        };
        for task in tasks {
            let Ok(status) = std::fs::read_to_string(task?.path().join("status")) else {
                continue; // A thread that has ended meanwhile.
            };
            let tracer = status
                .lines()
                .find_map(|line| line.strip_prefix("TracerPid:"))
                .context("status tells the tracer")?;
            if tracer.trim() == "0" {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // A tracer that was waited for is not signalled: its id may be another's by then.
        if self.tracer.process().try_wait().is_ok_and(|s| s.is_none()) {
            let _ = self.end();
        }
    }
}
