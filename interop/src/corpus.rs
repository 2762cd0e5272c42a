//! The corpus: the HTML and text of Debian's package `linux-doc-6.1`, the kernel's documentation.
//!
//! Every line is one message: `NNNNNNNNNN text`, its number and the text as it stands. Lines that
//! are blank, not UTF-8, hold a carriage return or NUL, or are longer than 10 kB are left out, since
//! console clients treat those each in its own way.

use crate::place;
use anyhow::{Context, Result, bail};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "linux-doc-6.1";
const MIN_BYTES: usize = 100_000_000;
const MAX_LINE_BYTES: usize = 10_000;
/// Digits of the number that each line starts with.
pub(crate) const SEQ_DIGITS: usize = 10;

/// Numbered lines, in one piece of memory.
pub(crate) struct Corpus {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Corpus {
    /// The corpus, made on first use from Debian's package; at most `max_bytes` of it.
    pub(crate) fn load(max_bytes: usize) -> Result<Self> {
        let path = place::kept().join("corpus.txt");
        if !path.exists() {
            build(&path)?;
        }
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        if bytes.len() < MIN_BYTES {
            bail!(
                "{}: {} bytes, at least {MIN_BYTES} expected",
                path.display(),
                bytes.len()
            );
        }
        Ok(Self::of(bytes, max_bytes))
    }

    /// The whole lines among the first `max_bytes`.
    fn of(mut bytes: Vec<u8>, max_bytes: usize) -> Self {
        let ends: Vec<_> = bytes
            .iter()
            .enumerate()
            .take(max_bytes)
            .filter(|(_, byte)| **byte == b'\n')
            .map(|(index, _)| index + 1)
            .collect();
        bytes.truncate(ends.last().copied().unwrap_or(0));
        Self { bytes, ends }
    }

    /// All lines, each with its line feed.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of lines.
    pub(crate) fn line_count(&self) -> usize {
        self.ends.len()
    }

    /// Line `number` without its line feed.
    pub(crate) fn line(&self, number: u64) -> Option<&[u8]> {
        let index = usize::try_from(number).ok()?;
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.bytes[start..end - 1])
    }
}

/// The number that a line starts with.
pub(crate) fn seq_of(line: &[u8]) -> Option<u64> {
    std::str::from_utf8(line.get(..SEQ_DIGITS)?)
        .ok()?
        .parse()
        .ok()
}

fn build(path: &Path) -> Result<()> {
    println!("setup: corpus from Debian's package {PACKAGE}");
    let scratch = place::kept().join("corpus");
    if scratch.exists() {
        std::fs::remove_dir_all(&scratch)?;
    }
    std::fs::create_dir_all(&scratch)?;
    place::run(
        Command::new("apt-get")
            .args(["download", "-q", PACKAGE])
            .current_dir(&scratch),
    )?;
    let package = std::fs::read_dir(&scratch)?
        .next()
        .context("apt-get download left no file")??
        .path();
    let unpacked = scratch.join("files");
    place::run(
        Command::new("dpkg-deb")
            .arg("-x")
            .arg(&package)
            .arg(&unpacked),
    )?;

    let mut files = Vec::new();
    collect(&unpacked, &mut files)?;
    files.sort();
    let unfinished = path.with_extension("part");
    let mut out = BufWriter::new(std::fs::File::create(&unfinished)?);
    let mut number = 0_u64;
    for file in files {
        for line in std::fs::read(file)?
            .split(|byte| *byte == b'\n')
            .filter(|line| is_plain(line))
        {
            write!(out, "{number:0SEQ_DIGITS$} ")?;
            out.write_all(line)?;
            out.write_all(b"\n")?;
            number += 1;
        }
    }
    out.flush()?;
    std::fs::rename(unfinished, path)?;
    std::fs::remove_dir_all(scratch)?;
    Ok(())
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            collect(&path, files)?;
        } else if entry.file_type()?.is_file()
            && path
                .extension()
                .is_some_and(|extension| extension == "html" || extension == "txt")
        {
            files.push(path);
        }
    }
    Ok(())
}

fn is_plain(line: &[u8]) -> bool {
    line.len() <= MAX_LINE_BYTES
        && !line.trim_ascii().is_empty()
        && !line.contains(&b'\r')
        && !line.contains(&0)
        && std::str::from_utf8(line).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_are_taken() {
        let corpus = Corpus::of(b"0000000000 a\n0000000001 bc\n0000000002 d\n".to_vec(), 30);
        assert_eq!(corpus.line_count(), 2);
        assert_eq!(corpus.line(0), Some(&b"0000000000 a"[..]));
        assert_eq!(corpus.line(1), Some(&b"0000000001 bc"[..]));
        assert_eq!(corpus.line(2), None);
        assert_eq!(corpus.bytes().len(), 27);
    }

    #[test]
    fn lines_that_clients_treat_in_their_own_way_are_left_out() {
        assert!(is_plain("text, even ümlauts".as_bytes()));
        for odd in [
            &b"  \t"[..],
            b"",
            b"a\rb",
            b"a\0b",
            b"\xff",
            &[b'x'; MAX_LINE_BYTES + 1],
        ] {
            assert!(!is_plain(odd), "{odd:?}");
        }
    }

    #[test]
    fn a_line_tells_its_number() {
        assert_eq!(seq_of(b"0000000042 text"), Some(42));
        assert_eq!(seq_of(b"42 text"), None);
        assert_eq!(seq_of(b"short"), None);
    }
}
