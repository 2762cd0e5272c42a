//! Kafka's transactional copier, which ends when it has copied what was there when it began.

use crate::client::Guarded;
use crate::stop;
use anyhow::Result;
use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two runs.
const COPIER_PAUSE: Duration = Duration::from_secs(3);

/// Kafka's copier, started again whenever it ends.
pub(super) struct Copier {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<()>>>,
}

#[derive(Default)]
struct Shared {
    /// Nothing more is sent: a run that begins from here on and ends well has copied all.
    is_last: AtomicBool,
    /// Nobody waits for it any more.
    is_given_up: AtomicBool,
    errors: AtomicU64,
}

impl Copier {
    /// Starts the first run.
    pub(super) fn start(command: &Command, directory: &Path) -> Self {
        let words: Vec<OsString> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(ToOwned::to_owned)
            .collect();
        let (out, log) = (directory.join("copier.out"), directory.join("copier.log"));
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let thread = std::thread::spawn(move || seen.run(&words, &out, &log));
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// Runs that ended with an error.
    pub(super) fn errors(&self) -> u64 {
        self.shared.errors.load(Ordering::Relaxed)
    }

    /// Waits until all is copied; nothing more may be sent.
    pub(super) fn finish(&mut self, limit: Duration) -> Result<()> {
        self.shared.is_last.store(true, Ordering::Relaxed);
        let Some(thread) = &self.thread else {
            return Ok(());
        };
        stop::wait_for("Kafka's copier to copy the rest", limit, || {
            Ok(thread.is_finished().then_some(()))
        })?;
        let ended = self.thread.take().expect("it was there above").join();
        ended.expect("a copier's thread does not panic")
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.shared.is_given_up.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // What it has to tell nobody asks for any more.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, words: &[OsString], out: &Path, log: &Path) -> Result<()> {
        let append = |path| File::options().create(true).append(true).open(path);
        while !self.is_given_up.load(Ordering::Relaxed) {
            let is_last = self.is_last.load(Ordering::Relaxed);
            let mut command = Command::new(&words[0]);
            command
                .args(&words[1..])
                .stdin(Stdio::null())
                .stdout(append(out)?)
                .stderr(append(log)?);
            let mut client = Guarded::start(&mut command)?;
            let ended_well = self.wait(&mut client)?;
            if is_last && ended_well {
                return Ok(());
            }
            self.errors
                .fetch_add(u64::from(!ended_well), Ordering::Relaxed);
            stop::sleep(COPIER_PAUSE)?;
        }
        Ok(())
    }

    /// Whether it ended well; it ends when nobody waits any more.
    fn wait(&self, client: &mut Guarded) -> Result<bool> {
        while !self.is_given_up.load(Ordering::Relaxed) {
            if let Some(status) = client.process().try_wait()? {
                return Ok(status.success());
            }
            stop::sleep(Duration::from_millis(50))?;
        }
        Ok(true)
    }
}
