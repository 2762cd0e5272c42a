//! CPU time from the kernel's own books.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// Ticks per second in `/proc/<pid>/stat`: fixed in Linux's interface on all machines we build for.
const TICKS_PER_S: u64 = 100;

/// CPU time of all threads that this process has at the moment, to the nanosecond.
pub(crate) fn own_threads() -> Result<Duration> {
    let mut total_ns = 0;
    for task in fs::read_dir("/proc/self/task")? {
        // A thread may end between the listing and the reading.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else {
            continue;
        };
        let spent = text
            .split_whitespace()
            .next()
            .and_then(|ns| ns.parse::<u64>().ok());
        total_ns += spent.context("schedstat begins with a number")?;
    }
    Ok(Duration::from_nanos(total_ns))
}

/// CPU time of another process, user and system, to 10 ms.
pub(crate) fn of_process(pid: u32) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in brackets and may hold blanks.
    let (_, fields) = text.rsplit_once(')').context("stat has a name")?;
    let ticks: Vec<u64> = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse().ok())
        .collect();
    anyhow::ensure!(ticks.len() == 2, "stat has user and system time");
    let ticks: u64 = ticks.iter().sum();
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_S))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spent_is_seen_by_both_books() {
        let mut sum = 0_u64;
        while own_threads().unwrap() < Duration::from_millis(30) {
            sum = std::hint::black_box((0..1_000_000_u64).fold(sum, u64::wrapping_add));
        }
        assert!(of_process(std::process::id()).unwrap() > Duration::ZERO);
    }
}
