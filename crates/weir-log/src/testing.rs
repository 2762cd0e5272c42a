//! What this crate's tests share: batches, a clock, disks that fail.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use weir_model::{
    Offset, PartitionId,
    batch::{BatchHeader, Codec, HEADER_BYTES, PATCHED_BYTES, patched_head, verify_crc},
    record::{Records, write_record},
};

use crate::{
    clock::{Clock, Millis},
    codec::{compress, decompress},
    disk::{DirEntry, Disk, DiskFile, FileKind, RealDisk},
    partition::{
        FlushError, FlushJob, PartitionLog, PartitionManifest, PartitionStore, Read, ReadBatches,
        ReadError, SegmentPolicy, StoreConfig,
    },
    tail::TailBatch,
};

/// The partition that most tests use.
pub(crate) const P: PartitionId = PartitionId(0x0700_0001);

/// A directory that is removed in the end.
pub(crate) struct TempDir(pub(crate) PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let name = format!("weir-log-part-{}-{serial}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    pub(crate) fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(RealDisk::open(&self.0).unwrap())
    }

    pub(crate) fn partition_file(&self, name: &str) -> PathBuf {
        self.0.join("partitions").join(P.to_string()).join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A clock that stands until it is moved.
#[derive(Default)]
pub(crate) struct HandClock(pub(crate) AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::Relaxed))
    }

    fn monotonic_ns(&self) -> u64 {
        0
    }
}

/// A record to be put into a batch: offset delta, time, key, value.
pub(crate) type Rec<'a> = (u32, i64, Option<&'a str>, Option<&'a str>);

/// How to build a batch.
#[derive(Clone, Copy)]
pub(crate) struct Make {
    pub(crate) codec: Codec,
    pub(crate) producer: i64,
    pub(crate) base_sequence: i32,
    pub(crate) attributes: i16,
}

impl Default for Make {
    fn default() -> Self {
        Self {
            codec: Codec::None,
            producer: -1,
            base_sequence: -1,
            attributes: 0,
        }
    }
}

impl Make {
    pub(crate) fn codec(codec: Codec) -> Self {
        Self {
            codec,
            ..Self::default()
        }
    }

    /// A batch with base offset 0, as a client sends it.
    pub(crate) fn batch(self, records: &[Rec<'_>]) -> Bytes {
        let base_ms = records.first().map_or(-1, |record| record.1);
        let max_ms = records.iter().map(|record| record.1).max().unwrap_or(-1);
        let mut body = Vec::new();
        for (delta, time_ms, key, value) in records {
            let (key, value) = (key.map(str::as_bytes), value.map(str::as_bytes));
            write_record(time_ms - base_ms, *delta, key, value, &mut body);
        }
        let body = compress(self.codec, &body).unwrap();
        let last_delta = records.last().map_or(0, |record| record.0);
        let codec_bits = match self.codec {
            Codec::None => 0,
            Codec::Gzip => 1,
            Codec::Snappy => 2,
            Codec::Lz4 => 3,
            Codec::Zstd => 4_i16,
        };
        let mut out = vec![0; HEADER_BYTES];
        out[..PATCHED_BYTES].copy_from_slice(&patched_head(
            Offset(0),
            HEADER_BYTES + body.len(),
            0,
        ));
        out[16] = 2;
        out[21..23].copy_from_slice(&(codec_bits | self.attributes).to_be_bytes());
        out[23..27].copy_from_slice(&last_delta.to_be_bytes());
        out[27..35].copy_from_slice(&base_ms.to_be_bytes());
        out[35..43].copy_from_slice(&max_ms.to_be_bytes());
        out[43..51].copy_from_slice(&self.producer.to_be_bytes());
        out[51..53].copy_from_slice(&0_i16.to_be_bytes());
        out[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        let count = u32::try_from(records.len()).unwrap();
        out[57..61].copy_from_slice(&count.to_be_bytes());
        out.extend_from_slice(&body);
        let crc = crc32c::crc32c(&out[21..]);
        out[17..21].copy_from_slice(&crc.to_be_bytes());
        out.into()
    }
}

/// A batch of one record whose value has `size` bytes.
pub(crate) fn sized(time_ms: i64, size: usize) -> Bytes {
    let value = "v".repeat(size);
    Make::default().batch(&[(0, time_ms, Some("k"), Some(&value))])
}

/// A store with one partition.
pub(crate) struct Bench {
    pub(crate) store: Arc<PartitionStore>,
    pub(crate) log: Arc<PartitionLog>,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) policy: SegmentPolicy,
}

impl Bench {
    pub(crate) fn open(disk: Arc<dyn Disk>, manifest: PartitionManifest, budget: u64) -> Self {
        let clock = Arc::new(HandClock::default());
        let config = StoreConfig {
            tail_budget_bytes: budget,
            cold_thread_count: 0,
            open_file_count: 3,
            ..StoreConfig::default()
        };
        let store = PartitionStore::open(disk, Arc::<HandClock>::clone(&clock), config);
        let log = store.partition(P, manifest);
        Self {
            store,
            log,
            clock,
            policy: SegmentPolicy {
                segment_bytes: 1000,
                segment_ms: 1_000_000,
            },
        }
    }

    pub(crate) fn append(&self, batch: Bytes) {
        append(&self.store, &self.log, batch);
    }

    pub(crate) fn job(&self) -> FlushJob {
        FlushJob {
            partition: Arc::clone(&self.log),
            up_to: self.log.end_offset(),
            policy: self.policy,
        }
    }

    /// Flushes and installs.
    pub(crate) fn flush(&self) -> Result<PartitionManifest, FlushError> {
        let manifests = self.store.flush(&[self.job()])?;
        let manifest = manifests[0].1.clone();
        self.store.installed(manifests);
        Ok(manifest)
    }

    /// Reads by whatever way it takes.
    pub(crate) fn read(
        &self,
        from: u64,
        max_bytes: usize,
        min_one: bool,
    ) -> Result<ReadBatches, ReadError> {
        match self.log.read(Offset(from), max_bytes, min_one) {
            Read::Batches(batches) => Ok(batches),
            Read::Cold(cold) => self.store.run_cold(&cold),
            Read::AtEnd => Ok(ReadBatches::default()),
            Read::OutOfRange { start, end } => Err(ReadError::OutOfRange { start, end }),
        }
    }

    /// Reads all from `from` on in steps.
    pub(crate) fn read_all(&self, from: u64, max_bytes: usize) -> Result<Vec<u8>, ReadError> {
        let mut all = Vec::new();
        let mut at = from;
        while at < self.log.end_offset().0 {
            let batches = self.read(at, max_bytes, true)?;
            assert!(batches.next_offset.0 > at, "a read goes on");
            let bytes = batches.chunks.concat();
            assert_eq!(bytes.len(), batches.size_bytes);
            all.extend_from_slice(&bytes);
            at = batches.next_offset.0;
        }
        Ok(all)
    }
}

pub(crate) fn append(store: &PartitionStore, log: &PartitionLog, batch: Bytes) {
    let header = BatchHeader::parse(&batch).unwrap();
    let base = log.end_offset();
    log.append(TailBatch {
        base_offset: base,
        last_offset: base.plus(u64::from(header.last_offset_delta)),
        max_timestamp_ms: header.max_timestamp_ms,
        leader_epoch: 4,
        pin: store.pin(batch.len(), 1),
        bytes: batch,
    });
}

/// A decoded record: offset, time, key, value.
pub(crate) type Got = (i64, i64, Option<String>, Option<String>);

/// All headers of a run of batches, checksums verified.
pub(crate) fn headers(mut bytes: &[u8]) -> Vec<BatchHeader> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let header = BatchHeader::parse(bytes).unwrap();
        let (batch, rest) = bytes.split_at(header.size_bytes);
        verify_crc(batch).unwrap();
        assert_eq!(header.leader_epoch, 4);
        out.push(header);
        bytes = rest;
    }
    out
}

/// All records of a run of batches.
pub(crate) fn records(mut bytes: &[u8]) -> Vec<Got> {
    let text = |field: Option<&[u8]>| field.map(|f| String::from_utf8(f.to_vec()).unwrap());
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let header = BatchHeader::parse(bytes).unwrap();
        let (batch, rest) = bytes.split_at(header.size_bytes);
        let body = decompress(header.codec, &batch[HEADER_BYTES..], 1 << 20);
        let body = if header.record_count == 0 {
            Vec::new()
        } else {
            body.unwrap()
        };
        for record in Records::new(&body, header.record_count) {
            let record = record.unwrap();
            out.push((
                header.base_offset + i64::from(record.offset_delta),
                header.base_timestamp_ms + record.timestamp_delta_ms,
                text(record.key),
                text(record.value),
            ));
        }
        bytes = rest;
    }
    out
}

/// A disk in memory with a limit on its bytes, a switch for each kind of failure, and counters.
#[derive(Default)]
pub(crate) struct MemDisk {
    pub(crate) shared: Arc<MemShared>,
}

#[derive(Default)]
pub(crate) struct MemShared {
    files: Mutex<BTreeMap<String, Arc<Mutex<Vec<u8>>>>>,
    /// Bytes that may still be written; negative: no limit.
    pub(crate) left_bytes: AtomicI64,
    /// Reads wait for this.
    pub(crate) reads_hang: Mutex<()>,
    /// Sync fails when set to 1.
    pub(crate) sync_fails: AtomicU64,
    pub(crate) open_count: AtomicU64,
    pub(crate) sync_count: AtomicU64,
    pub(crate) sync_everything_count: AtomicU64,
}

struct MemFile {
    bytes: Arc<Mutex<Vec<u8>>>,
    shared: Arc<MemShared>,
}

impl MemDisk {
    pub(crate) fn shared() -> (Arc<dyn Disk>, Arc<MemShared>) {
        let disk = Self::default();
        disk.shared.left_bytes.store(-1, Ordering::Relaxed);
        let shared = Arc::clone(&disk.shared);
        (Arc::new(disk), shared)
    }
}

impl MemShared {
    /// Names and lengths of all files.
    pub(crate) fn files(&self) -> Vec<(String, usize)> {
        let files = self.files.lock().unwrap();
        let size = |bytes: &Arc<Mutex<Vec<u8>>>| bytes.lock().unwrap().len();
        files
            .iter()
            .map(|(name, bytes)| (name.clone(), size(bytes)))
            .collect()
    }
}

fn absent() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for MemDisk {
    fn open(&self, path: &str, kind: FileKind) -> io::Result<Arc<dyn DiskFile>> {
        self.shared.open_count.fetch_add(1, Ordering::Relaxed);
        let mut files = self.shared.files.lock().unwrap();
        let bytes = match kind {
            FileKind::CreateBuffered => Arc::clone(files.entry(path.to_owned()).or_default()),
            FileKind::Read | FileKind::Buffered | FileKind::Direct => {
                Arc::clone(files.get(path).ok_or_else(absent)?)
            }
        };
        let shared = Arc::clone(&self.shared);
        Ok(Arc::new(MemFile { bytes, shared }))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<DirEntry>> {
        let entry = |(path, size): (String, usize)| {
            let name = path.strip_prefix(dir)?.strip_prefix('/')?.to_owned();
            Some(DirEntry {
                name,
                size_bytes: size as u64,
            })
        };
        Ok(self.shared.files().into_iter().filter_map(entry).collect())
    }

    fn list_dirs(&self, _dir: &str) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn create_dir(&self, _dir: &str) -> io::Result<()> {
        Ok(())
    }

    fn remove_dir(&self, _dir: &str) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let removed = self.shared.files.lock().unwrap().remove(path);
        removed.map(|_| ()).ok_or_else(absent)
    }

    fn sync_dir(&self, _dir: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync_everything(&self) -> io::Result<()> {
        self.shared
            .sync_everything_count
            .fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn supports_direct(&self) -> bool {
        false
    }
}

impl DiskFile for MemFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        drop(self.shared.reads_hang.lock().unwrap());
        let bytes = self.bytes.lock().unwrap();
        let from = usize::try_from(offset).unwrap().min(bytes.len());
        let count = buf.len().min(bytes.len() - from);
        buf[..count].copy_from_slice(&bytes[from..from + count]);
        Ok(count)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut bytes = self.bytes.lock().unwrap();
        let from = usize::try_from(offset).unwrap();
        let left = self.shared.left_bytes.load(Ordering::Relaxed);
        let fits = usize::try_from(left).map_or(buf.len(), |left| buf.len().min(left));
        let end = bytes.len().max(from + fits);
        bytes.resize(end, 0);
        bytes[from..from + fits].copy_from_slice(&buf[..fits]);
        if left >= 0 {
            let left = left - i64::try_from(fits).unwrap();
            self.shared.left_bytes.store(left, Ordering::Relaxed);
        }
        if fits < buf.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.shared.sync_count.fetch_add(1, Ordering::Relaxed);
        if self.shared.sync_fails.load(Ordering::Relaxed) == 1 {
            return Err(io::Error::other("sync failed"));
        }
        Ok(())
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }

    fn set_size(&self, size_bytes: u64) -> io::Result<()> {
        let size = usize::try_from(size_bytes).unwrap();
        self.bytes.lock().unwrap().resize(size, 0);
        Ok(())
    }
}
