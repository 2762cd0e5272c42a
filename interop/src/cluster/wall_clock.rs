//! A node's wall clock, which can be set wrong: libfaketime answers for the system. The clock that
//! nodes wait by goes on as it is.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Where Debian's package `faketime` has it.
const LIBRARY: &str = "faketime/libfaketime.so.1";
/// The node has looked at its clock again this long after it was set.
pub(super) const FELT_AFTER: Duration = Duration::from_millis(1_500);
const CACHED_S: &str = "1";

/// One node's.
pub(super) struct WallClock {
    file: PathBuf,
}

impl WallClock {
    /// Why there can be none here, if so.
    pub(super) fn obstacle() -> Option<&'static str> {
        library()
            .is_none()
            .then_some("libfaketime is missing (Debian: faketime)")
    }

    /// A clock that is right; `file` says by how much it is not.
    pub(super) fn at(file: PathBuf) -> Result<Self> {
        let clock = Self { file };
        clock.set_off(0)?;
        Ok(clock)
    }

    /// The process that is started by `command` goes by this clock.
    pub(super) fn give_to(&self, command: &mut Command) -> Result<()> {
        let library = library().context("libfaketime is there")?;
        command
            .env("LD_PRELOAD", library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_CACHE_DURATION", CACHED_S)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1");
        Ok(())
    }

    /// From now on it is off by so many seconds.
    pub(super) fn set_off(&self, off_s: i64) -> Result<()> {
        // Replaced as a whole: half a number would be another one.
        let unfinished = self.file.with_extension("tmp");
        std::fs::write(&unfinished, format!("{off_s:+}s\n"))?;
        Ok(std::fs::rename(&unfinished, &self.file)?)
    }
}

fn library() -> Option<PathBuf> {
    let architecture = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let path = Path::new(&architecture).join(LIBRARY);
    path.is_file().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_goes_by_the_clock_it_was_given() {
        if WallClock::obstacle().is_some() {
            return;
        }
        let file = std::env::temp_dir().join(format!("weir-clock-{}", std::process::id()));
        let clock = WallClock::at(file.clone()).unwrap();
        clock.set_off(-86_400).unwrap();
        let mut date = Command::new("date");
        date.arg("+%s");
        let seconds = |command: &mut Command| {
            let output = command.output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            text.trim().parse::<i64>().unwrap()
        };
        let now = seconds(&mut date);
        clock.give_to(&mut date).unwrap();
        let off = seconds(&mut date) - now;
        std::fs::remove_file(file).unwrap();
        assert!((-86_400..-86_000).contains(&off), "{off}");
    }
}
