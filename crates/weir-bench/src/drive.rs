//! A closed loop: each writer has one append under way and sends the next when it is answered.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

/// What writers append to.
pub(crate) trait Target {
    /// Sends one append of a writer.
    fn send(&mut self, writer: usize) -> Result<()>;
    /// Waits for answers, at least one, and adds the writers that got them.
    fn wait(&mut self, answered: &mut Vec<usize>) -> Result<()>;
}

/// When writers stop.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// After this long.
    For(Duration),
    /// After this many appends.
    Count(u64),
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Driven {
    /// Appends answered.
    pub(crate) ack_count: u64,
    /// From the first append to the last answer.
    pub(crate) time: Duration,
}

impl Driven {
    /// Answers per second.
    pub(crate) fn acks_per_s(self) -> f64 {
        self.ack_count as f64 / self.time.as_secs_f64()
    }

    /// Both runs one after the other.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            ack_count: self.ack_count + other.ack_count,
            time: self.time + other.time,
        }
    }
}

/// Lets `writer_count` writers append to `target` until `limit`, and waits for all answers.
pub(crate) fn drive(target: &mut dyn Target, writer_count: usize, limit: Limit) -> Result<Driven> {
    let start = Instant::now();
    let mut sent = 0_u64;
    let mut ack_count = 0_u64;
    let goes_on = |sent: u64| match limit {
        Limit::For(time) => start.elapsed() < time,
        Limit::Count(count) => sent < count,
    };
    for writer in 0..writer_count {
        if sent == 0 || goes_on(sent) {
            target.send(writer)?;
            sent += 1;
        }
    }
    let mut answered = Vec::new();
    while ack_count < sent {
        target.wait(&mut answered)?;
        ack_count += answered.len() as u64;
        for writer in answered.drain(..) {
            if goes_on(sent) {
                target.send(writer)?;
                sent += 1;
            }
        }
    }
    ensure!(ack_count == sent, "{ack_count} answers to {sent} appends");
    Ok(Driven {
        ack_count,
        time: start.elapsed(),
    })
}

/// Where answers arrive from another thread.
pub(crate) struct Answers {
    tell: Sender<(usize, bool)>,
    told: Receiver<(usize, bool)>,
}

impl Default for Answers {
    fn default() -> Self {
        let (tell, told) = channel();
        Self { tell, told }
    }
}

impl Answers {
    /// To be called with whether the writer's append is durable.
    pub(crate) fn answer(&self, writer: usize) -> impl FnOnce(bool) + Send + 'static {
        let tell = self.tell.clone();
        move |is_durable| {
            // Nobody listens any more where a run ended by an error.
            let _ = tell.send((writer, is_durable));
        }
    }

    /// Waits for answers, at least one.
    pub(crate) fn wait(&self, answered: &mut Vec<usize>) -> Result<()> {
        let mut next = self.told.recv().ok();
        while let Some((writer, is_durable)) = next {
            ensure!(is_durable, "an append of writer {writer} was refused");
            answered.push(writer);
            next = self.told.try_recv().ok();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Echo {
        waiting: Vec<usize>,
        most: usize,
    }

    impl Target for Echo {
        fn send(&mut self, writer: usize) -> Result<()> {
            assert!(!self.waiting.contains(&writer), "one append at a time");
            self.waiting.push(writer);
            self.most = self.most.max(self.waiting.len());
            Ok(())
        }

        fn wait(&mut self, answered: &mut Vec<usize>) -> Result<()> {
            answered.append(&mut self.waiting);
            Ok(())
        }
    }

    #[test]
    fn every_append_is_counted_once_and_writers_wait_for_their_answer() {
        let mut echo = Echo::default();
        let driven = drive(&mut echo, 3, Limit::Count(100)).unwrap();
        assert_eq!((driven.ack_count, echo.most), (100, 3));
        let driven = drive(&mut echo, 8, Limit::Count(5)).unwrap();
        assert_eq!(driven.ack_count, 5);
    }

    #[test]
    fn a_refused_append_ends_the_run() {
        let answers = Answers::default();
        answers.answer(1)(false);
        assert!(answers.wait(&mut Vec::new()).is_err());
    }
}
