//! Opening a log that may have been left at any moment.

use std::{collections::BTreeMap, io, sync::Arc};

use weir_model::GroupId;

use crate::disk::{AlignedBuf, Disk, DiskFile, FileKind};

use super::{
    CorruptReason, FileReport, FileVerdict, RecoveredGroup, RecoveryError, RecoveryReport,
    WalConfig, WalError, WalRecord,
    decide::{Decision, FileFacts, HeaderFault, Refusal, decide},
    names::{DIR, Inventory, list_files, wal_path},
    replay::Replay,
    scan::{Scan, Scanned, scan},
    spares::SparePool,
    writer::{ActiveFile, Opened},
};

type Recovered = (Opened, BTreeMap<GroupId, RecoveredGroup>, RecoveryReport);

/// Reads, decides, makes durable, and opens.
pub(super) fn recover(
    disk: &Arc<dyn Disk>,
    config: &WalConfig,
    kind: FileKind,
) -> Result<Recovered, RecoveryError> {
    let created = disk.create_dir(DIR);
    created.map_err(|error| io_error("creation", DIR, error))?;
    let inventory = list_files(disk.as_ref());
    let inventory = inventory.map_err(|error| io_error("listing", DIR, error))?;
    let mut run = Run {
        disk: disk.as_ref(),
        config,
        replay: Replay::default(),
        report: RecoveryReport::default(),
    };
    let last = run.read_all(&inventory)?;
    let first_live_seq = last.as_ref().map_or(1, |last| last.scan.first_live_seq);
    let obsolete = inventory.wal_files.range(..first_live_seq);
    let obsolete: Vec<u64> = obsolete.map(|(seq, _)| *seq).collect();
    // A process that was killed leaves names and data that a power cut would still take back.
    let synced = disk.sync_dir(DIR);
    synced.map_err(|error| io_error("sync", DIR, error))?;
    let active = last
        .map(|last| last.open(disk.as_ref(), kind))
        .transpose()?;
    let pool = SparePool::open(Arc::clone(disk), config, kind, &inventory, &obsolete);
    let pool = pool.map_err(|error| io_error("tidying", DIR, error))?;
    let opened = Opened {
        pool,
        active,
        live: run.replay.live,
        first_live_seq,
    };
    Ok((opened, run.replay.groups, run.report))
}

/// A file that was read and counts.
struct Live {
    seq: u64,
    scan: Box<Scan>,
    decision: Decision,
}

impl Live {
    fn open(self, disk: &dyn Disk, kind: FileKind) -> Result<ActiveFile, RecoveryError> {
        let path = wal_path(self.seq);
        let opened = disk.open(&path, kind);
        let file = opened.map_err(|error| io_error("opening", &path, error))?;
        let rewritten = disk
            .open(&path, FileKind::Read)
            .and_then(|source| rewrite(source.as_ref(), file.as_ref(), self.scan.last_frame));
        rewritten.map_err(|error| io_error("writing", &path, error))?;
        Ok(ActiveFile {
            file,
            seq: self.seq,
            nonce: self.scan.header.nonce,
            position: self.scan.end,
            file_bytes: self.scan.header.file_bytes,
            is_sealed: self.decision == Decision::ReplayAndRoll,
        })
    }
}

/// Writes the last frame once more, as it is, and syncs it. The frames before it were synced
/// before it was written. Its own sync may have failed, and then the system holds it in memory,
/// takes it for stored, and a mere sync would succeed without storing it.
///
/// `source` is read in the way that the frame was read and judged.
fn rewrite(source: &dyn DiskFile, file: &dyn DiskFile, (start, end): (u64, u64)) -> io::Result<()> {
    let mut buf = AlignedBuf::default();
    buf.resize(usize::try_from(end - start).map_err(io::Error::other)?);
    if source.read_at(buf.as_mut_slice(), start)? < buf.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    file.write_at(buf.as_slice(), start)?;
    file.sync_data()
}

struct Run<'a> {
    disk: &'a dyn Disk,
    config: &'a WalConfig,
    replay: Replay,
    report: RecoveryReport,
}

impl Run<'_> {
    /// Reads the newest file first, since it says which others count, and replays it last.
    fn read_all(&mut self, inventory: &Inventory) -> Result<Option<Live>, RecoveryError> {
        let Some(last_seq) = inventory.wal_files.keys().max().copied() else {
            return Ok(None);
        };
        let mut last = self.read(last_seq, true)?;
        let first_live_seq = last.scan.first_live_seq;
        for seq in inventory
            .wal_files
            .range(..first_live_seq)
            .map(|file| *file.0)
        {
            self.report.files.push(FileReport {
                seq,
                verdict: verdict(decide(FileFacts::Obsolete)),
                end_bytes: 0,
                frame_count: 0,
                entry_count: 0,
            });
        }
        for seq in first_live_seq..last_seq {
            if !inventory.wal_files.contains_key(&seq) {
                return Err(corrupt(seq, 0, CorruptReason::MissingFile));
            }
            let mut live = self.read(seq, false)?;
            self.replay(&mut live)?;
        }
        self.replay(&mut last)?;
        Ok(Some(last))
    }

    fn read(&self, seq: u64, is_last: bool) -> Result<Live, RecoveryError> {
        let path = wal_path(seq);
        let scanned = scan(self.disk, self.config, seq);
        let (file, scanned) = scanned.map_err(|error| io_error("reading", &path, error))?;
        let (content, scan) = match scanned {
            Scanned::Read(scan) => (Ok(scan.content), Some(scan)),
            Scanned::Unusable(fault) => (Err(fault), None),
            Scanned::Undecodable { position } => {
                return Err(corrupt(seq, position, CorruptReason::Undecodable));
            }
        };
        let decision = decide(FileFacts::Live { is_last, content });
        let scan = match (decision, scan) {
            (Decision::Refuse(refusal), scan) => {
                return Err(refused(seq, refusal, scan.as_deref()));
            }
            (_, scan) => scan.expect("a file without content is refused"),
        };
        self.make_durable(&path, file.as_ref())?;
        Ok(Live {
            seq,
            scan,
            decision,
        })
    }

    /// What is about to be trusted may be in the page cache alone.
    fn make_durable(&self, path: &str, file: &dyn DiskFile) -> Result<(), RecoveryError> {
        let synced = file.sync_data();
        synced.map_err(|error| io_error("sync", path, error))
    }

    fn replay(&mut self, live: &mut Live) -> Result<(), RecoveryError> {
        let (seq, scan) = (live.seq, &mut live.scan);
        self.replay.live.add_file(seq, scan.header.file_bytes);
        let mut report = FileReport {
            seq,
            verdict: verdict(live.decision),
            end_bytes: scan.end,
            frame_count: 0,
            entry_count: 0,
        };
        for frame in std::mem::take(&mut scan.frames) {
            report.frame_count += 1;
            report.entry_count += entry_count(&frame.records);
            let applied = self.replay.apply(seq, frame.records);
            applied.map_err(|error| corrupt(seq, frame.position, gap(&error)))?;
        }
        self.report.files.push(report);
        Ok(())
    }
}

fn entry_count(records: &[WalRecord]) -> u64 {
    let counts = records.iter().map(|record| match record {
        WalRecord::Entries { entries, .. } => entries.len() as u64,
        WalRecord::HardState { .. } | WalRecord::Reset { .. } => 0,
    });
    counts.sum()
}

fn verdict(decision: Decision) -> FileVerdict {
    match decision {
        Decision::Replay | Decision::ReplayAndRoll => FileVerdict::Whole,
        Decision::ReplayAndAppend => FileVerdict::Continued,
        Decision::ReplayAndCut => FileVerdict::TornTailCut,
        Decision::Remove | Decision::Refuse(_) => FileVerdict::Obsolete,
    }
}

fn gap(error: &WalError) -> CorruptReason {
    match *error {
        WalError::Gap {
            group,
            index,
            expected,
        } => CorruptReason::Gap {
            group,
            index,
            expected,
        },
        WalError::Failed { .. } | WalError::Closed | WalError::TooLarge { .. } => {
            CorruptReason::Undecodable
        }
    }
}

fn refused(seq: u64, refusal: Refusal, scan: Option<&Scan>) -> RecoveryError {
    let end = scan.map_or(0, |scan| scan.end);
    let behind = scan.and_then(|scan| scan.behind).unwrap_or(end);
    match refusal {
        Refusal::Header(HeaderFault::UnknownVersion) => RecoveryError::UnknownVersion {
            file: wal_path(seq),
        },
        Refusal::Header(HeaderFault::Damaged) => corrupt(seq, 0, CorruptReason::HeaderDamaged),
        Refusal::Header(HeaderFault::OtherSeq) => corrupt(seq, 0, CorruptReason::OtherFile),
        Refusal::Header(HeaderFault::ShortFile) => corrupt(seq, 0, CorruptReason::ShortFile),
        Refusal::NoOpening => corrupt(seq, end, CorruptReason::NoOpening),
        Refusal::NoEnd => corrupt(seq, end, CorruptReason::NoEnd),
        Refusal::DamagedFrame => corrupt(seq, end, CorruptReason::DamagedFrame { behind }),
    }
}

fn corrupt(seq: u64, position: u64, reason: CorruptReason) -> RecoveryError {
    RecoveryError::Corrupt {
        file: wal_path(seq),
        position,
        reason,
    }
}

fn io_error(action: &'static str, file: &str, source: io::Error) -> RecoveryError {
    RecoveryError::Io {
        action,
        file: file.to_owned(),
        source,
    }
}
