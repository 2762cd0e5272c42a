//! Messages from the nodes that lead queues to the nodes where sessions are.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use weir_model::{ErrorKind, NodeId, PartitionId};

use super::{
    lines::Settled,
    session::QueueSession,
    wire::{self, Call},
};
use crate::{
    Node,
    api::queues::{ConsumerTag, Delivered, DeliveryId, Settlement},
    queue::SessionKey,
};

/// First pause before another node is asked whether its sessions have room, in ms; doubles with
/// each.
const MIN_ROOM_PAUSE_MS: u64 = 5;
/// Longest pause before another node is asked whether its sessions have room, in ms.
const MAX_ROOM_PAUSE_MS: u64 = 200;

/// What became of deliveries that were handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handed {
    /// Sessions that the node does not know (any more): what they hold is to be ready again.
    pub(crate) ended: Vec<SessionKey>,
}

/// Hears once what became of deliveries: `Err` where the node may not have got them; they are
/// handed over again then. Called late while a session has much that its client has not taken.
pub(crate) type HandedOver = Box<dyn FnOnce(Result<Handed, ErrorKind>) + Send>;

/// A message on its way to a consumer.
pub(super) type ToConsumer = (SessionKey, ConsumerTag, Delivered);

/// Deliveries that have arrived, whose sender hears of it when this is dropped: once all sessions have
/// room.
struct Arrived {
    ended: Vec<SessionKey>,
    /// A mutex: for `Drop` to take it out of what is shared.
    done: Mutex<Option<HandedOver>>,
}

impl Drop for Arrived {
    fn drop(&mut self) {
        let done = self.done.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(done) = done.take() {
            let ended = std::mem::take(&mut self.ended);
            done(Ok(Handed { ended }));
        }
    }
}

impl Node {
    /// Hands deliveries over to sessions of the node `to`, which may be this one. One call for a
    /// session is under way at a time for each partition, so calls that overtake each other mix up
    /// nothing. What a consumer has seen by its serial already is dropped over there.
    pub(crate) fn deliver(
        self: &Arc<Self>,
        to: NodeId,
        deliveries: Vec<ToConsumer>,
        done: HandedOver,
    ) {
        if to != self.id() {
            return self.deliver_there(to, deliveries, done);
        }
        let wire::Sessions { ended, full } = self.deliver_here(deliveries);
        let arrived = Arc::new(Arrived {
            ended,
            done: Mutex::new(Some(done)),
        });
        for session in full {
            if let Some(session) = self.sessions.get(session) {
                let arrived = Arc::clone(&arrived);
                session.told.when_room(Box::new(move || drop(arrived)));
            }
        }
    }

    fn deliver_there(self: &Arc<Self>, to: NodeId, deliveries: Vec<ToConsumer>, done: HandedOver) {
        let node = Arc::clone(self);
        let request = Call::Deliver(deliveries).encode();
        let answered = move |answer: Result<Bytes, _>| match read(to, answer) {
            Ok(wire::Sessions { ended, full }) if full.is_empty() => done(Ok(Handed { ended })),
            Ok(sessions) => node.wait_for_room(to, sessions, MIN_ROOM_PAUSE_MS, done),
            Err(error) => done(Err(error)),
        };
        self.peers.call(to, request, Box::new(answered));
    }

    /// Asks until all sessions have room: few calls may be under way, so none waits over there.
    fn wait_for_room(
        self: &Arc<Self>,
        to: NodeId,
        sessions: wire::Sessions,
        pause_ms: u64,
        done: HandedOver,
    ) {
        let wire::Sessions { mut ended, full } = sessions;
        if full.is_empty() || self.is_closing() {
            return done(Ok(Handed { ended }));
        }
        let node = Arc::clone(self);
        let ask = move || {
            let asking = Arc::clone(&node);
            let request = Call::Room(full).encode();
            let answered = move |answer: Result<Bytes, _>| match read(to, answer) {
                Ok(now) => {
                    ended.extend(now.ended);
                    let full = now.full;
                    let sessions = wire::Sessions { ended, full };
                    let pause_ms = (pause_ms * 2).min(MAX_ROOM_PAUSE_MS);
                    node.wait_for_room(to, sessions, pause_ms, done);
                }
                // They have arrived; whether the node is there shows with the next ones.
                Err(_) => done(Ok(Handed { ended })),
            };
            asking.peers.call(to, request, Box::new(answered));
        };
        let due = self.elapsed().plus(pause_ms);
        self.purgatory.at(due, Box::new(ask));
    }

    /// Tells the node of sessions that leaders have ended since it was away.
    pub(crate) fn tell_lost(self: &Arc<Self>, to: NodeId, lost: Vec<SessionKey>, done: HandedOver) {
        if to == self.id() {
            let ended = self.lose_sessions(&lost).ended;
            return done(Ok(Handed { ended }));
        }
        let answered = move |answer: Result<Bytes, _>| {
            done(read(to, answer).map(|sessions| Handed {
                ended: sessions.ended,
            }));
        };
        let request = Call::Lost(lost).encode();
        self.peers.call(to, request, Box::new(answered));
    }

    /// Tells this node's sessions.
    pub(super) fn deliver_here(&self, deliveries: Vec<ToConsumer>) -> wire::Sessions {
        let mut sessions = wire::Sessions::default();
        let mut rest = deliveries.into_iter().peekable();
        while let Some((key, ..)) = rest.peek() {
            let key = *key;
            let of_session = std::iter::from_fn(|| {
                let (_, consumer, delivered) = rest.next_if(|(next, ..)| *next == key)?;
                Some((consumer, delivered))
            });
            let session = self.sessions.get(key);
            let mut of_session = of_session;
            let handed = session
                .as_ref()
                .and_then(|session| session.told.deliver(&mut of_session));
            of_session.for_each(drop);
            match (session, handed) {
                (Some(session), Some(handed)) => {
                    if handed.is_full && !sessions.full.contains(&key) {
                        sessions.full.push(key);
                    }
                    if handed.is_nobodys {
                        sessions.ended.push(key);
                    }
                    self.settle_for(&session, handed.settled);
                }
                (Some(_) | None, _) if sessions.ended.contains(&key) => {}
                // It ends by itself, after what it has asked for: that was answered as done.
                (Some(_) | None, _) if self.sessions.is_ending(key) => {}
                (Some(_) | None, _) => sessions.ended.push(key),
            }
        }
        sessions
    }

    /// Settles what no client will.
    pub(super) fn settle_for(
        &self,
        session: &QueueSession,
        settled: Vec<(DeliveryId, Settlement)>,
    ) {
        for (partition, deliveries) in by_partition(settled) {
            if let Some(group) = self.group_of(partition) {
                let done = Box::new(|_| ());
                session.lines.settle(group, partition, deliveries, done);
            }
        }
    }

    /// Which of these sessions are gone or full.
    pub(super) fn room_of(&self, sessions: &[SessionKey]) -> wire::Sessions {
        let mut answer = wire::Sessions::default();
        for key in sessions {
            let session = self.sessions.get(*key);
            match session.and_then(|session| session.told.has_room()) {
                Some(true) => {}
                Some(false) => answer.full.push(*key),
                None if self.sessions.is_ending(*key) => {}
                None => answer.ended.push(*key),
            }
        }
        answer
    }
}

/// Deliveries of each partition.
pub(super) fn by_partition(
    settled: Vec<(DeliveryId, Settlement)>,
) -> BTreeMap<PartitionId, Vec<Settled>> {
    let mut partitions: BTreeMap<PartitionId, Vec<Settled>> = BTreeMap::new();
    for (id, settlement) in settled {
        let deliveries = partitions.entry(id.partition).or_default();
        deliveries.push((id.offset, id.serial, settlement));
    }
    partitions
}

pub(super) fn read(
    to: NodeId,
    answer: Result<Bytes, crate::peer::CallFailed>,
) -> Result<wire::Sessions, ErrorKind> {
    let answer = answer.map_err(|_| ErrorKind::NotLeader)?;
    wire::Sessions::decode(&answer).map_err(|error| {
        tracing::warn!(%to, %error, "an answer to deliveries that is damaged");
        ErrorKind::InvalidRequest
    })
}
