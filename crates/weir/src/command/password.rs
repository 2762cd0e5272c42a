//! Passwords come from a file, standard input or a person, never from an argument, which others on the
//! machine see. What leaves this process is what checks them.

use std::{
    fs::File,
    io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};
use clap::Args;
use weir_access::{
    DEFAULT_ITERATIONS, Hash, MAX_ITERATIONS, MAX_PASSWORD_BYTES, MIN_ITERATIONS, SALT_BYTES,
    Verifier, password_fault,
};
use weir_broker::access_admin::VerifierRow;
use weir_log::{Entropy as _, disk::SystemEntropy};

/// Where the password comes from.
#[derive(Debug, Args)]
pub(crate) struct PasswordArguments {
    /// The password stands in this file; `-`: comes from standard input. A line's end at its end is
    /// none of it. Without it a person is asked.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Rounds of the derivation that makes a password slow to guess.
    #[arg(
        long,
        default_value_t = DEFAULT_ITERATIONS,
        value_parser = clap::value_parser!(u32).range(i64::from(MIN_ITERATIONS)..=i64::from(MAX_ITERATIONS))
    )]
    iterations: u32,
}

impl PasswordArguments {
    /// What checks the password, by each mechanism.
    pub(crate) fn verifiers(&self) -> anyhow::Result<Vec<VerifierRow>> {
        let password = self.read()?;
        password_fault(&password).map_err(|fault| anyhow::anyhow!("the password {fault}"))?;
        let rows = Hash::ALL.map(|hash| {
            let verifier = Verifier::of_password(hash, &password, &salt(), self.iterations);
            verifier.as_ref().map(VerifierRow::of)
        });
        let rows: Option<Vec<VerifierRow>> = rows.into_iter().collect();
        rows.context("these rounds are not allowed")
    }

    fn read(&self) -> anyhow::Result<String> {
        match &self.password_file {
            Some(path) if path.as_path() == Path::new("-") => from(io::stdin().lock()),
            Some(path) => {
                let file = File::open(path).with_context(|| format!("{}", path.display()))?;
                from(file)
            }
            None => asked(),
        }
    }
}

fn salt() -> [u8; SALT_BYTES] {
    let mut salt = [0; SALT_BYTES];
    for eight in salt.chunks_exact_mut(8) {
        eight.copy_from_slice(&SystemEntropy.next_u64().to_le_bytes());
    }
    salt
}

fn from(source: impl io::Read) -> anyhow::Result<String> {
    let mut text = String::new();
    // One byte more than allowed shows that it is too long; a line's end may follow.
    let limit = MAX_PASSWORD_BYTES as u64 + 3;
    let read = source.take(limit).read_to_string(&mut text);
    read.context("the password")?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

fn asked() -> anyhow::Result<String> {
    if !io::stdin().is_terminal() {
        bail!(
            "nobody can be asked for a password: give --password-file FILE, or - for standard input"
        );
    }
    let first = asked_once("Password: ")?;
    if first != asked_once("Again: ")? {
        bail!("the two are not the same");
    }
    Ok(first)
}

fn asked_once(prompt: &str) -> anyhow::Result<String> {
    eprint!("{prompt}");
    io::stderr().flush()?;
    let hidden = Hidden::new()?;
    let mut line = String::new();
    let limit = MAX_PASSWORD_BYTES as u64 + 3;
    let read = io::stdin().lock().take(limit).read_line(&mut line);
    drop(hidden);
    eprintln!();
    read.context("the password")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// While it lives, the terminal does not show what is typed.
struct Hidden;

impl Hidden {
    fn new() -> anyhow::Result<Self> {
        stty("-echo")?;
        Ok(Self)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = stty("echo");
    }
}

fn stty(mode: &str) -> anyhow::Result<()> {
    let status = Command::new("stty").arg(mode).status();
    match status.context("stty, which keeps the password off the screen")? {
        status if status.success() => Ok(()),
        status => bail!("stty {mode}: {status}; give --password-file"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lines_end_is_none_of_the_password() {
        for (given, password) in [
            ("a b", "a b"),
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a\n\n", "a\n"),
        ] {
            assert_eq!(from(given.as_bytes()).unwrap(), password);
        }
        let long = "a".repeat(MAX_PASSWORD_BYTES + 100);
        assert!(password_fault(&from(long.as_bytes()).unwrap()).is_err());
    }

    #[test]
    fn salts_are_not_the_same_twice() {
        assert_ne!(salt(), salt());
    }
}
