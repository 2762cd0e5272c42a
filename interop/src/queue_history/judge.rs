//! `weir-interop check --queues`: a history's verdict in words.

use super::{Record, check};
use anyhow::Result;
use std::path::Path;
use std::time::Instant;

/// Prints a history's verdict; true when nothing is wrong.
pub(crate) fn judge(directory: &Path) -> Result<bool> {
    let started = Instant::now();
    let verdict = check(&Record::read(directory)?);
    for example in &verdict.examples {
        println!("    {example}");
    }
    println!(
        "check: {verdict}, in {:.1} s",
        started.elapsed().as_secs_f64()
    );
    Ok(verdict.is_clean())
}
