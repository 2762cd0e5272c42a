//! Well-behaved clients that work all the while, one at each door, and how long each of their messages took.

use super::{amqp, batch::Batch, http, kafka, wire::Wire};
use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two messages of a witness, from due to due.
const PAUSE: Duration = Duration::from_millis(5);
/// A message takes no longer than this, whatever others do.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
const QUEUE: &str = "witness";

/// A client at work; it ends when dropped.
pub(super) struct Witness {
    name: &'static str,
    stores: bool,
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    took: Mutex<Vec<Duration>>,
    failed: Mutex<Option<String>>,
    is_over: AtomicBool,
}

/// Times of messages, in the order of their length.
pub(super) struct Times(Vec<Duration>);

impl Times {
    /// The time that so many of a hundred did not exceed.
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        let at = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(at).copied().unwrap_or_default()
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
        self.0.sort_unstable();
    }

    pub(super) fn none() -> Self {
        Self(Vec::new())
    }
}

impl Witness {
    /// Produces to a partition, message by message; logs in with what `login` sends.
    pub(super) fn at_kafka(address: SocketAddr, login: &[u8]) -> Result<Self> {
        let mut socket = connect(address)?;
        kafka::log_in(&mut socket, login)?;
        let request = kafka::produce(&Batch::default().bytes());
        Self::start("kafka", move || {
            socket.write_all(&request)?;
            let mut answer = vec![0; 4];
            socket.read_exact(&mut answer)?;
            let size = u32::from_be_bytes(answer[..4].try_into().expect("four bytes"));
            answer.resize(4 + size as usize, 0);
            socket.read_exact(&mut answer[4..])?;
            match kafka::produce_error(&answer) {
                Some(0) => Ok(()),
                error => bail!("Produce answered {error:?}"),
            }
        })
    }

    /// Publishes to a queue, each message confirmed before the next.
    pub(super) fn at_amqp(address: SocketAddr, user: &str) -> Result<Self> {
        let mut socket = connect(address)?;
        let table = Wire::new().short("x-max-length").u8(b'I').i32(1_000).end();
        let queue = Wire::new().u16(0).short(QUEUE).u8(0b10).long(&table).end();
        let greeting = [
            amqp::login_as(user),
            amqp::method(1, 50, 10, &queue),
            amqp::method(1, 85, 10, b"\0"),
        ];
        socket.write_all(&greeting.concat())?;
        amqp::wait_for_method(&mut socket, (85, 11))?;
        let publish = Wire::new().u16(0).short("").short(QUEUE).u8(0).end();
        let header = Wire::new().u16(60).u16(0).u64(7).u16(0x1000).u8(2).end();
        let message = [
            amqp::method(1, 60, 40, &publish),
            amqp::frame(2, 1, &header),
            amqp::frame(3, 1, b"witness"),
        ]
        .concat();
        Self::start("amqp", move || {
            socket.write_all(&message)?;
            amqp::wait_for_method(&mut socket, (60, 80))
        })
    }

    /// Asks the admin port how the node is, on one connection for as long as that is kept. Stores nothing, so that
    /// its times are none of a message.
    pub(super) fn at_http(address: SocketAddr) -> Result<Self> {
        let mut socket = connect(address)?;
        let ask = move || {
            if let Ok(()) = http::is_well(&mut socket) {
                return Ok(());
            }
            // It may have had to make room, or have been open for as long as a connection may.
            socket = connect(address)?;
            http::is_well(&mut socket)
        };
        let mut witness = Self::start("http", ask)?;
        witness.stores = false;
        Ok(witness)
    }

    fn start(
        name: &'static str,
        mut send: impl FnMut() -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        send().with_context(|| format!("the first message of the witness at {name}"))?;
        let seen = Arc::<Seen>::default();
        let noted = Arc::clone(&seen);
        let thread = std::thread::spawn(move || {
            let mut due = Instant::now();
            while !noted.is_over.load(Ordering::Relaxed) {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if let Err(error) = send() {
                    *lock(&noted.failed) = Some(format!("{error:#}"));
                    return;
                }
                lock(&noted.took).push(due.elapsed());
                // Late messages do not make later ones late: a pause of others counts once.
                due = (due + PAUSE).max(Instant::now());
            }
        });
        Ok(Self {
            name,
            stores: true,
            seen,
            thread: Some(thread),
        })
    }

    /// Whether what it times is a message with its disk write.
    pub(super) fn stores(&self) -> bool {
        self.stores
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Times of all messages since this was asked last; an error once it was refused anything.
    pub(super) fn take(&self) -> Result<Times> {
        if let Some(error) = &*lock(&self.seen.failed) {
            bail!(
                "the well-behaved client of {} was failed: {error}",
                self.name
            );
        }
        let mut times = std::mem::take(&mut *lock(&self.seen.took));
        times.sort_unstable();
        Ok(Times(times))
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.seen.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // What went wrong with it was told by `take`.
            drop(thread.join());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(ANSWER_LIMIT))?;
    socket.set_write_timeout(Some(ANSWER_LIMIT))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_seen() {
        let times = Times((1..=200).map(Duration::from_millis).collect());
        assert_eq!(times.percentile(50), Duration::from_millis(100));
        assert_eq!(times.percentile(99), Duration::from_millis(198));
        assert_eq!(Times::none().percentile(99), Duration::ZERO);
    }
}
