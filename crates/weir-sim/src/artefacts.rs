//! What is kept of a run: its plan, its trace, its verdict.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{Outcome, Plan};

/// Writes `plan.json`, `trace.txt` and `verdict.json` below `root`, in a directory of the seed.
pub fn write_artefacts(
    root: &Path,
    seed: u64,
    plan: &Plan,
    outcome: &Outcome,
) -> io::Result<PathBuf> {
    let dir = root.join(seed.to_string());
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("plan.json"), serde_json::to_vec_pretty(plan)?)?;
    let verdict = serde_json::to_vec_pretty(&outcome.verdict)?;
    fs::write(dir.join("verdict.json"), verdict)?;
    fs::write(dir.join("trace.txt"), &outcome.trace)?;
    Ok(dir)
}
