//! A node of its own process, for as long as the client runs.

use std::{
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// How long a node may take until its door answers.
const START_LIMIT: Duration = Duration::from_secs(10);

/// A running node; killed when dropped.
pub(crate) struct NodeProcess {
    child: Child,
    address: String,
}

impl NodeProcess {
    /// Starts `binary` with its data in `dir`, on a free port.
    pub(crate) fn start(binary: &Path, dir: &Path) -> Result<Self> {
        let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let address = free.to_string();
        let child = Command::new(binary)
            .arg("serve")
            .arg("--data-dir")
            .arg(dir.join("data"))
            .args(["--kafka", &address, "--cluster", "127.0.0.1:0"])
            .args(["--admin", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("{} does not start", binary.display()))?;
        let mut node = Self { child, address };
        node.wait_until_ready()?;
        Ok(node)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let start = Instant::now();
        while TcpStream::connect(&self.address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the node ended at once: {status}");
            }
            if start.elapsed() > START_LIMIT {
                bail!("the node's door does not answer at {}", self.address);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Where its Kafka door is.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
