//! The table: a line as soon as its figures are there, and a last line over all of them.

use std::time::Instant;

/// What a ratio must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Hold {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
    /// Less than this.
    Below(f64),
}

impl Hold {
    fn is_kept_by(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(limit) => ratio >= limit,
            Self::AtMost(limit) => ratio <= limit,
            Self::Below(limit) => ratio < limit,
        }
    }

    fn words(self) -> String {
        match self {
            Self::AtLeast(limit) => format!(">= {limit:.2}"),
            Self::AtMost(limit) => format!("<= {limit:.2}"),
            Self::Below(limit) => format!("< {limit:.2}"),
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// Our figures.
    pub(crate) ours: String,
    /// The figures beside ours.
    pub(crate) beside: String,
    /// Ours over theirs.
    pub(crate) ratio: Option<f64>,
    /// What the ratio must be.
    pub(crate) hold: Option<Hold>,
}

impl Row {
    fn mark(&self) -> String {
        match (self.hold, self.is_kept()) {
            (None, _) => String::new(),
            (Some(hold), true) => format!("held {}", hold.words()),
            (Some(hold), false) => format!("FELL SHORT of {}", hold.words()),
        }
    }

    fn is_kept(&self) -> bool {
        match (self.hold, self.ratio) {
            (None, _) => true,
            // A figure that could not be taken holds nothing, and breaks nothing.
            (Some(_), None) => true,
            (Some(hold), Some(ratio)) => hold.is_kept_by(ratio),
        }
    }

    fn is_judged(&self) -> bool {
        self.hold.is_some() && self.ratio.is_some()
    }
}

/// All lines so far.
pub(crate) struct Report {
    start: Instant,
    rows: Vec<Row>,
    skipped: Vec<String>,
}

impl Report {
    /// An empty report; its time counts from now.
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            rows: Vec::new(),
            skipped: Vec::new(),
        }
    }

    /// Begins a part of the table.
    pub(crate) fn part(&self, title: &str, beside: &str) {
        println!();
        println!("{title:<34} {:<42} {beside:<46} {:>6}", "WeirMQ", "ratio");
    }

    /// Prints a line and keeps it.
    pub(crate) fn row(&mut self, row: Row) {
        let ratio = row
            .ratio
            .map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let line = format!(
            "  {:<32} {:<42} {:<46} {ratio:>6}  {}",
            row.what,
            row.ours,
            row.beside,
            row.mark()
        );
        println!("{}", line.trim_end());
        self.rows.push(row);
    }

    /// Says what was not measured, and why.
    pub(crate) fn skipped(&mut self, what: &str, why: &str) {
        println!("  skipped: {what}: {why}");
        self.skipped.push(what.to_owned());
    }

    /// Prints the last line. `true`: nothing fell short.
    pub(crate) fn finish(&self) -> bool {
        let judged = self.rows.iter().filter(|row| row.is_judged());
        let (kept, short): (Vec<&Row>, Vec<&Row>) = judged.partition(|row| row.is_kept());
        let named: Vec<String> = short.iter().map(|row| named(row)).collect();
        let shortcomings = match named.is_empty() {
            true => "none".to_owned(),
            false => named.join(", "),
        };
        println!();
        println!(
            "bench: {} lines in {:.0} s, {} held, {} fell short ({shortcomings}), {} skipped",
            self.rows.len(),
            self.start.elapsed().as_secs_f64(),
            kept.len(),
            short.len(),
            self.skipped.len(),
        );
        short.is_empty()
    }
}

fn named(row: &Row) -> String {
    let ratio = row.ratio.unwrap_or_default();
    format!("{}: {ratio:.2}", row.what)
}

/// Bytes over a time, in MB/s.
pub(crate) fn mb_per_s(bytes_per_s: f64) -> String {
    format!("{:.1} MB/s", bytes_per_s / 1e6)
}

/// A rate, with separators.
pub(crate) fn per_s(rate: f64, what: &str) -> String {
    let mut left = format!("{rate:.0}");
    let mut groups = Vec::new();
    while left.len() > 3 {
        groups.push(left.split_off(left.len() - 3));
    }
    groups.push(left);
    groups.reverse();
    format!("{} {what}/s", groups.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ratio: Option<f64>, hold: Hold) -> Row {
        Row {
            ratio,
            hold: Some(hold),
            ..Row::default()
        }
    }

    #[test]
    fn a_hold_is_kept_at_its_limit_and_not_past_it() {
        for (ratio, hold, kept) in [
            (0.8, Hold::AtLeast(0.8), true),
            (0.79, Hold::AtLeast(0.8), false),
            (1.5, Hold::AtMost(1.5), true),
            (1.51, Hold::AtMost(1.5), false),
            (1.0, Hold::Below(1.0), false),
            (f64::NAN, Hold::AtLeast(0.8), false),
        ] {
            assert_eq!(row(Some(ratio), hold).is_kept(), kept, "{ratio} {hold:?}");
        }
    }

    #[test]
    fn a_line_without_a_figure_is_not_judged() {
        let row = row(None, Hold::AtLeast(0.8));
        assert!(row.is_kept() && !row.is_judged());
    }

    #[test]
    fn rates_have_separators() {
        assert_eq!(per_s(1_234_567.4, "acks"), "1,234,567 acks/s");
        assert_eq!(per_s(12.0, "acks"), "12 acks/s");
    }
}
