//! Tests of the whole log, on a disk in memory and on the machine's own.

mod damage;
mod files;
mod full_disk;
mod group_commit;
mod mem_disk;
mod model;
mod real_disk;
#[cfg(feature = "seeded-bugs")]
mod seeded;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use weir_model::{GroupId, Term};

use super::{RecoveredGroup, RecoveryError, RecoveryReport, Wal, WalConfig, WalEntry, WalRecord};
use crate::{
    clock::Entropy,
    disk::{BLOCK_BYTES, Disk},
};

use mem_disk::MemDisk;

const GROUP: GroupId = GroupId(1);
const OTHER: GroupId = GroupId(2);

type Opened = Result<(Wal, BTreeMap<GroupId, RecoveredGroup>, RecoveryReport), RecoveryError>;

/// Numbers that never come twice, over all tests.
struct Counting;

impl Entropy for Counting {
    fn next_u64(&self) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }
}

/// Files of sixteen blocks.
fn small() -> WalConfig {
    WalConfig {
        file_size_bytes: 16 * BLOCK_BYTES as u64,
        max_frame_bytes: 4 * BLOCK_BYTES,
        max_total_bytes: 16 * 16 * BLOCK_BYTES as u64,
        ..WalConfig::default()
    }
}

fn try_open(disk: &Arc<MemDisk>) -> Opened {
    let disk: Arc<dyn Disk> = Arc::<MemDisk>::clone(disk);
    Wal::open(disk, &Counting, small())
}

fn open(disk: &Arc<MemDisk>) -> Wal {
    try_open(disk).unwrap().0
}

fn reopened(disk: &Arc<MemDisk>) -> (BTreeMap<GroupId, RecoveredGroup>, RecoveryReport) {
    let (_, groups, report) = try_open(disk).unwrap();
    (groups, report)
}

fn entry(index: u64, term: u64, data: impl Into<Bytes>) -> WalEntry {
    WalEntry {
        index,
        term: Term(term),
        kind: 0,
        context: Bytes::new(),
        data: data.into(),
    }
}

/// One entry, `blocks` frame blocks long, without a zero byte in it.
fn filling(group: GroupId, index: u64, blocks: usize) -> WalRecord {
    let seed = u8::try_from(index % 200).unwrap() + 1;
    let data = vec![seed; (blocks - 1) * BLOCK_BYTES + 100];
    WalRecord::Entries {
        group,
        entries: vec![entry(index, 1, data)],
    }
}

fn indexes(groups: &BTreeMap<GroupId, RecoveredGroup>, group: GroupId) -> Vec<u64> {
    let entries = groups.get(&group).map(|group| group.entries.as_slice());
    let entries = entries.unwrap_or_default().iter();
    entries.map(|entry| entry.index).collect()
}
