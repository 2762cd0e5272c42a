//! The bugs put in on purpose do what their names say.

use super::*;
use crate::wal::SeededBug;

fn open_with(disk: &Arc<MemDisk>, bug: SeededBug) -> Opened {
    let disk: Arc<dyn Disk> = Arc::<MemDisk>::clone(disk);
    let config = WalConfig {
        seeded_bug: Some(bug),
        ..small()
    };
    Wal::open(disk, &Counting, config)
}

#[test]
fn ack_before_sync_does_not_sync() {
    let disk = MemDisk::new();
    let (mut wal, _, _) = open_with(&disk, SeededBug::AckBeforeSync).unwrap();
    let before = disk.faults.sync_count.load(Ordering::Relaxed);
    wal.commit(&[filling(GROUP, 1, 1)]).unwrap();
    assert_eq!(disk.faults.sync_count.load(Ordering::Relaxed), before);
}

#[test]
fn skip_torn_tail_check_takes_a_damaged_frame() {
    let disk = MemDisk::new();
    open(&disk).commit(&[filling(GROUP, 1, 3)]).unwrap();
    disk.change("wal/00000000000000000001.wal", |bytes| {
        bytes[3 * BLOCK_BYTES..].fill(0);
    });
    assert_eq!(indexes(&reopened(&disk.copy()).0, GROUP), [0; 0]);
    let (_, groups, _) = open_with(&disk, SeededBug::SkipTornTailCheck).unwrap();
    assert_eq!(indexes(&groups, GROUP), [1]);
}

#[test]
fn accept_recycled_takes_records_of_a_file_s_earlier_life() {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    let mut differs = false;
    for index in 1..=60 {
        wal.commit(&[filling(GROUP, index, 1)]).unwrap();
        wal.release(GROUP, index);
        let honest = reopened(&disk.copy()).0;
        differs |= match open_with(&disk.copy(), SeededBug::AcceptRecycled) {
            Ok((_, groups, _)) => groups != honest,
            Err(_) => true,
        };
    }
    assert!(differs);
}
