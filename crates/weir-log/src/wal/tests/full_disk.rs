//! A full disk holds up and loses nothing; a broken one ends the log.

use super::*;
use crate::wal::{CommitError, GroupCommit, WalError, WalPort};

/// Commits until the disk is full; gives the last index that was committed.
fn fill(wal: &mut Wal) -> u64 {
    for index in 1.. {
        match wal.commit(&[filling(GROUP, index, 1)]) {
            Ok(()) => {}
            Err(CommitError::Full) => return index - 1,
            Err(refused) => panic!("{refused}"),
        }
    }
    unreachable!("the disk has an end")
}

#[test]
fn a_full_disk_refuses_new_work_loses_nothing_and_takes_up_again_by_itself() {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    let maker = wal.spare_maker();
    disk.set_free_bytes(3 * BLOCK_BYTES as u64);
    maker.prepare().unwrap();
    assert!(!wal.accepts());
    let last = fill(&mut wal);
    assert!(last > 10, "what was taken in finds the rest of the file");
    assert_eq!(
        wal.commit(&[filling(GROUP, last + 1, 1)]),
        Err(CommitError::Full)
    );
    maker.prepare().unwrap();
    assert!(!wal.accepts());
    let (groups, _) = reopened(&disk.copy());
    assert_eq!(indexes(&groups, GROUP).last(), Some(&last));

    disk.set_free_bytes(1 << 20);
    maker.prepare().unwrap();
    assert!(wal.accepts());
    wal.commit(&[filling(GROUP, last + 1, 1)]).unwrap();
    let (groups, _) = reopened(&disk);
    assert_eq!(indexes(&groups, GROUP), (1..=last + 1).collect::<Vec<_>>());
}

#[test]
fn a_queue_keeps_what_finds_no_room_in_order() {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    disk.set_free_bytes(0);
    let last = fill(&mut wal);
    let queue = GroupCommit::new(&wal);
    let (sender, answers) = std::sync::mpsc::channel();
    for index in [last + 1, last + 2] {
        let sender = sender.clone();
        let done = move |result: Result<(), WalError>| sender.send((index, result)).unwrap();
        queue.submit(vec![filling(GROUP, index, 4)], Box::new(done));
    }
    assert!(!queue.run_once(&mut wal));
    assert!(answers.try_recv().is_err(), "nothing is answered early");
    assert!(!queue.accepts());
    disk.set_free_bytes(1 << 20);
    wal.spare_maker().prepare().unwrap();
    assert!(queue.accepts());
    while queue.run_once(&mut wal) {}
    let answers: Vec<_> = answers.try_iter().collect();
    assert_eq!(answers, [(last + 1, Ok(())), (last + 2, Ok(()))]);
}

#[test]
fn a_log_of_the_greatest_length_refuses_new_work_until_files_are_released() {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    let queue = GroupCommit::new(&wal);
    let mut last = 0;
    while wal.accepts() {
        last += 1;
        wal.commit(&[filling(GROUP, last, 1)]).unwrap();
    }
    assert_eq!(wal.figures().live_bytes, small().max_total_bytes);
    wal.commit(&[filling(GROUP, last + 1, 4)]).unwrap();
    queue.release(GROUP, last);
    assert!(queue.run_once(&mut wal), "the release alone is work to do");
    assert!(queue.accepts());
}

#[test]
fn a_full_disk_gets_back_the_spares_beyond_the_configured_number() {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    for index in 1..=100 {
        wal.commit(&[filling(GROUP, index, 1)]).unwrap();
    }
    wal.release(GROUP, 100);
    wal.commit(&[]).unwrap();
    let maker = wal.spare_maker();
    maker.prepare().unwrap();
    let with_surplus = disk.paths().len();
    disk.set_free_bytes(0);
    maker.prepare().unwrap();
    let (active_count, spare_count) = (1, small().spare_count);
    assert!(with_surplus > active_count + spare_count);
    assert_eq!(disk.paths().len(), active_count + spare_count);
    assert!(wal.accepts());
}

#[test]
fn the_maker_on_its_thread_notices_when_a_full_disk_has_room_again() {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    disk.set_free_bytes(0);
    let maker = wal.spare_maker();
    let thread = std::thread::spawn({
        let maker = maker.clone();
        move || maker.run()
    });
    let last = fill(&mut wal);
    disk.set_free_bytes(1 << 20);
    while !wal.accepts() {
        std::thread::yield_now();
    }
    wal.commit(&[filling(GROUP, last + 1, 1)]).unwrap();
    maker.close();
    thread.join().unwrap().unwrap();
}

fn assert_ends_the_log(disk: &Arc<MemDisk>, wal: &mut Wal, heal: impl FnOnce(), stage: &str) {
    let first = wal.commit(&[filling(GROUP, 1, 1)]).unwrap_err();
    let is_failure =
        matches!(&first, CommitError::Refused(WalError::Failed { stage: at, .. }) if *at == stage);
    assert!(is_failure, "{first}");
    heal();
    let before = disk.get("wal/00000000000000000001.wal");
    assert_eq!(wal.commit(&[filling(GROUP, 1, 1)]), Err(first));
    assert_eq!(disk.get("wal/00000000000000000001.wal"), before);
    assert!(!wal.accepts());
}

#[test]
fn a_failed_sync_ends_the_log_also_when_later_syncs_would_succeed() {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    disk.faults.fails_sync.store(true, Ordering::Relaxed);
    let heal = || disk.faults.fails_sync.store(false, Ordering::Relaxed);
    assert_ends_the_log(&disk, &mut wal, heal, "sync");
}

#[test]
fn a_failed_write_ends_the_log() {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    disk.faults.fails_write.store(true, Ordering::Relaxed);
    let heal = || disk.faults.fails_write.store(false, Ordering::Relaxed);
    assert_ends_the_log(&disk, &mut wal, heal, "write");
}

#[test]
fn a_start_writes_the_last_frame_again_since_its_sync_may_have_failed() {
    let disk = MemDisk::new();
    open(&disk).commit(&[filling(GROUP, 1, 3)]).unwrap();
    let before = disk.get("wal/00000000000000000001.wal");
    for fault in [&disk.faults.fails_write, &disk.faults.fails_sync] {
        fault.store(true, Ordering::Relaxed);
        let opened = try_open(&disk).map(|opened| opened.1);
        assert!(matches!(opened, Err(RecoveryError::Io { .. })));
        fault.store(false, Ordering::Relaxed);
    }
    assert_eq!(indexes(&reopened(&disk).0, GROUP), [1]);
    assert_eq!(disk.get("wal/00000000000000000001.wal"), before);
}
