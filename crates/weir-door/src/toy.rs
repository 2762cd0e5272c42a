//! A protocol for tests: a frame is its length in four bytes and a text. Each text is asked of
//! the node and comes back as it answered. `bye` ends the conversation.

use std::{collections::VecDeque, sync::Arc};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::sync::mpsc;
use weir_broker::{
    Reply, Ticket,
    api::{Backend, Broker, Outcome, Request},
};

use crate::{Bounds, CloseReason, Connection, Door, Millis, Session, Work};

/// Requests of one toy session in flight.
pub(crate) const MAX_TOY_COUNT: usize = 2;

/// Requests that a test may leave untaken.
const MAX_ASKED_COUNT: usize = 4096;

#[derive(Default)]
pub(crate) struct Toy {
    inbox: BytesMut,
    asked: VecDeque<(Ticket, String)>,
    next: u64,
    waiting: Vec<(Ticket, usize)>,
    unsent: VecDeque<Bytes>,
    closed: Option<CloseReason>,
    /// Said by a client that wants something computed.
    work: Option<Work>,
}

fn frame_bytes(buffered: &[u8]) -> Option<usize> {
    let length = buffered.first_chunk::<4>()?;
    Some(4 + usize::try_from(u32::from_be_bytes(*length)).unwrap())
}

pub(crate) fn frame(text: &str) -> Vec<u8> {
    let mut frame = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(text.as_bytes());
    frame
}

impl Toy {
    fn advance(&mut self) {
        while self.wants_read()
            && let Some(total) = frame_bytes(&self.inbox).filter(|total| *total <= self.inbox.len())
        {
            let mut frame = self.inbox.split_to(total);
            frame.advance(4);
            let text = String::from_utf8(frame.to_vec()).unwrap();
            if text == "bye" {
                self.closed = Some(CloseReason::Done);
                return;
            }
            if text == "work" {
                self.work = Some(Box::new(|| ()));
                continue;
            }
            if text == "panic" {
                self.work = Some(Box::new(|| panic!("asked for")));
                continue;
            }
            self.waiting.push((Ticket(self.next), total));
            self.asked.push_back((Ticket(self.next), text));
            self.next += 1;
        }
    }
}

impl Session for Toy {
    fn bounds(&self, buffered: &[u8]) -> Bounds {
        let mut whole_bytes = 0;
        while let Some(total) = frame_bytes(&buffered[whole_bytes..]) {
            if whole_bytes + total > buffered.len() {
                let missing_bytes = whole_bytes + total - buffered.len();
                return Bounds {
                    whole_bytes,
                    missing_bytes,
                };
            }
            whole_bytes += total;
        }
        Bounds {
            whole_bytes,
            missing_bytes: 0,
        }
    }

    fn receive(&mut self, _now: Millis, bytes: Bytes) {
        self.inbox.extend_from_slice(&bytes);
        self.advance();
    }

    fn poll_request(&mut self) -> Option<(Ticket, Request)> {
        let (ticket, text) = self.asked.pop_front()?;
        Some((ticket, Request::FindCoordinator(vec![text])))
    }

    fn complete(&mut self, _now: Millis, ticket: Ticket, outcome: Outcome) {
        self.waiting.retain(|(waiting, _)| *waiting != ticket);
        let Outcome::Coordinators(mut answers) = outcome else {
            panic!("the toy asks for coordinators only");
        };
        let text = answers.remove(0).unwrap().host;
        let mut head = BytesMut::new();
        head.put_u32(u32::try_from(text.len()).unwrap());
        self.unsent.push_back(head.freeze());
        self.unsent.push_back(text.into());
        self.advance();
    }

    fn poll_work(&mut self) -> Option<Work> {
        self.work.take()
    }

    fn worked(&mut self, _now: Millis) {
        self.unsent.push_back(frame("worked").into());
    }

    fn poll_transmit(&mut self, into: &mut Vec<Bytes>, max_bytes: usize) -> usize {
        let mut moved = 0;
        while moved < max_bytes
            && let Some(chunk) = self.unsent.pop_front()
        {
            moved += chunk.len();
            into.push(chunk);
        }
        moved
    }

    fn poll_timeout(&self) -> Option<Millis> {
        None
    }

    fn handle_timeout(&mut self, _now: Millis) {}

    fn wants_read(&self) -> bool {
        self.waiting.len() < MAX_TOY_COUNT && self.closed.is_none()
    }

    fn in_flight_count(&self) -> usize {
        self.waiting.len()
    }

    fn held_bytes(&self) -> usize {
        self.inbox.len() + self.waiting.iter().map(|(_, bytes)| bytes).sum::<usize>()
    }

    fn close_reason(&self) -> Option<&CloseReason> {
        self.closed.as_ref()
    }
}

pub(crate) struct ToyDoor;

impl Door for ToyDoor {
    type Session = Toy;

    fn name(&self) -> &'static str {
        "toy"
    }

    fn open(&self, _connection: Connection) -> Toy {
        Toy::default()
    }
}

/// A node that answers when the test says so.
pub(crate) struct Held {
    sender: mpsc::Sender<(String, Reply)>,
}

pub(crate) type Asked = mpsc::Receiver<(String, Reply)>;

impl Held {
    pub(crate) fn pair() -> (Arc<dyn Backend>, Asked) {
        let (sender, asked) = mpsc::channel(MAX_ASKED_COUNT);
        (Arc::new(Self { sender }), asked)
    }
}

impl Backend for Held {
    fn submit(&self, request: Request, reply: Reply) {
        let Request::FindCoordinator(mut texts) = request else {
            panic!("the toy asks for coordinators only");
        };
        // A test that has seen enough has dropped the other end.
        let _ = self.sender.try_send((texts.remove(0), reply));
    }
}

pub(crate) fn answer(reply: Reply, text: &str) {
    reply.send(Outcome::Coordinators(vec![Ok(Broker {
        node: 1,
        host: text.to_owned(),
        port: 1,
        tls: None,
        rack: None,
        is_fenced: false,
    })]));
}
