//! The queue: together, in order, and answered once.

use std::sync::{Mutex, mpsc};

use super::*;
use crate::wal::{GroupCommit, WalError, WalPort};

type Answers = Arc<Mutex<Vec<(u64, Result<(), WalError>)>>>;

fn submit(queue: &GroupCommit, index: u64, blocks: usize, answers: &Answers) {
    let answers = Arc::clone(answers);
    let done = move |result| answers.lock().unwrap().push((index, result));
    queue.submit(vec![filling(GROUP, index, blocks)], Box::new(done));
}

fn answered(answers: &Answers) -> Vec<u64> {
    let answers = answers.lock().unwrap();
    assert!(answers.iter().all(|(_, result)| result.is_ok()));
    answers.iter().map(|(index, _)| *index).collect()
}

#[test]
fn everything_that_waits_goes_out_in_one_frame_and_is_answered_in_order() {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    let queue = GroupCommit::new(&wal);
    let answers = Answers::default();
    for index in 1..=5 {
        submit(&queue, index, 1, &answers);
    }
    assert_eq!(answered(&answers), [0; 0]);
    let before = wal.figures();
    assert!(queue.run_once(&mut wal));
    assert_eq!(answered(&answers), [1, 2, 3, 4, 5]);
    assert_eq!(queue.figures().frame_count - before.frame_count, 1);
    assert!(!queue.run_once(&mut wal));
}

#[test]
fn a_frame_takes_no_more_than_its_limit_and_a_larger_submission_goes_alone() {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    let queue = GroupCommit::new(&wal);
    let answers = Answers::default();
    for (index, blocks) in [(1, 2), (2, 2), (3, 9), (4, 1)] {
        submit(&queue, index, blocks, &answers);
    }
    let mut turns = Vec::new();
    while queue.run_once(&mut wal) {
        turns.push(answered(&answers).len());
    }
    assert_eq!(turns, [2, 3, 4]);
}

#[test]
fn a_failure_is_told_to_all_who_wait_and_all_who_come() {
    let disk = MemDisk::new();
    let mut wal = open(&disk);
    let queue = GroupCommit::new(&wal);
    let answers = Answers::default();
    submit(&queue, 1, 1, &answers);
    submit(&queue, 2, 1, &answers);
    disk.faults.fails_sync.store(true, Ordering::Relaxed);
    queue.run_once(&mut wal);
    disk.faults.fails_sync.store(false, Ordering::Relaxed);
    submit(&queue, 3, 1, &answers);
    queue.run_once(&mut wal);
    let answers = answers.lock().unwrap();
    assert_eq!(answers.len(), 3);
    for (_, result) in answers.iter() {
        assert!(matches!(
            result,
            Err(WalError::Failed { stage: "sync", .. })
        ));
    }
    assert!(!queue.accepts());
}

#[test]
fn the_thread_writes_what_waits_when_it_is_closed_and_refuses_what_comes_later() {
    let disk = MemDisk::new();
    let wal = open(&disk);
    let maker = wal.spare_maker();
    let queue = GroupCommit::new(&wal);
    let writer = std::thread::spawn({
        let queue = Arc::clone(&queue);
        move || queue.run(wal)
    });
    let preparing = std::thread::spawn({
        let maker = maker.clone();
        move || maker.run()
    });
    let answers = Answers::default();
    let (sender, lone) = mpsc::channel();
    queue.submit(
        vec![filling(OTHER, 1, 1)],
        Box::new(move |result| sender.send(result).unwrap()),
    );
    assert_eq!(lone.recv().unwrap(), Ok(()));
    for index in 1..=100 {
        submit(&queue, index, 1, &answers);
    }
    queue.close();
    writer.join().unwrap();
    maker.close();
    preparing.join().unwrap().unwrap();
    assert_eq!(answered(&answers), (1..=100).collect::<Vec<_>>());
    submit(&queue, 101, 1, &answers);
    let last = answers.lock().unwrap().last().cloned();
    assert_eq!(last, Some((101, Err(WalError::Closed))));
    assert_eq!(indexes(&reopened(&disk).0, GROUP).len(), 100);
}
