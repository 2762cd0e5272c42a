//! A file system in a file, mounted by loop, whose power can be cut.

use crate::place;
use crate::stop;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Sparse: it takes what is written, not this.
const IMAGE_BYTES: u64 = 4 << 30;
const FILLER: &str = "filler";
const SMALLEST_PIECE_BYTES: u64 = 64 << 10;
const UNMOUNT_LIMIT: Duration = Duration::from_secs(10);

/// A file system that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum FileSystem {
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
}

impl FileSystem {
    /// Its name, for mount and for figures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    fn make(self, image: &Path) -> Result<()> {
        let (program, arguments) = match self {
            Self::Ext4 => ("mkfs.ext4", ["-q", "-F"]),
            Self::Xfs => ("mkfs.xfs", ["-q", "-f"]),
        };
        place::run(administrator(program).args(arguments).arg(image))
    }
}

/// A mounted image; unmounted and removed when dropped.
pub(crate) struct Image {
    file: PathBuf,
    mount_point: PathBuf,
    file_system: FileSystem,
}

impl Image {
    /// Makes and mounts the image `name` below `directory`.
    pub(crate) fn create(file_system: FileSystem, directory: &Path, name: &str) -> Result<Self> {
        let image = Self {
            file: directory.join(format!("{name}.img")),
            mount_point: directory.join(name),
            file_system,
        };
        std::fs::create_dir_all(&image.mount_point)?;
        std::fs::File::create(&image.file)?.set_len(IMAGE_BYTES)?;
        file_system.make(&image.file)?;
        image.mount()?;
        Ok(image)
    }

    /// Where it is mounted.
    pub(crate) fn mount_point(&self) -> &Path {
        &self.mount_point
    }

    /// Takes all room that is left.
    pub(crate) fn fill(&self) -> Result<()> {
        let stat = rustix::fs::statvfs(&self.mount_point)?;
        let file = std::fs::File::create(self.mount_point.join(FILLER))?;
        let mut piece = stat.f_bavail.saturating_mul(stat.f_frsize);
        let mut end = 0;
        // The file system needs some of the room for itself, it does not say how much.
        while piece >= SMALLEST_PIECE_BYTES {
            match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), end, piece) {
                Ok(()) => end += piece,
                Err(rustix::io::Errno::NOSPC) => piece /= 2,
                Err(error) => return Err(error).context("fill the image"),
            }
        }
        Ok(())
    }

    /// Gives the room back.
    pub(crate) fn make_room(&self) -> Result<()> {
        match std::fs::remove_file(self.mount_point.join(FILLER)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            Err(_) | Ok(()) => Ok(()),
        }
    }

    /// From here on nothing reaches the image; what was not synced is gone.
    pub(crate) fn cut_power(&self) -> Result<()> {
        let script = place::root().join("interop/driver/power_cut.py");
        place::run(Command::new("python3").arg(script).arg(&self.mount_point))
            .context("shut the file system down")
    }

    /// Power is back: the file system recovers from its own log.
    pub(crate) fn power_on(&self) -> Result<()> {
        stop::wait_for("unmount after a power cut", UNMOUNT_LIMIT, || {
            let unmounted = administrator("umount").arg(&self.mount_point).output()?;
            Ok(unmounted.status.success().then_some(()))
        })?;
        self.mount()
    }

    fn mount(&self) -> Result<()> {
        // `-o loop` takes a free loop device and gives it back at unmount.
        place::run(
            administrator("mount")
                .args(["-t", self.file_system.name(), "-o", "loop"])
                .arg(&self.file)
                .arg(&self.mount_point),
        )
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // Between unmount and mount there is nothing to unmount: that is no error here.
        let unmounted = place::run(administrator("umount").arg(&self.mount_point));
        if unmounted.is_err() {
            let _ = place::run(administrator("umount").arg("-l").arg(&self.mount_point));
        }
        if let Err(error) = std::fs::remove_file(&self.file) {
            eprintln!("{}: {error}", self.file.display());
        }
    }
}

/// Unmounts and removes the images below `kept` that a killed run left behind.
pub(crate) fn sweep(kept: &Path) -> Result<()> {
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let mount_points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    for mount_point in mount_points.map(Path::new) {
        let Ok(below) = mount_point.strip_prefix(kept) else {
            continue;
        };
        let run = below.iter().next().and_then(|name| name.to_str());
        if run.is_some_and(place::is_abandoned) {
            place::run(administrator("umount").arg("-l").arg(mount_point))?;
            // The image lies beside its mount point, under the same name.
            let _ = std::fs::remove_file(mount_point.with_extension("img"));
        }
    }
    Ok(())
}

/// A program that Debian keeps off the path of ordinary users.
pub(crate) fn administrator(program: &str) -> Command {
    let found = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
        .iter()
        .map(|directory| Path::new(directory).join(program))
        .find(|path| path.is_file());
    Command::new(found.unwrap_or_else(|| PathBuf::from(program)))
}
