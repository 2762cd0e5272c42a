//! Clients at pinned versions, from their languages' own registries; kept between runs.

use crate::place;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small machine that is soon there.
pub(crate) const JAVA_OPTIONS: [&str; 5] = [
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
    // PerfTest brings a logger of its own along.
    "-Dslf4j.provider=org.slf4j.simple.SimpleServiceProvider",
];

/// Class path of Kafka's tools with our own programs beside them, compiled when they have changed.
pub(crate) fn java_class_path() -> Result<String> {
    let jars = place::java_class_path()?;
    compiled("interop/java/src", "java-classes", &jars)
}

/// The same for AMQP: RabbitMQ's client, PerfTest, Spring, and Kafka's client beside them.
pub(super) fn amqp_class_path() -> Result<String> {
    let jars = place::jars("interop/java/amqp/pom.xml", "java-amqp")?;
    compiled("interop/java/amqp/src", "java-amqp-classes", &jars)
}

fn compiled(sources: &str, classes: &str, jars: &str) -> Result<String> {
    let sources = place::root().join(sources);
    let classes = place::kept().join(classes);
    if is_stale(&sources, &classes)? {
        let mut command = Command::new("javac");
        command.arg("-d").arg(&classes).args(["-cp", jars]);
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

/// A program in Go, built from what the module's own list of hashes tells.
pub(super) fn go_program(name: &str) -> Result<PathBuf> {
    let program = place::kept().join("go").join(name);
    let mut command = Command::new("go");
    command.args(["build", "-o"]).arg(&program);
    command.arg(format!("./{name}"));
    place::run(command.current_dir(place::root().join("interop/clients/go")))?;
    Ok(program)
}

/// The unpacked source archive of a Python package; such archives may hold the tests.
pub(super) fn python_source(python: &Path, package: &str, version: &str) -> Result<PathBuf> {
    let directory = place::kept().join("source");
    let unpacked = directory.join(format!("{}-{version}", package.replace('-', "_")));
    if !unpacked.exists() {
        println!("setup: source of {package}");
        std::fs::create_dir_all(&directory)?;
        let mut command = Command::new(python);
        command.args([
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--no-binary",
            package,
        ]);
        command.arg("-d").arg(&directory);
        place::run(command.arg(format!("{package}=={version}")))?;
        let archive =
            unpacked.with_file_name(format!("{}-{version}.tar.gz", package.replace('-', "_")));
        place::run(
            Command::new("tar")
                .arg("xzf")
                .arg(archive)
                .current_dir(&directory),
        )?;
    }
    Ok(unpacked)
}

/// The unpacked source of a crate, with its tests. `newer` are dependencies, and the versions that
/// go before those of its lock file: today's compiler refuses some that it once took.
pub(super) fn crate_source(name: &str, version: &str, newer: &[(&str, &str)]) -> Result<PathBuf> {
    let unpacked = place::kept()
        .join("source")
        .join(format!("{name}-{version}"));
    if unpacked.exists() {
        return Ok(unpacked);
    }
    println!("setup: source of crate {name}");
    let wanting = place::kept().join("source").join(format!("wanting-{name}"));
    std::fs::create_dir_all(wanting.join("src"))?;
    std::fs::write(wanting.join("src/lib.rs"), "")?;
    let manifest = format!(
        "[package]\nname = \"wanting\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         [workspace]\n[dependencies]\n{name} = {{ version = \"={version}\", default-features = false }}\n"
    );
    std::fs::write(wanting.join("Cargo.toml"), manifest)?;
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1"])
        .current_dir(&wanting)
        .output()?;
    let metadata: Metadata = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let mut packages = metadata.packages.into_iter();
    let package = packages
        .find(|package| package.name == name)
        .context(name.to_owned())?;
    let from = package
        .manifest_path
        .parent()
        .context("a directory")?
        .to_owned();
    place::run(Command::new("cp").arg("-r").arg(from).arg(&unpacked))?;
    place::run(Command::new("chmod").args(["-R", "u+w"]).arg(&unpacked))?;
    // It is built with the toolchain that is here.
    let toolchain = unpacked.join("rust-toolchain.toml");
    if toolchain.exists() {
        std::fs::remove_file(toolchain)?;
    }
    // Ours lies above it and would take it in.
    let manifest = unpacked.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest)?;
    std::fs::write(&manifest, format!("{text}\n[workspace]\n"))?;
    for (dependency, version) in newer {
        let mut command = Command::new("cargo");
        command.args(["update", "--quiet", "-p", dependency]);
        place::run(command.args(["--precise", version]).current_dir(&unpacked))?;
    }
    Ok(unpacked)
}

/// Puts other text into files of a kind, once: `changes` are what stands there and what shall.
pub(super) fn replace(source: &Path, kind: &str, changes: &[(&str, &str)]) -> Result<()> {
    for entry in std::fs::read_dir(source)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "target" {
                replace(&path, kind, changes)?;
            }
            continue;
        }
        if path.extension().is_none_or(|extension| extension != kind) {
            continue;
        }
        let before = std::fs::read_to_string(&path)?;
        let mut after = before.clone();
        for (from, to) in changes {
            after = after.replace(from, to);
        }
        // A file that is written is built again.
        if after != before {
            std::fs::write(&path, after)?;
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
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
