//! Namespaces of the kernel's network: one per node, joined by a bridge in one more, where the
//! clients run. Nothing of it is seen outside, and all of it goes with the namespaces.

use crate::image::administrator;
use crate::place;
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::io::Write;
use std::process::{Command, Stdio};

/// Begin of the names of all namespaces; the process id of their owner follows.
const PREFIX: &str = "weir-interop-";
/// Of a private range; the namespaces have no way out, so it clashes with nothing.
const SUBNET: &str = "10.77.0";
const HUB_HOST: u32 = 254;
const NAMESPACES: &str = "/run/netns";

/// Traffic that a node drops, as it sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drop {
    /// What comes from a node.
    From(usize),
    /// What goes to a node.
    To(usize),
    /// What comes from or goes to clients.
    Clients,
}

/// A network of `count` nodes, removed when dropped.
pub(super) struct Network {
    hub: String,
    nodes: Vec<String>,
}

impl Network {
    /// Why there can be none here, if so.
    pub(super) fn obstacle() -> Option<&'static str> {
        if !rustix::process::geteuid().is_root() {
            return Some("root is needed for network namespaces and mounts");
        }
        for (program, word) in [
            ("ip", "ip is missing (Debian: iproute2)"),
            ("nft", "nft is missing (Debian: nftables)"),
            ("strace", "strace is missing (Debian: strace)"),
        ] {
            let asked = administrator(program).arg("-V").output();
            if !asked.is_ok_and(|output| output.status.success()) {
                return Some(word);
            }
        }
        let name = format!("{PREFIX}{}-try", std::process::id());
        let made = ip(&["netns", "add", &name]);
        // Whether it was made or not: nothing stays.
        let _ = ip(&["netns", "del", &name]);
        made.is_err()
            .then_some("network namespaces are not permitted here")
    }

    /// Makes namespaces, links and addresses. What a killed run left behind goes first.
    pub(super) fn create(count: usize) -> Result<Self> {
        sweep()?;
        let owner = format!("{PREFIX}{}", std::process::id());
        let network = Self {
            hub: format!("{owner}-hub"),
            nodes: (1..=count).map(|node| format!("{owner}-{node}")).collect(),
        };
        network.make_hub().context("network of the clients")?;
        for node in 0..count {
            network.make_node(node).context("network of a node")?;
        }
        Ok(network)
    }

    /// Address of a node.
    pub(super) fn host(node: usize) -> String {
        format!("{SUBNET}.{}", node + 1)
    }

    /// A program in a node's namespace.
    pub(super) fn on_node(&self, node: usize, program: &std::ffi::OsStr) -> Command {
        enter(&self.nodes[node], program)
    }

    /// A program where the clients are.
    pub(super) fn on_hub(&self, program: &std::ffi::OsStr) -> Command {
        enter(&self.hub, program)
    }

    /// From here on a node drops that traffic, and only that.
    pub(super) fn drop_at(&self, node: usize, drops: &[Drop]) -> Result<()> {
        let mut script = String::from(
            "add table inet weir\nflush table inet weir\n\
             add chain inet weir in { type filter hook input priority 0; }\n\
             add chain inet weir out { type filter hook output priority 0; }\n",
        );
        for drop in drops {
            let (chains, host): (&[_], _) = match drop {
                Drop::From(peer) => (&["in ip saddr"], Self::host(*peer)),
                Drop::To(peer) => (&["out ip daddr"], Self::host(*peer)),
                Drop::Clients => (
                    &["in ip saddr", "out ip daddr"],
                    format!("{SUBNET}.{HUB_HOST}"),
                ),
            };
            for chain in chains {
                script.push_str(&format!("add rule inet weir {chain} {host} drop\n"));
            }
        }
        self.filter(node, &script)
    }

    /// A node drops nothing any more.
    pub(super) fn heal(&self, node: usize) -> Result<()> {
        self.filter(node, "add table inet weir\ndelete table inet weir\n")
    }

    fn filter(&self, node: usize, script: &str) -> Result<()> {
        let nft = administrator("nft");
        let mut child = self
            .on_node(node, nft.get_program())
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .context("start nft")?;
        let mut input = child.stdin.take().expect("stdin is piped");
        input.write_all(script.as_bytes())?;
        drop(input);
        let status = child.wait()?;
        anyhow::ensure!(status.success(), "nft: {status}");
        Ok(())
    }

    fn make_hub(&self) -> Result<()> {
        let hub = self.hub.as_str();
        let address = format!("{SUBNET}.{HUB_HOST}/24");
        ip(&["netns", "add", hub])?;
        ip(&["-n", hub, "link", "set", "lo", "up"])?;
        ip(&["-n", hub, "link", "add", "br0", "type", "bridge"])?;
        ip(&["-n", hub, "addr", "add", &address, "dev", "br0"])?;
        ip(&["-n", hub, "link", "set", "br0", "up"])
    }

    fn make_node(&self, node: usize) -> Result<()> {
        let (hub, name) = (self.hub.as_str(), self.nodes[node].as_str());
        let (port, address) = (format!("v{node}"), format!("{}/24", Self::host(node)));
        ip(&["netns", "add", name])?;
        ip(&[
            "-n", hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", name,
        ])?;
        ip(&["-n", hub, "link", "set", &port, "master", "br0", "up"])?;
        ip(&["-n", name, "addr", "add", &address, "dev", "eth0"])?;
        ip(&["-n", name, "link", "set", "eth0", "up"])?;
        ip(&["-n", name, "link", "set", "lo", "up"])
    }
}

impl std::ops::Drop for Network {
    fn drop(&mut self) {
        for name in self.nodes.iter().chain([&self.hub]) {
            // Where making it failed half-way, there are fewer of them.
            let _ = ip(&["netns", "del", name]);
        }
    }
}

/// `nsenter` and not `ip netns exec`: the latter would copy all mounts, and hold them.
fn enter(name: &str, program: &std::ffi::OsStr) -> Command {
    let mut command = Command::new("nsenter");
    command
        .arg(format!("--net={NAMESPACES}/{name}"))
        .arg("--")
        .arg(program);
    command
}

fn ip(arguments: &[&str]) -> Result<()> {
    place::run(administrator("ip").args(arguments))
}

/// Removes namespaces whose owner is gone.
fn sweep() -> Result<()> {
    let Ok(entries) = std::fs::read_dir(NAMESPACES) else {
        return Ok(()); // The directory comes with the first namespace.
    };
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if owner_of(&name).is_some_and(|owner| !place::is_running(owner)) {
            end_all_in(&name)?;
            ip(&["netns", "del", &name])?;
        }
    }
    Ok(())
}

/// Ends the nodes and clients that a killed run left in a namespace.
fn end_all_in(name: &str) -> Result<()> {
    let output = administrator("ip").args(["netns", "pids", name]).output()?;
    for pid in String::from_utf8_lossy(&output.stdout).lines() {
        let pid = pid.trim().parse().ok().and_then(Pid::from_raw);
        // It may have ended by itself.
        let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
    }
    Ok(())
}

fn owner_of(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_namespaces_have_an_owner() {
        assert_eq!(owner_of("weir-interop-71-hub"), Some(71));
        assert_eq!(owner_of("weir-interop-x-hub"), None);
        assert_eq!(owner_of("somebody-71"), None);
    }
}
