//! The writer: encode, write, sync, and move on to the next file.

use std::{collections::BTreeMap, io, sync::Arc};

use weir_model::GroupId;

use crate::{
    clock::Entropy,
    disk::{AlignedBuf, Disk, DiskFile, FileKind},
};

use super::{
    CommitError, RecoveredGroup, RecoveryError, RecoveryReport, SpareMaker, WalConfig, WalError,
    WalFigures, WalRecord, body,
    config::{MAX_BODY_BYTES, QUICK_FILE_BYTES},
    format::{FILE_HEADER_BYTES, FileHeader, FrameHeader, FrameKind, encode_frame, frame_bytes},
    live::LiveFiles,
    names::{DIR, wal_path},
    recovery,
    room::Room,
    spares::{SparePool, is_full},
};

/// The file that is written to.
pub(super) struct ActiveFile {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) seq: u64,
    pub(super) nonce: u64,
    /// Where the next frame goes.
    pub(super) position: u64,
    pub(super) file_bytes: u64,
    /// Nothing more goes into this file.
    pub(super) is_sealed: bool,
}

impl ActiveFile {
    fn has_room_for(&self, bytes: usize) -> bool {
        !self.is_sealed && self.file_bytes - self.position >= bytes as u64
    }
}

/// The write-ahead log, owned by the thread that writes it.
pub struct Wal {
    disk: Arc<dyn Disk>,
    config: WalConfig,
    pool: Arc<SparePool>,
    room: Arc<Room>,
    nonces: Nonces,
    /// `None` until the first file of an empty log is made.
    active: Option<ActiveFile>,
    live: LiveFiles,
    /// The oldest file needed, as stable storage has it.
    first_live_seq: u64,
    buffer: AlignedBuf,
    failure: Option<WalError>,
}

/// Nonces that differ between files and between runs.
pub(super) struct Nonces {
    seed: u64,
}

impl Nonces {
    pub(super) fn new(entropy: &dyn Entropy) -> Self {
        Self {
            seed: entropy.next_u64(),
        }
    }

    /// Mixes the file's number into the seed; one to one for a given seed.
    fn for_file(&self, seq: u64) -> u64 {
        let mut mixed = self.seed ^ seq.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// What recovery hands to the writer.
pub(super) struct Opened {
    pub(super) pool: SparePool,
    pub(super) active: Option<ActiveFile>,
    pub(super) live: LiveFiles,
    pub(super) first_live_seq: u64,
}

impl Wal {
    /// Reads what is there, makes sure that it is on stable storage, and gets ready to write.
    pub fn open(
        disk: Arc<dyn Disk>,
        entropy: &dyn Entropy,
        config: WalConfig,
    ) -> Result<(Self, BTreeMap<GroupId, RecoveredGroup>, RecoveryReport), RecoveryError> {
        config.check()?;
        let kind = if disk.supports_direct() {
            FileKind::Direct
        } else {
            FileKind::Buffered
        };
        tracing::info!(?kind, "write-ahead log opens");
        let (opened, groups, report) = recovery::recover(&disk, &config, kind)?;
        let mut wal = Self {
            room: Arc::clone(opened.pool.room()),
            pool: Arc::new(opened.pool),
            disk,
            config,
            nonces: Nonces::new(entropy),
            active: opened.active,
            live: opened.live,
            first_live_seq: opened.first_live_seq,
            buffer: AlignedBuf::default(),
            failure: None,
        };
        if wal.active.is_none() {
            wal.roll(0).map_err(|error| RecoveryError::Io {
                action: "making the first file",
                file: DIR.to_owned(),
                source: io::Error::other(error),
            })?;
        }
        wal.publish_length();
        Ok((wal, groups, report))
    }

    /// Writes the records as one frame and syncs it. Entries come before the hard state that
    /// commits them. No records are fine: the frame then only says which files are needed.
    pub fn commit(&mut self, records: &[WalRecord]) -> Result<(), CommitError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into());
        }
        self.live.check(records)?;
        let body_bytes = body::body_bytes(records);
        if body_bytes > MAX_BODY_BYTES {
            return Err(CommitError::Refused(WalError::TooLarge {
                bytes: body_bytes,
                max_bytes: MAX_BODY_BYTES,
            }));
        }
        let bytes = frame_bytes(body_bytes);
        if !self.active().has_room_for(bytes) {
            self.roll(bytes)?;
        }
        let first_live_seq = self.live.first_live_seq().max(self.first_live_seq);
        self.write_records(records, first_live_seq)?;
        let seq = self.active().seq;
        records
            .iter()
            .for_each(|record| self.live.note(seq, record));
        self.retire(first_live_seq);
        Ok(())
    }

    /// For a clean end: puts an empty frame behind the last one, so that damage to that one
    /// cannot be taken for a torn tail later. Best effort, since nothing depends on it.
    pub fn guard_tail(&mut self) {
        if let Err(error) = self.commit(&[]) {
            tracing::warn!(%error, "the write-ahead log's tail stays unguarded");
        }
    }

    /// The group's entries up to `index` are stored elsewhere. Takes effect with a later commit.
    pub fn release(&mut self, group: GroupId, index: u64) {
        self.live.release(group, index);
    }

    /// Whether an empty commit would free a file.
    pub fn has_obsolete(&self) -> bool {
        self.failure.is_none() && self.live.first_live_seq() > self.first_live_seq
    }

    /// The other half, which keeps files ready.
    pub fn spare_maker(&self) -> SpareMaker {
        SpareMaker::new(Arc::clone(&self.pool))
    }

    /// What was done since the log was opened.
    pub fn figures(&self) -> WalFigures {
        self.room.figures()
    }

    /// Whether there is room for new work.
    pub fn accepts(&self) -> bool {
        self.room.accepts()
    }

    pub(super) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    pub(super) fn config(&self) -> &WalConfig {
        &self.config
    }

    fn active(&self) -> &ActiveFile {
        let active = self.active.as_ref();
        active.expect("an open log has a file to write to")
    }

    fn write_records(
        &mut self,
        records: &[WalRecord],
        first_live_seq: u64,
    ) -> Result<(), WalError> {
        let header = self.frame_header(FrameKind::Records, records, first_live_seq);
        self.buffer.clear();
        encode_frame(&mut self.buffer, header, |out| {
            records.iter().for_each(|record| body::encode(record, out));
        });
        self.write_frame()
    }

    fn frame_header(
        &self,
        kind: FrameKind,
        records: &[WalRecord],
        first_live_seq: u64,
    ) -> FrameHeader {
        let active = self.active();
        FrameHeader {
            kind,
            seq: active.seq,
            nonce: active.nonce,
            position: active.position,
            first_live_seq,
            record_count: u32::try_from(records.len())
                .expect("records within a body are fewer than 2^32"),
            body_bytes: body::body_bytes(records),
        }
    }

    /// Writes and syncs the frame in the buffer. After a failure nobody knows what is stored:
    /// nothing is written ever after.
    fn write_frame(&mut self) -> Result<(), WalError> {
        let active = self.active();
        let written = active
            .file
            .write_at(self.buffer.as_slice(), active.position);
        written.map_err(|error| self.fail("write", &error))?;
        if !self.config.skips_sync() {
            let synced = self.active().file.sync_data();
            synced.map_err(|error| self.fail("sync", &error))?;
            self.room.counters.synced();
        }
        let bytes = self.buffer.len();
        self.room.counters.wrote_frame(bytes);
        let active = self.active.as_mut();
        active.expect("an open log has a file to write to").position += bytes as u64;
        if bytes > 2 * self.config.max_frame_bytes {
            self.buffer = AlignedBuf::default();
        }
        Ok(())
    }

    /// Goes on in a new file that has room for a frame of `frame_bytes`. The file gets its name
    /// last: until then nothing has changed but the seal.
    fn roll(&mut self, frame_bytes: usize) -> Result<(), CommitError> {
        let hard_states = self.live.hard_states();
        let opening_bytes = self::frame_bytes(body::body_bytes(&hard_states));
        let min_bytes = FILE_HEADER_BYTES + opening_bytes + frame_bytes;
        let taken = self.pool.take(min_bytes as u64, QUICK_FILE_BYTES);
        let (path, file_bytes) = taken.map_err(|error| self.fail_unless_full("file", &error))?;
        let started = self.start_file(&path, file_bytes, &hard_states);
        let next = match started {
            Ok(next) => next,
            Err(error) => {
                self.pool.discard(&path);
                return Err(self.fail_unless_full("file header", &error));
            }
        };
        self.seal()?;
        let renamed = self.disk.rename(&path, &wal_path(next.seq));
        renamed.map_err(|error| {
            self.pool.discard(&path);
            self.fail_unless_full("rename", &error)
        })?;
        let synced = self.disk.sync_dir(DIR);
        synced.map_err(|error| self.fail("sync of the directory", &error))?;
        self.live.add_file(next.seq, next.file_bytes);
        self.active = Some(next);
        self.room
            .counters
            .files
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.publish_length();
        Ok(())
    }

    /// Writes header and opening frame, and syncs them.
    fn start_file(
        &mut self,
        path: &str,
        file_bytes: u64,
        hard_states: &[WalRecord],
    ) -> io::Result<ActiveFile> {
        let seq = self.active.as_ref().map_or(1, |active| active.seq + 1);
        let nonce = self.nonces.for_file(seq);
        let first_live_seq = self.first_live_seq;
        let file = self.pool.open_for_writing(path)?;
        let header = FileHeader {
            seq,
            nonce,
            first_live_seq,
            file_bytes,
        };
        let opening = FrameHeader {
            kind: FrameKind::Records,
            seq,
            nonce,
            position: FILE_HEADER_BYTES as u64,
            first_live_seq,
            record_count: u32::try_from(hard_states.len()).expect("group ids have 32 bits"),
            body_bytes: body::body_bytes(hard_states),
        };
        self.buffer.clear();
        header.encode(&mut self.buffer);
        encode_frame(&mut self.buffer, opening, |out| {
            hard_states
                .iter()
                .for_each(|record| body::encode(record, out));
        });
        file.write_at(self.buffer.as_slice(), 0)?;
        file.sync_data()?;
        self.room.counters.synced();
        self.room.counters.wrote_frame(self.buffer.len());
        Ok(ActiveFile {
            file,
            seq,
            nonce,
            position: self.buffer.len() as u64,
            file_bytes,
            is_sealed: false,
        })
    }

    /// Marks the end of the file in use, if there is one and it has an end to be marked.
    fn seal(&mut self) -> Result<(), WalError> {
        let Some(active) = self.active.as_ref() else {
            return Ok(());
        };
        if active.has_room_for(frame_bytes(0)) {
            let header = self.frame_header(FrameKind::Seal, &[], self.first_live_seq);
            self.buffer.clear();
            encode_frame(&mut self.buffer, header, |_| {});
            self.write_frame()?;
        }
        let active = self.active.as_mut();
        active.expect("it was there above").is_sealed = true;
        Ok(())
    }

    /// Lets go of the files below `first_live_seq`, which stable storage has by now.
    fn retire(&mut self, first_live_seq: u64) {
        if first_live_seq > self.first_live_seq {
            self.first_live_seq = first_live_seq;
            self.pool.recycle(self.live.take_below(first_live_seq));
            self.publish_length();
        }
    }

    fn publish_length(&self) {
        let bytes = self.live.total_bytes();
        // Only new work makes the log leave its newest file: alone, it must not refuse any.
        let is_too_long = !self.live.is_one_file()
            && bytes.saturating_add(self.config.file_size_bytes) > self.config.max_total_bytes;
        self.room.set_live_bytes(bytes, is_too_long);
    }

    fn fail_unless_full(&mut self, stage: &'static str, error: &io::Error) -> CommitError {
        if is_full(error) {
            self.pool.report_full();
            return CommitError::Full;
        }
        CommitError::Refused(self.fail(stage, error))
    }

    fn fail(&mut self, stage: &'static str, error: &io::Error) -> WalError {
        let reason = error.to_string();
        tracing::error!(
            stage,
            reason,
            "write-ahead log failed: nothing is acknowledged from here"
        );
        let failure = WalError::Failed { stage, reason };
        self.failure = Some(failure.clone());
        self.room.set_failed();
        failure
    }
}

impl std::fmt::Debug for Wal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wal")
            .field("first_live_seq", &self.first_live_seq)
            .field("seq", &self.active.as_ref().map(|active| active.seq))
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}
