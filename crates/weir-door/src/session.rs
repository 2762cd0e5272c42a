//! One connection's protocol without I/O: bytes and outcomes in, requests and bytes out.

use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use weir_broker::{
    Ticket,
    api::{Outcome, Request},
};

use crate::{Millis, TlsSession, Waker, Work};

/// The error that a protocol closes a connection for.
pub type Reason = Box<dyn Error + Send + Sync>;

/// Why a session wants its connection closed. What it still has to transmit goes out first.
#[derive(Debug, thiserror::Error)]
pub enum CloseReason {
    /// The peer broke the protocol, or asked for what is not served.
    #[error("peer: {0}")]
    Peer(Reason),
    /// This node could not keep the protocol.
    #[error("node: {0}")]
    Us(Reason),
    /// The peer has said goodbye by the protocol's own word and is answered. It closes the stream itself.
    #[error("done")]
    Done,
}

/// What stands at the start of a receive buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of whole frames. Also bytes that can only be refused.
    pub whole_bytes: usize,
    /// Bytes that the frame after those still lacks; 0 where that is not known yet. The peer's
    /// word: may be counted, must not size an allocation.
    pub missing_bytes: usize,
}

/// One connection as its session sees it.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Where the client connects from.
    pub peer: SocketAddr,
    /// The address that took the connection.
    pub local: SocketAddr,
    /// Connections that are taken later have higher numbers, whatever listener takes them.
    pub number: u64,
    /// What TLS told; `None`: the connection is plain.
    pub tls: Option<TlsSession>,
}

/// What becomes of a connection that was just taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It is served.
    Now,
    /// It is served after this long: its peer connects too often.
    Late(Duration),
    /// It is closed: it would have to wait for too long.
    Never,
}

/// Makes the sessions of one protocol.
pub trait Door: Send + Sync + 'static {
    /// The protocol's state machine.
    type Session: Session + 'static;
    /// The door's name in logs, such as `kafka`.
    fn name(&self) -> &'static str;
    /// The kinds of requests whose durations are counted apart, for people.
    fn request_labels(&self) -> Vec<String> {
        vec![self.name().to_owned()]
    }
    /// What becomes of a connection from this address. Asked once for each.
    fn entry(&self, _peer: IpAddr) -> Entry {
        Entry::Now
    }
    /// A session for a connection that was just taken.
    fn open(&self, connection: Connection) -> Self::Session;
}

/// One connection's protocol. Time is an argument; nothing here blocks.
pub trait Session: Send {
    /// Finds frames at the start of `buffered`, which was not received yet and follows what was.
    fn bounds(&self, buffered: &[u8]) -> Bounds;

    /// Takes what brings about a look at [`Session::poll_timeout`], from any thread: told once, before anything
    /// else.
    fn wake_by(&mut self, _wake: Waker) {}

    /// Takes bytes, cut anywhere. Cut at [`Bounds::whole_bytes`] they are not copied.
    fn receive(&mut self, now: Millis, bytes: Bytes);

    /// The next request for the node.
    fn poll_request(&mut self) -> Option<(Ticket, Request)>;

    /// Which of [`Door::request_labels`] the request is that was just polled.
    fn request_label(&self, _ticket: Ticket) -> usize {
        0
    }

    /// Whether [`Session::note_busy`] is wanted.
    fn is_timed(&self) -> bool {
        false
    }

    /// Tells for how long the connection has kept a core busy, in µs, each time that it has.
    fn note_busy(&mut self, _now: Millis, _busy_us: u64) {}

    /// Takes the answer to a request. A ticket that is not awaited is ignored.
    fn complete(&mut self, now: Millis, ticket: Ticket, outcome: Outcome);

    /// What takes milliseconds of a core, such as the check of a password: the driver has it done beside the
    /// tasks of connections. No other is asked for before [`Session::worked`].
    fn poll_work(&mut self) -> Option<Work> {
        None
    }

    /// Tells that the work is done, or that it failed.
    fn worked(&mut self, _now: Millis) {}

    /// Moves chunks to send to the end of `into` until they have `max_bytes` or more. Returns
    /// their bytes; 0: there is nothing to send.
    fn poll_transmit(&mut self, into: &mut Vec<Bytes>, max_bytes: usize) -> usize;

    /// Tells that so many more bytes of the chunks that were moved are with the socket, and held here no longer.
    fn note_written(&mut self, _bytes: usize) {}

    /// When [`Session::handle_timeout`] is due; `None`: never.
    fn poll_timeout(&self) -> Option<Millis>;

    /// Tells that the time of [`Session::poll_timeout`] has come.
    fn handle_timeout(&mut self, now: Millis);

    /// Tells that the node goes down: nothing more is received, and the connection ends once
    /// everything is answered and sent.
    fn go_down(&mut self, _now: Millis) {}

    /// Whether more bytes may be received. `false` is back-pressure: the driver stops reading.
    fn wants_read(&self) -> bool;

    /// Requests that are received and not answered.
    fn in_flight_count(&self) -> usize;

    /// Bytes of those requests, and of what was received and not looked at yet.
    fn held_bytes(&self) -> usize;

    /// Why the connection is to be closed; `None`: it goes on.
    fn close_reason(&self) -> Option<&CloseReason>;
}
