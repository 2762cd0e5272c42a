//! Lines of figures, each with what it must hold.

use std::fmt;

/// What a figure must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Hold {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

impl Hold {
    fn is_kept_by(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(limit) => figure >= limit,
            Self::AtMost(limit) => figure <= limit,
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(limit) => write!(f, ">= {limit}"),
            Self::AtMost(limit) => write!(f, "<= {limit}"),
        }
    }
}

/// Counts of what held.
#[derive(Default)]
pub(super) struct Report {
    held: u32,
    short: Vec<String>,
}

impl Report {
    /// Prints a figure that holds nothing.
    pub(super) fn line(&self, what: &str, words: &str) {
        println!("  {what:<34} {words}");
    }

    /// Prints a figure, and whether it holds.
    pub(super) fn judge(&mut self, what: &str, words: &str, figure: f64, hold: Hold) {
        let is_kept = hold.is_kept_by(figure);
        let mark = if is_kept { "held" } else { "FELL SHORT of" };
        println!("  {what:<34} {words:<58} {mark} {hold}");
        match is_kept {
            true => self.held += 1,
            false => self.short.push(what.to_owned()),
        }
    }

    /// A part that did not come to its end.
    pub(super) fn failed(&mut self, what: &str, error: &anyhow::Error) {
        println!("  {what:<34} failed: {error:#}");
        self.short.push(what.to_owned());
    }

    /// Prints the last line; true when nothing fell short.
    pub(super) fn finish(&self) -> bool {
        let short = match self.short.is_empty() {
            true => "none".to_owned(),
            false => self.short.join(", "),
        };
        println!(
            "bench cluster: {} held, {} fell short ({short})",
            self.held,
            self.short.len()
        );
        self.short.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_kept_at_its_limit_and_not_past_it() {
        let mut report = Report::default();
        report.judge("at", "", 0.5, Hold::AtLeast(0.5));
        report.judge("at", "", 2.0, Hold::AtMost(2.0));
        assert!(report.finish());
        report.judge("past", "", 0.49, Hold::AtLeast(0.5));
        report.judge("past", "", f64::NAN, Hold::AtMost(2.0));
        assert!(!report.finish());
        assert_eq!((report.held, report.short.len()), (2, 2));
    }
}
