//! What the checks need on a clean Debian 12 machine with rustup.

use crate::process::{self, is_installed};
use anyhow::{Result, bail};
use std::process::Command;

/// A Debian package and the program that tells whether it is there.
struct Need {
    program: &'static str,
    packages: &'static [&'static str],
}

const NEEDS: [Need; 13] = [
    Need {
        program: "cc",
        packages: &["build-essential"],
    },
    Need {
        program: "kcat",
        packages: &["kcat"],
    },
    Need {
        program: "mkfs.xfs",
        packages: &["xfsprogs"],
    },
    Need {
        program: "mkfs.ext4",
        packages: &["e2fsprogs"],
    },
    Need {
        program: "ip",
        packages: &["iproute2"],
    },
    Need {
        program: "nft",
        packages: &["nftables"],
    },
    Need {
        program: "strace",
        packages: &["strace"],
    },
    Need {
        program: "faketime",
        packages: &["faketime"],
    },
    Need {
        program: "javac",
        packages: &["default-jdk-headless"],
    },
    Need {
        program: "mvn",
        packages: &["maven"],
    },
    Need {
        program: "ruby",
        packages: &["ruby", "ruby-bunny"],
    },
    Need {
        program: "fio",
        packages: &["fio"],
    },
    Need {
        program: "python3",
        packages: &["python3", "python3-venv"],
    },
];

/// Installs the missing programs, and cargo-deny. Says what it does.
pub(crate) fn install() -> Result<()> {
    let packages = missing(is_installed, has_venv());
    if !packages.is_empty() {
        println!("setup: apt-get install {}", packages.join(" "));
        apt(&["update", "-qq"])?;
        let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
        arguments.extend(&packages);
        apt(&arguments)?;
    }
    if !has_cargo_deny() {
        println!("setup: cargo install cargo-deny (some minutes, once per machine)");
        if !process::passes(process::cargo().args([
            "install",
            "--quiet",
            "--locked",
            // It runs for seconds, and takes minutes longer to build optimized.
            "--debug",
            "cargo-deny",
        ]))? {
            bail!("cargo-deny did not install");
        }
    }
    Ok(())
}

/// Whether `cargo deny` can be run.
pub(crate) fn has_cargo_deny() -> bool {
    process::cargo()
        .args(["deny", "--version"])
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Debian's python3 comes without the part that makes environments with pip.
fn has_venv() -> bool {
    Command::new("python3")
        .args(["-c", "import ensurepip, venv"])
        .output()
        .is_ok_and(|output| output.status.success())
}

fn missing(is_installed: impl Fn(&str) -> bool, has_venv: bool) -> Vec<&'static str> {
    let mut packages: Vec<_> = NEEDS
        .iter()
        .filter(|need| !is_installed(need.program))
        .flat_map(|need| need.packages)
        .copied()
        .collect();
    if !has_venv && !packages.contains(&"python3-venv") {
        packages.push("python3-venv");
    }
    packages
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new("apt-get")
    } else {
        let mut command = Command::new("sudo");
        command.args(["-n", "--preserve-env=DEBIAN_FRONTEND", "apt-get"]);
        command
    };
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(arguments);
    if !process::passes(&mut command)? {
        bail!(
            "apt-get {} failed (it needs root or sudo without a password)",
            arguments[0]
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_absent_is_installed() {
        assert!(missing(|_| true, true).is_empty());
        assert_eq!(missing(|program| program != "kcat", true), ["kcat"]);
        assert_eq!(missing(|_| true, false), ["python3-venv"]);
        assert_eq!(
            missing(|program| program != "python3", false),
            ["python3", "python3-venv"]
        );
    }
}
