//! Ctrl-C and SIGTERM end a campaign at its next step, so that it leaves nothing behind.

use anyhow::{Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
const POLL: Duration = Duration::from_millis(5);

/// Listens to the signals from now on.
pub(crate) fn install() -> Result<()> {
    let asked = ASKED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(asked))?;
    }
    Ok(())
}

/// An error once a signal came.
pub(crate) fn check() -> Result<()> {
    if ASKED
        .get()
        .is_some_and(|asked| asked.load(Ordering::Relaxed))
    {
        bail!("interrupted");
    }
    Ok(())
}

/// Sleeps, but not through a signal.
pub(crate) fn sleep(time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        check()?;
        std::thread::sleep(POLL.min(end.saturating_duration_since(Instant::now())));
    }
    Ok(())
}

/// Polls `ready` until it answers; an error names `what` once `limit` is over.
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut ready: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = ready()? {
            return Ok(value);
        }
        check()?;
        if Instant::now() >= end {
            bail!("{what}: not within {} s", limit.as_secs());
        }
        std::thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ready_in_time_is_an_error() {
        let waited = wait_for("thing", Duration::ZERO, || Ok(None::<()>));
        assert!(waited.unwrap_err().to_string().contains("thing"));
    }

    #[test]
    fn what_is_ready_is_handed_out() {
        let mut left = 3;
        let value = wait_for("thing", Duration::from_secs(60), || {
            left -= 1;
            Ok((left == 0).then_some(7))
        });
        assert_eq!(value.unwrap(), 7);
    }
}
