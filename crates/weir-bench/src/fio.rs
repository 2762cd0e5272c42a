//! `fio` on the same directory, as a measure of what the disk gives.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// fio with its file, which has the size of a file of the write-ahead log.
pub(crate) struct Fio {
    dir: PathBuf,
    file_bytes: u64,
    is_direct: bool,
}

/// What fio reached.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FioRun {
    /// Bytes per second.
    pub(crate) bytes_per_s: f64,
    /// Reads or writes per second.
    pub(crate) blocks_per_s: f64,
}

impl Fio {
    /// fio in `dir`; `None` where it is not installed.
    pub(crate) fn find(dir: &Path, file_bytes: u64, is_direct: bool) -> Option<Self> {
        let found = Command::new("fio").arg("--version").output();
        found.ok().filter(|output| output.status.success())?;
        Some(Self {
            dir: dir.to_owned(),
            file_bytes,
            is_direct,
        })
    }

    /// Overwrites its file in blocks of `block_bytes`, with one fdatasync after each `per_sync`
    /// of them. The file is written in full before, as files of the write-ahead log are.
    pub(crate) fn write(&self, block_bytes: u64, per_sync: u64, time: Duration) -> Result<FioRun> {
        let run = [
            "--rw=write".to_owned(),
            "--overwrite=1".to_owned(),
            format!("--direct={}", u8::from(self.is_direct)),
            format!("--bs={block_bytes}"),
            format!("--fdatasync={per_sync}"),
            "--time_based".to_owned(),
            format!("--runtime={}ms", time.as_millis()),
        ];
        self.run("fio-write", self.file_bytes, &run, "write")
    }

    /// Reads a file of `size_bytes` once, through the page cache, which does not have it yet.
    pub(crate) fn read(&self, block_bytes: u64, size_bytes: u64) -> Result<FioRun> {
        let run = [
            "--rw=read".to_owned(),
            "--invalidate=1".to_owned(),
            format!("--bs={block_bytes}"),
        ];
        self.run("fio-read", size_bytes, &run, "read")
    }

    fn run(&self, name: &str, size_bytes: u64, run: &[String], side: &str) -> Result<FioRun> {
        let output = Command::new("fio")
            .arg(format!("--name={name}"))
            .arg(format!("--filename={}", self.dir.join(name).display()))
            .arg(format!("--size={size_bytes}"))
            .args(["--ioengine=psync", "--output-format=json"])
            .args(run)
            .output()
            .context("fio does not start")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "fio failed: {errors}");
        let text = String::from_utf8_lossy(&output.stdout);
        parse(&text, side).with_context(|| format!("fio's answer is not understood: {text}"))
    }
}

/// Notes may stand before the JSON.
fn parse(text: &str, side: &str) -> Option<FioRun> {
    let answer: Value = serde_json::from_str(&text[text.find('{')?..]).ok()?;
    let side = answer.get("jobs")?.get(0)?.get(side)?;
    Some(FioRun {
        bytes_per_s: side.get("bw_bytes")?.as_f64()?,
        blocks_per_s: side.get("iops")?.as_f64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_behind_notes() {
        let text = r#"note: both iodepth
            {"jobs": [{"write": {"bw_bytes": 4096, "iops": 1.5}}]}"#;
        let run = parse(text, "write").unwrap();
        assert_eq!((run.bytes_per_s, run.blocks_per_s), (4096.0, 1.5));
        assert!(parse("fio: no such file", "write").is_none());
    }
}
