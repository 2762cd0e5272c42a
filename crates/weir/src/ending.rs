//! When the process is to end: a signal, or whoever started it is gone.

use std::io::Read as _;

use anyhow::Context as _;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

/// Hears that the process is to end.
pub(crate) struct Ending {
    terminate: Signal,
    interrupt: Signal,
    orphaned: mpsc::Receiver<()>,
    /// Held, so that without a watch nothing is ever heard of it.
    _tell_orphaned: mpsc::Sender<()>,
}

impl Ending {
    /// Listens from now on. `with_stdin`: the end of standard input counts too, which a parent
    /// process holds open as long as it lives.
    pub(crate) fn listen(with_stdin: bool) -> anyhow::Result<Self> {
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
    }
}
