//! One line on a terminal that says how far something is.

use std::{
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// Nothing is said before this long: most things are done by then.
const QUIET: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_millis(500);

/// Speaks only to a person, on stderr.
pub(crate) struct Progress {
    verb: &'static str,
    started: Instant,
    told: Option<Instant>,
    is_shown: bool,
}

impl Progress {
    /// Begins now. It is told as `verb` and a count.
    pub(crate) fn new(verb: &'static str) -> Self {
        // Where messages go to the same screen, a line between them would be in the way.
        let is_shown = std::io::stderr().is_terminal() && !std::io::stdin().is_terminal();
        Self {
            verb,
            started: Instant::now(),
            told: None,
            is_shown,
        }
    }

    /// So many are done.
    pub(crate) fn at(&mut self, count: u64) {
        let now = Instant::now();
        let since = self.told.map(|told| now - told);
        let is_due = since.is_none_or(|since| since >= INTERVAL);
        if self.is_shown && now - self.started >= QUIET && is_due {
            self.told = Some(now);
            let rate = u128::from(count) * 1_000 / (now - self.started).as_millis().max(1);
            // A terminal that is gone is told nothing.
            let _ = write!(
                std::io::stderr(),
                "\r{} {count} ({rate}/s)\x1b[K",
                self.verb
            );
        }
    }

    /// Takes the line away.
    pub(crate) fn end(&mut self) {
        if self.told.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
