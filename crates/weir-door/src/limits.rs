//! The limits of a listener and its connections, each a constant and, where a user could need
//! another value, a field of [`Limits`].

use std::time::Duration;

/// Connections of one listener at a time. The next one waits in the kernel's queue.
pub const MAX_CONNECTIONS_COUNT: usize = 10_000;
/// Requests of one connection that may wait for their answers.
pub const MAX_IN_FLIGHT_COUNT: usize = 256;
/// Bytes of such requests. One request may be larger, and is then alone.
pub const MAX_IN_FLIGHT_BYTES: usize = 16 << 20;
/// Bytes of answers that one connection may leave unread before nothing more is read from it.
pub const MAX_UNSENT_BYTES: usize = 16 << 20;
/// Bytes of requests that one node holds for all its connections.
pub const MAX_NODE_REQUEST_BYTES: usize = 256 << 20;
/// Requests handed to the node in one turn of a connection.
pub const MAX_REQUESTS_PER_TURN_COUNT: usize = 64;
/// Bytes of answers taken over from the session in one turn.
pub const MAX_TRANSMIT_PER_TURN_BYTES: usize = 1 << 20;
/// Chunks of answers that are taken over from the session and wait for the socket.
pub const MAX_WRITE_CHUNKS_COUNT: usize = 512;
/// Chunks in one write.
pub const MAX_WRITE_SLICES_COUNT: usize = 64;
/// Smallest space for one read.
pub const MIN_READ_BYTES: usize = 4 << 10;
/// Largest space for one read.
pub const MAX_READ_BYTES: usize = 256 << 10;
/// How much more than what has arrived of a large frame is reserved at once.
pub const READ_AHEAD_FACTOR: usize = 4;
/// A connection without traffic and without a request in flight is closed after this long
/// (Kafka's `connections.max.idle.ms`).
pub const MAX_IDLE: Duration = Duration::from_mins(10);
/// A frame that began must be whole after this long, plus what it takes at
/// [`MIN_FRAME_BYTES_PER_S`]: who holds a share of the node's budget must use it. The time that
/// the budget holds the connection back does not count.
pub const MAX_FRAME_STALL: Duration = Duration::from_secs(30);
/// Slowest arrival of a large frame.
pub const MIN_FRAME_BYTES_PER_S: u64 = 256 << 10;
/// A peer that reads nothing of what waits for it is closed after this long.
pub const MAX_WRITE_STALL: Duration = Duration::from_mins(1);
/// A peer that was told the last thing has this long to close its side.
pub const MAX_LINGER: Duration = Duration::from_secs(2);
/// A TLS handshake is over after this long. What it may hold meanwhile rustls bounds: 64 KiB of a
/// message.
pub const MAX_HANDSHAKE: Duration = Duration::from_secs(10);
/// TLS handshakes under way at all ports. One more ends the oldest.
pub const MAX_HANDSHAKES_COUNT: usize = 512;
/// Cores for each computation of sessions, such as checks of passwords, that may be under way: others serve.
pub const CORES_PER_WORK: usize = 2;
/// A login that failed is answered after this long, in ms (Kafka's
/// `connection.failed.authentication.delay.ms`): guessing takes time.
pub const FAILED_LOGIN_DELAY_MS: u64 = 100;
/// Time for answers to leave at shutdown.
pub const MAX_DRAIN: Duration = Duration::from_secs(5);

/// Limits that a user may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Default [`MAX_CONNECTIONS_COUNT`].
    pub connections_count: usize,
    /// Default [`MAX_IDLE`].
    pub idle: Duration,
    /// Default [`MAX_FRAME_STALL`].
    pub frame_stall: Duration,
    /// Default [`MAX_WRITE_STALL`].
    pub write_stall: Duration,
    /// Default [`MAX_DRAIN`].
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_count: MAX_CONNECTIONS_COUNT,
            idle: MAX_IDLE,
            frame_stall: MAX_FRAME_STALL,
            write_stall: MAX_WRITE_STALL,
            drain: MAX_DRAIN,
        }
    }
}
