//! Where programs, the corpus and a run's files lie: all below `target/`.

use crate::stop;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("interop lies in the workspace")
}

/// The node that `cargo xtask` has built.
pub(crate) fn release_node() -> PathBuf {
    target().join("release/weir")
}

/// What is kept between runs: clients, corpus.
pub(crate) fn kept() -> PathBuf {
    target().join("interop")
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A run's own directory. Dropped, it is removed; but the logs of a run that was neither clean
/// nor interrupted stay for a person to look at.
pub(crate) struct RunDirectory {
    path: PathBuf,
    is_clean: bool,
}

impl RunDirectory {
    /// Makes the directory of this process.
    pub(crate) fn create() -> Result<Self> {
        let path = kept().join(format!("run-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Self {
            path,
            is_clean: false,
        })
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Nobody will want the logs.
    pub(crate) fn clean(&mut self) {
        self.is_clean = true;
    }

    fn remove(&self) -> std::io::Result<()> {
        if self.is_clean || stop::check().is_err() {
            return std::fs::remove_dir_all(&self.path);
        }
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        eprintln!("the run's logs are kept in {}", self.path.display());
        Ok(())
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("{}: {error}", self.path.display());
        }
    }
}

/// Python with confluent-kafka, in an environment of its own.
pub(crate) fn python() -> Result<PathBuf> {
    let environment = kept().join("venv");
    let python = environment.join("bin/python");
    let mut probe = Command::new(&python);
    probe.args(["-c", "import confluent_kafka"]);
    if !probe.output().is_ok_and(|output| output.status.success()) {
        println!("setup: pip install confluent-kafka");
        run(Command::new("python3")
            .args(["-m", "venv"])
            .arg(&environment))?;
        run(Command::new(&python).args(["-m", "pip", "install", "-q", "confluent-kafka==2.16.1"]))?;
    }
    Ok(python)
}

/// Class path of Kafka's console tools.
pub(crate) fn java_class_path() -> Result<String> {
    let pom = root().join("interop/java/pom.xml");
    let jars = kept().join("java");
    let stamp = jars.join("pom.xml");
    if std::fs::read(&stamp).ok() != Some(std::fs::read(&pom)?) {
        println!("setup: Kafka's console tools from Maven");
        let mut command = Command::new("mvn");
        command.args(["-q", "-B", "-f"]).arg(&pom);
        command.args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
        run(command.arg(format!("-DoutputDirectory={}", jars.display())))?;
        std::fs::copy(&pom, &stamp)?;
    }
    Ok(format!("{}/*", jars.display()))
}

/// Runs a command to its end; an error when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("start {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
