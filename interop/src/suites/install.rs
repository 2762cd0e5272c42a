//! Clients at pinned versions, from their languages' own registries; kept between runs.

use crate::place;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small machine that is soon there.
pub(super) const JAVA_OPTIONS: [&str; 4] = [
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
];

/// Class path of Kafka's tools with our own programs beside them, compiled when they have changed.
pub(super) fn java_class_path() -> Result<String> {
    let jars = place::java_class_path()?;
    let sources = place::root().join("interop/java/src");
    let classes = place::kept().join("java-classes");
    if is_stale(&sources, &classes)? {
        let mut command = Command::new("javac");
        command.arg("-d").arg(&classes).args(["-cp", &jars]);
        for entry in std::fs::read_dir(&sources)? {
            command.arg(entry?.path());
        }
        place::run(&mut command)?;
        std::fs::write(classes.join(STAMP), fingerprint(&sources)?)?;
    }
    Ok(format!("{}:{jars}", classes.display()))
}

/// The programs for Node.js beside their clients, installed when they have changed.
pub(super) fn node_directory() -> Result<PathBuf> {
    let sources = place::root().join("interop/clients/node");
    let directory = place::kept().join("node");
    if is_stale(&sources, &directory)? {
        println!("setup: clients for Node.js");
        std::fs::create_dir_all(&directory)?;
        for entry in std::fs::read_dir(&sources)? {
            let entry = entry?;
            std::fs::copy(entry.path(), directory.join(entry.file_name()))?;
        }
        let mut command = Command::new("npm");
        command.args(["install", "--no-audit", "--no-fund", "--ignore-scripts"]);
        place::run(command.arg("--no-package-lock").current_dir(&directory))?;
        std::fs::write(directory.join(STAMP), fingerprint(&sources)?)?;
    }
    Ok(directory)
}

const STAMP: &str = ".made-from";

/// Whether what was made from the files below `from` must be made again.
fn is_stale(from: &Path, made: &Path) -> Result<bool> {
    let stamp = std::fs::read(made.join(STAMP)).ok();
    Ok(stamp != Some(fingerprint(from)?))
}

/// All files of a directory, one behind the other: they are few and short.
fn fingerprint(directory: &Path) -> Result<Vec<u8>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    paths.sort();
    let mut all = Vec::new();
    for path in paths.iter().filter(|path| path.is_file()) {
        all.extend(path.as_os_str().as_encoded_bytes());
        all.extend(std::fs::read(path)?);
    }
    Ok(all)
}
