//! One bit of one file of a node that does not run is turned, and what the node makes of it.

use crate::moments::Moments;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Files of the write-ahead log begin with a block that is their header; frames follow, each on a block.
const WAL_BLOCK_BYTES: u64 = 4_096;
const FRAME_MAGIC: &[u8] = b"WFRM";
const FRAME_HEADER_BYTES: usize = 64;
/// Where header and frames tell the file's number and the nonce of this use of it.
const USE: Range<usize> = 16..32;
const BODY_LENGTH: Range<usize> = 12..16;

/// What a node keeps, as `docs/formats.md` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Anywhere in a file of the write-ahead log.
    Wal,
    /// In the last frame of the newest of them, which cannot be told from one that was cut off.
    WalEnd,
    /// The state of a group.
    Checkpoint,
    /// Messages.
    Segment,
    /// Where messages lie in a segment.
    Index,
    /// Who the node is.
    Identity,
    /// Everything else, such as the file that says whose the directory is.
    Other,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Wal,
        Self::WalEnd,
        Self::Checkpoint,
        Self::Segment,
        Self::Index,
        Self::Identity,
        Self::Other,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Wal => "write-ahead log",
            Self::WalEnd => "its end",
            Self::Checkpoint => "checkpoint",
            Self::Segment => "segment",
            Self::Index => "index",
            Self::Identity => "identity",
            Self::Other => "other",
        }
    }

    fn of(path: &Path) -> Self {
        let is_identity = path.file_name().is_some_and(|name| name == "IDENTITY");
        match path.extension().and_then(|end| end.to_str()) {
            Some("wal") => Self::Wal,
            Some("ckpt") => Self::Checkpoint,
            Some("seg") => Self::Segment,
            Some("idx") => Self::Index,
            Some(_) | None if is_identity => Self::Identity,
            Some(_) | None => Self::Other,
        }
    }
}

/// A turned bit.
#[derive(Debug)]
pub(super) struct Flip {
    /// Of which kind of file.
    pub(super) kind: Kind,
    path: PathBuf,
    at_bytes: u64,
    mask: u8,
}

impl Flip {
    /// Turns a bit below `data`, of a kind that is there, each as likely as the others.
    pub(super) fn make(data: &Path, moments: &mut Moments) -> Result<Self> {
        let mut files = BTreeMap::<Kind, Vec<PathBuf>>::new();
        collect(data, &mut files)?;
        // The newest is known by its name; recovery reads it otherwise than those before.
        if let Some(newest) = files.get(&Kind::Wal).and_then(|all| all.iter().max()) {
            let newest = newest.clone();
            files.insert(Kind::WalEnd, vec![newest]);
        }
        let there: Vec<_> = Kind::ALL
            .into_iter()
            .filter(|kind| files.contains_key(kind))
            .collect();
        let kind = moments.pick(&there).context("a node keeps files")?;
        let of_kind: Vec<&PathBuf> = files[&kind].iter().collect();
        let path = moments.pick(&of_kind).context("a file")?.clone();
        let file = File::open(&path)?;
        let range = match kind {
            Kind::WalEnd => last_frame(&file)?,
            Kind::Wal
            | Kind::Checkpoint
            | Kind::Segment
            | Kind::Index
            | Kind::Identity
            | Kind::Other => 0..used_bytes(&file)?,
        };
        ensure!(!range.is_empty(), "{}: nothing in it", path.display());
        let flip = Self {
            kind,
            at_bytes: range.start + moments.draw(range.end - range.start),
            mask: 1 << moments.draw(8),
            path,
        };
        flip.turn()?;
        Ok(flip)
    }

    /// Turns the bit: a second time, the file is as it was.
    pub(super) fn turn(&self) -> Result<()> {
        let file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, self.at_bytes)?;
        file.write_all_at(&[byte[0] ^ self.mask], self.at_bytes)?;
        Ok(file.sync_all()?)
    }

    /// Whether somebody who is told these lines knows where to look.
    pub(super) fn is_named_in(&self, lines: &[String]) -> bool {
        let name = self.path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| lines.iter().any(|line| line.contains(name)))
    }
}

impl fmt::Display for Flip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, at, mask) = (self.path.display(), self.at_bytes, self.mask);
        write!(f, "{path}, byte {at}, mask {mask:#04x}")
    }
}

/// What came of the flips, by kind of file.
#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<Kind, Counts>);

#[derive(Debug, Default)]
struct Counts {
    flips: u32,
    refused: u32,
}

impl Tally {
    /// One more.
    pub(super) fn add(&mut self, kind: Kind, is_refused: bool) {
        let counts = self.0.entry(kind).or_default();
        counts.flips += 1;
        counts.refused += u32::from(is_refused);
    }

    /// Whether nothing was turned.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (kind, counts)) in self.0.iter().enumerate() {
            let sign = if at == 0 { "" } else { ", " };
            let (name, flips, refused) = (kind.name(), counts.flips, counts.refused);
            write!(f, "{sign}{name} {flips} ({refused} refused at start)")?;
        }
        Ok(())
    }
}

fn collect(directory: &Path, files: &mut BTreeMap<Kind, Vec<PathBuf>>) -> Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(directory)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::path);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type()?);
        // What of a spare file counts is written before it is put to use.
        let is_spare = path.extension().is_some_and(|end| end == "spare");
        if kind.is_dir() {
            collect(&path, files)?;
        } else if entry.metadata()?.len() > 0 && !is_spare {
            files.entry(Kind::of(&path)).or_default().push(path);
        }
    }
    Ok(())
}

/// Bytes up to the last that is not zero: files are made longer than what is in them.
fn used_bytes(file: &File) -> Result<u64> {
    let mut piece = vec![0; 1 << 20];
    let mut end = file.metadata()?.len();
    while end > 0 {
        let begin = end.saturating_sub(piece.len() as u64);
        let read = &mut piece[..usize::try_from(end - begin).expect("a piece fits")];
        file.read_exact_at(read, begin)?;
        if let Some(last) = read.iter().rposition(|byte| *byte != 0) {
            return Ok(begin + last as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

/// Where the last frame of this use of a file of the write-ahead log lies; its header block, where
/// there is none.
fn last_frame(file: &File) -> Result<Range<u64>> {
    let mut header = [0; FRAME_HEADER_BYTES];
    file.read_exact_at(&mut header, 0)?;
    let of_use = header[USE].to_vec();
    let size_bytes = file.metadata()?.len();
    let (mut last, mut at_bytes) = (0..FRAME_HEADER_BYTES as u64, WAL_BLOCK_BYTES);
    while at_bytes + (FRAME_HEADER_BYTES as u64) <= size_bytes {
        file.read_exact_at(&mut header, at_bytes)?;
        if !header.starts_with(FRAME_MAGIC) || header[USE] != of_use[..] {
            break;
        }
        let length = header[BODY_LENGTH].try_into().expect("four bytes");
        let frame_bytes = FRAME_HEADER_BYTES as u64 + u64::from(u32::from_le_bytes(length));
        last = at_bytes..(at_bytes + frame_bytes).min(size_bytes);
        at_bytes += frame_bytes.next_multiple_of(WAL_BLOCK_BYTES);
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_that_is_turned_twice_leaves_the_file_as_it_was() {
        let directory = std::env::temp_dir().join(format!("weir-flip-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("groups")).unwrap();
        let path = directory.join("groups/00001.ckpt");
        let mut bytes = vec![7; 100];
        bytes.resize(5_000, 0);
        std::fs::write(&path, &bytes).unwrap();
        let flip = Flip::make(&directory, &mut Moments::from_seed(1)).unwrap();
        let flipped = std::fs::read(&path).unwrap();
        let differs: Vec<_> = (0..bytes.len())
            .filter(|i| bytes[*i] != flipped[*i])
            .collect();
        assert!(differs.len() == 1 && differs[0] < 100, "{differs:?}");
        assert!(flip.is_named_in(&["groups/00001.ckpt is damaged".to_owned()]));
        flip.turn().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        std::fs::remove_dir_all(directory).unwrap();
    }
}
