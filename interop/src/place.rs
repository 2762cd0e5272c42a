//! Where programs, the corpus and a run's files lie: all below `target/`.

use crate::stop;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Begin of the names of directories in which nodes store.
pub(crate) const DATA: &str = "data";

/// Begin of the names of directories of runs; the process id follows.
const RUN: &str = "run-";

/// The workspace's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("interop lies in the workspace")
}

/// The node that `cargo xtask` has built: beside this program, with the same profile.
pub(crate) fn built_node() -> Result<PathBuf> {
    let program = std::env::current_exe().context("where this program is")?;
    Ok(program.with_file_name("weir"))
}

/// What is kept between runs: clients, corpus.
pub(crate) fn kept() -> PathBuf {
    target().join("interop")
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A run's own directory. Dropped, it is removed; but the logs and histories of a run that was
/// neither clean nor interrupted stay for a person to look at.
pub(crate) struct RunDirectory {
    path: PathBuf,
    is_clean: bool,
}

impl RunDirectory {
    /// Makes the directory of this process.
    pub(crate) fn create() -> Result<Self> {
        let path = kept().join(format!("{RUN}{}", std::process::id()));
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
        prune(&self.path)?;
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

/// Removes what nodes stored, below `path`, and leaves what nodes and clients wrote down.
fn prune(path: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        if entry.file_name().to_string_lossy().starts_with(DATA) {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            prune(&entry.path())?;
        }
    }
    Ok(())
}

/// Python with its clients, in an environment of its own.
pub(crate) fn python() -> Result<PathBuf> {
    let _alone = installing()?;
    let wanted = root().join("interop/clients/python/requirements.txt");
    let environment = kept().join("venv");
    let python = environment.join("bin/python");
    let stamp = environment.join("requirements.txt");
    if std::fs::read(&stamp).ok() != Some(std::fs::read(&wanted)?) {
        println!("setup: clients for Python");
        run(Command::new("python3")
            .args(["-m", "venv"])
            .arg(&environment))?;
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "-q", "-r"]);
        run(install.arg(&wanted))?;
        std::fs::copy(&wanted, &stamp)?;
    }
    Ok(python)
}

/// One campaign installs at a time: others wait until the file is dropped.
fn installing() -> Result<File> {
    let path = kept().join("installing.lock");
    std::fs::create_dir_all(kept()).with_context(|| kept().display().to_string())?;
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    file.lock().with_context(|| path.display().to_string())?;
    Ok(file)
}

/// Class path of Kafka's console tools.
pub(crate) fn java_class_path() -> Result<String> {
    jars("interop/java/pom.xml", "java")
}

/// Class path of what a project file names, kept under a name.
pub(crate) fn jars(pom: &str, name: &str) -> Result<String> {
    let _alone = installing()?;
    let pom = root().join(pom);
    let jars = kept().join(name);
    let stamp = jars.join("pom.xml");
    if std::fs::read(&stamp).ok() != Some(std::fs::read(&pom)?) {
        println!("setup: {name} from Maven");
        let mut command = Command::new("mvn");
        command.args(["-q", "-B", "-f"]).arg(&pom);
        command.args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
        run(command.arg(format!("-DoutputDirectory={}", jars.display())))?;
        std::fs::copy(&pom, &stamp)?;
    }
    Ok(format!("{}/*", jars.display()))
}

/// Whether that is the name of a run's directory whose process is gone.
pub(crate) fn is_abandoned(name: &str) -> bool {
    let owner = name.strip_prefix(RUN).and_then(|pid| pid.parse().ok());
    owner.is_some_and(|pid| !is_running(pid))
}

/// Whether a process of that id runs; one that has ended and only waits for its parent does not.
pub(crate) fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| {
        // The name before it stands in brackets, and may hold some itself.
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
        !state.is_some_and(|state| state.starts_with('Z'))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_abandoned_when_its_process_is_gone() {
        assert!(!is_abandoned(&format!("{RUN}{}", std::process::id())));
        assert!(is_abandoned("run-4194305"), "past the largest process id");
        assert!(!is_abandoned("venv"));
    }
}
