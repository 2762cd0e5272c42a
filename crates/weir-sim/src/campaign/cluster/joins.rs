//! Machines without a node ask to be let in.

use bytes::Bytes;
use weir_broker::join;

use super::{
    events::{Event, Frame},
    port::Caller,
    process::address,
    run::Cluster,
};

/// Time between two requests of a node that is not let in yet.
const ASK_MS: u64 = 1_000;
/// The Kafka door that every node says it has.
const KAFKA: (&str, u16) = ("127.0.0.1", 9092);

impl Cluster<'_> {
    pub(super) fn ask_in(&mut self, number: usize) {
        let machine = &self.machines[number];
        if machine.node.is_some() {
            return;
        }
        let peer_address = address(number, machine.generation);
        let incarnation = u128::from(machine.generation) << 64 | (number as u128 + 1) << 8 | 1;
        let request = join::request(incarnation, &peer_address, KAFKA.0, KAFKA.1);
        let caller = Caller {
            machine: number,
            life: 0,
            call: u64::from(machine.generation),
        };
        self.queue.put(self.now_ms + ASK_MS, Event::Ask(number));
        if let Some(to) = self.any_up() {
            self.send(number, to, None, &Frame::Call { caller, request });
        }
    }

    /// The answer to a machine without a node.
    pub(super) fn let_in(&mut self, number: usize, caller: Caller, answer: &Bytes) {
        let machine = &mut self.machines[number];
        if machine.node.is_some() || u64::from(machine.generation) != caller.call {
            return;
        }
        let identity = match join::read_answer(answer.clone()) {
            Ok(identity) => identity,
            Err(refused) => return self.trace.note("not_let_in", &refused.to_string()),
        };
        self.counts.add("joins", 1);
        machine.pass_time(self.now_ms);
        let joined = machine.join(self.plan, self.options, &identity);
        if let Err(error) = joined {
            // A fault of the disk: the machine starts again, and asks again.
            self.trace.note("join", &error);
            machine.end(true, self.plan.seed ^ self.now_ms);
            if !machine.find_node() {
                return;
            }
        }
        self.trace
            .event("joined", &[number as u64, identity.node.0], || {
                format!("machine {number} is node {}", identity.node)
            });
        machine.start_at_ms = Some(self.now_ms);
    }
}
