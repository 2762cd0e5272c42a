//! Hostile connections: they log in where they should, send their bytes, and note what comes back.

use super::row::{Door, Due, Row, Way};
use crate::stop;
use anyhow::{Context, Result, bail};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The protocol's error, or the end, must be there this long after the last byte.
pub(super) const VERDICT_LIMIT: Duration = Duration::from_secs(1);
/// For a crowd: all of them share two cores with who serves them.
pub(super) const CROWD_LIMIT: Duration = Duration::from_secs(10);
const LOGIN_LIMIT: Duration = Duration::from_secs(10);
/// The most by which a thread can go behind others, in steps of `nice`.
const LOWEST: i32 = 19;
/// Bytes sent one at a time; the rest of a longer row follows in pieces of this size.
const SPLIT_BYTES: usize = 4 << 10;
/// Most that is read of an answer.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// What one connection came to.
#[derive(Debug)]
pub(super) struct Outcome {
    /// What it got, in words.
    pub(super) words: String,
    /// Whether that is what was due.
    pub(super) is_due: bool,
    /// From its last byte to that.
    pub(super) took: Duration,
}

/// All connections of one attempt. What they compute here somebody else's machine would: they go behind the
/// node and its well-behaved clients.
pub(super) fn attempt(row: &Row, way: Way, address: SocketAddr) -> Result<Vec<Outcome>> {
    std::thread::scope(|scope| {
        let attempt = scope.spawn(|| {
            rustix::process::nice(LOWEST)?;
            attempt_here(row, way, address)
        });
        attempt.join().expect("a hostile peer does not panic")
    })
}

fn attempt_here(row: &Row, way: Way, address: SocketAddr) -> Result<Vec<Outcome>> {
    let (count, limit) = match way {
        Way::Whole | Way::Split => (1, VERDICT_LIMIT),
        Way::Crowd(count) => (count, CROWD_LIMIT),
    };
    let limit = limit + row.grace;
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        stop::check()?;
        sockets.push(log_in(row, address).context("a hostile peer logs in")?);
    }
    let mut sent = Vec::with_capacity(count);
    for mut socket in sockets {
        stop::check()?;
        send(&mut socket, &row.payload, way);
        sent.push((socket, Instant::now()));
    }
    sent.into_iter()
        .map(|(socket, since)| {
            stop::check()?;
            Ok(hear(socket, &row.due, since, limit))
        })
        .collect()
}

fn log_in(row: &Row, address: SocketAddr) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_write_timeout(Some(LOGIN_LIMIT))?;
    if row.login.is_empty() {
        return Ok(socket);
    }
    socket.write_all(&row.login)?;
    socket.set_read_timeout(Some(LOGIN_LIMIT))?;
    let mut heard = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = socket.read(&mut piece)?;
        if count == 0 {
            bail!("closed after {} bytes", heard.len());
        }
        heard.extend_from_slice(&piece[..count]);
        let is_in = match row.door {
            Door::Amqp => super::amqp::is_channel_open(&heard),
            Door::Kafka => frames_count(&heard) == frames_count(&row.login),
            Door::Http => true,
        };
        if is_in {
            return Ok(socket);
        }
    }
}

/// Whole frames of Kafka's protocol: each request of a login has its answer.
fn frames_count(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some(frame) = super::kafka::whole(bytes) {
        bytes = &bytes[frame.len()..];
        count += 1;
    }
    count
}

/// Errors are the other side's refusal, and are heard of when its answer is read.
fn send(socket: &mut TcpStream, payload: &[u8], way: Way) {
    if way != Way::Split {
        drop(socket.write_all(payload));
        return;
    }
    let (slow, quick) = payload.split_at(payload.len().min(SPLIT_BYTES));
    let pieces = slow.chunks(1).chain(quick.chunks(SPLIT_BYTES));
    for piece in pieces {
        if socket.write_all(piece).is_err() {
            return;
        }
    }
}

fn hear(mut socket: TcpStream, due: &Due, since: Instant, limit: Duration) -> Outcome {
    let mut heard = Vec::new();
    let mut piece = [0; 16 << 10];
    let outcome = |words: String, is_due| Outcome {
        words,
        is_due,
        took: since.elapsed(),
    };
    loop {
        let left = limit.saturating_sub(since.elapsed());
        if left.is_zero() {
            return outcome(format!("nothing after {} bytes", heard.len()), false);
        }
        drop(socket.set_read_timeout(Some(left)));
        let is_over = match socket.read(&mut piece) {
            Ok(0) => true,
            Ok(count) => {
                heard.extend_from_slice(&piece[..count]);
                heard.len() > MAX_ANSWER_BYTES
            }
            Err(error) => !matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
            ),
        };
        let answer = match due {
            Due::End => None,
            Due::Answer(judge) | Due::AnswerOrEnd(judge) => judge(&heard),
        };
        if let Some(words) = answer {
            return outcome(words, true);
        }
        if is_over {
            let is_due = matches!(due, Due::End | Due::AnswerOrEnd(_));
            return outcome("closed".to_owned(), is_due);
        }
    }
}
