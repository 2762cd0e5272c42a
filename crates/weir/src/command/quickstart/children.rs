//! Nodes as child processes: each ends when its standard input does, so none outlives this
//! process, however it ends.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::sync::oneshot;

use crate::{
    ending::MAX_NODE_ENDING,
    settings::{
        ListenAt, ServeConfig,
        table::{OFF, Setting},
    },
};

/// Time between two looks whether a node has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// What all nodes have in common.
pub(super) struct Plan {
    pub(super) config: ServeConfig,
    /// File with settings.
    pub(super) file: Option<PathBuf>,
    /// Flags that every node is given as they came.
    pub(super) flags: Vec<(&'static Setting, Vec<String>)>,
}

impl Plan {
    /// The address from which on the nodes' Kafka doors are.
    pub(super) fn kafka(&self) -> anyhow::Result<&str> {
        let first = self.config.kafka.first();
        first.map(String::as_str).context("no address for clients")
    }

    /// The node's port of a kind that need not be there.
    pub(super) fn optional(&self, at: &ListenAt, number: u16) -> anyhow::Result<String> {
        match at {
            ListenAt::Off => Ok(OFF.to_owned()),
            ListenAt::Default(addresses) | ListenAt::Set(addresses) => {
                let first = addresses.first().context("no address to listen on")?;
                address(first, number - 1)
            }
        }
    }
}

/// One node.
pub(super) struct ChildNode {
    /// From 1 on; the cluster's own id of it may be another.
    pub(super) number: u16,
    pub(super) data_dir: PathBuf,
    pub(super) kafka: String,
    pub(super) cluster: String,
    process: Child,
    ready: Option<oneshot::Receiver<()>>,
    has_ended: bool,
}

impl ChildNode {
    /// Starts a node; it is not ready yet. Its lines on stdout come with the process.
    pub(super) fn start(
        plan: &Plan,
        number: u16,
        addresses: [String; 4],
        join: Option<&str>,
    ) -> anyhow::Result<Self> {
        let [kafka, amqp, cluster, admin] = addresses;
        let data_dir = data_dir(plan, number);
        let program = std::env::current_exe().context("this program has no path")?;
        let mut command = Command::new(program);
        command.arg("serve").arg("--data-dir").arg(&data_dir);
        command.args(["--kafka", &kafka, "--amqp", &amqp]);
        command.args(["--cluster", &cluster, "--admin", &admin]);
        match join {
            Some(address) => command.args(["--join", address]),
            None => command.arg("--init"),
        };
        if let Some(file) = &plan.file {
            command.arg("--config").arg(file);
        }
        for (setting, values) in &plan.flags {
            command.arg(format!("--{}={}", setting.name, values.join(",")));
        }
        command.arg("--until-stdin-ends");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // A group of its own: Ctrl-C is for this process, which ends them all.
        let process = command.process_group(0).spawn();
        let mut process = process.with_context(|| format!("node {number} cannot be started"))?;
        let ready = process.stdout.take().map(hear_ready).transpose()?;
        Ok(Self {
            number,
            data_dir,
            kafka,
            cluster,
            process,
            ready,
            has_ended: false,
        })
    }

    /// Waits until the node says that it serves.
    pub(super) async fn wait_ready(&mut self) -> anyhow::Result<()> {
        if let Some(ready) = self.ready.take() {
            let ready = ready.await;
            ready.with_context(|| format!("node {} does not start", self.number))?;
        }
        Ok(())
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// How the process ended, told once.
    pub(super) fn newly_ended(&mut self) -> anyhow::Result<Option<String>> {
        if self.has_ended {
            return Ok(None);
        }
        let status = self.process.try_wait()?;
        self.has_ended = status.is_some();
        Ok(status.map(|status| status.to_string()))
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Tells the node to end.
    pub(super) fn close(&mut self) {
        self.process.stdin = None;
    }

    /// Waits for its end, which comes by `by` at the latest.
    pub(super) fn wait(&mut self, by: Instant) -> anyhow::Result<()> {
        while self.process.try_wait()?.is_none() {
            if Instant::now() >= by {
                eprintln!("node {} does not end and is killed", self.number);
                self.process.kill()?;
                self.process.wait()?;
                break;
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        self.has_ended = true;
        Ok(())
    }

    /// The command that starts it again.
    pub(super) fn command_line(&self) -> String {
        format!(
            "weir serve --data-dir {} --kafka {} --cluster {}",
            self.data_dir.display(),
            self.kafka,
            self.cluster
        )
    }
}

impl Drop for ChildNode {
    fn drop(&mut self) {
        self.close();
        // Only after a failure is it still there, and nobody to hear of another one.
        let _ = self.wait(Instant::now() + MAX_NODE_ENDING);
    }
}

/// Hears the last line of what a node says when it serves; what it says later is read and
/// dropped, so that the pipe never fills.
fn hear_ready(out: ChildStdout) -> anyhow::Result<oneshot::Receiver<()>> {
    let (tell, ready) = oneshot::channel();
    let listen = move || {
        let mut lines = BufReader::new(out).lines().map_while(Result::ok);
        if lines.any(|line| line.starts_with("node ")) {
            // Nobody waits any more where all is to end.
            let _ = tell.send(());
        }
        lines.for_each(drop);
    };
    std::thread::Builder::new()
        .name("weir-child".to_owned())
        .spawn(listen)
        .context("no thread for a node")?;
    Ok(ready)
}

/// Where a node has its data.
pub(super) fn data_dir(plan: &Plan, number: u16) -> PathBuf {
    plan.config.data_dir.join(format!("node-{number}"))
}

/// The address `offset` ports further on, or one with a free port where that is taken.
pub(super) fn address(base: &str, offset: u16) -> anyhow::Result<String> {
    let (host, port) = base
        .rsplit_once(':')
        .with_context(|| format!("{base} has no port"))?;
    let port: u16 = port
        .parse()
        .with_context(|| format!("{base} has no port"))?;
    let wanted = port.checked_add(offset).filter(|_| port > 0).unwrap_or(0);
    let free = |port: u16| TcpListener::bind(format!("{host}:{port}"));
    let listener = free(wanted)
        .or_else(|_| free(0))
        .with_context(|| format!("cannot listen on {host}"))?;
    Ok(format!("{host}:{}", listener.local_addr()?.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_gives_way_to_a_free_one() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = taken.local_addr().map(|address| (taken, address)).unwrap();
        let found = address(&taken.1.to_string(), 0).unwrap();
        assert_ne!(found, taken.1.to_string());
        assert!(TcpListener::bind(found).is_ok());
        assert!(address("127.0.0.1", 0).is_err());
    }
}
