//! Runs all checks and prints what they found.

use super::source::Source;
use super::{doors, edges, external, finding::Finding, length, names, no_unsafe, order, roots};
use crate::process;
use anyhow::Result;

/// What `cargo xtask lint` is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    /// A missing tool is a failure.
    pub strict: bool,
    /// Leave rustfmt, clippy and cargo-deny out.
    pub own: bool,
}

/// What it amounted to.
#[derive(Clone, Copy)]
pub(crate) struct Outcome {
    /// Nothing was found.
    pub clean: bool,
    /// Checks that could not run here.
    pub skipped: usize,
}

type SourceCheck = fn(&Source) -> Vec<Finding>;

const SOURCE_CHECKS: [SourceCheck; 6] = [
    length::check,
    names::check,
    roots::check,
    doors::check,
    order::check,
    no_unsafe::check,
];

/// Checks the workspace. The last line has the figures.
pub(crate) fn run(options: Options) -> Result<Outcome> {
    let sources = Source::all(process::root())?;
    let mut findings: Vec<_> = sources
        .iter()
        .flat_map(|source| SOURCE_CHECKS.iter().flat_map(|check| check(source)))
        .collect();
    findings.extend(edges::check_workspace()?);
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }

    let mut outside = external::Totals::default();
    if !options.own {
        outside = external::run(options.strict)?;
    }
    let functions: usize = sources.iter().map(length::function_count).sum();
    println!(
        "lint: {} files, {functions} functions, {} checks of our own, {} of others, {} skipped, \
         {} findings",
        sources.len(),
        SOURCE_CHECKS.len() + 1,
        outside.run,
        outside.skipped,
        findings.len() + outside.failed,
    );
    Ok(Outcome {
        clean: findings.is_empty() && outside.failed == 0,
        skipped: outside.skipped,
    })
}
