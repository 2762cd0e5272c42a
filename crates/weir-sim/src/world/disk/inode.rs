//! One file's bytes: what readers see, and how to take back what was never synced.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Rng;

/// What a disk writes in one piece.
pub(super) const SECTOR_BYTES: usize = 512;

/// How much of what was not synced a crash takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    All,
    /// Each sector is taken back with these odds.
    Some(u64),
    Nothing,
}

impl Loss {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        match rng.below(4) {
            0 => Self::All,
            1 => Self::Nothing,
            _ => Self::Some(rng.between(50, 950)),
        }
    }

    fn takes(self, rng: &mut Rng) -> bool {
        match self {
            Self::All => true,
            Self::Some(per_mille) => rng.chance(per_mille),
            Self::Nothing => false,
        }
    }
}

#[derive(Debug)]
enum Undo {
    /// The sectors from `at` held `old`.
    Bytes { at: usize, old: Vec<u8> },
    /// The file was `len` long; what a cut removed was `tail`, from `tail_at`.
    Len {
        len: usize,
        tail_at: usize,
        tail: Vec<u8>,
    },
}

/// How many sectors and lengths a crash took back and kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) lost_sector_count: u64,
    pub(super) kept_sector_count: u64,
    pub(super) len_count: u64,
}

#[derive(Debug, Default)]
pub(super) struct Inode {
    live: Vec<u8>,
    undo: Vec<Undo>,
    /// Sectors that a failed sync left in memory only, with what the disk has instead.
    phantom: BTreeMap<usize, Vec<u8>>,
    /// Highest byte ever written, for the space it takes.
    pub(super) used_bytes: u64,
}

impl Inode {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.live
    }

    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    pub(super) fn write(&mut self, data: &[u8], offset: usize) {
        if data.is_empty() {
            return;
        }
        let end = offset + data.len();
        if end > self.live.len() {
            self.undo.push(Undo::Len {
                len: self.live.len(),
                tail_at: 0,
                tail: Vec::new(),
            });
        }
        let (from, to) = sectors_around(offset, end);
        let mut old = vec![0; to - from];
        if from < self.live.len() {
            let there = &self.live[from..to.min(self.live.len())];
            old[..there.len()].copy_from_slice(there);
        }
        let touched: Vec<usize> = self.phantom.range(from..to).map(|(at, _)| *at).collect();
        for at in touched {
            if let Some(on_disk) = self.phantom.remove(&at) {
                old[at - from..at - from + on_disk.len()].copy_from_slice(&on_disk);
            }
        }
        self.undo.push(Undo::Bytes { at: from, old });
        if end > self.live.len() {
            self.live.resize(end, 0);
        }
        self.live[offset..end].copy_from_slice(data);
    }

    pub(super) fn set_len(&mut self, len: usize) {
        if len == self.live.len() {
            return;
        }
        let tail_at = len.min(self.live.len());
        self.undo.push(Undo::Len {
            len: self.live.len(),
            tail_at,
            tail: self.live[tail_at..].to_vec(),
        });
        self.live.resize(len, 0);
        self.phantom.split_off(&len);
    }

    pub(super) fn is_clean(&self) -> bool {
        self.undo.is_empty()
    }

    pub(super) fn sync(&mut self) {
        self.undo.clear();
    }

    /// A sync that fails: everything dirty counts as clean; what `loss` takes is in memory only.
    pub(super) fn fail_sync(&mut self, rng: &mut Rng, loss: Loss) {
        let mut lens = Vec::new();
        let mut settled = BTreeSet::new();
        for undo in std::mem::take(&mut self.undo).into_iter().rev() {
            let (at, old) = match undo {
                Undo::Bytes { at, old } => (at, old),
                Undo::Len { .. } => {
                    lens.push(undo);
                    continue;
                }
            };
            for (place, sector) in old.chunks(SECTOR_BYTES).enumerate() {
                let at = at + place * SECTOR_BYTES;
                if !settled.contains(&at) && loss.takes(rng) {
                    self.phantom.insert(at, sector.to_vec());
                } else {
                    settled.insert(at);
                }
            }
        }
        lens.reverse();
        self.undo = lens;
    }

    /// The power goes: everything since the last sync may be taken back.
    pub(super) fn crash(&mut self, rng: &mut Rng, loss: Loss) -> Taken {
        self.evict(|_| true);
        let mut taken = Taken::default();
        let mut settled = BTreeSet::new();
        let mut len = self.live.len();
        let mut len_settled = false;
        for undo in std::mem::take(&mut self.undo).into_iter().rev() {
            match undo {
                Undo::Bytes { at, old } => {
                    for (place, sector) in old.chunks(SECTOR_BYTES).enumerate() {
                        let at = at + place * SECTOR_BYTES;
                        if !settled.contains(&at) && loss.takes(rng) {
                            self.put(at, sector);
                            taken.lost_sector_count += 1;
                        } else {
                            settled.insert(at);
                            taken.kept_sector_count += 1;
                        }
                    }
                }
                Undo::Len {
                    len: old_len,
                    tail_at,
                    tail,
                } => {
                    len_settled = len_settled || !loss.takes(rng);
                    if !len_settled {
                        self.put_unsettled(tail_at, &tail, &settled);
                        len = old_len;
                        taken.len_count += 1;
                    }
                }
            }
        }
        self.live.resize(len, 0);
        if taken.len_count > 0 {
            self.used_bytes = len as u64;
        }
        taken
    }

    /// The process goes, the machine stays: memory that a failed sync left may be dropped.
    pub(super) fn kill(&mut self, rng: &mut Rng) {
        let drop_all = rng.chance(500);
        self.evict(|_| drop_all);
    }

    /// Changes one bit, on disk and for readers.
    pub(super) fn flip(&mut self, offset: usize, bit: u32) {
        if let Some(byte) = self.live.get_mut(offset) {
            *byte ^= 1 << (bit % 8);
        }
    }

    fn evict(&mut self, which: impl Fn(usize) -> bool) {
        let (gone, kept) = std::mem::take(&mut self.phantom)
            .into_iter()
            .partition(|(at, _)| which(*at));
        self.phantom = kept;
        let gone: BTreeMap<usize, Vec<u8>> = gone;
        let len = self.live.len();
        for (at, on_disk) in gone {
            self.put(at, &on_disk);
        }
        self.live.truncate(len);
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        if end > self.live.len() {
            self.live.resize(end, 0);
        }
        self.live[at..end].copy_from_slice(bytes);
    }

    /// Puts back what a cut removed, save for sectors that were written after the cut.
    fn put_unsettled(&mut self, at: usize, bytes: &[u8], settled: &BTreeSet<usize>) {
        let mut from = at;
        while from < at + bytes.len() {
            let sector = from / SECTOR_BYTES * SECTOR_BYTES;
            let to = (sector + SECTOR_BYTES).min(at + bytes.len());
            if !settled.contains(&sector) {
                self.put(from, &bytes[from - at..to - at]);
            }
            from = to;
        }
    }
}

fn sectors_around(from: usize, to: usize) -> (usize, usize) {
    (
        from / SECTOR_BYTES * SECTOR_BYTES,
        to.next_multiple_of(SECTOR_BYTES),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn synced(bytes: &[u8]) -> Inode {
        let mut inode = Inode::default();
        inode.write(bytes, 0);
        inode.sync();
        inode
    }

    #[test]
    fn what_was_synced_survives_and_what_was_not_is_taken_back() {
        let mut inode = synced(b"old");
        inode.write(b"newer", 1);
        inode.crash(&mut Rng::new(1), Loss::All);
        assert_eq!(inode.bytes(), b"old");
    }

    #[test]
    fn an_undone_cut_brings_the_tail_back() {
        let mut inode = synced(&[7; 2_000]);
        inode.set_len(10);
        inode.crash(&mut Rng::new(1), Loss::All);
        assert_eq!(inode.bytes(), &[7; 2_000][..]);
    }

    #[test]
    fn a_torn_write_keeps_whole_sectors_of_one_time_each() {
        let mut torn = false;
        for seed in 0..50 {
            let mut inode = synced(&[1; 2_048]);
            inode.write(&[2; 2_048], 0);
            inode.write(&[3; 2_048], 0);
            inode.crash(&mut Rng::new(seed), Loss::Some(500));
            assert_eq!(inode.len(), 2_048);
            for sector in inode.bytes().chunks(SECTOR_BYTES) {
                assert!(sector.iter().all(|byte| *byte == sector[0]));
                torn |= sector[0] != inode.bytes()[0];
            }
        }
        assert!(torn);
    }

    #[test]
    fn a_failed_sync_keeps_readers_content_until_the_power_goes() {
        let mut inode = synced(&[1; 512]);
        inode.write(&[2; 512], 0);
        inode.fail_sync(&mut Rng::new(1), Loss::All);
        inode.sync();
        assert_eq!(inode.bytes(), &[2; 512]);
        inode.crash(&mut Rng::new(1), Loss::Nothing);
        assert_eq!(inode.bytes(), &[1; 512]);
    }

    #[test]
    fn a_second_write_and_sync_heals_what_a_failed_sync_lost() {
        let mut inode = synced(&[1; 512]);
        inode.write(&[2; 512], 0);
        inode.fail_sync(&mut Rng::new(1), Loss::All);
        inode.write(&[2; 512], 0);
        inode.sync();
        inode.crash(&mut Rng::new(1), Loss::All);
        assert_eq!(inode.bytes(), &[2; 512]);
    }
}
