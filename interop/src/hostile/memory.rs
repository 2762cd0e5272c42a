//! What a process holds in memory, and the most that it held since somebody asked.

use anyhow::{Context, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(5);

/// Looks at a process's resident memory again and again; ends when dropped.
pub(super) struct Memory {
    pid: u32,
    peak_bytes: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    watch: Option<JoinHandle<()>>,
}

impl Memory {
    pub(super) fn watch(pid: u32) -> Result<Self> {
        resident_bytes(pid)?;
        let (peak_bytes, is_over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (peak, over) = (Arc::clone(&peak_bytes), Arc::clone(&is_over));
        let watch = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let bytes = resident_bytes(pid).unwrap_or(0);
                peak.fetch_max(bytes, Ordering::Relaxed);
                std::thread::sleep(LOOK);
            }
        });
        Ok(Self {
            pid,
            peak_bytes,
            is_over,
            watch: Some(watch),
        })
    }

    /// What it holds now; from now on the peak is counted anew.
    pub(super) fn begin(&self) -> Result<u64> {
        let bytes = resident_bytes(self.pid)?;
        self.peak_bytes.store(bytes, Ordering::Relaxed);
        Ok(bytes)
    }

    /// The most since [`Memory::begin`].
    pub(super) fn peak_bytes(&self) -> u64 {
        self.peak_bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(watch) = self.watch.take() {
            // It does not panic, and there is nobody to tell.
            drop(watch.join());
        }
    }
}

fn resident_bytes(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the node runs")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: u64 = kib.context("VmRSS is told")?.parse()?;
    Ok(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_was_touched_is_in_the_peak() {
        let memory = Memory::watch(std::process::id()).unwrap();
        let before = memory.begin().unwrap();
        let held = vec![1_u8; 64 << 20];
        let seen = (0..1_000).any(|_| {
            std::thread::sleep(LOOK);
            memory.peak_bytes() >= before + (32 << 20)
        });
        assert!(seen, "{} of {before}", memory.peak_bytes());
        drop(held);
    }
}
