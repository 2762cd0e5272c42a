//! What is to come, in order of time: frames, and what clients and people do.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_broker::{Ticket, api::Request, peer::CallDone};
use weir_model::NodeId;
use weir_raft::wire;

use super::{
    port::{Caller, Sent},
    process::Incoming,
    run::Cluster,
};

/// What happens at some time.
pub(super) enum Event {
    Frame {
        from: usize,
        /// 0: no node yet.
        from_node: NodeId,
        to: usize,
        /// The node that it is meant for, where the sender knows it.
        to_node: Option<NodeId>,
        frame: Frame,
    },
    /// A client's request reaches a machine.
    Request {
        machine: usize,
        /// The process that it was meant for.
        life: u64,
        ticket: Ticket,
        request: Request,
    },
    /// A step of the plan.
    Act(usize),
    /// A client's next thing.
    Client(usize),
    /// The next thing of somebody who uses queues.
    QueueClient(usize),
    /// The machine's node asks to be let in.
    Ask(usize),
    /// All replicas are looked at.
    Look,
}

/// What goes from machine to machine.
#[derive(Clone)]
pub(super) enum Frame {
    Messages(Bytes),
    Beacon(Bytes),
    Call { caller: Caller, request: Bytes },
    Answer { caller: Caller, answer: Bytes },
    Closed,
}

impl Frame {
    fn kind(&self) -> &'static str {
        match self {
            Self::Messages(_) => "messages",
            Self::Beacon(_) => "beacons",
            Self::Call { .. } => "calls",
            Self::Answer { .. } => "call_answers",
            Self::Closed => "closed",
        }
    }
}

/// Events by time, those of one time in the order in which they were put in.
#[derive(Default)]
pub(super) struct Queue {
    events: BTreeMap<(u64, u64), Event>,
    next: u64,
}

impl Queue {
    pub(super) fn put(&mut self, at_ms: u64, event: Event) {
        self.next += 1;
        self.events.insert((at_ms, self.next), event);
    }

    pub(super) fn next_ms(&self) -> Option<u64> {
        self.events.keys().next().map(|(at_ms, _)| *at_ms)
    }

    pub(super) fn take(&mut self) -> Option<Event> {
        self.events.pop_first().map(|(_, event)| event)
    }
}

impl Cluster<'_> {
    /// Sends what the machine's process left after its turn.
    pub(super) fn send_out(&mut self, number: usize) {
        let sent = match &self.machines[number].process {
            Some(process) => process.take_sent(),
            None => return,
        };
        for sent in sent {
            match sent {
                Sent::Messages(messages) => {
                    for message in messages {
                        let to = message.to;
                        let own = self.machines[number].node.unwrap_or(NodeId(0));
                        let chunks = wire::encode(own, to, std::slice::from_ref(&message));
                        self.send_to(number, to, &Frame::Messages(chunks.concat().into()));
                    }
                }
                Sent::Addresses(addresses) => {
                    if let Some(process) = &mut self.machines[number].process {
                        process.set_addresses(&addresses);
                    }
                }
                Sent::Call { to, request, done } => self.begin_call(number, to, request, done),
                Sent::Answer { caller, answer } => {
                    if caller.machine >= self.machines.len() {
                        let text = String::from_utf8_lossy(&answer);
                        self.trace.note("told", &text);
                        continue;
                    }
                    self.send(
                        number,
                        caller.machine,
                        None,
                        &Frame::Answer { caller, answer },
                    );
                }
            }
        }
    }

    fn begin_call(&mut self, number: usize, to: NodeId, request: Bytes, done: CallDone) {
        let (now_ms, life) = (self.now_ms, self.machines[number].life);
        let Some(process) = &mut self.machines[number].process else {
            return;
        };
        let Some(call) = process.begin_call(now_ms, to, done) else {
            // The node hears of it in its next turn.
            self.wake(number);
            return;
        };
        let caller = Caller {
            machine: number,
            life,
            call,
        };
        self.send_to(number, to, &Frame::Call { caller, request });
    }

    fn send_to(&mut self, from: usize, to: NodeId, frame: &Frame) {
        let process = self.machines[from].process.as_ref();
        let machine = process.and_then(|process| process.addresses.get(&to).copied());
        if let Some(machine) = machine {
            self.send(from, machine, Some(to), frame);
        }
    }

    pub(super) fn send(&mut self, from: usize, to: usize, to_node: Option<NodeId>, frame: &Frame) {
        if to >= self.machines.len() || from == to {
            return;
        }
        let arrivals = self.weather.arrivals(self.now_ms, from, to);
        self.counts.add("frames", 1);
        match arrivals.len() {
            0 => self.counts.add("frames_lost", 1),
            1 => {}
            _ => self.counts.add("frames_repeated", 1),
        }
        let from_node = self.machines[from].node.unwrap_or(NodeId(0));
        for at_ms in arrivals {
            let event = Event::Frame {
                from,
                from_node,
                to,
                to_node,
                frame: frame.clone(),
            };
            self.queue.put(at_ms, event);
        }
    }

    /// A beacon to everybody, as often as the real transport sends one.
    pub(super) fn send_beacons(&mut self, number: usize) {
        /// Time between two beacons.
        const BEACON_MS: u64 = 200;
        let now_ms = self.now_ms;
        let Some(process) = &mut self.machines[number].process else {
            return;
        };
        if process.next_beacon_ms > now_ms {
            return;
        }
        process.next_beacon_ms = now_ms + BEACON_MS;
        let beacon = process.node.beacon();
        let others: Vec<NodeId> = process.addresses.keys().copied().collect();
        for other in others {
            self.send_to(number, other, &Frame::Beacon(beacon.clone()));
        }
    }

    /// Connections break when a process ends; a machine without power says nothing.
    pub(super) fn close_connections(&mut self, number: usize) {
        for other in 0..self.machines.len() {
            self.send(number, other, None, &Frame::Closed);
        }
    }

    pub(super) fn arrive(
        &mut self,
        from: usize,
        from_node: NodeId,
        to: usize,
        to_node: Option<NodeId>,
        frame: Frame,
    ) {
        // What is under way when a direction is cut does not arrive.
        if !self.weather.is_open(from, to) {
            self.counts.add("frames_cut", 1);
            return;
        }
        let words = [from as u64, to as u64];
        self.trace
            .event(frame.kind(), &words, || format!("{from} to {to}"));
        let machine = &mut self.machines[to];
        if to_node.is_some() && to_node != machine.node {
            return;
        }
        if let Frame::Answer { caller, answer } = &frame
            && caller.life == 0
        {
            self.let_in(to, *caller, answer);
            return;
        }
        let life = machine.life;
        let Some(process) = &mut machine.process else {
            return;
        };
        let incoming = match frame {
            Frame::Messages(bytes) => Incoming::Messages(bytes),
            Frame::Beacon(beacon) => Incoming::Beacon(beacon),
            Frame::Call { caller, request } => Incoming::Call {
                from: from_node,
                caller,
                request,
            },
            Frame::Answer { caller, answer } if caller.life == life => Incoming::Answer {
                call: caller.call,
                answer,
            },
            Frame::Answer { .. } => return,
            Frame::Closed => Incoming::Closed,
        };
        process.hear(from_node, incoming);
        self.wake(to);
    }

    pub(super) fn wake(&mut self, number: usize) {
        let now_ms = self.now_ms;
        let machine = &mut self.machines[number];
        machine.next_wake_ms = machine.next_wake_ms.min(now_ms);
    }
}
