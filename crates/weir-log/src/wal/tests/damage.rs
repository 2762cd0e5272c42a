//! Torn tails are cut; anything else is named.

use super::*;
use crate::wal::{CorruptReason, FileVerdict};

const FIRST: &str = "wal/00000000000000000001.wal";
const SECOND: &str = "wal/00000000000000000002.wal";
/// Where the first frame behind the opening stands.
const START: usize = 2 * BLOCK_BYTES;

/// A log with entry 1 in one block and entry 2 in three; and how the disk was in between.
fn two_frames() -> (Arc<MemDisk>, Arc<MemDisk>) {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    wal.commit(&[filling(GROUP, 1, 1)]).unwrap();
    let before = disk.copy();
    wal.commit(&[filling(GROUP, 2, 3)]).unwrap();
    (before, disk)
}

/// A log whose first file is sealed, with entries 1 to 5 in it, and whose second has 6 and 7.
fn two_files() -> Arc<MemDisk> {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    for (index, blocks) in [(1, 3), (2, 3), (3, 3), (4, 3), (5, 1)] {
        wal.commit(&[filling(GROUP, index, blocks)]).unwrap();
    }
    assert!(!disk.paths().contains(&SECOND.to_owned()));
    for index in 6..=7 {
        wal.commit(&[filling(GROUP, index, 3)]).unwrap();
    }
    assert!(disk.paths().contains(&SECOND.to_owned()));
    disk
}

fn corrupt(disk: &Arc<MemDisk>) -> (String, u64, CorruptReason) {
    match try_open(disk).map(|opened| opened.1) {
        Err(RecoveryError::Corrupt {
            file,
            position,
            reason,
        }) => (file, position, reason),
        other => panic!("corruption must be named: {other:?}"),
    }
}

/// After a cut the log goes on as if nothing had been there.
fn assert_cut_and_usable(disk: &Arc<MemDisk>, what: &str) {
    let (mut wal, groups, report) = try_open(disk).unwrap();
    assert_eq!(indexes(&groups, GROUP), [1], "{what}");
    assert_eq!(
        report.files[0].end_bytes,
        (START + BLOCK_BYTES) as u64,
        "{what}"
    );
    wal.commit(&[filling(GROUP, 2, 1)]).unwrap();
    wal.commit(&[filling(GROUP, 3, 1)]).unwrap();
    assert_eq!(indexes(&reopened(disk).0, GROUP), [1, 2, 3], "{what}");
}

#[test]
fn a_torn_tail_is_cut_whichever_of_its_blocks_are_missing() {
    let (before, after) = two_frames();
    let (old, new) = (before.get(FIRST), after.get(FIRST));
    for mask in 0..7_usize {
        let torn = before.copy();
        torn.change(FIRST, |bytes| {
            for block in (0..3).filter(|block| mask & (1 << block) != 0) {
                let at = START + (1 + block) * BLOCK_BYTES;
                bytes[at..at + BLOCK_BYTES].copy_from_slice(&new[at..at + BLOCK_BYTES]);
            }
        });
        assert_eq!(old.len(), new.len());
        assert_cut_and_usable(&torn, &format!("blocks {mask:03b}"));
    }
}

#[test]
fn a_torn_tail_is_cut_at_any_byte() {
    let (before, after) = two_frames();
    let new = after.get(FIRST);
    let frame = START + BLOCK_BYTES;
    let end = frame + 2 * BLOCK_BYTES + 100;
    for cut in (frame..frame + 100).chain((frame..end).step_by(61)) {
        let torn = before.copy();
        torn.change(FIRST, |bytes| {
            bytes[frame..cut].copy_from_slice(&new[frame..cut]);
        });
        assert_cut_and_usable(&torn, &format!("byte {cut}"));
    }
}

#[test]
fn the_report_says_that_a_tail_was_cut() {
    let (_, disk) = two_frames();
    disk.change(FIRST, |bytes| bytes[START + 2 * BLOCK_BYTES] ^= 1);
    let (_, report) = reopened(&disk);
    assert!(report.has_torn_tail());
    assert_eq!(
        report.to_string(),
        format!("{FIRST}: torn tail cut at byte 12288, 2 frames, 1 entries\n")
    );
}

#[test]
fn a_complete_frame_that_was_never_acknowledged_counts() {
    let (_, after) = two_frames();
    let (groups, report) = reopened(&after);
    assert_eq!(indexes(&groups, GROUP), [1, 2]);
    assert_eq!(report.files[0].verdict, FileVerdict::Continued);
}

#[test]
fn a_flipped_bit_before_a_later_frame_is_corruption_with_file_and_position() {
    let (_, disk) = two_frames();
    let position = START as u64;
    let behind = position + BLOCK_BYTES as u64;
    for byte in (0..64 + 9 + 25 + 100).filter(|byte| !(52..64).contains(byte)) {
        let bad = disk.copy();
        bad.change(FIRST, |bytes| bytes[START + byte] ^= 1 << (byte % 8));
        let reason = CorruptReason::DamagedFrame { behind };
        assert_eq!(
            corrupt(&bad),
            (FIRST.to_owned(), position, reason),
            "{byte}"
        );
    }
}

#[test]
fn two_damaged_frames_at_the_tail_are_corruption_since_the_second_proves_the_first() {
    let (_, disk) = two_frames();
    disk.change(FIRST, |bytes| {
        bytes[START + 80] ^= 1;
        bytes[START + BLOCK_BYTES + 80] ^= 1;
    });
    let behind = (START + BLOCK_BYTES) as u64;
    let reason = CorruptReason::DamagedFrame { behind };
    assert_eq!(corrupt(&disk), (FIRST.to_owned(), START as u64, reason));
}

#[test]
fn a_frame_zeroed_before_a_later_one_is_corruption() {
    let (_, disk) = two_frames();
    disk.change(FIRST, |bytes| bytes[START..START + BLOCK_BYTES].fill(0));
    let behind = (START + BLOCK_BYTES) as u64;
    let reason = CorruptReason::DamagedFrame { behind };
    assert_eq!(corrupt(&disk), (FIRST.to_owned(), START as u64, reason));
}

#[test]
fn damage_to_a_file_that_is_not_the_last_is_never_a_torn_tail() {
    let disk = two_files();
    let seal = disk.get(FIRST).len() - BLOCK_BYTES;
    let last_frame = seal - BLOCK_BYTES;
    let bad = disk.copy();
    bad.change(FIRST, |bytes| bytes[seal] ^= 1);
    let expected = (FIRST.to_owned(), seal as u64, CorruptReason::NoEnd);
    assert_eq!(corrupt(&bad), expected);
    let bad = disk.copy();
    bad.change(FIRST, |bytes| bytes[last_frame..].fill(0));
    let expected = (FIRST.to_owned(), last_frame as u64, CorruptReason::NoEnd);
    assert_eq!(corrupt(&bad), expected);
}

#[test]
fn a_damaged_header_is_corruption_also_of_the_last_file() {
    for path in [FIRST, SECOND] {
        for byte in [0, 8, 12, 16, 24, 40, 4095] {
            let disk = two_files();
            disk.change(path, |bytes| bytes[byte] ^= 1);
            let expected = (path.to_owned(), 0, CorruptReason::HeaderDamaged);
            assert_eq!(corrupt(&disk), expected, "{byte}");
        }
    }
}

#[test]
fn a_damaged_opening_frame_is_corruption_also_where_nothing_follows() {
    let disk = MemDisk::new();
    drop(open(&disk));
    disk.change(FIRST, |bytes| bytes[BLOCK_BYTES + 20] ^= 1);
    let position = BLOCK_BYTES as u64;
    let expected = (FIRST.to_owned(), position, CorruptReason::NoOpening);
    assert_eq!(corrupt(&disk), expected);
}

#[test]
fn a_file_under_another_name_is_corruption() {
    let disk = two_files();
    disk.put(SECOND, disk.get(FIRST));
    let expected = (SECOND.to_owned(), 0, CorruptReason::OtherFile);
    assert_eq!(corrupt(&disk), expected);
}

#[test]
fn a_shorter_file_is_corruption_and_a_longer_one_does_no_harm() {
    let disk = two_files();
    let longer = disk.copy();
    for path in [FIRST, SECOND] {
        longer.change(path, |bytes| bytes.extend([7; 3 * BLOCK_BYTES]));
    }
    assert_eq!(indexes(&reopened(&longer).0, GROUP).len(), 7);
    disk.change(FIRST, |bytes| bytes.truncate(bytes.len() - 1));
    let expected = (FIRST.to_owned(), 0, CorruptReason::ShortFile);
    assert_eq!(corrupt(&disk), expected);
}

#[test]
fn a_missing_file_is_corruption() {
    let disk = two_files();
    disk.remove(FIRST).unwrap();
    let expected = (FIRST.to_owned(), 0, CorruptReason::MissingFile);
    assert_eq!(corrupt(&disk), expected);
}

#[test]
fn another_version_is_refused_by_name() {
    let disk = two_files();
    disk.change(FIRST, |bytes| {
        bytes[8] = 9;
        bytes[12..16].fill(0);
        let crc = crc32c::crc32c(&bytes[..BLOCK_BYTES]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    });
    let opened = try_open(&disk).map(|opened| opened.1);
    assert!(matches!(opened, Err(RecoveryError::UnknownVersion { file }) if file == FIRST));
}
