//! Many writers of small and large entries, each writer in a group of its own.

use std::{sync::Arc, thread, time::Duration};

use anyhow::Result;
use bytes::Bytes;
use weir_log::wal::{GroupCommit, WalEntry, WalFigures, WalPort, WalRecord};
use weir_model::{GroupId, Term};

use crate::drive::{Answers, Driven, Limit, Target, drive};

/// What writers leave behind is released after this much, in bytes: often enough that files come
/// back before new ones are needed.
const RELEASE_BYTES: u64 = 16 << 20;

/// Writers on one write-ahead log.
pub(crate) struct Appender {
    queue: Arc<GroupCommit>,
    answers: Answers,
    payload: Bytes,
    /// Last index sent, by writer.
    last_index: Vec<u64>,
    unreleased_bytes: u64,
}

impl Appender {
    /// Writers that have not written yet.
    pub(crate) fn new(queue: Arc<GroupCommit>, writer_count: usize) -> Self {
        Self {
            queue,
            answers: Answers::default(),
            payload: Bytes::new(),
            last_index: vec![0; writer_count],
            unreleased_bytes: 0,
        }
    }

    fn write(&mut self, size_bytes: usize) {
        self.payload = (0..=u8::MAX).cycle().take(size_bytes).collect();
    }

    /// Everything but the last entry of each writer, which may be under way, is needed no more.
    fn release_answered(&self) {
        for (group, last) in (1..).map(GroupId).zip(&self.last_index) {
            self.queue.release(group, last.saturating_sub(1));
        }
    }

    /// With nothing under way: nothing is needed any more.
    fn release_all(&self) {
        for (group, last) in (1..).map(GroupId).zip(&self.last_index) {
            self.queue.release(group, *last);
        }
    }
}

impl Target for Appender {
    fn send(&mut self, writer: usize) -> Result<()> {
        self.last_index[writer] += 1;
        let entry = WalEntry {
            index: self.last_index[writer],
            term: Term(1),
            kind: 0,
            context: Bytes::new(),
            data: self.payload.clone(),
        };
        let group = GroupId(u32::try_from(writer + 1)?);
        let record = WalRecord::Entries {
            group,
            entries: vec![entry],
        };
        let answer = self.answers.answer(writer);
        self.queue
            .submit(vec![record], Box::new(move |result| answer(result.is_ok())));
        self.unreleased_bytes += self.payload.len() as u64;
        if self.unreleased_bytes >= RELEASE_BYTES {
            self.unreleased_bytes = 0;
            self.release_answered();
        }
        Ok(())
    }

    fn wait(&mut self, answered: &mut Vec<usize>) -> Result<()> {
        self.answers.wait(answered)
    }
}

/// What writers reached.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Appends {
    pub(crate) driven: Driven,
    /// Frames: one write and one sync each.
    pub(crate) frame_count: u64,
    /// Size of an entry.
    pub(crate) size_bytes: u64,
}

impl Appends {
    /// Bytes of entries per second.
    pub(crate) fn bytes_per_s(self) -> f64 {
        self.driven.acks_per_s() * self.size_bytes as f64
    }

    /// Entries per frame.
    pub(crate) fn group_count(self) -> f64 {
        self.driven.ack_count as f64 / self.frame_count.max(1) as f64
    }

    /// Frames per second.
    pub(crate) fn frames_per_s(self) -> f64 {
        self.frame_count as f64 / self.driven.time.as_secs_f64()
    }

    /// Bytes of entries per frame, as whole blocks.
    pub(crate) fn frame_blocks_bytes(self) -> u64 {
        let bytes = self.group_count() * self.size_bytes as f64;
        // Rounded: a float of a few MiB is exact enough for a count of blocks.
        (bytes.ceil() as u64).next_multiple_of(weir_log::disk::BLOCK_BYTES as u64)
    }

    /// Both runs one after the other.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            driven: self.driven.and(other.driven),
            frame_count: self.frame_count + other.frame_count,
            size_bytes: other.size_bytes,
        }
    }
}

/// Fills files and has them recycled, so that what is measured later runs on recycled files.
pub(crate) fn warm_up(appender: &mut Appender) -> Result<()> {
    appender.write(64 << 10);
    while figures(appender).file_count < 6 {
        drive(appender, 16, Limit::Count(256))?;
    }
    appender.release_all();
    // The spare maker is through with what it began before files came back.
    thread::sleep(Duration::from_millis(500));
    Ok(())
}

/// Lets `writer_count` writers append entries of `size_bytes` for `time`.
pub(crate) fn measure(
    appender: &mut Appender,
    writer_count: usize,
    size_bytes: usize,
    time: Duration,
) -> Result<Appends> {
    appender.write(size_bytes);
    drive(appender, writer_count, Limit::For(time / 10))?;
    let before = figures(appender);
    let driven = drive(appender, writer_count, Limit::For(time))?;
    let frame_count = figures(appender).frame_count - before.frame_count;
    appender.release_all();
    Ok(Appends {
        driven,
        frame_count,
        size_bytes: size_bytes as u64,
    })
}

fn figures(appender: &Appender) -> WalFigures {
    appender.queue.figures()
}
