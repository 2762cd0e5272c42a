//! A child process that does not outlive its owner.

use crate::stop;
use anyhow::{Context, Result};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

/// A running client, killed when dropped.
pub(crate) struct Guarded {
    child: Child,
    ended: bool,
}

impl Guarded {
    /// Starts a client.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        Ok(Self {
            child,
            ended: false,
        })
    }

    /// The process, for its pipes.
    pub(crate) fn process(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits for its end; an error after `limit`.
    pub(crate) fn wait(&mut self, what: &str, limit: Duration) -> Result<ExitStatus> {
        let status = stop::wait_for(what, limit, || Ok(self.child.try_wait()?))?;
        self.ended = true;
        Ok(status)
    }

    /// Ends it now.
    pub(crate) fn end(&mut self) {
        if !self.ended {
            // It may have ended by itself; either way it is gone after the wait.
            let _ = self.child.kill();
            let _ = self.child.wait();
            self.ended = true;
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.end();
    }
}
