//! A control group of the kernel's for one process: how much memory it may use, and whether it was
//! killed for wanting more.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Begin of the groups' names; the process id of their owner follows.
const PREFIX: &str = "weir-interop-";
const MOUNTS: &str = "/sys/fs/cgroup";
/// What a small node may use, files in the page cache counted in.
pub(crate) const SMALL_BYTES: u64 = 256 << 20;
/// What a node with so little is told, in bytes.
const SMALL_SETTINGS: [(&str, u64); 5] = [
    ("--tail-memory-bytes", 32 << 20),
    ("--request-memory-bytes", 32 << 20),
    ("--answer-memory-bytes", 32 << 20),
    ("--transient-memory-bytes", 16 << 20),
    ("--wal-max-bytes", 256 << 20),
];

/// Which of the kernel's two interfaces is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interface {
    /// A hierarchy for memory alone.
    V1,
    /// One hierarchy for all.
    V2,
}

/// A group; removed when dropped, its processes must be gone by then.
pub(crate) struct MemoryGroup {
    path: PathBuf,
    interface: Interface,
}

impl MemoryGroup {
    /// Why there can be none here, if so.
    pub(crate) fn obstacle() -> Option<&'static str> {
        let made = Self::small();
        made.is_err()
            .then_some("control groups for memory cannot be made here")
    }

    /// An empty group for a small node.
    pub(crate) fn small() -> Result<Self> {
        let group = Self::create()?;
        group.set_limit(SMALL_BYTES)?;
        Ok(group)
    }

    /// Options of a node that runs in it.
    pub(crate) fn small_options() -> Vec<String> {
        let words = SMALL_SETTINGS.into_iter();
        words
            .flat_map(|(name, bytes)| [name.to_owned(), bytes.to_string()])
            .collect()
    }

    /// An empty group without a limit.
    fn create() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (root, interface) = match Path::new(MOUNTS).join("memory") {
            v1 if v1.is_dir() => (v1, Interface::V1),
            _ => (PathBuf::from(MOUNTS), Interface::V2),
        };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = root.join(format!("{PREFIX}{}-{number}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self { path, interface })
    }

    /// The command, started inside: what it touches is counted from its first page on.
    pub(crate) fn enter(&self, command: &Command) -> Command {
        let mut inside = Command::new("sh");
        inside
            .args(["-c", "echo $$ > \"$0\" && exec \"$@\""])
            .arg(self.path.join("cgroup.procs"))
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    /// From now on its processes may use so much, files in the page cache counted in.
    fn set_limit(&self, limit_bytes: u64) -> Result<()> {
        let file = match self.interface {
            Interface::V1 => "memory.limit_in_bytes",
            Interface::V2 => "memory.max",
        };
        self.write(file, &limit_bytes.to_string())
    }

    /// How many of its processes were killed for wanting more.
    pub(crate) fn killed_count(&self) -> Result<u64> {
        let file = match self.interface {
            Interface::V1 => "memory.oom_control",
            Interface::V2 => "memory.events",
        };
        let text = self.read(file)?;
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        let (_, count) = lines
            .find(|(name, _)| *name == "oom_kill")
            .context("the kernel counts kills")?;
        Ok(count.parse()?)
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = self.path.join(file);
        std::fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    fn write(&self, file: &str, words: &str) -> Result<()> {
        let path = self.path.join(file);
        std::fs::write(&path, words).with_context(|| format!("{words} to {}", path.display()))
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir(&self.path) {
            eprintln!("{}: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wants_more_than_its_group_may_have_is_killed_and_counted() {
        if MemoryGroup::obstacle().is_some() {
            return;
        }
        let group = MemoryGroup::create().unwrap();
        group.set_limit(16 << 20).unwrap();
        let mut greedy = Command::new("dd");
        greedy.args(["if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]);
        assert!(!group.enter(&greedy).output().unwrap().status.success());
        assert_eq!(group.killed_count().unwrap(), 1);
    }
}
