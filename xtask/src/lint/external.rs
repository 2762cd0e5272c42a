//! The checks of others: rustfmt, clippy, cargo-deny.

use crate::{process, setup};
use anyhow::Result;

/// How many of the checks ran, failed or were left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Checks that ran.
    pub run: usize,
    /// Of these, checks that found something.
    pub failed: usize,
    /// Checks that could not run here.
    pub skipped: usize,
}

impl Totals {
    fn count(&mut self, passed: bool) {
        self.run += 1;
        self.failed += usize::from(!passed);
    }

    fn leave_out(&mut self, why: &str, strict: bool) {
        if strict {
            println!("lint: {why}");
            self.count(false);
        } else {
            println!("skipped: {why}");
            self.skipped += 1;
        }
    }
}

/// Runs all three; each prints its own findings.
pub(super) fn run(strict: bool) -> Result<Totals> {
    let mut totals = Totals::default();
    println!("lint: rustfmt");
    totals.count(cargo(&[
        "fmt",
        "--all",
        "--",
        "--check",
        "--files-with-diff",
    ])?);
    println!("lint: clippy");
    totals.count(cargo(&[
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--message-format",
        "short",
        "--",
        "-D",
        "warnings",
    ])?);
    deny(&mut totals, strict)?;
    Ok(totals)
}

fn deny(totals: &mut Totals, strict: bool) -> Result<()> {
    if !setup::has_cargo_deny() {
        totals.leave_out(
            "cargo-deny is not installed (cargo install cargo-deny --locked)",
            strict,
        );
        return Ok(());
    }
    println!("lint: cargo deny");
    totals.count(cargo(&[
        "deny",
        "--log-level",
        "error",
        "check",
        "licenses",
        "bans",
        "sources",
    ])?);
    let output = process::cargo()
        .args(["deny", "--log-level", "error", "check", "advisories"])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    match advisories(output.status.success(), &said) {
        Advisories::Clean => totals.count(true),
        Advisories::Unreachable => {
            totals.leave_out(
                "advisories: the database cannot be reached from here",
                strict,
            );
        }
        Advisories::Found => {
            println!("{}{said}", String::from_utf8_lossy(&output.stdout));
            totals.count(false);
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Advisories {
    Clean,
    Found,
    Unreachable,
}

fn advisories(passed: bool, said: &str) -> Advisories {
    if passed {
        Advisories::Clean
    } else if said.contains("failed to fetch advisory database") {
        Advisories::Unreachable
    } else {
        Advisories::Found
    }
}

fn cargo(arguments: &[&str]) -> Result<bool> {
    process::passes(process::cargo().args(arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreachable_database_is_told_from_an_advisory() {
        assert_eq!(advisories(true, ""), Advisories::Clean);
        assert_eq!(
            advisories(
                false,
                "[ERROR] failed to fetch advisory database https://..."
            ),
            Advisories::Unreachable
        );
        assert_eq!(
            advisories(false, "error[vulnerability]: ..."),
            Advisories::Found
        );
    }

    #[test]
    fn what_is_left_out_fails_a_strict_run_only() {
        let mut totals = Totals::default();
        totals.leave_out("reason", false);
        assert_eq!(
            totals,
            Totals {
                run: 0,
                failed: 0,
                skipped: 1
            }
        );
        totals.leave_out("reason", true);
        assert_eq!(
            totals,
            Totals {
                run: 1,
                failed: 1,
                skipped: 1
            }
        );
    }
}
