//! The life of files: first start, sealing, moving on, letting go, coming back.

use super::*;
use crate::wal::{CommitError, FileVerdict, HardState, WalError, names::wal_path};

const FILE_BYTES: u64 = 16 * BLOCK_BYTES as u64;

fn hard_state(group: GroupId, commit: u64) -> WalRecord {
    let state = HardState {
        term: Term(3),
        vote: 1,
        commit,
    };
    WalRecord::HardState { group, state }
}

fn file_numbers(disk: &MemDisk) -> Vec<u64> {
    let inventory = crate::wal::names::list_files(disk).unwrap();
    inventory.wal_files.into_keys().collect()
}

#[test]
fn a_first_start_makes_one_small_file() {
    let disk = MemDisk::new();
    let config = WalConfig::default();
    let (wal, groups, report) = Wal::open(Arc::<MemDisk>::clone(&disk), &Counting, config).unwrap();
    assert!(groups.is_empty() && report.is_first_start());
    assert_eq!(wal.figures().live_bytes, 4 << 20);
    assert_eq!(disk.paths(), [wal_path(1)]);
    assert_eq!(report.to_string(), "no write-ahead log yet\n");
}

#[test]
fn one_commit_is_one_frame_and_one_sync() {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    let before = wal.figures();
    let syncs = disk.faults.sync_count.load(Ordering::Relaxed);
    wal.commit(&[filling(GROUP, 1, 1), filling(OTHER, 1, 1)])
        .unwrap();
    let after = wal.figures();
    assert_eq!(after.frame_count - before.frame_count, 1);
    assert_eq!(after.sync_count - before.sync_count, 1);
    assert_eq!(
        after.written_bytes - before.written_bytes,
        BLOCK_BYTES as u64
    );
    assert_eq!(disk.faults.sync_count.load(Ordering::Relaxed) - syncs, 1);
}

#[test]
fn a_full_file_is_followed_by_the_next_and_all_comes_back() {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    for index in 1..=60 {
        wal.commit(&[filling(
            GROUP,
            index,
            1 + usize::try_from(index % 3).unwrap(),
        )])
        .unwrap();
    }
    assert!(file_numbers(&disk).len() > 5);
    let (groups, report) = reopened(&disk);
    assert_eq!(indexes(&groups, GROUP), (1..=60).collect::<Vec<_>>());
    let (last, whole) = report.files.split_last().unwrap();
    assert!(whole.iter().all(|file| file.verdict == FileVerdict::Whole));
    assert_eq!(last.verdict, FileVerdict::Continued);
}

#[test]
fn a_file_that_is_full_to_the_last_block_needs_no_seal() {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    for index in 1..=14 {
        wal.commit(&[filling(GROUP, index, 1)]).unwrap();
    }
    assert_eq!(file_numbers(&disk), [1]);
    let (mut wal, groups, report) = try_open(&disk).unwrap();
    assert_eq!(indexes(&groups, GROUP).len(), 14);
    assert_eq!(report.files[0].verdict, FileVerdict::Whole);
    wal.commit(&[filling(GROUP, 15, 1)]).unwrap();
    assert_eq!(indexes(&reopened(&disk).0, GROUP).len(), 15);
}

#[test]
fn a_start_between_the_seal_and_the_next_file_goes_on() {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    for index in 1..=5 {
        wal.commit(&[filling(GROUP, index, 3)]).unwrap();
    }
    assert_eq!(file_numbers(&disk), [1, 2]);
    // The second file lost its name; entry 5, which it held, was then never acknowledged.
    disk.rename(&wal_path(2), "wal/9.new").unwrap();
    let (mut wal, groups, _) = try_open(&disk).unwrap();
    assert_eq!(indexes(&groups, GROUP), [1, 2, 3, 4]);
    wal.commit(&[filling(GROUP, 5, 3)]).unwrap();
    assert_eq!(indexes(&reopened(&disk).0, GROUP), [1, 2, 3, 4, 5]);
}

#[test]
fn a_frame_larger_than_a_file_gets_a_file_of_its_own() {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    wal.commit(&[filling(GROUP, 1, 1)]).unwrap();
    wal.commit(&[filling(GROUP, 2, 40)]).unwrap();
    wal.commit(&[filling(GROUP, 3, 1)]).unwrap();
    let (groups, _) = reopened(&disk);
    assert_eq!(indexes(&groups, GROUP), [1, 2, 3]);
    assert_eq!(groups[&GROUP].entries[1].data.len(), 39 * BLOCK_BYTES + 100);
}

#[test]
fn released_files_are_used_again_and_hard_states_survive_them() {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    let maker = wal.spare_maker();
    wal.commit(&[hard_state(OTHER, 7)]).unwrap();
    for index in 1..=200 {
        wal.commit(&[filling(GROUP, index, 2), hard_state(GROUP, index)])
            .unwrap();
        wal.release(GROUP, index);
        maker.prepare().unwrap();
    }
    assert!(disk.paths().len() <= 5, "{:?}", disk.paths());
    let (groups, _) = reopened(&disk);
    assert_eq!(groups[&OTHER].hard_state.commit, 7);
    assert_eq!(groups[&GROUP].hard_state.commit, 200);
    assert!(indexes(&groups, GROUP).contains(&200));
}

#[test]
fn an_old_record_of_a_recycled_file_never_comes_back() {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    for index in 1..=100 {
        wal.commit(&[filling(GROUP, index, 1)]).unwrap();
        wal.release(GROUP, index);
        let (groups, report) = reopened(&disk.copy());
        assert_eq!(indexes(&groups, GROUP).last(), Some(&index));
        assert!(!report.has_torn_tail());
    }
    assert!(file_numbers(&disk)[0] > 1, "files were recycled");
}

#[test]
fn a_file_that_comes_back_does_no_harm() {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    wal.commit(&[filling(GROUP, 1, 1)]).unwrap();
    let first = disk.get(&wal_path(1));
    for index in 2..=40 {
        wal.commit(&[filling(GROUP, index, 1)]).unwrap();
        wal.release(GROUP, index);
    }
    assert!(!file_numbers(&disk).contains(&1));
    for content in [first, disk.get(&wal_path(file_numbers(&disk)[0])), vec![]] {
        let back = disk.copy();
        back.put(&wal_path(1), content);
        let (groups, report) = reopened(&back);
        assert_eq!(indexes(&groups, GROUP).last(), Some(&40));
        assert_eq!(report.files[0].verdict, FileVerdict::Obsolete);
        assert!(!file_numbers(&back).contains(&1));
    }
}

#[test]
fn an_idle_log_lets_go_of_files_by_an_empty_commit() {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    for index in 1..=30 {
        wal.commit(&[filling(GROUP, index, 1)]).unwrap();
    }
    assert!(!wal.has_obsolete());
    wal.release(GROUP, 30);
    assert!(wal.has_obsolete());
    let before = wal.figures().live_bytes;
    wal.commit(&[]).unwrap();
    assert!(!wal.has_obsolete());
    assert_eq!(
        (before, wal.figures().live_bytes),
        (3 * FILE_BYTES, FILE_BYTES)
    );
}

#[test]
fn leftovers_are_removed_and_spares_of_the_right_size_are_kept() {
    let disk = MemDisk::new();
    let wal = open(&disk);
    wal.spare_maker().prepare().unwrap();
    let spares = disk.paths();
    assert_eq!(spares.len(), 3);
    disk.put("wal/77.new", vec![1; 10]);
    disk.put("wal/78.spare", vec![1; 10]);
    disk.put("wal/readme.txt", vec![1; 10]);
    drop(open(&disk));
    let mut expected = spares;
    expected.push("wal/readme.txt".to_owned());
    expected.sort();
    assert_eq!(disk.paths(), expected);
}

#[test]
fn a_reset_and_a_conflict_hold_over_a_restart() {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    let replaced = WalRecord::Entries {
        group: GROUP,
        entries: vec![entry(2, 5, "two"), entry(3, 5, "three")],
    };
    for index in 1..=4 {
        wal.commit(&[filling(GROUP, index, 1), filling(OTHER, index, 1)])
            .unwrap();
    }
    let reset = WalRecord::Reset {
        group: OTHER,
        index: 50,
        term: Term(4),
    };
    wal.commit(&[replaced, reset, filling(OTHER, 51, 1)])
        .unwrap();
    let (groups, _) = reopened(&disk);
    let terms = groups[&GROUP].entries.iter();
    let terms: Vec<_> = terms.map(|entry| (entry.index, entry.term.0)).collect();
    assert_eq!(terms, [(1, 1), (2, 5), (3, 5)]);
    assert_eq!(indexes(&groups, OTHER), [51]);
}

#[test]
fn a_gap_is_refused_and_does_not_end_the_log() {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    wal.commit(&[filling(GROUP, 1, 1)]).unwrap();
    let refused = wal.commit(&[filling(GROUP, 3, 1)]);
    assert!(matches!(
        refused,
        Err(CommitError::Refused(WalError::Gap { .. }))
    ));
    wal.commit(&[filling(GROUP, 2, 1)]).unwrap();
    assert_eq!(indexes(&reopened(&disk).0, GROUP), [1, 2]);
}

#[test]
fn a_guarded_tail_shows_damage_to_the_last_frame() {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    wal.commit(&[filling(GROUP, 1, 1)]).unwrap();
    wal.guard_tail();
    disk.change(&wal_path(1), |bytes| bytes[2 * BLOCK_BYTES + 80] ^= 1);
    assert!(matches!(
        try_open(&disk),
        Err(RecoveryError::Corrupt { .. })
    ));
}
