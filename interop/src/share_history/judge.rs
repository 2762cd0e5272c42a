//! `weir-interop check --shares`: a history's verdict in words.

use super::{Record, check};
use anyhow::Result;
use std::path::Path;

/// Prints a history's verdict; true when nothing is wrong.
pub(crate) fn judge(directory: &Path) -> Result<bool> {
    let verdict = check(&Record::read(directory)?);
    for example in &verdict.examples {
        println!("    {example}");
    }
    println!("check: {verdict}");
    Ok(verdict.is_clean())
}
