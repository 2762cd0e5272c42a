//! Steady load from one idempotent producer that lives through all faults of a campaign.

use crate::checker::{self, Seen, Verdict};
use crate::client::{self, Guarded, Message, Progress};
use crate::corpus;
use crate::stop;
use anyhow::{Result, bail, ensure};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const PARTITIONS: u32 = 4;
/// Lines per turn and the pause after it: some 4,000 lines a second.
const LINES_PER_TURN: u64 = 20;
const TURN: Duration = Duration::from_millis(5);
const MAX_FILLER_BYTES: u64 = 700;
/// Time within which a restarted node must acknowledge again.
const PROGRESS_LIMIT: Duration = Duration::from_secs(60);
const FINISH_LIMIT: Duration = Duration::from_secs(120);

/// A producer at work, and what it sends.
pub(super) struct Load {
    topic: String,
    acks: PathBuf,
    log: PathBuf,
    client: Guarded,
    progress: Progress,
    stopping: Arc<AtomicBool>,
    feeder: Option<JoinHandle<()>>,
}

impl Load {
    /// Starts the producer and waits for its first acknowledgements.
    pub(super) fn start(address: &str, topic: &str, directory: &Path) -> Result<Self> {
        let acks = directory.join(format!("{topic}.acks"));
        let log = directory.join(format!("{topic}.log"));
        let mut command = client::driver(address, topic, "lz4", PARTITIONS, &acks)?;
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?);
        let mut client = Guarded::start(&mut command)?;
        let input = client.process().stdin.take().expect("stdin is piped");
        let progress = Progress::follow(client.process().stdout.take().expect("stdout is piped"));
        let stopping = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&stopping);
        let feeder = Some(std::thread::spawn(move || feed(input, &shared)));
        let topic = topic.to_owned();
        let mut load = Self {
            topic,
            acks,
            log,
            client,
            progress,
            stopping,
            feeder,
        };
        load.wait_for_acks(1)?;
        Ok(load)
    }

    /// Waits until `count` more lines are acknowledged.
    pub(super) fn wait_for_acks(&mut self, count: u64) -> Result<()> {
        let target = self.progress.acked() + count;
        let log = self.log.display();
        stop::wait_for("acknowledgements", PROGRESS_LIMIT, || {
            if let Some(status) = self.client.process().try_wait()? {
                bail!("the producer ended by itself, {status}; see {log}");
            }
            Ok((self.progress.acked() >= target).then_some(()))
        })
    }

    /// Stops sending and waits for the last acknowledgement.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.stop_feeding();
        let status = self
            .client
            .wait("the producer's last acknowledgement", FINISH_LIMIT)?;
        ensure!(
            status.success(),
            "producer: {status}; see {}",
            self.log.display()
        );
        Ok(())
    }

    /// Reads everything back and compares it with what was acknowledged.
    pub(super) fn compare(&self, address: &str) -> Result<Verdict> {
        let (acked, given_up) = client::acks(&self.acks)?;
        ensure!(
            given_up == 0,
            "{given_up} lines given up; see {}",
            self.acks.display()
        );
        let mut seen = Vec::new();
        client::read_all(address, &self.topic, &self.log, &mut |message| {
            seen.push(identify(&message));
        })?;
        Ok(checker::check(&acked, &seen))
    }

    fn stop_feeding(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(feeder) = self.feeder.take() {
            feeder.join().expect("the feeder does not panic");
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Its pipe breaks with the client, so the feeder ends even if it was blocked.
        self.client.end();
        self.stop_feeding();
    }
}

fn feed(mut input: ChildStdin, stopping: &AtomicBool) {
    let mut next = 0;
    while !stopping.load(Ordering::Relaxed) {
        let mut turn = Vec::new();
        for seq in next..next + LINES_PER_TURN {
            turn.extend(line(seq));
            turn.push(b'\n');
        }
        next += LINES_PER_TURN;
        if input.write_all(&turn).is_err() {
            return; // The client is gone; whoever waits for it says so.
        }
        std::thread::sleep(TURN);
    }
}

/// Line `seq`: its number and a filler that follows from it, of changing length.
fn line(seq: u64) -> Vec<u8> {
    let mut state = seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let filler = state % MAX_FILLER_BYTES;
    let mut line = format!("{seq:0width$} ", width = corpus::SEQ_DIGITS).into_bytes();
    for _ in 0..filler {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        line.push(b'a' + (state % 26) as u8);
    }
    line
}

fn identify(message: &Message<'_>) -> Seen {
    let seq = corpus::seq_of(message.value).filter(|seq| line(*seq) == message.value);
    Seen {
        partition: message.partition,
        offset: message.offset,
        seq,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_follows_from_its_number_alone() {
        assert_eq!(line(7), line(7));
        assert_ne!(line(7)[corpus::SEQ_DIGITS..], line(8)[corpus::SEQ_DIGITS..]);
    }

    #[test]
    fn a_changed_byte_makes_it_nobodys() {
        let mut value = line(7);
        let found = |value: &[u8]| {
            identify(&Message {
                partition: 0,
                offset: 0,
                value,
            })
        };
        assert_eq!(found(&value).seq, Some(7));
        *value.last_mut().unwrap() ^= 1;
        assert_eq!(found(&value).seq, None);
    }
}
