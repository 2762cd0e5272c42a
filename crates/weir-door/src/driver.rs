//! The one loop of a connection: socket, session and node.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::{Notify, watch},
    time::{Instant, Sleep, timeout},
};
use weir_broker::{
    Mailbox, Reply, Ticket,
    api::{Backend, Outcome},
};

use crate::{
    Claim, CloseReason, ConnectionCounters, Limits, Millis, Session,
    event::{Event, Room, is_down, receive, send},
    limits::{
        MAX_LINGER, MAX_READ_BYTES, MAX_REQUESTS_PER_TURN_COUNT, MAX_TRANSMIT_PER_TURN_BYTES,
        MAX_WRITE_CHUNKS_COUNT, MIN_FRAME_BYTES_PER_S, MIN_READ_BYTES, READ_AHEAD_FACTOR,
    },
    linger::linger,
    queue_room::{KEPT_COUNT, give_back},
    tls::is_hello,
    work::{Working, waking},
};

/// Why a connection is over. The session's own reason is asked of the session.
#[derive(Debug)]
pub enum Ended {
    /// The session closed it, or the peer did and everything is answered.
    Closed,
    /// Nothing happened for too long, see [`Limits::idle`].
    Idle,
    /// A frame began and did not arrive in time.
    FrameStalled,
    /// The peer does not read.
    WriteStalled,
    /// The node goes down; `true`: every request was answered.
    Shutdown(bool),
    /// The peer speaks TLS on a plain connection.
    SpeaksTls,
    /// The socket failed.
    Io(io::Error),
}

/// What one connection works with.
pub struct Driver<S> {
    session: S,
    backend: Arc<dyn Backend>,
    limits: Limits,
    mailbox: Arc<Mailbox>,
    arrived: Vec<(Ticket, Outcome)>,
    answered: Arc<Notify>,
    working: Working,
    claim: Claim,
    buffered: BytesMut,
    read_bytes: usize,
    missing_bytes: usize,
    /// Bytes that the claim must cover before more is received.
    needed_bytes: usize,
    unsent: VecDeque<Bytes>,
    unsent_bytes: usize,
    /// Whether the stream keeps what it has taken until it is flushed, as TLS does.
    is_over_tls: bool,
    /// Whether it may have kept something.
    is_flushed: bool,
    has_received: bool,
    moved: Vec<Bytes>,
    traffic_at: Instant,
    written_at: Instant,
    frame_due: Option<Instant>,
    drain_due: Option<Instant>,
    /// A peer that has closed its side waits for nothing: its requests get this long.
    peer_due: Option<Instant>,
    started: (Instant, Millis),
    counters: Option<ConnectionCounters>,
}

impl<S: Session> Driver<S> {
    /// A driver for a connection that was just taken.
    pub fn new(mut session: S, backend: Arc<dyn Backend>, claim: Claim, limits: Limits) -> Self {
        let answered = Arc::new(Notify::new());
        let working = Working::of(&mut session, &answered);
        let now = Instant::now();
        let wall_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0));
        Self {
            session,
            backend,
            limits,
            mailbox: Mailbox::new(waking(&answered)),
            arrived: Vec::new(),
            answered,
            working,
            claim,
            buffered: BytesMut::new(),
            read_bytes: MIN_READ_BYTES,
            missing_bytes: 0,
            needed_bytes: 0,
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            is_over_tls: false,
            is_flushed: true,
            has_received: false,
            moved: Vec::new(),
            traffic_at: now,
            written_at: now,
            frame_due: None,
            drain_due: None,
            peer_due: None,
            started: (now, Millis(wall_ms)),
            counters: None,
        }
    }

    /// Counts what it does.
    #[must_use]
    pub fn with_counters(mut self, counters: ConnectionCounters) -> Self {
        self.counters = Some(counters);
        self
    }

    /// For a stream that encrypts.
    #[must_use]
    pub fn over_tls(mut self) -> Self {
        self.is_over_tls = true;
        self
    }

    /// The session, for its reason to close.
    pub fn session(&self) -> &S {
        &self.session
    }

    /// Runs the connection to its end. `shutdown` turning `true`, or its sender's drop, lets what
    /// is in flight be answered and then ends it.
    pub async fn run<R, W>(
        &mut self,
        reader: &mut R,
        writer: &mut W,
        mut shutdown: watch::Receiver<bool>,
    ) -> Ended
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut alarm = Box::pin(tokio::time::sleep_until(self.deadline()));
        loop {
            let more = self.turn();
            if let Some(ended) = self.ended() {
                self.buffered = BytesMut::new();
                self.claim.shrink_to(0);
                // A proxy between may take the end of our side for the end of both, and cut off what the
                // peer still sends.
                if self.closes_first(&ended) {
                    linger(reader).await;
                }
                // Where TLS has something to say it may wait for room, which a peer may never give.
                let _ = timeout(MAX_LINGER, writer.shutdown()).await;
                return ended;
            }
            // The wait below sees the shutdown only when nothing else is ready.
            if self.drain_due.is_none() && is_down(&mut shutdown) {
                self.go_down();
                continue;
            }
            self.arm(alarm.as_mut());
            let (ring, down) = (alarm.as_mut(), &mut shutdown);
            let event = self.event(reader, writer, ring, down, more);
            match event.await {
                Event::Read(Ok(0)) => self.peer_due = Some(Instant::now() + self.limits.drain),
                Event::Read(Ok(_)) if self.begins_with_tls() => return Ended::SpeaksTls,
                Event::Read(Ok(count)) => self.note_read(count),
                // A TLS client that left without a word: what it sent was authentic all the same,
                // and what a frame lacks is never made up.
                Event::Read(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.peer_due = Some(Instant::now() + self.limits.drain);
                }
                Event::Written(Ok(0)) => return Ended::Io(io::ErrorKind::WriteZero.into()),
                Event::Written(Ok(count)) => self.note_written(count),
                Event::Flushed(Ok(())) => self.note_flushed(),
                Event::Read(Err(error))
                | Event::Written(Err(error))
                | Event::Flushed(Err(error)) => {
                    return Ended::Io(error);
                }
                Event::Claimed => self.frame_due = None,
                Event::Shutdown => self.go_down(),
                Event::Turn => {}
            }
        }
    }

    /// Whether the peer of a connection that has ended so may still be writing, see [`linger`](crate::linger).
    pub(crate) fn may_linger(&self, ended: &Ended) -> bool {
        matches!(ended, Ended::Closed) && self.peer_due.is_none() && !self.closes_first(ended)
    }

    /// Whether the peer has said goodbye: then it closes, and we do after it.
    fn closes_first(&self, ended: &Ended) -> bool {
        let is_done = matches!(self.session.close_reason(), Some(CloseReason::Done));
        is_done && matches!(ended, Ended::Closed) && self.peer_due.is_none()
    }

    async fn event<R, W>(
        &mut self,
        reader: &mut R,
        writer: &mut W,
        alarm: Pin<&mut Sleep>,
        shutdown: &mut watch::Receiver<bool>,
        more: bool,
    ) -> Event
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let claiming = self.takes_bytes() && !self.is_covered();
        let (reading, room) = (self.is_reading(), self.room());
        tokio::select! {
            biased;
            sent = send(writer, &self.unsent), if !self.is_sent() => sent,
            () = self.answered.notified() => Event::Turn,
            count = receive(reader, &mut self.buffered, room), if reading => {
                Event::Read(count)
            }
            () = self.claim.grow_to(self.needed_bytes), if claiming => Event::Claimed,
            _ = shutdown.wait_for(|down| *down), if self.drain_due.is_none() => Event::Shutdown,
            () = alarm => Event::Turn,
            () = tokio::task::yield_now(), if more => Event::Turn,
        }
    }

    /// Whether the first bytes on a plain connection are TLS's.
    fn begins_with_tls(&mut self) -> bool {
        let is_first = !std::mem::replace(&mut self.has_received, true);
        is_first && !self.is_over_tls && is_hello(&self.buffered)
    }

    fn go_down(&mut self) {
        self.drain_due = Some(Instant::now() + self.limits.drain);
        self.session.go_down(self.now());
    }

    /// Everything that needs no waiting. Returns whether there is more of it.
    fn turn(&mut self) -> bool {
        let now = self.now();
        let began = self.session.is_timed().then(Instant::now);
        self.mailbox.take(&mut self.arrived);
        if !self.arrived.is_empty() && self.peer_due.is_some() {
            self.peer_due = Some(Instant::now() + self.limits.drain);
        }
        for (ticket, outcome) in self.arrived.drain(..) {
            if let Some(counters) = &mut self.counters {
                counters.answered(ticket, Instant::now());
            }
            self.session.complete(now, ticket, outcome);
        }
        if self.session.poll_timeout().is_some_and(|due| due <= now) {
            self.session.handle_timeout(now);
        }
        self.working.settle(&mut self.session, now);
        self.feed(now);
        self.working.begin(&mut self.session, &self.answered);
        let mut submitted_count = 0;
        while submitted_count < MAX_REQUESTS_PER_TURN_COUNT
            && let Some((ticket, request)) = self.session.poll_request()
        {
            if let Some(counters) = &mut self.counters {
                counters.asked(ticket, self.session.request_label(ticket), Instant::now());
            }
            let reply = Reply::new(Arc::clone(&self.mailbox), ticket);
            self.backend.submit(request, reply);
            submitted_count += 1;
        }
        self.transmit();
        self.needed_bytes = self.needed_bytes.min(self.claimable_bytes());
        self.claim.shrink_to(self.claimable_bytes());
        if let Some(began) = began {
            let busy_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.session.note_busy(now, busy_us);
        }
        submitted_count == MAX_REQUESTS_PER_TURN_COUNT
    }

    fn feed(&mut self, now: Millis) {
        if self.buffered.is_empty() || !self.takes_bytes() {
            // What nobody reads does not stall.
            self.frame_due = None;
            return;
        }
        let bounds = self.session.bounds(&self.buffered);
        let whole_bytes = bounds.whole_bytes.min(self.buffered.len());
        self.missing_bytes = bounds.missing_bytes;
        self.needed_bytes = self.claimable_bytes();
        if whole_bytes > 0 && self.is_covered_now() {
            self.session
                .receive(now, self.buffered.split_to(whole_bytes).freeze());
            self.frame_due = None;
        }
        if self.buffered.is_empty() {
            self.frame_due = None;
        } else if self.frame_due.is_none() {
            let lacking = u64::try_from(self.missing_bytes).unwrap_or(u64::MAX);
            let arrival = Duration::from_secs(lacking / MIN_FRAME_BYTES_PER_S);
            self.frame_due = Some(Instant::now() + self.limits.frame_stall + arrival);
        }
    }

    fn transmit(&mut self) {
        while self.unsent_bytes < MAX_TRANSMIT_PER_TURN_BYTES
            && self.unsent.len() < MAX_WRITE_CHUNKS_COUNT
        {
            if self.unsent.is_empty() {
                self.written_at = Instant::now();
            }
            let room = MAX_TRANSMIT_PER_TURN_BYTES - self.unsent_bytes;
            let moved_bytes = self.session.poll_transmit(&mut self.moved, room);
            self.unsent
                .extend(self.moved.drain(..).filter(|chunk| !chunk.is_empty()));
            self.unsent_bytes += moved_bytes;
            if moved_bytes == 0 {
                break;
            }
        }
        if self.moved.capacity() > KEPT_COUNT {
            self.moved = Vec::new();
        }
    }

    /// A large frame's buffer grows by a multiple of what has arrived; its announced length only says
    /// where to stop.
    fn room(&self) -> Room {
        let ahead_bytes = self.buffered.len().saturating_mul(READ_AHEAD_FACTOR);
        let step_bytes = self.missing_bytes.min(ahead_bytes);
        Room {
            least_bytes: self.read_bytes,
            wanted_bytes: self.read_bytes.max(step_bytes),
        }
    }

    fn note_read(&mut self, count: usize) {
        self.traffic_at = Instant::now();
        if let Some(counters) = &self.counters {
            counters.received(count);
        }
        self.missing_bytes = self.missing_bytes.saturating_sub(count);
        if count >= self.read_bytes {
            self.read_bytes = (self.read_bytes * 2).min(MAX_READ_BYTES);
        } else if count < self.read_bytes / 4 {
            self.read_bytes = (self.read_bytes / 2).max(MIN_READ_BYTES);
        }
    }

    fn note_written(&mut self, count: usize) {
        self.traffic_at = Instant::now();
        self.written_at = self.traffic_at;
        if let Some(counters) = &self.counters {
            counters.sent(count);
        }
        assert!(count <= self.unsent_bytes, "more was written than given");
        self.unsent_bytes -= count;
        self.session.note_written(count);
        self.is_flushed = !self.is_over_tls;
        let mut left = count;
        while left > 0 {
            let chunk = self
                .unsent
                .front_mut()
                .expect("written bytes come from unsent chunks");
            let step = left.min(chunk.len());
            chunk.advance(step);
            left -= step;
            if chunk.is_empty() {
                self.unsent.pop_front();
            }
        }
        give_back(&mut self.unsent);
    }

    fn note_flushed(&mut self) {
        self.is_flushed = true;
        self.written_at = Instant::now();
    }

    fn is_sent(&self) -> bool {
        self.unsent.is_empty() && self.is_flushed
    }

    fn claimable_bytes(&self) -> usize {
        self.session
            .held_bytes()
            .saturating_add(self.buffered.len())
            .saturating_add(self.missing_bytes)
    }

    fn is_covered(&self) -> bool {
        self.claim.covers(self.needed_bytes)
    }

    /// As [`Self::is_covered`], taking from the budget what is free.
    fn is_covered_now(&mut self) -> bool {
        self.claim.try_grow_to(self.needed_bytes)
    }

    fn is_over(&self) -> bool {
        self.drain_due.is_some() || self.session.close_reason().is_some()
    }

    fn takes_bytes(&self) -> bool {
        !self.is_over() && self.session.wants_read()
    }

    fn is_reading(&self) -> bool {
        self.peer_due.is_none() && self.takes_bytes() && self.is_covered()
    }

    fn is_answered(&self) -> bool {
        self.is_sent() && self.session.in_flight_count() == 0
    }

    fn ended(&self) -> Option<Ended> {
        let now = Instant::now();
        let is_sent = self.is_sent();
        if !is_sent && now >= self.written_at + self.limits.write_stall {
            return Some(Ended::WriteStalled);
        }
        if self.session.close_reason().is_some() && is_sent {
            return Some(Ended::Closed);
        }
        let is_answered = self.is_answered();
        if let Some(due) = self.drain_due
            && (is_answered || now >= due)
        {
            return Some(Ended::Shutdown(is_answered));
        }
        if let Some(due) = self.peer_due {
            let is_done = is_answered && self.session.held_bytes() == 0 && self.is_covered();
            if is_done || now >= due {
                return Some(Ended::Closed);
            }
        }
        if self.is_reading() && self.frame_due.is_some_and(|due| now >= due) {
            return Some(Ended::FrameStalled);
        }
        let is_idle = is_answered && now >= self.traffic_at + self.limits.idle;
        is_idle.then_some(Ended::Idle)
    }

    fn deadline(&self) -> Instant {
        let mut due = if self.is_answered() {
            self.traffic_at + self.limits.idle
        } else {
            Instant::now() + self.limits.idle
        };
        if !self.is_sent() {
            due = due.min(self.written_at + self.limits.write_stall);
        }
        if self.is_reading()
            && let Some(frame_due) = self.frame_due
        {
            due = due.min(frame_due);
        }
        for end in [self.drain_due, self.peer_due].into_iter().flatten() {
            due = due.min(end);
        }
        if let Some(session_due) = self.session.poll_timeout() {
            let wait = Duration::from_millis(session_due.since(self.now()));
            due = due.min(Instant::now() + wait);
        }
        due
    }

    /// Sets the alarm. One that is set too early is left alone: it rings, finds nothing due, and
    /// is set again, which is cheaper than moving it with every byte.
    fn arm(&self, mut alarm: Pin<&mut Sleep>) {
        let due = self.deadline();
        if alarm.is_elapsed() || due < alarm.deadline() {
            alarm.as_mut().reset(due);
        }
    }

    fn now(&self) -> Millis {
        let (started, wall) = self.started;
        let since_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        wall.plus(since_ms)
    }
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
