//! Reading one file from its header to its last frame.

use std::{io, sync::Arc};

use bytes::Bytes;

use crate::disk::{BLOCK_BYTES, Disk, DiskFile, FileKind};

use super::{
    WalConfig, WalRecord, body,
    decide::{Content, HeaderFault, Tail},
    format::{
        FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FileHeader, FileHeaderError, FrameHeader, FrameKind,
        is_intact,
    },
    names::wal_path,
};

/// How much is read at once.
const CHUNK_BYTES: usize = 4 << 20;

/// One frame's records.
#[derive(Debug)]
pub(super) struct ScannedFrame {
    pub(super) position: u64,
    pub(super) records: Vec<WalRecord>,
}

/// What a file with a good header holds.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) header: FileHeader,
    pub(super) frames: Vec<ScannedFrame>,
    pub(super) content: Content,
    /// Where the frames end: position of the seal, of the first block that is no frame, or the
    /// file's end.
    pub(super) end: u64,
    /// Start and end of the last frame, the seal if there is one.
    pub(super) last_frame: (u64, u64),
    /// Where the frame's start is that should not be there.
    pub(super) behind: Option<u64>,
    /// As the last frame has it.
    pub(super) first_live_seq: u64,
}

/// What became of reading one file.
pub(super) enum Scanned {
    /// The header counts.
    Read(Box<Scan>),
    /// It does not.
    Unusable(HeaderFault),
    /// A frame has the right checksum and yet is not made of records.
    Undecodable {
        /// The frame's position.
        position: u64,
    },
}

/// Opens and reads the file `seq`.
pub(super) fn scan(
    disk: &dyn Disk,
    config: &WalConfig,
    seq: u64,
) -> io::Result<(Arc<dyn DiskFile>, Scanned)> {
    let file = disk.open(&wal_path(seq), FileKind::Read)?;
    let scanned = match read_header(file.as_ref(), seq)? {
        Ok(header) => scan_frames(file.as_ref(), config, header)?,
        Err(fault) => Scanned::Unusable(fault),
    };
    Ok((file, scanned))
}

fn read_header(file: &dyn DiskFile, seq: u64) -> io::Result<Result<FileHeader, HeaderFault>> {
    let mut block = vec![0; FILE_HEADER_BYTES];
    if file.read_at(&mut block, 0)? < block.len() {
        return Ok(Err(HeaderFault::ShortFile));
    }
    let header = match FileHeader::decode(&block) {
        Ok(header) => header,
        Err(FileHeaderError::Damaged) => return Ok(Err(HeaderFault::Damaged)),
        Err(FileHeaderError::UnknownVersion(_)) => return Ok(Err(HeaderFault::UnknownVersion)),
    };
    if header.seq != seq {
        return Ok(Err(HeaderFault::OtherSeq));
    }
    if file.size_bytes()? < header.file_bytes {
        return Ok(Err(HeaderFault::ShortFile));
    }
    Ok(Ok(header))
}

/// What stands at one position.
enum Found {
    Frame(FrameHeader, Bytes),
    Nothing,
    Torn,
}

fn scan_frames(file: &dyn DiskFile, config: &WalConfig, header: FileHeader) -> io::Result<Scanned> {
    let mut chunks = Chunks::new(file, header.file_bytes);
    let mut frames = Vec::new();
    let mut end = FILE_HEADER_BYTES as u64;
    let mut last_frame = (end, end);
    let mut first_live_seq = header.first_live_seq;
    let tail = loop {
        if end >= header.file_bytes {
            break Tail::Full;
        }
        let (frame, body) = match find_frame(&mut chunks, config, &header, end)? {
            Found::Frame(frame, body) => (frame, body),
            Found::Nothing => break Tail::Open,
            Found::Torn => break Tail::Torn,
        };
        first_live_seq = first_live_seq.max(frame.first_live_seq);
        last_frame = (end, end + frame.padded_bytes() as u64);
        if frame.kind == FrameKind::Seal {
            break Tail::Sealed;
        }
        let position = end;
        let Ok(records) = body::decode(body, frame.record_count) else {
            return Ok(Scanned::Undecodable { position });
        };
        frames.push(ScannedFrame { position, records });
        end = last_frame.1;
    };
    let behind = match tail {
        Tail::Open | Tail::Torn => find_behind(file, &header, end + BLOCK_BYTES as u64)?,
        Tail::Sealed | Tail::Full | Tail::FrameBehind => None,
    };
    let tail = if behind.is_some() {
        Tail::FrameBehind
    } else {
        tail
    };
    let has_opening = !frames.is_empty();
    Ok(Scanned::Read(Box::new(Scan {
        header,
        frames,
        content: Content { has_opening, tail },
        end,
        last_frame,
        behind,
        first_live_seq,
    })))
}

fn find_frame(
    chunks: &mut Chunks<'_>,
    config: &WalConfig,
    header: &FileHeader,
    position: u64,
) -> io::Result<Found> {
    let start = chunks.at(position, BLOCK_BYTES)?;
    let Some(frame) = FrameHeader::decode(&start) else {
        return Ok(Found::Nothing);
    };
    let is_of_this_use = (frame.seq, frame.nonce) == (header.seq, header.nonce);
    if frame.position != position || !(is_of_this_use || config.accepts_recycled()) {
        return Ok(Found::Nothing);
    }
    let is_inside = frame.padded_bytes() as u64 <= header.file_bytes - position;
    let live_seqs = header.first_live_seq..=header.seq;
    if !is_inside || (is_of_this_use && !live_seqs.contains(&frame.first_live_seq)) {
        return Ok(Found::Torn);
    }
    let bytes = chunks.at(position, frame.unpadded_bytes())?;
    if is_intact(&bytes) || config.skips_torn_tail_check() {
        Ok(Found::Frame(frame, bytes.slice(FRAME_HEADER_BYTES..)))
    } else {
        Ok(Found::Torn)
    }
}

/// The first start of a frame of this use of the file at `from` or behind. Its start is proof
/// enough: the writer puts down a frame once the one before it is synced.
fn find_behind(file: &dyn DiskFile, header: &FileHeader, from: u64) -> io::Result<Option<u64>> {
    let mut chunk = Vec::new();
    let mut position = from;
    while position < header.file_bytes {
        chunk.resize(chunk_len(header.file_bytes - position), 0);
        read_exact(file, &mut chunk, position)?;
        for block in chunk.chunks(BLOCK_BYTES) {
            let is_frame = FrameHeader::decode(block).is_some_and(|frame| {
                (frame.seq, frame.nonce, frame.position) == (header.seq, header.nonce, position)
            });
            if is_frame {
                return Ok(Some(position));
            }
            position += block.len() as u64;
        }
    }
    Ok(None)
}

fn chunk_len(left_bytes: u64) -> usize {
    usize::try_from(left_bytes).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES))
}

fn read_exact(file: &dyn DiskFile, buf: &mut [u8], position: u64) -> io::Result<()> {
    if file.read_at(buf, position)? < buf.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// A file's bytes, read in large pieces that the records then share.
struct Chunks<'a> {
    file: &'a dyn DiskFile,
    file_bytes: u64,
    chunk: Bytes,
    chunk_start: u64,
}

impl<'a> Chunks<'a> {
    fn new(file: &'a dyn DiskFile, file_bytes: u64) -> Self {
        Self {
            file,
            file_bytes,
            chunk: Bytes::new(),
            chunk_start: 0,
        }
    }

    /// `len` bytes at `position`, both within the file.
    fn at(&mut self, position: u64, len: usize) -> io::Result<Bytes> {
        let within = position
            .checked_sub(self.chunk_start)
            .and_then(|skip| usize::try_from(skip).ok())
            .filter(|skip| skip + len <= self.chunk.len());
        if let Some(skip) = within {
            return Ok(self.chunk.slice(skip..skip + len));
        }
        let mut chunk = vec![0; chunk_len(self.file_bytes - position).max(len)];
        read_exact(self.file, &mut chunk, position)?;
        self.chunk = Bytes::from(chunk);
        self.chunk_start = position;
        Ok(self.chunk.slice(..len))
    }
}
