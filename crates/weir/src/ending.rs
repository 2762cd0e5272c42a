//! When the process is to end: a signal, or whoever started it is gone. From then on it has a
//! limited time, whatever hangs.

use std::{io::Read as _, time::Duration};

use anyhow::Context as _;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

use crate::exit_code;

/// From the word to end to the end of a node: handing over (2 s), answers to clients (5 s), the
/// last checkpoint and the threads (14 s), and some room. Orchestrators kill after 30 s.
pub(crate) const MAX_NODE_ENDING: Duration = Duration::from_secs(25);
/// Time for threads that only wait for something when all else has ended.
pub(crate) const MAX_RUNTIME_ENDING: Duration = Duration::from_millis(500);

/// Hears that the process is to end.
pub(crate) struct Ending {
    terminate: Signal,
    interrupt: Signal,
    orphaned: mpsc::Receiver<()>,
    max_ending: Duration,
    is_limited: bool,
    /// Held, so that without a watch nothing is ever heard of it.
    _tell_orphaned: mpsc::Sender<()>,
}

impl Ending {
    /// Listens from now on. `with_stdin`: the end of standard input counts too, which a parent
    /// process holds open as long as it lives. `max_ending`: time for the process to end.
    pub(crate) fn listen(with_stdin: bool, max_ending: Duration) -> anyhow::Result<Self> {
        let (tell_orphaned, orphaned) = mpsc::channel(1);
        if with_stdin {
            let tell = tell_orphaned.clone();
            // A thread, since tokio cannot end while it reads standard input.
            std::thread::Builder::new()
                .name("weir-stdin".to_owned())
                .spawn(move || {
                    let mut stdin = std::io::stdin().lock();
                    while stdin.read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
                    // The receiver is gone only where the process ends already.
                    let _ = tell.blocking_send(());
                })
                .context("no thread for standard input")?;
        }
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("no signals")?,
            interrupt: signal(SignalKind::interrupt()).context("no signals")?,
            orphaned,
            max_ending,
            is_limited: false,
            _tell_orphaned: tell_orphaned,
        })
    }

    /// Returns once the process is to end.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.orphaned.recv() => {}
        }
        self.limit();
    }

    /// From now on the process has so much time to end, and no more. What was acknowledged is on
    /// the disk, so that nothing but a quick next start is lost by an end without order.
    pub(crate) fn limit(&mut self) {
        if std::mem::replace(&mut self.is_limited, true) {
            return;
        }
        let limit = self.max_ending;
        // A thread, since it is to work where everything else hangs.
        let watch = std::thread::Builder::new().name("weir-ending".to_owned());
        let watching = watch.spawn(move || {
            std::thread::sleep(limit);
            eprintln!("weir: no orderly end within {} s", limit.as_secs());
            std::process::exit(exit_code::OVERDUE.into());
        });
        if let Err(error) = watching {
            tracing::warn!(%error, "no thread that would bound the end");
        }
    }
}
